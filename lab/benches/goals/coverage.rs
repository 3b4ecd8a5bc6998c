//! How often intervals hold the truth, where it is known: eight copies of one server in each run, and runs one after
//! another.

use model::comparison::{self, Compared};
use model::figure::Figure;
use model::result::LabResult;
use model::run::Run;
use model::statistics::{self, Estimate};

use crate::bench::{Bench, single};
use crate::goal::{Goal, Row};

/// The same server so many times in one run. Each is compared with each; seven of these comparisons are independent.
const COPIES: usize = 8;
/// Runs per scenario, unless `GOALS_RUNS` says another number: 105 independent comparisons.
const RUNS: usize = 15;

/// What a contender takes in a round of a default run beside its connections and slices, in seconds.
const START_SECONDS: f64 = 0.4;
/// Connections that all clients open in a second.
const CONNECTIONS_PER_SECOND: f64 = 20_000.0;
/// A slice of a default run, in seconds.
const SLICE_SECONDS: f64 = 0.25;

/// How many intervals hold 1, of how many.
#[derive(Default)]
struct Tally {
    holds: usize,
    all: usize,
    half_widths: Vec<f64>,
}

impl Tally {
    fn add(&mut self, estimate: Option<Estimate>) {
        let Some((low, high)) = estimate.and_then(|estimate| estimate.interval) else {
            return;
        };
        self.all += 1;
        self.holds += usize::from(low <= 1.0 && 1.0 <= high);
        self.half_widths.push((high - low) / 2.0);
    }

    fn row(&self, what: &str, goal: Goal) -> Row {
        let width = statistics::median(&self.half_widths).unwrap_or(f64::NAN);
        let found = (self.all > 0).then(|| Estimate {
            median: 100.0 * self.holds as f64 / self.all as f64,
            interval: None,
        });
        Row {
            what: format!(
                "{what}: {} of {} intervals hold 1 (median half-width {width:.3}), in percent",
                self.holds, self.all
            ),
            goal,
            found: found.ok_or_else(|| "no two runs can be believed".to_owned()),
            unit: " %",
        }
    }
}

/// How ratios of equal servers vary, over all pairs of all runs: between rounds and within them.
#[derive(Default)]
struct Variances {
    between: Vec<f64>,
    within: Vec<f64>,
}

impl Variances {
    fn add(&mut self, ratios: Option<Vec<Vec<f64>>>) {
        if let Some((between, within)) = ratios.and_then(|ratios| statistics::rounds::components(&ratios)) {
            self.between.push(between);
            self.within.push(within);
        }
    }

