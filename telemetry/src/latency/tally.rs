//! The hot loop's way to count times: an array, and the index of a time in it.
//!
//! It divides times as the HDR histogram does (Gil Tene, HdrHistogram; three significant figures are 2048 steps up to 2048
//! ns, then 1024 steps for each doubling), so that what it counted becomes a [`Latency`] without a loss. It does nothing
//! else, and allocates nothing: what the histogram keeps up to date with each time (totals, extremes) follows from the counts
//! in the end.

use std::time::Duration;

use super::{LONGEST_NANOS, Latency};

/// Two to this is the number of steps of each doubling.
const STEP_BITS: u32 = 10;
/// The first times have a step of their own each: up to twice the steps of a doubling.
const FINE: u64 = (2 << STEP_BITS) - 1;

/// Counts of times, between a nanosecond and an hour.
#[derive(Debug, Clone)]
pub struct Tally {
    counts: Vec<u64>,
}

impl Default for Tally {
    fn default() -> Tally {
        Tally::new()
    }
}

impl Tally {
    /// Nothing counted.
    pub fn new() -> Tally {
        Tally {
            counts: vec![0; index(LONGEST_NANOS) + 1],
        }
    }

    /// Counts one time; what is longer than an hour counts as an hour.
    #[inline]
    pub fn record(&mut self, nanos: u64) {
        self.counts[index(nanos.min(LONGEST_NANOS))] += 1;
    }

    /// Counts one time as often as `count` says.
    pub fn record_many(&mut self, nanos: u64, count: u64) {
        self.counts[index(nanos.min(LONGEST_NANOS))] += count;
    }

    /// Adds all times to `latency`.
    pub fn add_to(&self, latency: &mut Latency) {
        let counted = self.counts.iter().zip(0..).filter(|(count, _)| **count > 0);
        for (&count, index) in counted {
            latency.record_many(Duration::from_nanos(lowest(index)), count);
        }
    }
}

/// Where a time stands.
#[inline]
fn index(nanos: u64) -> usize {
    let doublings = (nanos | FINE).ilog2() - STEP_BITS;
    ((u64::from(doublings) << STEP_BITS) + (nanos >> doublings)) as usize
}

/// The shortest time that stands there.
fn lowest(index: u64) -> u64 {
    let doublings = (index >> STEP_BITS).saturating_sub(1);
    (index - (doublings << STEP_BITS)) << doublings
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn latency(tally: &Tally) -> Latency {
        let mut latency = Latency::new();
        tally.add_to(&mut latency);
        latency
    }

    fn all_there_is_to_know(latency: &Latency) -> (String, u64, f64, f64) {
        (
            latency.to_base64(),
            latency.count(),
            latency.max_micros(),
            latency.mean_micros(),
        )
    }

    fn assert_same(times: &[u64]) {
        let (mut tally, mut direct) = (Tally::new(), Latency::new());
        for &nanos in times {
            tally.record(nanos);
            direct.record(Duration::from_nanos(nanos));
        }
        assert_eq!(
            all_there_is_to_know(&latency(&tally)),
            all_there_is_to_know(&direct),
            "{times:?}"
        );
    }

    #[test]
    fn every_border_is_where_the_histogram_has_it() {
        assert_same(&[]);
        let powers = (0..64).map(|power| 1u64 << power);
        let borders = powers.flat_map(|power| [power - 1, power, power + 1]);
        for nanos in borders.chain([0, LONGEST_NANOS, LONGEST_NANOS + 1, u64::MAX]) {
            assert_same(&[nanos]);
        }
    }

    proptest! {
        #[test]
        fn it_counts_what_the_histogram_counts(times in prop::collection::vec((0u32..64, 0u64..), 0..50)) {
            let times: Vec<_> = times.into_iter().map(|(shift, nanos)| nanos >> shift).collect();
            assert_same(&times);
        }

        #[test]
        fn a_place_begins_where_the_one_before_ends(place in 1..index(LONGEST_NANOS) as u64) {
            prop_assert_eq!(index(lowest(place)), place as usize);
            prop_assert_eq!(index(lowest(place) - 1), place as usize - 1);
        }
    }
}
