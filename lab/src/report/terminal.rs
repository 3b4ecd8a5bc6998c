//! The report on a terminal: a table for each scenario, its answer, and what to know before believing it.

use std::fmt::Write;
use std::path::PathBuf;

use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement, LineStyle, Table, TableStyle, Width};

use super::{COLUMNS, profiles, rows, sentences, sweep};
use crate::profile::files;
use model::result::LabResult;

/// Fits a terminal of usual width.
const WIDTH: u16 = 120;
/// The longest verdict (`not-conserved`) with its padding.
const VERDICT_WIDTH: u16 = 14;
/// Lines above and below the header and at the end: rows stand close.
const STYLE: TableStyle = TableStyle::new()
    .top_border(LineStyle::none().fill('─').junction('─'))
    .header_separator(LineStyle::none().fill('─').junction('─'))
    .bottom_border(LineStyle::none().fill('─').junction('─'));

/// Where the reports are, and which of them could not be written anew: `written` says whether all could.
pub fn places(paths: &[PathBuf; 2], written: bool) -> String {
    let mut out = String::new();
    for (title, path) in ["Report", "With charts"].iter().zip(paths) {
        let _ = match (path.exists(), written) {
            (true, true) => writeln!(out, "{title}: {}", path.display()),
            (true, false) => writeln!(out, "{title}: {} (it may lack the last figures)", path.display()),
            (false, _) => writeln!(out, "{title}: not written, {} does not exist", path.display()),
        };
    }
    out
}

/// The whole text.
pub fn render(result: &LabResult) -> String {
    let mut out = String::new();
    for table in sweep::tables(result) {
        let _ = writeln!(
            out,
            "\n{}\n{}",
            table.title,
            figures_table(table.header, table.rows, 1)
        );
    }
    for scenario in &result.config.scenarios {
        let rows = rows(result, &scenario.name);
        if rows.is_empty() {
            continue;
        }
        let _ = writeln!(
            out,
            "\n{}: {}",
            scenario.name,
            sentences::question(result, scenario)
        );
        let mut table = empty_table();
        table.set_header(COLUMNS);
        table.add_rows(rows);
        // Figures are never broken; several verdicts may be, between them.
        for column in table.column_iter_mut().take(COLUMNS.len() - 1) {
            column
                .set_constraint(ColumnConstraint::ContentWidth)
                .set_padding((0, 1));
        }
        for column in table.column_iter_mut().take(COLUMNS.len() - 1).skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        if let Some(verdict) = table.column_mut(COLUMNS.len() - 1) {
            verdict.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(VERDICT_WIDTH)));
        }
        let _ = writeln!(out, "{table}\n{}", sentences::answer(result, &scenario.name));
        let remarks = sentences::remarks(result, scenario).into_iter();
        for remark in remarks.chain(sentences::clients(result, scenario)) {
            let _ = writeln!(out, "  * {remark}");
        }
        profile(&mut out, result, &scenario.name);
    }
    let general = sentences::general(result);
    if !general.is_empty() {
        out.push('\n');
    }
    for remark in general {
        let _ = writeln!(out, "{remark}");
    }
    out.push('\n');
    out
}

/// A table that fits a terminal, without header and rows.
pub fn empty_table() -> Table {
    let mut table = Table::new();
    table
        .load_style(STYLE)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(WIDTH);
    table
}

/// A table of figures: the first `left` columns hold names, the others figures, none of which is broken.
pub fn figures_table(header: Vec<String>, rows: Vec<Vec<String>>, left: usize) -> Table {
    let mut table = empty_table();
    table.set_header(header);
    table.add_rows(rows);
    for (index, column) in table.column_iter_mut().enumerate() {
        column
            .set_constraint(ColumnConstraint::ContentWidth)
            .set_padding((0, 1));
        if index >= left {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

fn profile(out: &mut String, result: &LabResult, scenario: &str) {
    let (rows, remarks) = (
        profiles::rows(result, scenario),
        profiles::remarks(result, scenario),
    );
    if !rows.is_empty() {
        let header = profiles::columns().into_iter().map(str::to_owned).collect();
        let table = figures_table(header, rows, 1);
        let _ = writeln!(
            out,
            "{scenario}: where the CPU time goes, µs for each message\n{table}"
        );
    }
    for remark in remarks {
        let _ = writeln!(out, "  * {remark}");
    }
    if !profiles::files(result, scenario).is_empty() {
        let _ = writeln!(
            out,
            "  * Flame graphs, differences and pprof files are in {}/ beside the report.",
            files::FOLDER
        );
    }
}
