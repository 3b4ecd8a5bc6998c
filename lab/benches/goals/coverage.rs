//! How often intervals hold the truth, where it is known: eight copies of one server in each run, and runs one after
//! another.

use model::comparison::{self, Compared};
use model::figure::Figure;
use model::result::LabResult;
use model::run::Run;
use model::statistics::{self, Estimate};

use crate::bench::Bench;
use crate::goal::{Goal, Row};

/// The same server so many times in one run. Each is compared with each; seven of these comparisons are independent.
const COPIES: usize = 8;
/// Runs per scenario, unless `GOALS_RUNS` says another number: 105 independent comparisons.
const RUNS: usize = 15;

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

/// Counts the intervals within runs, and those from each run to the next.
pub fn rows(bench: &Bench, scenario: &str) -> Result<Vec<Row>, String> {
    let runs = std::env::var("GOALS_RUNS").map_or(Ok(RUNS), |text| text.parse());
    let runs = runs.map_err(|_| "GOALS_RUNS should be a whole number such as 15".to_owned())?;
    let rate = bench.rate.to_string();
    let (mut within, mut costs, mut ratios) = (Tally::default(), Tally::default(), Tally::default());
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
                within.add(comparison::ratio(one, other, Figure::Cpu).map(|ratio| ratio.estimate));
            }
        }
        if let Some(last) = &last {
            from_run_to_run(last, &result, scenario, &mut costs, &mut ratios);
        }
        eprintln!(
            "{scenario}: {} of {} null intervals hold 1",
            within.holds, within.all
        );
        last = Some(result);
    }
    Ok(vec![
        within.row(&format!("{scenario}, within a run"), Goal::Between(93.0, 98.0)),
        costs.row(&format!("{scenario}, costs from run to run"), Goal::AtLeast(93.0)),
        ratios.row(
            &format!("{scenario}, ratios from run to run"),
            Goal::AtLeast(93.0),
        ),
    ])
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