    /// The standard deviations, and the number of cycles per round that makes a default run's interval narrowest.
    fn rows(&self, scenario: &str, connections: u64) -> Vec<Row> {
        let (between, within) = (mean(&self.between), mean(&self.within));
        let round_seconds = START_SECONDS + connections as f64 / CONNECTIONS_PER_SECOND + SLICE_SECONDS;
        let best = between.zip(within).map(|(between, within)| {
            statistics::rounds::cycles_per_round(between, within, round_seconds, SLICE_SECONDS)
        });
        let percent = |variance: Option<f64>| single(variance.map(|variance| 100.0 * variance.sqrt()));
        let row = |what: &str, found, unit| Row {
            what: format!("{scenario}, {what}"),
            goal: Goal::None,
            found,
            unit,
        };
        vec![
            row(
                "ratios: standard deviation from round to round",
                percent(between),
                " %",
            ),
            row(
                "ratios: standard deviation from cycle to cycle",
                percent(within),
                " %",
            ),
            row("cycles per round for the narrowest interval", single(best), ""),
        ]
    }
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// How the cost of the same server differs from run to run, in percent: the standard deviation of the logarithm of the
/// mean over all copies. `costs` holds a mean per run.
fn from_run_to_run_row(scenario: &str, costs: &[f64]) -> Row {
    let logarithms: Vec<f64> = costs.iter().map(|cost| cost.ln()).collect();
    let deviation = mean(&logarithms).filter(|_| costs.len() > 1).map(|mean| {
        let squares: f64 = logarithms.iter().map(|one| (one - mean).powi(2)).sum();
        100.0 * (squares / (costs.len() - 1) as f64).sqrt()
    });
    Row {
        what: format!("{scenario}, costs: standard deviation of {} runs", costs.len()),
        goal: Goal::None,
        found: single(deviation),
        unit: " %",
    }
}

/// Counts the intervals within runs, and those from each run to the next.
pub fn rows(bench: &Bench, scenario: &str) -> Result<Vec<Row>, String> {
    let runs = std::env::var("GOALS_RUNS").map_or(Ok(RUNS), |text| text.parse());
    let runs = runs.map_err(|_| "GOALS_RUNS should be a whole number such as 15".to_owned())?;
    let rate = bench.rate.to_string();
    let (mut within, mut costs, mut ratios) = (Tally::default(), Tally::default(), Tally::default());
    let (mut variances, mut costs_of_runs, mut connections) = (Variances::default(), Vec::new(), 0);
    let mut last: Option<LabResult> = None;
    for seed in 1..=runs {
        let words = [
            "--scenario",
            scenario,
            "--rate",
            &rate,
            "--seed",
            &seed.to_string(),
            "--contenders",
            &["epoll"; COPIES].join(","),
        ]
        .map(str::to_owned);
        let result = bench.by_default(&format!("coverage-{scenario}/{seed}"), &words)?;
        let copies = believed(&result, scenario);
        for (index, one) in copies.iter().enumerate() {
            for other in &copies[index + 1..] {
                variances.add(comparison::ratios(one, other, Figure::Cpu));
                within.add(comparison::ratio(one, other, Figure::Cpu).map(|ratio| ratio.estimate));
            }
        }
        let all: Vec<f64> = copies
            .iter()
            .filter_map(|copy| copy.server.cpu_micros_per_message)
            .collect();
        costs_of_runs.extend(mean(&all));
        connections = result.config.scenarios[0].connections;
        if let Some(last) = &last {
            from_run_to_run(last, &result, scenario, &mut costs, &mut ratios);
        }
        eprintln!(
            "{scenario}: {} of {} null intervals hold 1",
            within.holds, within.all
        );
        last = Some(result);
    }
    let mut rows = vec![
        within.row(&format!("{scenario}, within a run"), Goal::Between(93.0, 98.0)),
        costs.row(&format!("{scenario}, costs from run to run"), Goal::AtLeast(93.0)),
        ratios.row(
            &format!("{scenario}, ratios from run to run"),
            Goal::AtLeast(93.0),
        ),
        from_run_to_run_row(scenario, &costs_of_runs),
    ];
    rows.extend(variances.rows(scenario, connections));
    Ok(rows)
}

fn believed<'a>(result: &'a LabResult, scenario: &'a str) -> Vec<&'a Run> {
    result.runs_of(scenario).filter(|run| run.is_ok()).collect()
}

/// As `lab compare` does: each copy's cost, and its ratio to the first copy.
fn from_run_to_run(
    before: &LabResult,
    after: &LabResult,
    scenario: &str,
    costs: &mut Tally,
    ratios: &mut Tally,
) {
    let ok =
        |result: &'_ LabResult, name: &str| result.run(scenario, name).filter(|run| run.is_ok()).cloned();
    let first = ok(before, "epoll").zip(ok(after, "epoll"));
    for run in believed(before, scenario) {
        let Some(later) = ok(after, &run.contender) else {
            continue;
        };
        costs.add(comparison::unpaired(&later, run, Figure::Cpu));
        let Some((base, base_later)) = first.as_ref().filter(|_| run.contender != "epoll") else {
            continue;
        };
        let earlier = comparison::ratios(run, base, Figure::Cpu);
        let later = comparison::ratios(&later, base_later, Figure::Cpu);
        if let Some((later, earlier)) = later.zip(earlier) {
            ratios.add(comparison::between_runs(Compared::Ratios, &later, &earlier));
        }
    }
}
