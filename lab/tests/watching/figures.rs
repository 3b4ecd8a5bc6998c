//! Whether dashboards show what was measured: what their panels' own queries bring is what result.json says.

use super::board::{self, Board, Query, items, text};
use super::prometheus::{Filled, Prometheus, Series, choose};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

/// The server's count of messages and the client's may differ by this share, and so may their rates live and as measured.
const MESSAGES_SHARE: f64 = 0.02;
/// CPU as made of scraped counters, and as the lab measured it.
const CPU_SHARE: f64 = 0.05;
/// What the lab exposes is what it wrote.
const TOLD_SHARE: f64 = 0.001;

/// A live panel and what it should show during a run's slices.
struct Live {
    file: &'static str,
    title: &'static str,
    /// Which of its targets, from 0.
    target: usize,
    /// Where the figure stands in the run.
    figure: &'static str,
    /// What the figure is to be multiplied with.
    times: f64,
    share: f64,
}

const fn live(
    (file, title, target): (&'static str, &'static str, usize),
    figure: &'static str,
    times: f64,
    share: f64,
) -> Live {
    Live {
        file,
        title,
        target,
        figure,
        times,
        share,
    }
}

const REPLIES: &str = "/replies_per_second";
const CPU_MICROS: &str = "/server/cpu_micros_per_message";
const CPU_PERCENT: &str = "/server/cpu_percent";
const CONNECTIONS: &str = "/rounds/0/cycles/0/connections";
/// Of the scenarios that are tried.
const MESSAGE_BYTES: f64 = 100.0;

/// What panels show while a run goes on. Those of other panels are parts of these, or of moments that no result holds.
const LIVE: &[Live] = &[
    live(
        ("server.json", "Messages per second: server and client", 0),
        REPLIES,
        1.0,
        MESSAGES_SHARE,
    ),
    live(
        ("server.json", "Messages per second: server and client", 1),
        REPLIES,
        1.0,
        MESSAGES_SHARE,
    ),
    live(
        ("server.json", "Bytes per second", 0),
        REPLIES,
        MESSAGE_BYTES,
        MESSAGES_SHARE,
    ),
    live(
        ("server.json", "Bytes per second", 1),
        REPLIES,
        MESSAGE_BYTES,
        MESSAGES_SHARE,
    ),
    live(("server.json", "CPU per message", 0), CPU_MICROS, 1.0, CPU_SHARE),
    live(("server.json", "CPU by mode", 0), CPU_PERCENT, 1.0, CPU_SHARE),
    live(("server.json", "Connections", 0), CONNECTIONS, 1.0, 0.0),
    live(
        ("comparison.json", "Messages per second", 0),
        REPLIES,
        1.0,
        MESSAGES_SHARE,
    ),
    live(("comparison.json", "CPU", 0), CPU_PERCENT, 1.0, CPU_SHARE),
    live(
        ("comparison.json", "CPU per message", 0),
        CPU_MICROS,
        1.0,
        CPU_SHARE,
    ),
    live(
        ("client.json", "Achieved and offered rate", 0),
        REPLIES,
        1.0,
        MESSAGES_SHARE,
    ),
    live(
        ("client.json", "Achieved and offered rate", 1),
        "/offered_per_second",
        1.0,
        0.0,
    ),
    live(
        ("client.json", "Requests and replies", 0),
        REPLIES,
        1.0,
        MESSAGES_SHARE,
    ),
    live(
        ("client.json", "Requests and replies", 1),
        REPLIES,
        1.0,
        MESSAGES_SHARE,
    ),
    live(
        ("client.json", "Client CPU", 0),
        "/client/cpu_percent",
        1.0,
        CPU_SHARE,
    ),
    live(("client.json", "Connections by state", 0), CONNECTIONS, 1.0, 0.0),
];

/// Where the CPU goes that the lab says of go-net: all categories together are its CPU.
const LIVE_OF_GO: &[Live] = &[live(
    ("server.json", "CPU by what it goes into", 1),
    CPU_PERCENT,
    1.0,
    CPU_SHARE,
)];

/// What the lab exposes of each run, and where it stands in the run.
const TOLD: &[(&str, &str, f64)] = &[
    ("echolab_result_messages_per_second{", REPLIES, 1.0),
    ("echolab_result_offered_per_second{", "/offered_per_second", 1.0),
    ("echolab_result_cpu_percent{", CPU_PERCENT, 1.0),
    ("echolab_result_cpu_micros_per_message{", CPU_MICROS, 1.0),
    ("echolab_result_resident_bytes{", "/server/resident_bytes", 1.0),
    ("percentile=\"50\"}", "/response_micros/p50", 1e-6),
    ("percentile=\"99\"}", "/response_micros/p99", 1e-6),
    ("echolab_result_capacity_per_second{", "/capacity_per_second", 1.0),
];

/// The dashboards of a Prometheus and what may be chosen on them.
pub struct Shown<'a> {
    prometheus: &'a Prometheus,
    boards: BTreeMap<String, (Board, Vec<Filled>)>,
}

