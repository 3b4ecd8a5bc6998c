//! Views of a result: what every format says, and one file a format.

mod balance;
pub mod decisions;
pub mod figures;
pub mod html;
pub mod markdown;
mod method;
mod profiles;
pub mod reasons;
mod sentences;
pub mod sweep;
pub mod terminal;

#[cfg(test)]
pub mod fixture;
#[cfg(test)]
mod tests;

use figures::{count, decimal, mebibytes, missing, or_missing};
use model::figure::Figure;
use model::quantiles::Quantile;
use model::result::LabResult;
use model::run::Run;

/// The columns of a scenario's table, with where their titles may be broken.
const COLUMNS: [&str; 10] = [
    "contender",
    "CPU %",
    "messages\nper s",
    "CPU µs\nper msg",
    "ratio to\nbaseline",
    "memory\nMiB",
    "capacity\nper s",
    "p50/p99/p99.9\nms",
    "wake-ups\nper msg",
    "verdict",
];

/// The rows of a scenario's table: runs in their order, then who was skipped.
fn rows(result: &LabResult, scenario: &str) -> Vec<[String; COLUMNS.len()]> {
    let mut rows: Vec<_> = result.runs_of(scenario).map(|run| row(result, run)).collect();
    rows.extend(result.skipped_of(scenario).map(|skipped| {
        let mut row = std::array::from_fn(|_| missing());
        row[0].clone_from(&skipped.contender);
        row[COLUMNS.len() - 1] = "skipped".to_owned();
        row
    }));
    rows
}

fn row(result: &LabResult, run: &Run) -> [String; COLUMNS.len()] {
    let times = [Quantile::P50, Quantile::P99, Quantile::P999].map(|name| quantile(result, run, name));
    let times = match times.iter().all(|time| *time == missing()) {
        true => missing(),
        false => times.join("/"),
    };
    let capacity = or_missing(run.capacity_per_second, |rate| {
        let at_least = if run.capacity_is_at_least { "≥" } else { "" };
        format!("{at_least}{}", count(rate))
    });
    [
        run.contender.clone(),
        or_missing(run.server.cpu_percent, |percent| decimal(percent, 1)),
        count(run.replies_per_second),
        or_missing(run.server.cpu_micros_per_message, |micros| decimal(micros, 2)),
        ratio(result, run),
        or_missing(run.server.resident_bytes, |bytes| mebibytes(bytes as f64)),
        capacity,
        times,
        or_missing(run.server.context_switches_per_message, |switches| {
            decimal(switches, 2)
        }),
        run.verdict_text(),
    ]
}

/// A quantile of the response time in ms. A lower bound is shown as one, and what the machine itself may have made in
/// parentheses.
fn quantile(result: &LabResult, run: &Run, name: Quantile) -> String {
    or_missing(run.response_micros.bounded(name), |bounded| {
        let more = if bounded.at_least { ">" } else { "" };
        let text = format!("{more}{}", figures::significant(bounded.micros / 1e3));
        match sentences::below_floor(result, run, name) {
            true => format!("({text})"),
            false => text,
        }
    })
}

fn ratio(result: &LabResult, run: &Run) -> String {
    if run.contender == result.config.baseline {
        return "baseline".to_owned();
    }
    match result.comparison(&run.scenario, &run.contender, Figure::Cpu) {
        None => missing(),
        Some(comparison) => match comparison.low.zip(comparison.high) {
            Some((low, high)) => format!("{:.2} [{low:.2}, {high:.2}]", comparison.ratio),
            None => format!("{:.2}", comparison.ratio),
        },
    }
}

/// A text that begins a sentence.
fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    chars
        .next()
        .map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}
