//! `report.md`: the tables and answers, then machine, method and configuration.

use std::fmt::Write;

use super::figures::mebibytes;
use super::{COLUMNS, profiles, rows, sentences, sweep};
use crate::result::LabResult;

/// The whole text.
pub fn render(result: &LabResult) -> String {
    let mut out = format!(
        "# What a server pays for its I/O model: {}\n\nMeasured {} by lab {}.\n",
        result.run_id, result.started_at, result.version
    );
    for remark in sentences::general(result) {
        let _ = write!(out, "\n{remark}\n");
    }
    let tables = sweep::tables(result);
    if let Some(varied) = &result.config.sweep {
        let _ = write!(out, "\n## By {}\n", varied.parameter);
    }
    for table in tables {
        let _ = write!(
            out,
            "\n{}:\n\n{}",
            capitalised(&table.title),
            self::table(&table.header, &table.rows, 1)
        );
    }
    if let Some(legend) = sweep::legend(result) {
        let _ = write!(out, "\n{legend}\n");
    }
    for scenario in &result.config.scenarios {
        let rows = rows(result, &scenario.name);
        if rows.is_empty() {
            continue;
        }
        let _ = write!(out, "\n## {}\n\n", scenario.name);
        if !scenario.about.is_empty() {
            let _ = write!(out, "{}.\n\n", capitalised(&scenario.about));
        }
        let _ = write!(out, "{}.\n\n", sentences::question(result, scenario));
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
        let _ = write!(out, "\n{}\n", sentences::answer(result, &scenario.name));
        let remarks = sentences::remarks(result, scenario);
        if !remarks.is_empty() {
            out.push('\n');
        }
        for remark in remarks {
            let _ = writeln!(out, "- {}", escaped(&remark));
        }
        client(&mut out, result, &scenario.name);
        profiles(&mut out, result, &scenario.name);
    }
    method(&mut out, result);
    machine(&mut out, result);
    let config = serde_json::to_string_pretty(&result.config).unwrap_or_default();
    let _ = write!(out, "\n## Configuration\n\n```json\n{config}\n```\n");
    out
}

fn client(out: &mut String, result: &LabResult, scenario: &str) {
    out.push_str("\nThe clients, which must not be the bottleneck:\n\n");
    out.push_str("| contender | busy % | send lag p99 µs | CPU µs/msg | user share of the server's CPU |\n");
    out.push_str("| --- | --: | --: | --: | --: |\n");
    for run in result.runs_of(scenario) {
        let cost = run.client.cpu_micros_per_message;
        let _ = writeln!(
            out,
            "| {} | {:.0} | {:.0} | {} | {} |",
            run.contender,
            run.client.busy_share * 100.0,
            run.client.send_lag_micros_p99,
            super::or_missing(cost, |micros| format!("{micros:.2}")),
            super::or_missing(run.server.cpu_user_share, |share| format!(
                "{:.0} %",
                share * 100.0
            )),
        );
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
         (shares from samples, their sum from the process's CPU clock):\n\n",
    );
    if !rows.is_empty() {
        let columns = profiles::columns();
        let _ = writeln!(out, "| {} |", columns.join(" | "));
        let _ = writeln!(out, "| --- |{}", " --: |".repeat(columns.len() - 1));
        for row in rows {
            let _ = writeln!(out, "| {} |", row.join(" | "));
        }
        out.push('\n');
    }
    for remark in remarks {
        let _ = writeln!(out, "- {}", escaped(&remark));
    }
    for (file, what) in profiles::files(result, scenario) {
        let _ = writeln!(out, "- [{what}]({file})");
    }
}

fn method(out: &mut String, result: &LabResult) {
    let cpus = match (result.config.cpus.server(), result.config.cpus.client()) {
        (Some(server), Some(client)) => format!("servers on CPUs {server}, clients on CPUs {client}"),
        _ => "nobody pinned to CPUs".to_owned(),
    };
    let _ = write!(
        out,
        "\n## Method\n\n\
         Every server and every client is a process of its own ({cpus}; {} worker(s) for each server). All contenders of a \
         scenario are up with their connections established before the first slice. Then one at a time is under load, in \
         an order that rotates from cycle to cycle, all at the same offered rate. Figures are medians over cycles; \
         quantiles come from the sum of all cycles' histograms; response time counts from when a request was due. CPU is \
         the server's user and system time over slice and drain. A ratio is formed within each cycle; shown is the \
         median over cycles with a 95 % interval from a bootstrap (seed {}). A run that is not ok is left out of ratios. Capacity is what a closed loop without think \
         time reached before the measurement. Wake-ups are voluntary context switches of the server. The user share is \
         in the kernel's ticks, so coarse. Every reply was checked byte by byte.\n",
        result.config.workers, result.config.seed
    );
}

fn machine(out: &mut String, result: &LabResult) {
    let machine = &result.machine;
    let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "not known".to_owned());
    let number = |value: Option<u64>| value.map_or_else(|| "not known".to_owned(), |value| value.to_string());
    let ports = machine.port_range.map_or_else(
        || "not known".to_owned(),
        |(first, last)| format!("{first} to {last}"),
    );
    let vulnerable: Vec<_> = machine
        .mitigations
        .iter()
        .filter(|(_, state)| *state != "Not affected")
        .map(|(name, state)| format!("{name}: {state}"))
        .collect();
    out.push_str("\n## Machine\n\n| what | value |\n| --- | --- |\n");
    for (what, value) in [
        ("CPU", text(&machine.cpu_model)),
        (
            "CPUs (those that the lab may use)",
            format!("{} ({})", machine.cpus, text(&machine.cpus_allowed)),
        ),
        (
            "memory",
            machine.memory_bytes.map_or_else(
                || "not known".to_owned(),
                |bytes| format!("{} MiB", mebibytes(bytes as f64)),
            ),
        ),
        ("kernel", text(&machine.kernel)),
        ("system", text(&machine.os)),
        ("virtualization", text(&machine.virtualization)),
        ("clock rate governor", text(&machine.governor)),
        ("mitigations", vulnerable.join("; ")),
        ("container", machine.container.clone()),
        ("network", machine.network.clone()),
        (
            "connection tracking",
            if machine.conntrack { "active" } else { "none" }.to_owned(),
        ),
        ("descriptors, hard limit", number(machine.nofile_limit)),
        ("threads, limit", number(machine.threads_limit)),
        ("mappings, limit", number(machine.mappings_limit)),
        ("somaxconn", number(machine.somaxconn)),
        ("ephemeral ports", ports),
        (
            "load average at the start",
            machine
                .load_average
                .map_or_else(|| "not known".to_owned(), |load| format!("{load:.2}")),
        ),
    ] {
        let _ = writeln!(out, "| {what} | {} |", escaped(&value));
    }
}

fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    chars
        .next()
        .map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
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

/// What would break a table's cell.
pub fn escaped(text: &str) -> String {
    text.replace('|', "\\|").replace(['\n', '\r'], " ")
}