impl Shown<'_> {
    /// As they are now.
    pub fn on<'a>(prometheus: &'a Prometheus, root: &Path) -> Shown<'a> {
        let boards = board::all(root).into_iter();
        let boards = boards.map(|board| {
            let variables = prometheus.variables(&board);
            (board.file.clone(), (board, variables))
        });
        Shown {
            prometheus,
            boards: boards.collect(),
        }
    }

    /// What live panels show of a run's slices against what the lab wrote of it.
    ///
    /// # Errors
    /// Which figures differ.
    pub fn agree(&self, run_id: &str, run: &Value) -> Result<(), String> {
        let contender = text(&run["contender"]);
        let labels = format!("run_id=\"{run_id}\", contender=\"{contender}\"");
        let mut apart = Vec::new();
        let mut compare = |what: String, shown: f64, figure: f64, share: f64| {
            eprintln!("{contender}: {what}: {shown:.3} and {figure:.3}");
            let agrees = (shown - figure).abs() <= share * figure.abs();
            if !agrees {
                apart.push(format!("{what}: {shown} and {figure} differ by over {share}"));
            }
        };
        let of_go = if contender == "go-net" { LIVE_OF_GO } else { &[] };
        for one in LIVE.iter().chain(of_go) {
            let (board, variables) = &self.boards[one.file];
            let query = board.target(one.title, one.target);
            let expression = self.prometheus.filled(&query, variables);
            // What is set is there or not; what is counted is averaged.
            let over_time = if one.share > 0.0 { "avg" } else { "max" };
            // Only from the sixth second of a slice on: before, the rates reach into the time before it. And not in its last
            // two: servers and lab are scraped at different moments of a second, so rates reach into the time after it.
            let steady = format!("run:echolab_slice:steady{{{labels}}}");
            let shown = self.one(&format!(
                "{over_time}_over_time((({steady} and {steady} offset -2s) * on (contender) group_left () (sum by (contender) ({expression})))[10m:1s])"
            ));
            let figure = run.pointer(one.figure).and_then(Value::as_f64);
            let figure = figure.unwrap_or_else(|| panic!("{} is missing in {run:#}", one.figure));
            compare(query.place, shown, figure * one.times, one.share);
        }
        let rule = self.one(&format!(
            "last_over_time(run:cpu_micros_per_message:avg10m{{{labels}}}[10m])"
        ));
        let cpu = run.pointer(CPU_MICROS).and_then(Value::as_f64);
        compare(
            "what live ratios are made of".to_owned(),
            rule,
            cpu.unwrap_or(f64::NAN),
            CPU_SHARE,
        );
        if apart.is_empty() {
            Ok(())
        } else {
            Err(apart.join("; "))
        }
    }

    /// The one figure that an expression has; not a number, which agrees with none, when a busy machine missed so many
    /// scrapes that there is nothing to see.
    fn one(&self, expression: &str) -> f64 {
        let found = self.prometheus.moment(expression).unwrap();
        assert!(found.len() <= 1, "{expression}: {found:?}");
        found.first().map_or(f64::NAN, |series| series.values[0])
    }

    /// Every figure of the tables and bars of dashboard Comparison against the newest result; the differences.
    pub fn untold(&self, result: &Value) -> Vec<String> {
        let (board, variables) = &self.boards["comparison.json"];
        let variables = choose(variables, "run", text(&result["run_id"]));
        let queries = board.panel_queries().into_iter();
        let mut checked = 0;
        let mut untold = Vec::new();
        for query in queries.filter(|query| query.expression.contains("echolab_result_")) {
            checked += 1;
            let answer = self.prometheus.ask(&query, &variables).unwrap();
            for run in items(&result["runs"]) {
                let of_run = answer
                    .iter()
                    .filter(|series| series.label("contender") == text(&run["contender"]));
                if let Err(why) = told(&query, result, run, &of_run.collect::<Vec<_>>()) {
                    untold.push(format!("{} of {}: {why}", query.place, run["contender"]));
                }
            }
        }
        assert!(checked > TOLD.len(), "only {checked} queries were found");
        untold
    }
}

/// Whether an answer is what the result says of the run: the same figure, or none where there is none.
fn told(query: &Query, result: &Value, run: &Value, answer: &[&Series]) -> Result<(), String> {
    let expression = &query.expression;
    if expression.contains("echolab_result_verdict{") {
        let shown: Vec<&str> = answer.iter().map(|series| series.label("verdict")).collect();
        // The gravest of several comes first.
        let written: Vec<&str> = items(&run["verdicts"]).iter().map(text).take(1).collect();
        return if shown == written {
            Ok(())
        } else {
            Err(format!("{shown:?} for {written:?}"))
        };
    }
    let written = if expression.contains("echolab_result_ratio{") {
        ratio(expression, result, run)
    } else {
        let (_, figure, times) = TOLD
            .iter()
            .find(|(part, ..)| expression.contains(part))
            .unwrap_or_else(|| panic!("{}: nobody knows what it should say: {expression}", query.place));
        let figure = run.pointer(figure).and_then(Value::as_f64);
        figure.map(|figure| figure * times)
    };
    let shown: Vec<f64> = answer.iter().flat_map(|series| series.values.clone()).collect();
    match (shown.as_slice(), written) {
        ([], None) => Ok(()),
        ([shown], Some(written)) if (shown - written).abs() <= TOLD_SHARE * written.abs() => Ok(()),
        _ => Err(format!("{shown:?} for {written:?}")),
    }
}

fn ratio(expression: &str, result: &Value, run: &Value) -> Option<f64> {
    let field = ["low", "median", "high"]
        .into_iter()
        .find(|bound| expression.contains(&format!("bound=\"{bound}\"")))?;
    let field = if field == "median" { "ratio" } else { field };
    let mut comparisons = items(&result["comparisons"]).iter();
    let comparison = comparisons.find(|one| {
        one["contender"] == run["contender"]
            && one["scenario"] == run["scenario"]
            && one["metric"] == "cpu_micros_per_message"
    });
    comparison?[field].as_f64()
}
