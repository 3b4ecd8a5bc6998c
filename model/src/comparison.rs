//! Ratios of one contender to another, paired within cycles.

use serde::{Deserialize, Serialize};

use crate::figure::{Figure, Taken};
use crate::run::{Cycle, Round, Run};
use crate::statistics::rounds;
use crate::statistics::{self, Estimate};

/// A contender's figure over the baseline's. Ratios are formed within cycles. A round's ratio is the median of its
/// cycles'; the figure is the geometric mean over rounds. The 95 % interval comes from how rounds differ.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// The scenario's name.
    pub scenario: String,
    /// The figure that is compared.
    pub metric: Figure,
    /// To whom.
    pub baseline: String,
    /// Who.
    pub contender: String,
    /// The ratio; above 1 the contender's figure is the larger.
    pub ratio: f64,
    /// Lower end of the interval; null of one round, and of a figure that is measured once a run.
    pub low: Option<f64>,
    /// Upper end of the interval; null of one round, and of a figure that is measured once a run.
    pub high: Option<f64>,
    /// Cycles that both took part in; 0 for a figure that is measured once a round or once a run.
    pub cycles: usize,
    /// The ratio of each round that both took part in, in their order; empty for a figure that is measured once a run.
    #[serde(default)]
    pub rounds: Vec<f64>,
}

impl Comparison {
    /// How far the interval's farther end is from the ratio, as a share of it; `None` without an interval.
    pub fn half_width(&self) -> Option<f64> {
        let (low, high) = self.low.zip(self.high)?;
        Some((high / self.ratio - 1.0).max(1.0 - low / self.ratio))
    }
}

/// A figure that is measured once a run, over that of another one: without an interval. `None` when either lacks it, or
/// knows only a lower bound.
fn once(above: &Run, below: &Run, figure: Figure) -> Option<Estimate> {
    if figure.is_at_least(above) || figure.is_at_least(below) {
        return None;
    }
    Some(Estimate {
        median: over(figure.of(above)?, figure.of(below)?)?,
        interval: None,
    })
}

/// A figure's values, a list for each round; `None` when it is measured once a run.
pub fn of_rounds(run: &Run, figure: Figure) -> Option<Vec<Vec<f64>>> {
    let values = |taken: Taken, round: &Round| match taken {
        Taken::EachCycle(of_cycle) => counted(round).filter_map(of_cycle).collect(),
        Taken::EachRound(of_round) => of_round(round).into_iter().collect(),
        Taken::Once => Vec::new(),
    };
    let taken = repeated(figure)?;
    Some(run.rounds.iter().map(|round| values(taken, round)).collect())
}

