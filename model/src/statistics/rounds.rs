//! Pure: figures and intervals over rounds, where a round is the unit of replication.
//!
//! A round starts every server afresh. Two starts of the same server differ, and the cycles of one start cannot show that.
//! So the interval comes from how rounds differ (Kalibera and Jones, "Rigorous benchmarking in reasonable time", 2013).

use super::{Estimate, median};

/// The 0.975 quantiles of Student's t distribution, of 1 to 30 degrees of freedom (as in NIST/SEMATECH, "e-Handbook of
/// statistical methods"; checked by numerical integration of the density).
const STUDENT: [f64; 30] = [
    12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281, 2.2010, 2.1788, 2.1604,
    2.1448, 2.1314, 2.1199, 2.1098, 2.1009, 2.0930, 2.0860, 2.0796, 2.0739, 2.0687, 2.0639, 2.0595, 2.0555,
    2.0518, 2.0484, 2.0452, 2.0423,
];
/// The same quantile of the normal distribution, which is Student's of infinitely many degrees.
const NORMAL: f64 = 1.959_964;

/// The 0.975 quantile of Student's t distribution: half a 95 % interval in standard errors. Less than one degree of
/// freedom, or none that is a number, counts as one.
///
/// It is tabled for 1 to 30 whole degrees. Between and beyond them its logarithm is interpolated linearly against one
/// over the degrees. That curve bends upwards, so the quantile comes out too large, and never too small beyond the
/// table's rounding. It is 3 % too large at most below 2 degrees, 0.5 % below 3, 0.15 % below 5 and 0.05 % above.
pub fn student(degrees: f64) -> f64 {
    // `max` passes over what is not a number.
    let degrees = degrees.max(1.0);
    let most = STUDENT.len();
    let whole = (degrees.floor() as usize).min(most);
    let low = STUDENT[whole - 1];
    let (high, high_inverse) = match STUDENT.get(whole) {
        Some(high) => (*high, 1.0 / (whole + 1) as f64),
        None => (NORMAL, 0.0),
    };
    let low_inverse = 1.0 / whole as f64;
    let share = (low_inverse - 1.0 / degrees) / (low_inverse - high_inverse);
    low * (high / low).powf(share)
}

/// The figure of several rounds, of which each holds the ratios of its cycles. Rounds without any ratio do not count.
///
/// A round's value is the median of the logarithms of its ratios. The figure (in `median`) is the exponential of their
/// mean over rounds. Its 95 % interval is Student's, from how rounds differ (Kalibera and Jones, 2013). It is about the
/// figure that endless rounds would have. One round has no interval.
///
/// `None` when no round has a ratio, and when a ratio is not finite or not above 0.
pub fn over_rounds(rounds: &[Vec<f64>]) -> Option<Estimate> {
    let rounds = Spread::of_rounds(rounds)?;
    let half = rounds
        .of_mean
        .map(|error| student(error.degrees) * error.variance.sqrt());
    Some(from_logarithms(rounds.mean, half))
}

/// How many times the figure of the run `below` that of the run `above` is. The two runs were taken one after the other,
/// so nothing pairs their rounds.
///
/// The logarithm of the result is the difference of the means of [`over_rounds`]. Its variance is the sum of three: that of
/// either mean, and how one whole run differs from the next. `run_log_sd` is the standard deviation of a whole run's
/// logarithm beyond what its rounds explain. It counts twice, and was measured with `run_degrees` of freedom. The degrees
/// of the sum are those of Welch ("The generalization of Student's problem when several different population variances are
/// involved", 1947) and Satterthwaite ("An approximate distribution of estimates of variance components", 1946).
///
/// There is no interval unless both runs have two rounds. Swapped sides give the inverse. `None` as in [`over_rounds`], when
/// `run_log_sd` is negative or not finite, and when `run_degrees` is not above 0.
pub fn between_runs(
    above: &[Vec<f64>],
    below: &[Vec<f64>],
    run_log_sd: f64,
    run_degrees: f64,
) -> Option<Estimate> {
    let known = run_log_sd.is_finite() && run_log_sd >= 0.0 && run_degrees > 0.0;
    if !known {
        return None;
    }
    let (above, below) = (Spread::of_rounds(above)?, Spread::of_rounds(below)?);
    let half = above.of_mean.zip(below.of_mean).map(|(above, below)| {
        let runs = Variance {
            variance: 2.0 * run_log_sd.powi(2),
            degrees: run_degrees,
        };
        // The sides come first: their order then changes no bit.
        let variance = above.variance + below.variance + runs.variance;
        let uncertainty = above.uncertainty() + below.uncertainty() + runs.uncertainty();
        // Without any variance, no number of degrees matters.
        let degrees = variance.powi(2) / uncertainty;
        student(degrees) * variance.sqrt()
    });
    Some(from_logarithms(above.mean - below.mean, half))
}

