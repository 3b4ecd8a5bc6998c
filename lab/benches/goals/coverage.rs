//! How often intervals hold the truth, where it is known: pairs of one server with itself.

use model::comparison;
use model::figure::Figure;
use model::statistics::Estimate;

use crate::bench::Bench;
use crate::goal::{Goal, Row};

/// The same server so many times in one run: disjoint pairs have nothing in common but the machine.
const COPIES: usize = 8;
/// Null pairs per scenario.
const PAIRS: usize = 100;
/// Of so many pairs each run has some.
const RUNS: usize = PAIRS.div_ceil(COPIES / 2);

/// Counts, per scenario, the null pairs whose interval holds 1.
pub fn rows(bench: &Bench) -> Result<Vec<Row>, String> {
    [("few", 40_000), ("many", 20_000)]
        .map(|(scenario, rate)| row(bench, scenario, rate))
        .into_iter()
        .collect()
}

fn row(bench: &Bench, scenario: &str, rate: u32) -> Result<Row, String> {
    let (mut holds, mut pairs, mut widths) = (0, 0, Vec::new());
    for seed in 1..=RUNS {
        let words = [
            "--scenario".to_owned(),
            scenario.to_owned(),
            "--rate".to_owned(),
            rate.to_string(),
            "--seed".to_owned(),
            seed.to_string(),
            "--contenders".to_owned(),
            ["epoll"; COPIES].join(","),
        ];
        let result = bench.lab(&format!("coverage-{scenario}"), "run", &words)?;
        let runs: Vec<_> = result.runs_of(scenario).filter(|run| run.is_ok()).collect();
        for pair in runs.chunks_exact(2) {
            let Some((low, high)) =
                comparison::ratio(pair[0], pair[1], Figure::Cpu).and_then(|ratio| ratio.estimate.interval)
            else {
                continue;
            };
            pairs += 1;
            holds += usize::from(low <= 1.0 && 1.0 <= high);
            widths.push((high - low) / 2.0);
        }
        eprintln!("{scenario}: {holds} of {pairs} null intervals hold 1");
    }
    let width = model::statistics::median(&widths).unwrap_or(f64::NAN);
    Ok(Row {
        what: format!(
            "{scenario}: {holds} of {pairs} null intervals hold 1 (median half-width {width:.3}), in percent"
        ),
        goal: Goal::AtLeast(93.0),
        found: Ok(Estimate {
            median: 100.0 * holds as f64 / pairs.max(1) as f64,
            interval: None,
        }),
        unit: " %",
    })
}
