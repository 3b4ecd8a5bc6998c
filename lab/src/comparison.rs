//! Pure: figures of a run by name, and ratios of one contender to another, paired within cycles.

use crate::result::{Comparison, Cycle, LabResult, Round, Run};
use crate::stats::{self, Estimate};

/// A figure of a run, by name.
struct Figure {
    /// As rules and results call it.
    name: &'static str,
    /// Where its values for comparisons come from.
    taken: Taken,
    /// Its value for the run.
    of_run: fn(&Run) -> Option<f64>,
    /// Whether every contender is compared to the baseline by it.
    compared: bool,
}

/// How often a figure is measured.
#[derive(Clone, Copy)]
enum Taken {
    /// In every cycle.
    EachCycle(fn(&Cycle) -> Option<f64>),
    /// Once a round.
    EachRound(fn(&Round) -> Option<f64>),
    /// Once a run, or as a quantile over the whole run.
    Once,
}

/// CPU per message: the figure that contenders are ranked by.
pub const CPU: &str = "cpu_micros_per_message";
/// The 99th percentile of the response time.
pub const RESPONSE_P99: &str = "response_micros.p99";
/// The median response time.
pub const RESPONSE_P50: &str = "response_micros.p50";
/// The response time that one in a thousand exceeds.
pub const RESPONSE_P999: &str = "response_micros.p999";
/// Voluntary context switches of the server.
pub const WAKE_UPS: &str = "context_switches_per_message";
/// Closed-loop capacity.
pub const CAPACITY: &str = "capacity_per_second";
/// Resident memory under load.
pub const RESIDENT: &str = "resident_bytes";
/// Replies per second.
pub const REPLIES: &str = "replies_per_second";

const FIGURES: &[Figure] = &[
    Figure {
        name: CPU,
        taken: Taken::EachCycle(Cycle::server_cpu_micros_per_message),
        of_run: |run| run.server.cpu_micros_per_message,
        compared: true,
    },
    Figure {
        name: RESPONSE_P99,
        taken: Taken::EachCycle(|cycle| (cycle.replies > 0).then_some(cycle.response_micros_p99)),
        of_run: |run| Some(run.response_micros.p99),
        compared: true,
    },
    Figure {
        name: REPLIES,
        taken: Taken::EachCycle(Cycle::replies_per_second),
        of_run: |run| Some(run.replies_per_second),
        compared: true,
    },
    Figure {
        name: RESIDENT,
        taken: Taken::EachRound(|round| round.resident_bytes.map(|bytes| bytes as f64)),
        of_run: |run| run.server.resident_bytes.map(|bytes| bytes as f64),
        compared: true,
    },
    single("cpu_percent", |run| run.server.cpu_percent),
    single("cpu_user_share", |run| run.server.cpu_user_share),
    single(WAKE_UPS, |run| run.server.context_switches_per_message),
    single("allocations_per_message", |run| {
        run.server.allocations_per_message
    }),
    single("allocated_bytes_per_message", |run| {
        run.server.allocated_bytes_per_message
    }),
    single(CAPACITY, |run| run.capacity_per_second),
    single("virtual_bytes", |run| {
        run.server.virtual_bytes.map(|bytes| bytes as f64)
    }),
    single("threads", |run| run.server.threads.map(|threads| threads as f64)),
    Figure {
        name: RESPONSE_P50,
        taken: Taken::EachCycle(|cycle| (cycle.replies > 0).then_some(cycle.response_micros_p50)),
        of_run: |run| Some(run.response_micros.p50),
        compared: false,
    },
    single("response_micros.p90", |run| Some(run.response_micros.p90)),
    single(RESPONSE_P999, |run| Some(run.response_micros.p999)),
    single("response_micros.max", |run| Some(run.response_micros.max)),
    single("service_micros.p50", |run| Some(run.service_micros.p50)),
    single("service_micros.p90", |run| Some(run.service_micros.p90)),
    single("service_micros.p99", |run| Some(run.service_micros.p99)),
    single("service_micros.p999", |run| Some(run.service_micros.p999)),
    single("service_micros.max", |run| Some(run.service_micros.max)),
];