/// How many of so many 95 % intervals miss what they are about by chance alone, on average.
pub fn expected_misses(intervals: usize) -> f64 {
    0.05 * intervals as f64
}

/// The variance of the logarithms of ratios between rounds and that within rounds, by an analysis of variance with random
/// effects. Rounds may have different numbers of cycles (Searle, Casella and McCulloch, "Variance components",
/// 1992). The one between rounds is 0 where the one within explains all. Rounds without any ratio do not count.
///
/// `None` of fewer than two rounds, when no round has two ratios, and when a ratio is not finite or not above 0.
pub fn components(rounds: &[Vec<f64>]) -> Option<(f64, f64)> {
    let rounds = logarithms(rounds)?;
    let all: f64 = rounds.iter().map(|round| round.len() as f64).sum();
    let between_degrees = rounds.len() as f64 - 1.0;
    let within_degrees = all - rounds.len() as f64;
    if between_degrees < 1.0 || within_degrees < 1.0 {
        return None;
    }
    let grand = rounds.iter().flatten().sum::<f64>() / all;
    let (mut within, mut between, mut squares) = (0.0, 0.0, 0.0);
    for round in &rounds {
        let count = round.len() as f64;
        let mean = round.iter().sum::<f64>() / count;
        within += round.iter().map(|value| (value - mean).powi(2)).sum::<f64>();
        between += count * (mean - grand).powi(2);
        squares += count.powi(2);
    }
    let within = within / within_degrees;
    let cycles = (all - squares / all) / between_degrees;
    let between = (between / between_degrees - within) / cycles;
    Some((between.max(0.0), within))
}

/// The number of cycles per round that gives the narrowest interval for its time, at least 1 (Kalibera and Jones,
/// 2013). `between` and `within` are the variances of [`components`]. `round_seconds` is what a round takes beyond its
/// cycles, and `cycle_seconds` what a cycle takes. It is infinite where rounds do not differ: one round then suffices.
pub fn cycles_per_round(between: f64, within: f64, round_seconds: f64, cycle_seconds: f64) -> f64 {
    // `max` passes over what is not a number, as of no variance at all.
    ((within / between) * (round_seconds / cycle_seconds))
        .sqrt()
        .max(1.0)
}

/// A variance, and the degrees of freedom with which it is known.
#[derive(Clone, Copy)]
struct Variance {
    variance: f64,
    degrees: f64,
}

impl Variance {
    /// Its part in the denominator of Welch and Satterthwaite.
    fn uncertainty(self) -> f64 {
        self.variance.powi(2) / self.degrees
    }
}

/// The mean of rounds' logarithms, and the variance of that mean when two rounds or more tell it.
struct Spread {
    mean: f64,
    of_mean: Option<Variance>,
}

impl Spread {
    fn of_rounds(rounds: &[Vec<f64>]) -> Option<Spread> {
        let values: Vec<f64> = logarithms(rounds)?
            .iter()
            .filter_map(|round| median(round))
            .collect();
        if values.is_empty() {
            return None;
        }
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        let degrees = count - 1.0;
        let of_mean = (values.len() > 1).then(|| Variance {
            variance: squares / degrees / count,
            degrees,
        });
        Some(Spread { mean, of_mean })
    }
}

/// The logarithms of the ratios of the rounds that have any; `None` when a ratio has none.
fn logarithms(rounds: &[Vec<f64>]) -> Option<Vec<Vec<f64>>> {
    let usable = |ratio: &f64| ratio.is_finite() && *ratio > 0.0;
    let of_round = |round: &Vec<f64>| {
        round
            .iter()
            .all(usable)
            .then(|| round.iter().map(|r| r.ln()).collect())
    };
    rounds
        .iter()
        .filter(|round| !round.is_empty())
        .map(of_round)
        .collect()
}

fn from_logarithms(mean: f64, half: Option<f64>) -> Estimate {
    let figure = mean.exp();
    let interval = half.map(|half| {
        // Rounding must not put the figure outside.
        ((mean - half).exp().min(figure), (mean + half).exp().max(figure))
    });
    Estimate {
        median: figure,
        interval,
    }
}

#[cfg(test)]
mod tests;
