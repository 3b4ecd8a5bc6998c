//! Pure: figures of a run by name, and ratios of one contender to another, paired within cycles.

use crate::result::{Comparison, Cycle, LabResult, Run};
use crate::stats::{self, Estimate};

/// A figure of a run, by name.
struct Figure {
    /// As rules and results call it.
    name: &'static str,
    /// Its value for one cycle, when it is measured in every cycle.
    of_cycle: Option<fn(&Cycle) -> Option<f64>>,
    /// Its value for the run.
    of_run: fn(&Run) -> Option<f64>,
    /// Whether every contender is compared to the baseline by it.
    compared: bool,
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
        of_cycle: Some(Cycle::server_cpu_micros_per_message),
        of_run: |run| run.server.cpu_micros_per_message,
        compared: true,
    },
    Figure {
        name: RESPONSE_P99,
        of_cycle: Some(|cycle| (cycle.replies > 0).then_some(cycle.response_micros_p99)),
        of_run: |run| Some(run.response_micros.p99),
        compared: true,
    },
    Figure {
        name: REPLIES,
        of_cycle: Some(Cycle::replies_per_second),
        of_run: |run| Some(run.replies_per_second),
        compared: true,
    },
    Figure {
        name: RESIDENT,
        of_cycle: None,
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
        of_cycle: Some(|cycle| (cycle.replies > 0).then_some(cycle.response_micros_p50)),
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
        of_cycle: None,
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

/// A figure's values cycle by cycle; `None` when it is measured once a run.
pub fn of_cycles(run: &Run, name: &str) -> Option<Vec<f64>> {
    let of_cycle = FIGURES.iter().find(|figure| figure.name == name)?.of_cycle?;
    Some(run.cycles.iter().filter_map(of_cycle).collect())
}

/// The ratios of `contender` to `baseline` within each cycle that has both; `None` when the figure is measured once a
/// run.
pub fn ratios(contender: &Run, baseline: &Run, name: &str) -> Option<Vec<f64>> {
    let of_cycle = FIGURES.iter().find(|figure| figure.name == name)?.of_cycle?;
    let pairs = contender.cycles.iter().filter_map(|cycle| {
        let pair = baseline.cycles.iter().find(|other| other.cycle == cycle.cycle)?;
        over(of_cycle(cycle)?, of_cycle(pair)?)
    });
    Some(pairs.collect())
}

/// The ratio of `contender` to `baseline`, paired within cycles where the figure is measured in each, and the
/// number of pairs (0 when it is measured once a run). `None` when either lacks the figure, or knows only a lower bound.
pub fn ratio(contender: &Run, baseline: &Run, name: &str, seed: u64) -> Option<(Estimate, usize)> {
    let Some(ratios) = ratios(contender, baseline, name) else {
        return Some((once(contender, baseline, name)?, 0));
    };
    Some((stats::estimate(&ratios, seed)?, ratios.len()))
}

fn over(above: f64, below: f64) -> Option<f64> {
    (below > 0.0).then(|| above / below)
}

/// A figure of one run over that of another whose cycles ran at other times, so that nothing pairs them: the quotient
/// of the medians. Without interval when it is measured once a run. `None` when either lacks the figure, or knows only a
/// lower bound.
pub fn unpaired(above: &Run, below: &Run, name: &str, seed: u64) -> Option<Estimate> {
    match of_cycles(above, name).zip(of_cycles(below, name)) {
        Some((above, below)) => stats::quotient(&above, &below, seed),
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
            let Some((estimate, cycles)) = ratio(run, base, figure.name, result.config.seed) else {
                continue;
            };
            comparisons.push(Comparison {
                scenario: run.scenario.clone(),
                metric: figure.name.to_owned(),
                baseline: baseline.clone(),
                contender: run.contender.clone(),
                ratio: estimate.median,
                low: estimate.interval.map(|(low, _)| low),
                high: estimate.interval.map(|(_, high)| high),
                cycles,
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

    fn run(cpu_micros: &[f64]) -> Run {
        let cycles = cpu_micros.iter().zip(0..).map(|(micros, cycle)| Cycle {
            cycle,
            seconds: 1.0,
            replies: 1_000_000,
            server_cpu_seconds: Some(*micros),
            ..Cycle::default()
        });
        Run {
            cycles: cycles.collect(),
            ..Run::default()
        }
    }

    #[test]
    fn ratios_are_formed_within_a_cycle() {
        // The machine slows down to half; the pairs do not notice.
        let cpu_micros = [10.0, 12.0, 14.0, 16.0, 18.0, 20.0];
        let (fast, slow) = (run(&cpu_micros), run(&cpu_micros.map(|micros| 2.0 * micros)));
        let (estimate, cycles) = ratio(&slow, &fast, CPU, 1).unwrap();
        assert_eq!((estimate.median, cycles), (2.0, 6));
        assert_eq!(estimate.interval, Some((2.0, 2.0)));
    }

    #[test]
    fn a_cycle_that_one_lacks_has_no_pair() {
        let (mut short, long) = (run(&[10.0, 10.0, 10.0]), run(&[30.0, 20.0, 20.0]));
        short.cycles.remove(0);
        let (estimate, cycles) = ratio(&long, &short, CPU, 1).unwrap();
        assert_eq!((estimate.median, cycles), (2.0, 2));
    }

    #[test]
    fn a_figure_that_is_measured_once_has_no_interval() {
        let (mut small, mut large) = (run(&[1.0]), run(&[1.0]));
        small.server.resident_bytes = Some(10);
        large.server.resident_bytes = Some(25);
        let (estimate, cycles) = ratio(&large, &small, RESIDENT, 1).unwrap();
        assert_eq!((estimate.median, estimate.interval, cycles), (2.5, None, 0));
        assert!(ratio(&large, &run(&[1.0]), RESIDENT, 1).is_none());
        assert!(ratio(&large, &small, "nonsense", 1).is_none());
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
            assert_eq!(ratio(&above, &below, CAPACITY, 1).is_some(), known);
            assert_eq!(unpaired(&above, &below, CAPACITY, 1).is_some(), known);
        }
    }
}
