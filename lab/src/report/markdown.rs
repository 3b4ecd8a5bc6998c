//! `report.md`: the tables and answers, then machine, method and configuration.

use std::fmt::Write;

use super::{COLUMNS, balance, capitalised, method, profiles, rows, sentences, sweep};
use model::result::LabResult;

/// The whole text.
pub fn render(result: &LabResult) -> String {
    let mut out = format!(
        "# What a server pays for its I/O model: {}\n\nMeasured {} by lab {}.\n",
        escaped(&result.run_id),
        escaped(&result.started_at),
        escaped(&result.version)
    );
    for remark in sentences::general(result) {
        let _ = write!(out, "\n{}\n", escaped(&remark));
    }
    let tables = sweep::tables(result);
    if let Some(varied) = &result.config.sweep {
        let _ = write!(out, "\n## By {}\n", escaped(&varied.parameter));
    }
    for table in tables {
        let _ = write!(
            out,
            "\n{}:\n\n{}",
            escaped(&capitalised(&table.title)),
            self::table(&table.header, &table.rows, 1)
        );
    }
    if let Some(legend) = sweep::legend(result) {
        let _ = write!(out, "\n{}\n", escaped(&legend));
    }
    for scenario in &result.config.scenarios {
        let rows = rows(result, &scenario.name);
        if rows.is_empty() {
            continue;
        }
        let _ = write!(out, "\n## {}\n\n", escaped(&scenario.name));
        if !scenario.about.is_empty() {
            let _ = write!(out, "{}.\n\n", escaped(&capitalised(&scenario.about)));
        }
        let _ = write!(out, "{}.\n\n", escaped(&sentences::question(result, scenario)));
        let _ = writeln!(out, "| {} |", COLUMNS.join(" | ").replace('\n', " "));
        let alignment: Vec<_> = (0..COLUMNS.len())
            .map(|index| match index {
                0 => "---",
                index if index + 1 == COLUMNS.len() => "---",
                _ => "--:",
            })
            .collect();
        let _ = writeln!(out, "| {} |", alignment.join(" | "));
        for row in rows {
            let _ = writeln!(out, "| {} |", row.map(|cell| escaped(&cell)).join(" | "));
        }
        let _ = write!(out, "\n{}\n", escaped(&sentences::answer(result, &scenario.name)));
        let remarks = sentences::remarks(result, scenario);
        if !remarks.is_empty() {
            out.push('\n');
        }
        for remark in remarks {
            let _ = writeln!(out, "- {}", escaped(&remark));
        }
        balance(&mut out, result, &scenario.name);
        client(&mut out, result, &scenario.name);
        profiles(&mut out, result, &scenario.name);
    }
    let _ = write!(
        out,
        "\n## Method\n\n{}\n",
        escaped(&method::method(&result.config))
    );
    machine(&mut out, result);
    let config = serde_json::to_string_pretty(&result.config).unwrap_or_default();
    let _ = write!(out, "\n## Configuration\n\n```json\n{config}\n```\n");
    out
}

fn balance(out: &mut String, result: &LabResult, scenario: &str) {
    let rows = balance::rows(result, scenario);
    if !rows.is_empty() {
        let rows: Vec<_> = rows.into_iter().map(Vec::from).collect();
        let table = table(&balance::COLUMNS.map(str::to_owned), &rows, 1);
        let _ = write!(out, "\n{}:\n\n{table}", balance::LEGEND);
    }
}

fn client(out: &mut String, result: &LabResult, scenario: &str) {
    out.push_str("\nThe clients, which must not be the bottleneck:\n\n");
    let _ = writeln!(out, "| {} |", method::CLIENT_COLUMNS.join(" | "));
    out.push_str("| --- | --: | --: | --: | --: | --: |\n");
    for row in method::client_rows(result, scenario) {
        let _ = writeln!(out, "| {} |", row.map(|cell| escaped(&cell)).join(" | "));
    }
}

fn profiles(out: &mut String, result: &LabResult, scenario: &str) {
    let (rows, remarks) = (
        profiles::rows(result, scenario),
        profiles::remarks(result, scenario),
    );
    if rows.is_empty() && remarks.is_empty() {
        return;
    }
    out.push_str(
        "\nWhere the CPU time goes, in µs for each message, from profiles in slices of their own after the measured ones \
         (shares from samples; their sum is what a message cost in the measured slices):\n\n",
    );
    if !rows.is_empty() {
        let columns = profiles::columns();
        let _ = writeln!(out, "| {} |", columns.join(" | "));
        let _ = writeln!(out, "| --- |{}", " --: |".repeat(columns.len() - 1));
        for row in rows {
            let cells: Vec<_> = row.iter().map(|cell| escaped(cell)).collect();
            let _ = writeln!(out, "| {} |", cells.join(" | "));
        }
        out.push('\n');
    }
    for remark in remarks {
        let _ = writeln!(out, "- {}", escaped(&remark));
    }
    for (file, what) in profiles::files(result, scenario) {
        let _ = writeln!(out, "- [{}]({})", escaped(&what), escaped(&file));
    }
}

fn machine(out: &mut String, result: &LabResult) {
    out.push_str("\n## Machine\n\n| what | value |\n| --- | --- |\n");
    for (what, value) in method::machine(&result.machine) {
        let _ = writeln!(out, "| {what} | {} |", escaped(&value));
    }
}

/// A table whose first `left` columns hold names, the others figures.
pub fn table(header: &[String], rows: &[Vec<String>], left: usize) -> String {
    let mut out = String::new();
    let rules: Vec<_> = (0..header.len())
        .map(|index| if index < left { "---" } else { "--:" }.to_owned())
        .collect();
    for row in [header, &rules].into_iter().chain(rows.iter().map(Vec::as_slice)) {
        let cells: Vec<_> = row.iter().map(|cell| escaped(cell)).collect();
        let _ = writeln!(out, "| {} |", cells.join(" | "));
    }
    out
}

/// What would break a table's cell, or be taken for HTML: names such as `<A as B>::c` would vanish, and whoever names
/// something could write into the page.
pub fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('|', "\\|")
        .replace(['\n', '\r'], " ")
}
