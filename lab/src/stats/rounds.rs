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
mod tests {
    use super::*;
    use crate::stats::estimate;
    use proptest::prelude::*;
    use std::f64::consts::PI;

    /// Of either start's logarithm, as measured at 10,000 connections.
    const START: f64 = 0.014;
    /// Of a cycle's logarithm.
    const CYCLE: f64 = 0.03;
    const CYCLES: usize = 5;
    const EXPERIMENTS: usize = 10_000;

    fn near(a: f64, b: f64, share: f64) -> bool {
        (a / b - 1.0).abs() <= share
    }

    #[test]
    fn student_of_known_degrees() {
        // Of 1 and 2 degrees it has a closed form.
        assert!(near(student(1.0), (PI * 0.475).tan(), 1e-5));
        assert!(near(
            student(2.0),
            0.95 * (2.0 / (4.0 * 0.975 * 0.025f64)).sqrt(),
            2e-5
        ));
        for (whole, tabled) in STUDENT.iter().enumerate() {
            assert_eq!(student((whole + 1) as f64), *tabled);
        }
        // By numerical integration of the density. It may be too large, not too small.
        for (degrees, known, share) in [
            (1.2, 8.64883, 0.03),
            (1.33, 7.22111, 0.03),
            (1.5, 6.01666, 0.03),
            (2.5, 3.57465, 0.005),
            (3.5, 2.94009, 0.0015),
            (7.3, 2.34507, 0.0005),
            (12.7, 2.16557, 0.0005),
            (40.0, 2.02108, 0.0005),
            (60.0, 2.00030, 0.0005),
            (120.0, 1.97993, 0.0005),
            (1000.0, 1.96234, 0.0005),
        ] {
            let found = student(degrees) / known - 1.0;
            assert!((-2e-5..share).contains(&found), "{degrees}: {found}");
        }
        assert!(near(student(f64::INFINITY), NORMAL, 1e-12));
        assert_eq!(student(0.2), STUDENT[0]);
        assert_eq!(student(f64::NAN), STUDENT[0]);
    }

    #[test]
    fn rounds_of_known_values() {
        // The rounds' medians are 1, 2 and 4: their logarithms are 0, ln 2 and 2 ln 2, which spread by ln 2.
        let rounds = [vec![1.0], vec![], vec![9.0, 2.0, 1.0], vec![2.0, 8.0]];
        let found = over_rounds(&rounds).unwrap();
        let half = (4.3027 * 2f64.ln() / 3f64.sqrt()).exp();
        assert!(near(found.median, 2.0, 1e-12), "{found:?}");
        let (low, high) = found.interval.unwrap();
        assert!(
            near(low, 2.0 / half, 1e-12) && near(high, 2.0 * half, 1e-12),
            "{found:?}"
        );
    }

    #[test]
    fn one_round_has_no_interval_and_two_have_one() {
        let round = vec![1.1; 40];
        let one = over_rounds(&[vec![], round.clone()]).unwrap();
        assert!(near(one.median, 1.1, 1e-12));
        assert_eq!(one.interval, None);
        let two = [round.clone(), vec![1.2]];
        assert!(over_rounds(&two).unwrap().interval.is_some());
        let one = std::slice::from_ref(&round);
        assert_eq!(between_runs(&two, one, 0.0, 11.0).unwrap().interval, None);
        assert_eq!(between_runs(one, &two, 0.0, 11.0).unwrap().interval, None);
        assert!(between_runs(&two, &two, 0.0, 11.0).unwrap().interval.is_some());
    }

