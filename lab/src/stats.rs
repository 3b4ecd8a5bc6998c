//! Pure: medians, quantiles, and intervals by a seeded bootstrap.

/// Resamples of a bootstrap: enough that the interval's ends are steady to about a hundredth of its width.
const RESAMPLES: usize = 4_000;

/// A figure and the interval that holds it with 95 % confidence.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// The median.
    pub median: f64,
    /// Lower and upper end; `None` when one value alone says nothing about its spread.
    pub interval: Option<(f64, f64)>,
}

/// The median; `None` of nothing.
pub fn median(values: &[f64]) -> Option<f64> {
    quantile(values, 0.5)
}

/// The value below which a share `q` (0 to 1) of the values lies, interpolated linearly between neighbours
/// (type 7 of Hyndman and Fan, "Sample quantiles in statistical packages", 1996); `None` of nothing.
pub fn quantile(values: &[f64], q: f64) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    of_sorted(&sorted, q)
}

fn of_sorted(sorted: &[f64], q: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let place = q.clamp(0.0, 1.0) * last as f64;
    let below = sorted[place.floor() as usize];
    let above = sorted[place.ceil() as usize];
    Some(below + (above - below) * place.fract())
}

/// The median with a 95 % interval from a percentile bootstrap (Efron and Tibshirani, "An introduction to the
/// bootstrap", 1993, chapter 13): the median of as many values drawn with replacement, many times over. The same
/// seed gives the same interval. `None` of nothing.
pub fn estimate(values: &[f64], seed: u64) -> Option<Estimate> {
    let median = median(values)?;
    if values.len() < 2 {
        return Some(Estimate {
            median,
            interval: None,
        });
    }
    let mut random = fastrand::Rng::with_seed(seed);
    let mut drawn = vec![0.0; values.len()];
    let mut medians: Vec<f64> = (0..RESAMPLES)
        .filter_map(|_| {
            drawn.fill_with(|| values[random.usize(..values.len())]);
            drawn.sort_unstable_by(f64::total_cmp);
            of_sorted(&drawn, 0.5)
        })
        .collect();
    medians.sort_unstable_by(f64::total_cmp);
    let interval = of_sorted(&medians, 0.025).zip(of_sorted(&medians, 0.975));
    Some(Estimate { median, interval })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Noise of about ±10 %, as a busy machine makes it.
    fn noisy(random: &mut fastrand::Rng, centre: f64) -> f64 {
        let noise: f64 = (0..6).map(|_| random.f64() - 0.5).sum::<f64>() / 6.0;
        centre * (1.0 + 0.2 * noise)
    }

    #[test]
    fn medians_and_quantiles_of_known_values() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0]), Some(3.0));
        assert_eq!(median(&[4.0, 1.0, 3.0]), Some(3.0));
        assert_eq!(median(&[4.0, 1.0, 3.0, 2.0]), Some(2.5));
        assert_eq!(quantile(&[1.0, 2.0, 3.0, 4.0, 5.0], 0.25), Some(2.0));
        assert_eq!(quantile(&[1.0, 2.0], 1.0), Some(2.0));
    }

    #[test]
    fn one_value_has_no_interval() {
        assert_eq!(
            estimate(&[1.5], 7),
            Some(Estimate {
                median: 1.5,
                interval: None
            })
        );
        assert_eq!(estimate(&[], 7), None);
    }

    /// Two equal contenders: the interval of their ratio holds 1 in about 95 of 100 experiments.
    #[test]
    fn equal_contenders_ratio_holds_one() {
        let mut random = fastrand::Rng::with_seed(1);
        let holds = (0..200)
            .filter(|_| {
                let ratios: Vec<_> = (0..40)
                    .map(|_| noisy(&mut random, 9.0) / noisy(&mut random, 9.0))
                    .collect();
                let (low, high) = estimate(&ratios, 3).unwrap().interval.unwrap();
                low <= 1.0 && 1.0 <= high
            })
            .count();
        assert!((180..=200).contains(&holds), "{holds} of 200");
    }

    #[test]
    fn a_shift_of_five_percent_is_found() {
        let mut random = fastrand::Rng::with_seed(2);
        let ratios: Vec<_> = (0..40)
            .map(|_| noisy(&mut random, 1.05) / noisy(&mut random, 1.0))
            .collect();
        let estimate = estimate(&ratios, 3).unwrap();
        let (low, high) = estimate.interval.unwrap();
        assert!(
            low > 1.0 && high < 1.1 && (low..=high).contains(&estimate.median),
            "{estimate:?}"
        );
    }

    proptest! {
        #[test]
        fn the_same_seed_gives_the_same_interval(
            values in proptest::collection::vec(0.1f64..10.0, 2..50),
            seed: u64,
        ) {
            let first = estimate(&values, seed).unwrap();
            prop_assert_eq!(first, estimate(&values, seed).unwrap());
            let (low, high) = first.interval.unwrap();
            prop_assert!(low <= first.median && first.median <= high);
            let extremes = (quantile(&values, 0.0).unwrap(), quantile(&values, 1.0).unwrap());
            prop_assert!(extremes.0 <= low && high <= extremes.1);
        }
    }
}