/// A figure that is measured once a run, or reported as its quantile over the whole run.
const fn single(name: &'static str, of_run: fn(&Run) -> Option<f64>) -> Figure {
    Figure {
        name,
        taken: Taken::Once,
        of_run,
        compared: false,
    }
}

/// The names of all figures.
pub fn names() -> impl Iterator<Item = &'static str> {
    FIGURES.iter().map(|figure| figure.name)
}

/// A figure of a run; `None` when the name is unknown or the run does not have it.
pub fn value(run: &Run, name: &str) -> Option<f64> {
    (FIGURES.iter().find(|figure| figure.name == name)?.of_run)(run)
}

/// Whether a figure of a run is only known to be at least what it says: the capacity of a server whose client was the
/// bottleneck. It has no ratio to anything.
pub fn is_at_least(run: &Run, name: &str) -> bool {
    name == CAPACITY && run.capacity_is_at_least
}

/// A figure that is measured once a run, over that of another one: without an interval. `None` when either lacks it, or
/// knows only a lower bound.
fn once(above: &Run, below: &Run, name: &str) -> Option<Estimate> {
    if is_at_least(above, name) || is_at_least(below, name) {
        return None;
    }
    Some(Estimate {
        median: over(value(above, name)?, value(below, name)?)?,
        interval: None,
    })
}

/// A figure's values, a list for each round; `None` when it is measured once a run.
pub fn of_rounds(run: &Run, name: &str) -> Option<Vec<Vec<f64>>> {
    let values = |taken: Taken, round: &Round| match taken {
        Taken::EachCycle(of_cycle) => counted(round).filter_map(of_cycle).collect(),
        Taken::EachRound(of_round) => of_round(round).into_iter().collect(),
        Taken::Once => Vec::new(),
    };
    let taken = repeated(name)?;
    Some(run.rounds.iter().map(|round| values(taken, round)).collect())
}

/// The ratios of `contender` to `baseline`, a list for each round that both have: within each cycle that both have, or
/// one for a figure that is measured once a round. `None` when the figure is measured once a run.
pub fn ratios(contender: &Run, baseline: &Run, name: &str) -> Option<Vec<Vec<f64>>> {
    let taken = repeated(name)?;
    let of_round = |round: &Round| {
        let other = baseline.rounds.iter().find(|other| other.round == round.round)?;
        Some(match taken {
            Taken::EachCycle(of_cycle) => paired(round, other, of_cycle),
            Taken::EachRound(of_round) => of_round(round)
                .zip(of_round(other))
                .and_then(|(above, below)| over(above, below))
                .into_iter()
                .collect(),
            Taken::Once => Vec::new(),
        })
    };
    Some(contender.rounds.iter().filter_map(of_round).collect())
}

fn paired(above: &Round, below: &Round, of_cycle: fn(&Cycle) -> Option<f64>) -> Vec<f64> {
    let pair = |cycle: &Cycle| {
        let other = below.cycles.iter().find(|other| other.cycle == cycle.cycle)?;
        over(of_cycle(cycle)?, of_cycle(other)?)
    };
    counted(above).filter_map(pair).collect()
}

/// The cycles of a round that the machine left alone. A spoilt cycle is so for every contender.
fn counted(round: &Round) -> impl Iterator<Item = &Cycle> {
    round.cycles.iter().filter(|cycle| cycle.spoilt.is_none())
}

/// Whether a figure is measured once a run, so that it has no interval.
pub fn is_once(name: &str) -> bool {
    repeated(name).is_none()
}

/// How a figure is taken, when it is so more than once a run.
fn repeated(name: &str) -> Option<Taken> {
    let taken = FIGURES.iter().find(|figure| figure.name == name)?.taken;
    (!matches!(taken, Taken::Once)).then_some(taken)
}

/// The ratio of one contender to another, and what it rests on.
#[derive(Debug, Clone, PartialEq)]
pub struct Ratio {
    /// The ratio with its interval.
    pub estimate: Estimate,
    /// Pairs of cycles; 0 for a figure that is measured once a round or once a run.
    pub cycles: usize,
    /// The ratio of each round; empty for a figure that is measured once a run.
    pub rounds: Vec<f64>,
}