/// The ratios of `contender` to `baseline`, a list for each round that both have: within each cycle that both have, or
/// one for a figure that is measured once a round. `None` when the figure is measured once a run.
pub fn ratios(contender: &Run, baseline: &Run, figure: Figure) -> Option<Vec<Vec<f64>>> {
    let taken = repeated(figure)?;
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

/// How a figure is taken, when it is so more than once a run.
fn repeated(figure: Figure) -> Option<Taken> {
    let taken = figure.taken();
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
pub fn ratio(contender: &Run, baseline: &Run, figure: Figure) -> Option<Ratio> {
    let Some(ratios) = ratios(contender, baseline, figure) else {
        return Some(Ratio {
            estimate: once(contender, baseline, figure)?,
            cycles: 0,
            rounds: Vec::new(),
        });
    };
    let of_cycles = matches!(repeated(figure)?, Taken::EachCycle(_));
    Some(Ratio {
        estimate: rounds::over_rounds(&ratios)?,
        cycles: if of_cycles {
            ratios.iter().map(Vec::len).sum()
        } else {
            0
        },
        rounds: ratios
            .iter()
            .filter_map(|cycles| statistics::median(cycles))
            .collect(),
    })
}

/// A run's figure with the interval over its rounds; `None` when it is measured once a run, or not at all.
pub fn over_rounds(run: &Run, figure: Figure) -> Option<Estimate> {
    rounds::over_rounds(&of_rounds(run, figure)?)
}

/// The same for the figures of a run that are those of a typical cycle. A quantile of the whole run is none.
pub fn of_run_over_rounds(run: &Run, figure: Figure) -> Option<Estimate> {
    over_rounds(run, figure).filter(|_| figure.is_typical())
}

fn over(above: f64, below: f64) -> Option<f64> {
    (below > 0.0).then(|| above / below)
}

/// What is compared between two whole runs that were taken one after the other. Runs differ beyond what their rounds
/// tell: the machine is faster on one of them. That hits costs, and hardly the ratios of contenders within a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compared {
    /// A figure of one contender.
    Costs,
    /// The ratio of a contender to the baseline.
    Ratios,
}

impl Compared {
    /// The standard deviation of the logarithm from run to run, beyond what rounds tell, and its degrees of freedom. Measured
    /// by 17 runs of eight equal servers with 50 connections on a virtual machine with 2 CPUs, in three series: 2.3, 2.6 and
    /// 1.4 % for costs, 0.2, 0.0 and 0.0 % for ratios. The rates of these runs lay up to 14 % apart, so the costs of equal
    /// rates differ less: the largest value is an upper bound. For ratios twice the largest value is taken.
    fn run_log_sd(self) -> (f64, f64) {
        match self {
            Compared::Costs => (0.026, 9.0),
            Compared::Ratios => (0.005, 9.0),
        }
    }
}

/// The ratio of two runs that were taken one after the other, a list of values per round.
pub fn between_runs(compared: Compared, above: &[Vec<f64>], below: &[Vec<f64>]) -> Option<Estimate> {
    let (sd, degrees) = compared.run_log_sd();
    rounds::between_runs(above, below, sd, degrees)
}

/// A figure of one run over that of another whose cycles ran at other times, so that nothing pairs them. Without interval
/// when it is measured once a run. `None` when either lacks the figure, or knows only a lower bound.
pub fn unpaired(above: &Run, below: &Run, figure: Figure) -> Option<Estimate> {
    match of_rounds(above, figure).zip(of_rounds(below, figure)) {
        Some((above, below)) => between_runs(Compared::Costs, &above, &below),
        None => once(above, below, figure),
    }
}

/// Every believable run of a scenario against the believable run of its baseline. `runs` are those of one scenario.
pub fn of_scenario<'a>(runs: impl Iterator<Item = &'a Run>, baseline: &str) -> Vec<Comparison> {
    let (base, others): (Vec<_>, Vec<_>) = runs
        .filter(|run| run.is_ok())
        .partition(|run| run.contender == baseline);
    let Some(base) = base.first() else {
        return Vec::new();
    };
    let compared = |run: &&'a Run| Figure::COMPARED.map(|figure| of_runs(run, base, figure));
    others.iter().flat_map(compared).flatten().collect()
}

fn of_runs(run: &Run, base: &Run, figure: Figure) -> Option<Comparison> {
    let ratio = ratio(run, base, figure)?;
    let interval = ratio.estimate.interval;
    Some(Comparison {
        scenario: run.scenario.clone(),
        metric: figure,
        baseline: base.contender.clone(),
        contender: run.contender.clone(),
        ratio: ratio.estimate.median,
        low: interval.map(|(low, _)| low),
        high: interval.map(|(_, high)| high),
        cycles: ratio.cycles,
        rounds: ratio.rounds,
    })
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
        let ratio = ratio(&slow, &fast, Figure::Cpu).unwrap();
        assert_eq!(ratio.cycles, 6);
        assert!(ratio.rounds.iter().all(|ratio| near(*ratio, 2.0)) && ratio.rounds.len() == 2);
        let (low, high) = ratio.estimate.interval.unwrap();
        assert!(near(ratio.estimate.median, 2.0) && near(low, 2.0) && near(high, 2.0));
    }

    /// Many cycles of one start say nothing of how starts differ.
    #[test]
    fn one_round_has_no_interval() {
        let (fast, slow) = (run(&[&[10.0; 40]]), run(&[&[20.0; 40]]));
        let ratio = ratio(&slow, &fast, Figure::Cpu).unwrap();
        assert!(near(ratio.estimate.median, 2.0));
        assert_eq!((ratio.estimate.interval, ratio.cycles), (None, 40));
    }

    #[test]
    fn a_cycle_or_round_that_one_lacks_has_no_pair() {
        let mut short = run(&[&[10.0, 10.0, 10.0], &[10.0]]);
        let long = run(&[&[30.0, 20.0, 20.0], &[20.0], &[90.0]]);
        short.rounds[0].cycles.remove(0);
        let ratio = ratio(&long, &short, Figure::Cpu).unwrap();
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
        let ratio = ratio(&with([40, 90]), &with([20, 30]), Figure::Resident).unwrap();
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
        let found = ratio(&with(25), &with(10), Figure::Threads).unwrap();
        assert_eq!((found.estimate.median, found.estimate.interval), (2.5, None));
        assert!(ratio(&with(25), &run(&[&[1.0]]), Figure::Threads).is_none());
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
            assert_eq!(ratio(&above, &below, Figure::Capacity).is_some(), known);
            assert_eq!(unpaired(&above, &below, Figure::Capacity).is_some(), known);
        }
    }
}
