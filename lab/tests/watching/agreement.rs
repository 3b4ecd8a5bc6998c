//! Whether a Prometheus shows what was measured: every query of every dashboard has an answer, and figures are those of
//! result.json.

use super::board::{self, text};
use super::prometheus::Prometheus;
use serde_json::Value;
use std::path::Path;

/// The server's count of messages and the client's may differ by this share.
const MESSAGES_SHARE: f64 = 0.02;
/// CPU per message as the rules make it of scraped counters, and as the lab measured it.
const CPU_SHARE: f64 = 0.05;
/// What the lab exposes is what it wrote.
const TOLD_SHARE: f64 = 0.001;
/// Fewer queries were found than the dashboards have for certain: then the search is broken.
const QUERIES_MIN: usize = 80;

/// The queries of panels and annotations that bring no number; those of `may_be_empty` are asked, but need not.
///
/// # Panics
/// When Prometheus does not take one.
pub fn unanswered(prometheus: &Prometheus, root: &Path, may_be_empty: &[&str]) -> Vec<String> {
    let mut unanswered = Vec::new();
    let mut asked = 0;
    for board in board::all(root) {
        let variables = prometheus.variables(&board);
        for query in board.panel_queries().iter().chain(&board.annotation_queries()) {
            asked += 1;
            let series = prometheus
                .ask(query, &variables)
                .unwrap_or_else(|error| panic!("{}: {error}: {}", query.place, query.expression));
            let mut values = series.iter().flat_map(|series| &series.values);
            let excused = may_be_empty
                .iter()
                .any(|title| query.place.ends_with(&format!(": {title}")));
            if !excused && !values.any(|value| value.is_finite()) {
                unanswered.push(format!("{}: no data: {}", query.place, query.expression));
            }
        }
    }
    assert!(asked > QUERIES_MIN, "only {asked} queries were found");
    unanswered
}

/// What Prometheus says of a run against what the lab wrote of it.
///
/// # Errors
/// Which two figures differ, and by how much.
pub fn agree(prometheus: &Prometheus, run_id: &str, run: &Value) -> Result<(), String> {
    let contender = text(&run["contender"]);
    let labels = format!("run_id=\"{run_id}\", contender=\"{contender}\"");
    let one = |expression: &str| -> f64 {
        let found = prometheus.moment(expression).unwrap();
        assert_eq!(found.len(), 1, "{expression}: {found:?}");
        found[0].values[0]
    };
    let figure = |name: &str| {
        let value = name.split('.').fold(run, |value, part| &value[part]);
        value
            .as_f64()
            .unwrap_or_else(|| panic!("{name} is missing in {run:#}"))
    };
    // The server's own count and the client's, over the same seconds of the slices.
    let of_slices = |metric: &str| {
        one(&format!(
            "avg_over_time((run:echolab_slice:steady{{{labels}}} * on (contender) group_left () {metric})[10m:1s])"
        ))
    };
    let told = |metric: &str| one(&format!("last_over_time({metric}{{{labels}}}[10m])"));
    let echoed = of_slices("contender:echolab_messages:rate5s");
    let replied = figure("replies_per_second");
    let cpu = figure("server.cpu_micros_per_message");
    let pairs = [
        (
            "messages/s of server and client",
            echoed,
            of_slices("contender:echolab_client_replies:rate5s"),
            MESSAGES_SHARE,
        ),
        (
            "messages/s, live and in result.json",
            echoed,
            replied,
            MESSAGES_SHARE,
        ),
        (
            "messages/s, as the lab exposes and writes it",
            told("echolab_result_messages_per_second"),
            replied,
            TOLD_SHARE,
        ),
        (
            "CPU per message, as the lab exposes and writes it",
            told("echolab_result_cpu_micros_per_message"),
            cpu,
            TOLD_SHARE,
        ),
        (
            "CPU per message, live and in result.json",
            told("run:cpu_micros_per_message:avg10m"),
            cpu,
            CPU_SHARE,
        ),
    ];
    let apart = pairs
        .iter()
        .inspect(|(what, a, b, _)| eprintln!("{contender}: {what}: {a:.3} and {b:.3}"))
        .filter(|(_, a, b, share)| (a - b).abs() > share * b.abs())
        .map(|(what, a, b, share)| format!("{what}: {a} and {b} differ by over {share}"));
    let apart: Vec<String> = apart.collect();
    if apart.is_empty() {
        Ok(())
    } else {
        Err(apart.join("; "))
    }
}