    #[test]
    fn what_is_no_ratio_gives_nothing() {
        let good = vec![vec![1.0, 1.1], vec![1.2]];
        for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let rounds = vec![vec![1.0, 1.1], vec![1.2, bad]];
            assert_eq!(over_rounds(&rounds), None, "{bad}");
            assert_eq!(components(&rounds), None, "{bad}");
            assert_eq!(between_runs(&rounds, &good, 0.01, 11.0), None, "{bad}");
            assert_eq!(between_runs(&good, &rounds, 0.01, 11.0), None, "{bad}");
        }
        for nothing in [vec![], vec![vec![], vec![]]] {
            assert_eq!(over_rounds(&nothing), None);
            assert_eq!(between_runs(&nothing, &good, 0.01, 11.0), None);
            assert_eq!(components(&nothing), None);
        }
        for (run_log_sd, run_degrees) in [
            (-0.01, 11.0),
            (f64::NAN, 11.0),
            (f64::INFINITY, 11.0),
            (0.01, 0.0),
        ] {
            assert_eq!(between_runs(&good, &good, run_log_sd, run_degrees), None);
        }
    }

    /// Of equal variances s² with n - 1 degrees on either side and none of runs, Welch gives 2(n - 1) degrees. Of the
    /// variance of runs alone, the degrees are its own.
    #[test]
    fn degrees_between_runs_of_known_values() {
        let rounds = [vec![1.0], vec![2.0], vec![4.0]];
        let high = |a, b, sd, degrees| between_runs(a, b, sd, degrees).unwrap().interval.unwrap().1;
        let found = high(&rounds, &rounds, 0.0, 11.0).ln();
        assert!(near(found, STUDENT[3] * 2f64.ln() * (2.0f64 / 3.0).sqrt(), 1e-9));
        let same = [vec![2.0], vec![2.0]];
        let found = high(&same, &same, 0.01, 11.0).ln();
        assert!(near(found, STUDENT[10] * 0.01 * 2f64.sqrt(), 1e-9));
        assert_eq!(
            between_runs(&same, &same, 0.0, 11.0).unwrap().interval,
            Some((1.0, 1.0))
        );
        assert!(high(&rounds, &rounds, 0.5, f64::INFINITY) > high(&rounds, &rounds, 0.0, 11.0));
    }

    #[test]
    fn of_twenty_intervals_one_misses() {
        assert_eq!(expected_misses(0), 0.0);
        assert_eq!(expected_misses(20), 1.0);
        assert!(near(expected_misses(71), 3.55, 1e-12));
    }

    #[test]
    fn components_of_known_values() {
        let of = |rounds: &[&[f64]]| {
            let ratios: Vec<Vec<f64>> = rounds
                .iter()
                .map(|round| round.iter().map(|l| l.exp()).collect())
                .collect();
            components(&ratios)
        };
        // Means 1 and 4: within (2 + 2) / 2 = 2, between (9 - 2) / 2 = 3.5.
        let (between, within) = of(&[&[0.0, 2.0], &[3.0, 5.0]]).unwrap();
        assert!(near(between, 3.5, 1e-9) && near(within, 2.0, 1e-9));
        // 2 and 3 cycles, means 1 and 3: within (2 + 8) / 3; the square between is 4.8, and n₀ is 5 - 13 / 5 = 2.4.
        let (between, within) = of(&[&[0.0, 2.0], &[1.0, 3.0, 5.0], &[]]).unwrap();
        assert!(near(within, 10.0 / 3.0, 1e-9));
        assert!(near(between, (4.8 - 10.0 / 3.0) / 2.4, 1e-9));
        // Equal means: what is within explains all.
        assert_eq!(of(&[&[0.0, 2.0], &[0.0, 2.0]]).unwrap().0, 0.0);
        assert_eq!(of(&[&[0.0, 2.0]]), None);
        assert_eq!(of(&[&[0.0], &[2.0]]), None);
    }

    #[test]
    fn components_of_simulated_rounds() {
        let mut random = fastrand::Rng::with_seed(3);
        let rounds: Vec<_> = (0..4_000)
            .map(|_| round(&mut random, &|r| START * normal(r), &|r| CYCLE * normal(r)))
            .collect();
        let (between, within) = components(&rounds).unwrap();
        assert!(near(between.sqrt(), START, 0.05), "{}", between.sqrt());
        assert!(near(within.sqrt(), CYCLE, 0.02), "{}", within.sqrt());
    }

    #[test]
    fn cycles_that_are_worth_their_time() {
        assert!(near(cycles_per_round(1.0, 4.0, 9.0, 1.0), 6.0, 1e-12));
        assert_eq!(cycles_per_round(4.0, 1.0, 1.0, 1.0), 1.0);
        assert_eq!(cycles_per_round(0.0, 1.0, 1.0, 1.0), f64::INFINITY);
        assert_eq!(cycles_per_round(0.0, 0.0, 1.0, 1.0), 1.0);
    }

    type Draw<'a> = &'a dyn Fn(&mut fastrand::Rng) -> f64;

    fn normal(random: &mut fastrand::Rng) -> f64 {
        // Box and Muller, 1958.
        (-2.0 * (1.0 - random.f64()).ln()).sqrt() * (2.0 * PI * random.f64()).cos()
    }

    fn exponential(random: &mut fastrand::Rng) -> f64 {
        -(1.0 - random.f64()).ln()
    }

    /// Noise, and in one of ten cycles a disturbance of 20 % on average.
    fn disturbed(random: &mut fastrand::Rng) -> f64 {
        let disturbance = if random.f64() < 0.1 {
            0.2 * exponential(random)
        } else {
            0.0
        };
        CYCLE * normal(random) + disturbance
    }

    fn round(random: &mut fastrand::Rng, start: Draw, cycle: Draw) -> Vec<f64> {
        let start = start(random);
        (0..CYCLES).map(|_| (start + cycle(random)).exp()).collect()
    }

    fn run(random: &mut fastrand::Rng, count: usize, start: Draw, cycle: Draw) -> Vec<Vec<f64>> {
        (0..count).map(|_| round(random, start, cycle)).collect()
    }

    /// The share of experiments in percent whose interval holds the figure of endless rounds, whose logarithm is `truth`.
    fn coverage(count: usize, truth: f64, start: Draw, cycle: Draw) -> f64 {
        let mut random = fastrand::Rng::with_seed(count as u64);
        let truth = truth.exp();
        let holds = (0..EXPERIMENTS)
            .filter(|_| {
                let rounds = run(&mut random, count, start, cycle);
                let (low, high) = over_rounds(&rounds).unwrap().interval.unwrap();
                low <= truth && truth <= high
            })
            .count();
        100.0 * holds as f64 / EXPERIMENTS as f64
    }

    /// Checks 4 to 12 rounds.
    fn covers(what: &str, truth: f64, start: Draw, cycle: Draw) {
        for count in [4, 5, 6, 8, 12] {
            let covered = coverage(count, truth, start, cycle);
            println!("{what}, {count} rounds: {covered} %");
            assert!(
                (93.0..=97.0).contains(&covered),
                "{what}, {count} rounds: {covered} %"
            );
        }
    }

    #[test]
    fn equal_starts_are_covered() {
        covers("equal starts", 0.0, &|_| 0.0, &|r| CYCLE * normal(r));
    }

    #[test]
    fn unequal_starts_are_covered() {
        covers("unequal starts", 0.0, &|r| START * normal(r), &|r| {
            CYCLE * normal(r)
        });
    }

    /// Two equal contenders, each disturbed now and then.
    #[test]
    fn long_tails_are_covered() {
        covers("tails on both sides", 0.0, &|r| START * normal(r), &|r| {
            disturbed(r) - disturbed(r)
        });
        covers("log-normal tails", 0.0, &|r| START * normal(r), &|r| {
            0.02 * (normal(r).exp() - normal(r).exp())
        });
    }

    /// One contender alone has the tail. The interval is about the mean of rounds' medians: of 5 exponential values the
    /// median is 1/5 + 1/4 + 1/3 on average.
    #[test]
    fn a_tail_of_one_contender_is_covered() {
        let truth = CYCLE * (0.2 + 0.25 + 1.0 / 3.0);
        covers("one exponential tail", truth, &|r| START * normal(r), &|r| {
            CYCLE * exponential(r)
        });
    }

    /// Some starts are much slower than most, of both contenders.
    #[test]
    fn skewed_starts_are_covered() {
        covers(
            "skewed starts",
            0.0,
            &|r| START * (exponential(r) - exponential(r)),
            &|r| CYCLE * normal(r),
        );
        covers("one skewed start", START, &|r| START * exponential(r), &|r| {
            CYCLE * normal(r)
        });
    }

    /// Where Student's interval is too narrow: starts of one contender alone are skewed like an exponential distribution, and
    /// cycles add no noise. It holds 88 to 90 % then, as means of few skewed values do.
    #[test]
    fn skewed_starts_of_one_contender_without_noise_are_covered_less() {
        for count in [4, 12] {
            let covered = coverage(count, START, &|r| START * exponential(r), &|_| 0.0);
            println!("skewed starts alone, {count} rounds: {covered} %");
            assert!((86.0..92.0).contains(&covered), "{count} rounds: {covered} %");
        }
    }

    /// Why there are rounds: the interval over the cycles of one start says nothing of the next start.
    #[test]
    fn the_cycles_of_one_start_cover_too_little() {
        const EXPERIMENTS: usize = 100;
        let mut random = fastrand::Rng::with_seed(8);
        let holds = (0..EXPERIMENTS)
            .filter(|_| {
                let start = START * normal(&mut random);
                let ratios: Vec<f64> = (0..4 * CYCLES)
                    .map(|_| (start + CYCLE * normal(&mut random)).exp())
                    .collect();
                estimate(&ratios, 3).unwrap().holds_one()
            })
            .count();
        println!("cycles of one start: {holds} of {EXPERIMENTS}");
        assert!(holds * 100 < EXPERIMENTS * 85, "{holds} of {EXPERIMENTS}");
    }

    /// How often the interval of two equal whole runs holds 1, in percent. Runs differ by 1 %, which 12 runs have told.
    fn coverage_between_runs(above: usize, below: usize, knows_runs: bool) -> f64 {
        const RUN: f64 = 0.01;
        const DEGREES: usize = 11;
        let mut random = fastrand::Rng::with_seed((100 * above + below) as u64);
        let holds = (0..EXPERIMENTS)
            .filter(|_| {
                let squares: f64 = (0..DEGREES).map(|_| normal(&mut random).powi(2)).sum();
                let run_log_sd = if knows_runs {
                    RUN * (squares / DEGREES as f64).sqrt()
                } else {
                    0.0
                };
                let mut draw = |count| {
                    let shift = RUN * normal(&mut random);
                    run(&mut random, count, &|r| shift + START * normal(r), &|r| {
                        CYCLE * normal(r)
                    })
                };
                between_runs(&draw(above), &draw(below), run_log_sd, DEGREES as f64)
                    .unwrap()
                    .holds_one()
            })
            .count();
        100.0 * holds as f64 / EXPERIMENTS as f64
    }

    #[test]
    fn whole_runs_are_covered() {
        for (above, below) in [(4, 4), (4, 12), (6, 6), (12, 12)] {
            let covered = coverage_between_runs(above, below, true);
            println!("whole runs, {above} and {below} rounds: {covered} %");
            assert!(
                (93.0..=97.0).contains(&covered),
                "{above} and {below}: {covered} %"
            );
        }
    }

    /// Why `compare` must know how whole runs differ: rounds cannot tell it.
    #[test]
    fn rounds_alone_cover_whole_runs_too_little() {
        let covered = coverage_between_runs(12, 12, false);
        println!("whole runs by rounds alone: {covered} %");
        assert!(covered < 85.0, "{covered} %");
    }

    proptest! {
        #[test]
        fn a_figure_lies_within_its_interval(
            rounds in proptest::collection::vec(proptest::collection::vec(1e-6f64..1e6, 1..6), 2..9),
            same in 0.1f64..10.0,
        ) {
            for rounds in [rounds, vec![vec![same; 3]; 7]] {
                let found = over_rounds(&rounds).unwrap();
                let (low, high) = found.interval.unwrap();
                prop_assert!(low <= found.median && found.median <= high);
            }
        }

        /// The logarithms are each other's negatives bit for bit; only the exponentials round.
        #[test]
        fn swapped_runs_give_the_inverse(
            above in proptest::collection::vec(proptest::collection::vec(0.1f64..10.0, 1..6), 2..9),
            below in proptest::collection::vec(proptest::collection::vec(0.1f64..10.0, 1..6), 2..9),
            run_log_sd in 0.0f64..0.1,
            run_degrees in 1.0f64..40.0,
        ) {
            let inverse = |a: f64, b: f64| near(a, 1.0 / b, 4.0 * f64::EPSILON);
            let straight = between_runs(&above, &below, run_log_sd, run_degrees).unwrap();
            let swapped = between_runs(&below, &above, run_log_sd, run_degrees).unwrap();
            let ((low, high), (swapped_low, swapped_high)) =
                (straight.interval.unwrap(), swapped.interval.unwrap());
            prop_assert!(low <= straight.median && straight.median <= high);
            prop_assert!(inverse(straight.median, swapped.median));
            prop_assert!(inverse(low, swapped_high) && inverse(high, swapped_low), "{straight:?} {swapped:?}");
        }
    }
}