/// The ratio of `contender` to `baseline`, paired within cycles where the figure is measured in each. `None` when
/// either lacks the figure, or knows only a lower bound.
pub fn ratio(contender: &Run, baseline: &Run, name: &str) -> Option<Ratio> {
    let Some(ratios) = ratios(contender, baseline, name) else {
        return Some(Ratio {
            estimate: once(contender, baseline, name)?,
            cycles: 0,
            rounds: Vec::new(),
        });
    };
    let of_cycles = matches!(repeated(name)?, Taken::EachCycle(_));
    Some(Ratio {
        estimate: stats::rounds::over_rounds(&ratios)?,
        cycles: if of_cycles {
            ratios.iter().map(Vec::len).sum()
        } else {
            0
        },
        rounds: ratios.iter().filter_map(|cycles| stats::median(cycles)).collect(),
    })
}

/// A run's figure with the interval over its rounds; `None` when it is measured once a run, or not at all.
pub fn over_rounds(run: &Run, name: &str) -> Option<Estimate> {
    stats::rounds::over_rounds(&of_rounds(run, name)?)
}

/// The same for the figures of a run that are those of a typical cycle. A quantile of the whole run is none.
pub fn of_run_over_rounds(run: &Run, name: &str) -> Option<Estimate> {
    let typical = [CPU, REPLIES, RESIDENT].contains(&name);
    over_rounds(run, name).filter(|_| typical)
}

fn over(above: f64, below: f64) -> Option<f64> {
    (below > 0.0).then(|| above / below)
}

/// How far the logarithms of one whole run may lie from the next one's, beyond what its rounds tell: the standard
/// deviation. An allowance, not a measurement: two starts of one server differ by up to 1.4 % at 10,000 connections.
const RUN_LOG_SD: f64 = 0.01;

/// The ratio of two runs that were taken one after the other, a list of values for each round.
pub fn between_runs(above: &[Vec<f64>], below: &[Vec<f64>]) -> Option<Estimate> {
    stats::rounds::between_runs(above, below, RUN_LOG_SD, f64::INFINITY)
}

/// A figure of one run over that of another whose cycles ran at other times, so that nothing pairs them. Without interval
/// when it is measured once a run. `None` when either lacks the figure, or knows only a lower bound.
pub fn unpaired(above: &Run, below: &Run, name: &str) -> Option<Estimate> {
    match of_rounds(above, name).zip(of_rounds(below, name)) {
        Some((above, below)) => between_runs(&above, &below),
        None => once(above, below, name),
    }
}

/// Every believable run of a scenario against the believable run of its baseline.
pub fn of_scenario(result: &LabResult, scenario: &str) -> Vec<Comparison> {
    let baseline = &result.config.baseline;
    let mut comparisons = Vec::new();
    let Some(base) = result.run(scenario, baseline).filter(|base| base.is_ok()) else {
        return comparisons;
    };
    for run in result
        .runs_of(scenario)
        .filter(|run| run.is_ok() && run.contender != *baseline)
    {
        for figure in FIGURES.iter().filter(|figure| figure.compared) {
            let Some(ratio) = ratio(run, base, figure.name) else {
                continue;
            };
            let interval = ratio.estimate.interval;
            comparisons.push(Comparison {
                scenario: run.scenario.clone(),
                metric: figure.name.to_owned(),
                baseline: baseline.clone(),
                contender: run.contender.clone(),
                ratio: ratio.estimate.median,
                low: interval.map(|(low, _)| low),
                high: interval.map(|(_, high)| high),
                cycles: ratio.cycles,
                rounds: ratio.rounds,
            });
        }
    }
    comparisons
}

