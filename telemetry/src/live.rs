//! Histograms of times for the live view: fixed 1-2-5 steps, one writer, read by the exporter at any moment.

use std::time::Duration;

use crate::counters::Counter;
use crate::family::Buckets;

/// Upper bounds in nanoseconds: 1-2-5 steps from 10 µs to 10 s.
const BOUNDS: [u64; 19] = [
    10_000,
    20_000,
    50_000,
    100_000,
    200_000,
    500_000,
    1_000_000,
    2_000_000,
    5_000_000,
    10_000_000,
    20_000_000,
    50_000_000,
    100_000_000,
    200_000_000,
    500_000_000,
    1_000_000_000,
    2_000_000_000,
    5_000_000_000,
    10_000_000_000,
];

/// Times counted by size. Only the thread that owns it may observe; anyone may read.
#[derive(Debug, Default)]
pub struct LiveHistogram {
    counts: [Counter; BOUNDS.len() + 1],
    sum_nanos: Counter,
}

impl LiveHistogram {
    /// Counts one time.
    #[inline]
    pub fn observe(&self, time: Duration) {
        let nanos = time.as_nanos() as u64;
        self.counts[BOUNDS.partition_point(|&bound| bound < nanos)].add(1);
        self.sum_nanos.add(nanos);
    }

    /// The histograms of several writers as one, in seconds.
    pub fn sum<'a>(histograms: impl IntoIterator<Item = &'a LiveHistogram>) -> Buckets {
        let mut counts = [0; BOUNDS.len() + 1];
        let mut sum_nanos = 0u64;
        for histogram in histograms {
            for (total, count) in counts.iter_mut().zip(&histogram.counts) {
                *total += count.get();
            }
            sum_nanos += histogram.sum_nanos.get();
        }
        let mut count = 0;
        let mut cumulative = Vec::with_capacity(BOUNDS.len());
        for (bound, bucket) in BOUNDS.iter().zip(&counts) {
            count += bucket;
            cumulative.push((*bound as f64 / 1e9, count));
        }
        Buckets {
            cumulative,
            count: count + counts[BOUNDS.len()],
            sum: sum_nanos as f64 / 1e9,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_on_a_bound_belongs_below_it() {
        let histogram = LiveHistogram::default();
        for micros in [10, 11, 20_000_000] {
            histogram.observe(Duration::from_micros(micros));
        }
        let buckets = LiveHistogram::sum([&histogram, &histogram]);
        assert_eq!(buckets.cumulative[0], (0.00001, 2));
        assert_eq!(buckets.cumulative[1], (0.00002, 4));
        assert_eq!(buckets.cumulative[18], (10.0, 4));
        assert_eq!(buckets.count, 6);
        assert!((buckets.sum - 40.000_042).abs() < 1e-9, "{}", buckets.sum);
    }
}
