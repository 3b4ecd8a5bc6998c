//! How connections, the moments at which they are opened, and the rate are shared out over threads. Pure.

use std::ops::Range;

use crate::clock::Nanos;

/// Which of all connections each thread has: every connection once, in unbroken ranges whose lengths differ by one at
/// most. With more threads than connections some ranges are empty.
pub fn connections(all: usize, threads: usize) -> Vec<Range<usize>> {
    let threads = threads.max(1);
    (0..threads)
        .map(|thread| start(all, threads, thread)..start(all, threads, thread + 1))
        .collect()
}

/// The first connection of `thread`: the first `all % threads` threads have one more than the others.
fn start(all: usize, threads: usize, thread: usize) -> usize {
    all / threads * thread + thread.min(all % threads)
}

/// One thread's share of the connections that take part in a slice.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Share {
    /// The thread's number.
    pub thread: usize,
    /// How many threads there are.
    pub threads: usize,
    /// How many connections this thread has.
    pub connections: usize,
    /// How many connections all threads have.
    pub all_connections: usize,
}

impl Share {
    /// This thread's part of `rate_per_second`: in proportion to its connections, so that every connection, whichever
    /// thread has it, carries the same rate.
    pub fn rate_per_second(&self, rate_per_second: f64) -> f64 {
        match self.all_connections {
            0 => 0.0,
            all => rate_per_second * self.connections as f64 / all as f64,
        }
    }

    /// How far this thread is shifted against the first, as a part (0 to 1) of the time from one of its requests to
    /// its next, so that the threads take turns.
    pub fn phase(&self) -> f64 {
        self.thread as f64 / self.threads.max(1) as f64
    }
}

/// When connection `number` of `all` is opened, counted from the ramp's start: evenly over `ramp`.
pub fn opening(number: usize, all: usize, ramp: Nanos) -> Nanos {
    (u128::from(ramp) * number as u128 / all.max(1) as u128) as Nanos
}

/// The shares of threads that have this many connections each.
pub fn shares(connections: &[usize]) -> Vec<Share> {
    let all_connections = connections.iter().sum();
    let threads = connections.len();
    let share = |(thread, &connections)| Share {
        thread,
        threads,
        connections,
        all_connections,
    };
    connections.iter().enumerate().map(share).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_connection_has_one_thread_and_no_thread_much_more(all in 0usize..100_000, threads in 1usize..200) {
            let ranges = connections(all, threads);
            prop_assert_eq!(ranges.len(), threads);
            let mut next = 0;
            for range in &ranges {
                prop_assert_eq!(range.start, next);
                prop_assert!((all / threads..=all.div_ceil(threads)).contains(&range.len()));
                next = range.end;
            }
            prop_assert_eq!(next, all);
        }

        #[test]
        fn rates_add_up_and_every_connection_carries_the_same(
            counts in prop::collection::vec(0usize..5000, 1..40), rate in 0.1f64..1e7,
        ) {
            let shares = shares(&counts);
            let sum: f64 = shares.iter().map(|share| share.rate_per_second(rate)).sum();
            let all: usize = counts.iter().sum();
            let expected = if all == 0 { 0.0 } else { rate };
            prop_assert!((sum - expected).abs() <= rate * 1e-12, "{sum} {expected}");
            for share in shares.iter().filter(|share| share.connections > 0) {
                let each = share.rate_per_second(rate) / share.connections as f64;
                prop_assert!((each / (rate / all as f64) - 1.0).abs() < 1e-12);
            }
        }

        #[test]
        fn openings_rise_within_the_ramp(all in 1usize..20_000, ramp in 0u64..100_000_000_000) {
            prop_assert_eq!(opening(0, all, ramp), 0);
            let openings: Vec<_> = (0..all).map(|number| opening(number, all, ramp)).collect();
            prop_assert!(openings.is_sorted());
            prop_assert!(openings[all - 1] <= ramp);
        }
    }

    #[test]
    fn threads_take_turns() {
        let phases: Vec<_> = shares(&[3, 3, 2, 2]).iter().map(Share::phase).collect();
        assert_eq!(phases, [0.0, 0.25, 0.5, 0.75]);
    }
}