/// The same for all scenarios: what a run of the lab has at its end.
#[cfg(test)]
pub fn compare(result: &LabResult) -> Vec<Comparison> {
    let mut scenarios: Vec<_> = result.runs.iter().map(|run| &run.scenario).collect();
    scenarios.dedup();
    scenarios
        .into_iter()
        .flat_map(|scenario| of_scenario(result, scenario))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A run whose cycles cost this, a list for each round.
    fn run(rounds: &[&[f64]]) -> Run {
        let cycle = |(micros, cycle): (&f64, u32)| Cycle {
            cycle,
            seconds: 1.0,
            replies: 1_000_000,
            server_cpu_seconds: Some(*micros),
            ..Cycle::default()
        };
        let round = |(cycles, round): (&&[f64], u32)| Round {
            round,
            cycles: cycles.iter().zip(0..).map(cycle).collect(),
            ..Round::default()
        };
        Run {
            rounds: rounds.iter().zip(0..).map(round).collect(),
            ..Run::default()
        }
    }

    fn near(value: f64, wanted: f64) -> bool {
        (value / wanted - 1.0).abs() < 1e-9
    }

    #[test]
    fn ratios_are_formed_within_a_cycle() {
        // The machine slows down to half; the pairs do not notice.
        let fast = run(&[&[10.0, 12.0, 14.0], &[16.0, 18.0, 20.0]]);
        let slow = run(&[&[20.0, 24.0, 28.0], &[32.0, 36.0, 40.0]]);
        let ratio = ratio(&slow, &fast, CPU).unwrap();
        assert_eq!(ratio.cycles, 6);
        assert!(ratio.rounds.iter().all(|ratio| near(*ratio, 2.0)) && ratio.rounds.len() == 2);
        let (low, high) = ratio.estimate.interval.unwrap();
        assert!(near(ratio.estimate.median, 2.0) && near(low, 2.0) && near(high, 2.0));
    }

    /// Many cycles of one start say nothing of how starts differ.
    #[test]
    fn one_round_has_no_interval() {
        let (fast, slow) = (run(&[&[10.0; 40]]), run(&[&[20.0; 40]]));
        let ratio = ratio(&slow, &fast, CPU).unwrap();
        assert!(near(ratio.estimate.median, 2.0));
        assert_eq!((ratio.estimate.interval, ratio.cycles), (None, 40));
    }

    #[test]
    fn a_cycle_or_round_that_one_lacks_has_no_pair() {
        let mut short = run(&[&[10.0, 10.0, 10.0], &[10.0]]);
        let long = run(&[&[30.0, 20.0, 20.0], &[20.0], &[90.0]]);
        short.rounds[0].cycles.remove(0);
        let ratio = ratio(&long, &short, CPU).unwrap();
        assert!(near(ratio.estimate.median, 2.0));
        assert_eq!((ratio.cycles, ratio.rounds.len()), (3, 2));
    }

    #[test]
    fn memory_is_compared_round_by_round() {
        let with = |bytes: [u64; 2]| {
            let mut run = run(&[&[1.0], &[1.0]]);
            for (round, bytes) in run.rounds.iter_mut().zip(bytes) {
                round.resident_bytes = Some(bytes);
            }
            run
        };
        let ratio = ratio(&with([40, 90]), &with([20, 30]), RESIDENT).unwrap();
        assert!(near(ratio.estimate.median, 6f64.sqrt()) && ratio.estimate.interval.is_some());
        assert_eq!((ratio.cycles, ratio.rounds.len()), (0, 2));
    }

    #[test]
    fn a_figure_that_is_measured_once_has_no_interval() {
        let with = |threads| {
            let mut run = run(&[&[1.0]]);
            run.server.threads = Some(threads);
            run
        };
        let found = ratio(&with(25), &with(10), "threads").unwrap();
        assert_eq!((found.estimate.median, found.estimate.interval), (2.5, None));
        assert!(ratio(&with(25), &run(&[&[1.0]]), "threads").is_none());
        assert!(ratio(&with(25), &with(10), "nonsense").is_none());
    }

    #[test]
    fn a_lower_bound_has_no_ratio() {
        let with = |at_least| Run {
            capacity_per_second: Some(100_000.0),
            capacity_is_at_least: at_least,
            ..Run::default()
        };
        for (above, below, known) in [(false, false, true), (true, false, false), (false, true, false)] {
            let (above, below) = (with(above), with(below));
            assert_eq!(ratio(&above, &below, CAPACITY).is_some(), known);
            assert_eq!(unpaired(&above, &below, CAPACITY).is_some(), known);
        }
    }
}
