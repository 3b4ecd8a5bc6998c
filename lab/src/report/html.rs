//! `report.html`: one file that needs no network and runs nothing, made from a result alone.
//!
//! The template has the words and the order; `charts` and its neighbours make the pictures: pure
//! functions from figures to text. Whatever a user may have named is escaped, by the template or by the pictures.

mod balance;
mod bars;
mod chart;
mod charts;
mod context;
mod forest;
mod latency;
mod legend;
mod lines;
mod profiles;
mod rows;
mod scale;
mod svg;
mod sweep;
mod text;
mod verdicts;

#[cfg(test)]
mod browser;
#[cfg(test)]
mod browser_tests;
#[cfg(test)]
mod samples;
#[cfg(test)]
mod tests;

use askama::Template;

use super::{COLUMNS, capitalised, method, rows as table_rows, sentences, sweep as varied};
use chart::{Chart, Table};
use model::result::LabResult;
use model::scenario::Scenario;
use profiles::Profiles;

/// The page.
#[derive(Template)]
#[template(path = "report.html")]
struct Page<'a> {
    result: &'a LabResult,
    /// What holds for all scenarios.
    general: Vec<String>,
    sections: Vec<Section>,
    sweep: Option<SweepSection>,
    method: String,
    settings: Table,
    machine: Table,
    config: String,
}

/// A scenario's part of the page.
struct Section {
    id: String,
    name: String,
    about: String,
    question: String,
    answer: String,
    table: Table,
    charts: Vec<Chart>,
    verdicts: Table,
    clients: Table,
    notes: Vec<String>,
    profiles: Option<Profiles>,
    /// Whether its charts are shown at once: a sweep has too many scenarios for that.
    open: bool,
}

/// The part of the page that shows a sweep.
struct SweepSection {
    parameter: String,
    values: String,
    tables: Vec<Table>,
    legend: Option<String>,
    charts: Vec<Chart>,
}

/// The whole page.
pub fn render(result: &LabResult) -> String {
    let sections = result.config.scenarios.iter().enumerate();
    let page = Page {
        result,
        general: sentences::general(result),
        sections: sections
            .filter_map(|(index, scenario)| section(result, scenario, index))
            .collect(),
        sweep: result.config.sweep.as_ref().map(|sweep| SweepSection {
            parameter: sweep.parameter.clone(),
            values: sweep
                .points
                .iter()
                .map(|point| point.label.as_str())
                .collect::<Vec<_>>()
                .join(", "),
            tables: varied::tables(result).into_iter().map(of_sweep).collect(),
            legend: varied::legend(result),
            charts: sweep::charts(result, sweep),
        }),
        method: method::method(&result.config),
        settings: settings(result),
        machine: machine(result),
        config: serde_json::to_string_pretty(&result.config).unwrap_or_default(),
    };
    // Writing into a text cannot fail, and no value of the page has a way of its own to be written.
    page.render().unwrap_or_default()
}

fn of_sweep(table: varied::Table) -> Table {
    Table {
        caption: capitalised(&table.title),
        columns: table.header,
        rows: table.rows,
    }
}

fn section(result: &LabResult, scenario: &Scenario, index: usize) -> Option<Section> {
    let rows: Vec<_> = table_rows(result, &scenario.name)
        .into_iter()
        .map(Vec::from)
        .collect();
    if rows.is_empty() {
        return None;
    }
    let id = format!("s{}", index + 1);
    let charts = context::Charts {
        result,
        scenario,
        id: id.clone(),
    };
    // Titles are broken where they may be, and nowhere else.
    let columns = COLUMNS.map(|column| column.replace(' ', "\u{a0}").replace('\n', " "));
    let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
    let clients = method::client_rows(result, &scenario.name)
        .into_iter()
        .map(Vec::from);
    Some(Section {
        name: scenario.name.clone(),
        about: capitalised(&scenario.about),
        question: sentences::question(result, scenario),
        answer: sentences::answer(result, &scenario.name),
        table: Table::new(
            &format!("{}: what each contender costs", scenario.name),
            &columns,
            rows,
        ),
        charts: charts.all(),
        verdicts: verdicts::table(result, &scenario.name),
        clients: Table::new(
            "The clients, which must not be the bottleneck",
            &method::CLIENT_COLUMNS,
            clients.collect(),
        ),
        notes: sentences::notes(result, scenario),
        profiles: profiles::profiles(result, &scenario.name, &id),
        open: result.config.sweep.is_none(),
        id,
    })
}

/// The settings of each scenario, side by side.
fn settings(result: &LabResult) -> Table {
    let rows = result.config.scenarios.iter().map(|scenario| {
        let pairs = result
            .comparisons
            .iter()
            .filter(|comparison| comparison.scenario == scenario.name)
            .map(|comparison| comparison.cycles)
            .max();
        vec![
            scenario.name.clone(),
            scenario.connections.to_string(),
            scenario.message_bytes.to_string(),
            scenario.pace.to_string(),
            humantime::format_duration(scenario.slice()).to_string(),
            scenario.rounds.to_string(),
            scenario.cycles.to_string(),
            super::or_missing(pairs, |pairs| pairs.to_string()),
        ]
    });
    Table::new(
        "Settings of the scenarios",
        &[
            "scenario",
            "connections",
            "message bytes",
            "pace",
            "slice",
            "rounds planned",
            "cycles per round",
            "pairs for a ratio",
        ],
        rows.collect(),
    )
}

fn machine(result: &LabResult) -> Table {
    let facts = method::machine(&result.machine).into_iter();
    let rows = facts.map(|(what, value)| vec![what.to_owned(), value]);
    Table::new("Where it was measured", &["what", "value"], rows.collect())
}

/// How a verdict's cell looks: `good`, `bad` or `none`.
fn look(verdict: &str) -> &'static str {
    match verdict {
        "ok" => "good",
        "skipped" => "none",
        _ => "bad",
    }
}
