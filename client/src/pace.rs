//! When is the next request due? Pure: `now` is an argument, and an open loop does not even ask for it.
//!
//! In an open loop every due time is fixed before the slice begins. Requests are numbered, connections take turns, and
//! the k-th request of a thread is due at a time that follows from k alone (smooth, burst) or from a seeded stream of
//! its connection (poisson); a late reply shifts nothing. In a closed loop the next request is due a think time after
//! the previous reply.
//!
//! Smooth and burst arrivals drift to and fro by one gap (see [`Drift`]). At 4,000/s there are exactly 16 gaps in the
//! tick of a 250 Hz kernel: without the drift, each tick of a slice would find the server at the same point of its
//! work, or always asleep, and so would every profile and every division of CPU time into user and system, which are
//! made at ticks.

use crate::clock::{Nanos, SECOND};
use crate::plan::Share;
use crate::random::{self, mix};
use model::pace::{Arrivals, Pace};
use telemetry::latency::Tally;

/// So many unsent requests of one connection are counted one by one.
const OPEN_MAX: u64 = 100_000;

/// One connection's next request: when it is due, and what the one after it follows from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tick {
    /// When the request is due.
    pub due: Nanos,
    /// Smooth and burst: the request's number in its thread. Poisson: the state of the connection's random stream.
    state: u64,
}

impl Tick {
    /// A connection that takes no part in this slice.
    pub const NEVER: Tick = Tick {
        due: Nanos::MAX,
        state: 0,
    };
}

/// One thread's due times in one slice.
#[derive(Debug, Clone)]
pub struct Schedule {
    start: Nanos,
    end: Nanos,
    law: Law,
}

#[derive(Debug, Clone)]
enum Law {
    Closed {
        think: Nanos,
        share: Share,
    },
    Even {
        nanos_per_request: f64,
        phase: f64,
        connections: u64,
        /// Bursts happen at multiples of this; 1 for smooth arrivals.
        interval: Nanos,
        drift: Drift,
    },
    Poisson {
        mean_gap_nanos: f64,
        seed: u64,
    },
}

impl Schedule {
    /// The due times of the thread that has `share`, from `start` on and before `end`. `seed` should differ between
    /// slices and threads.
    pub fn new(pace: &Pace, share: Share, (start, end): (Nanos, Nanos), seed: u64) -> Schedule {
        let law = match *pace {
            Pace::Closed { think_time_micros } => Law::Closed {
                think: think_time_micros.saturating_mul(1000),
                share,
            },
            Pace::Open {
                rate_per_second,
                arrivals: Arrivals::Poisson,
            } => Law::Poisson {
                mean_gap_nanos: share.all_connections as f64 * SECOND as f64 / rate_per_second.per_second(),
                seed,
            },
            Pace::Open {
                rate_per_second,
                arrivals,
            } => {
                let interval = match arrivals {
                    Arrivals::Burst { interval_micros } => interval_micros.saturating_mul(1000).max(1),
                    Arrivals::Smooth | Arrivals::Poisson => 1,
                };
                let gap = match interval {
                    1 => SECOND as f64 / rate_per_second.per_second(),
                    interval => interval as f64,
                };
                Law::Even {
                    nanos_per_request: SECOND as f64 / share.rate_per_second(rate_per_second.per_second()),
                    phase: share.phase(),
                    connections: share.connections as u64,
                    interval,
                    drift: Drift::over(gap),
                }
            }
        };
        Schedule { start, end, law }
    }

    /// The first request of the thread's connection at `position` (from 0) among those that take part.
    pub fn first(&self, position: usize) -> Tick {
        match &self.law {
            // Spread over one think time, or every connection would ask at once, for ever.
            Law::Closed { think, share } => {
                let turn = (position as f64 + share.phase()) / share.connections.max(1) as f64;
                Tick {
                    due: self.start.saturating_add((turn * *think as f64) as Nanos),
                    state: 0,
                }
            }
            Law::Even { .. } => self.even(position as u64),
            Law::Poisson { seed, .. } => {
                let state = mix(mix(*seed).wrapping_add(position as u64));
                self.after_gap(Tick {
                    due: self.start,
                    state,
                })
            }
        }
    }

    /// The request after `tick`'s, whose reply was in at `replied`.
    #[inline]
    pub fn next(&self, tick: Tick, replied: Nanos) -> Tick {
        match &self.law {
            Law::Closed { think, .. } => Tick {
                due: replied.saturating_add(*think),
                state: 0,
            },
            Law::Even { connections, .. } => self.even(tick.state + connections),
            Law::Poisson { .. } => self.after_gap(tick),
        }
    }

    /// How many requests of one connection, from `tick`'s on, are due before `end`. Only an open loop knows of any.
    pub fn remaining(&self, tick: Tick, end: Nanos) -> u64 {
        if tick == Tick::NEVER {
            return 0;
        }
        match &self.law {
            Law::Closed { .. } => 0,
            Law::Even { connections, .. } => {
                // Due times rise with the number: double until one is not before `end`, then halve.
                let due_before_end = |turns: u64| self.even(tick.state + turns * connections).due < end;
                let mut high = 0;
                while due_before_end(high) {
                    high = 2 * high + 1;
                }
                let mut low = high / 2;
                while low < high {
                    let middle = low + (high - low) / 2;
                    match due_before_end(middle) {
                        true => low = middle + 1,
                        false => high = middle,
                    }
                }
                low
            }
            Law::Poisson { .. } => {
                let later = |tick: &Tick| Some(self.after_gap(*tick));
                std::iter::successors(Some(tick), later)
                    .take_while(|tick| tick.due < end)
                    .count() as u64
            }
        }
    }

    /// Counts how long the requests of one connection that are due before `end`, from `tick`'s on, have been due then.
    /// Returns how many there are. Beyond [`OPEN_MAX`] every so many stand for all.
    pub fn open(&self, tick: Tick, end: Nanos, ages: &mut Tally) -> u64 {
        let count = self.remaining(tick, end);
        let step = count.div_ceil(OPEN_MAX).max(1);
        let mut next = tick;
        let mut left = count;
        while left > 0 {
            let stand_for = step.min(left);
            ages.record_many(end.saturating_sub(next.due), stand_for);
            left -= stand_for;
            next = self.later(next, stand_for);
        }
        count
    }

    /// The request of the same connection that comes `turns` requests after `tick`'s.
    fn later(&self, tick: Tick, turns: u64) -> Tick {
        match &self.law {
            Law::Even { connections, .. } => self.even(tick.state + turns * connections),
            _ => (0..turns).fold(tick, |tick, _| self.next(tick, tick.due)),
        }
    }

    /// Whether due times are to be met by spinning, as a sleep ends too late to place single requests.
    pub fn spins(&self) -> bool {
        matches!(self.law, Law::Even { interval: 1, .. })
    }

    /// Whether the connections take turns, request by request.
    pub fn takes_turns(&self) -> bool {
        matches!(self.law, Law::Even { .. })
    }

    /// Whether the next request follows from the previous reply.
    pub fn is_closed(&self) -> bool {
        matches!(self.law, Law::Closed { .. })
    }

    /// The thread's request with this number. Computed from the number, never from the request before it, so that
    /// rounding cannot add up.
    #[inline]
    fn even(&self, number: u64) -> Tick {
        let Law::Even {
            nanos_per_request,
            phase,
            interval,
            drift,
            ..
        } = &self.law
        else {
            return Tick::NEVER;
        };
        let length = self.end - self.start;
        let after_start = (number as f64 + phase) * nanos_per_request;
        if after_start as Nanos >= length {
            return Tick {
                due: Nanos::MAX,
                state: number,
            };
        }
        // All that fall due within one interval go out at its end. The first interval ends at the start, so that
        // a slice holds the requests that smooth arrivals would give it.
        let after_start = match interval {
            1 => after_start,
            interval => (after_start as Nanos / interval * interval) as f64,
        };
        // None drifts out of the slice.
        let after_start = (drift.of(after_start) as Nanos).min(length - 1);
        Tick {
            due: self.start + after_start,
            state: number,
        }
    }

    /// An exponential gap after `tick` (by inversion of the distribution function).
    #[inline]
    fn after_gap(&self, tick: Tick) -> Tick {
        let Law::Poisson { mean_gap_nanos, .. } = &self.law else {
            return Tick::NEVER;
        };
        let mut state = tick.state;
        // 53 random bits, as a number above 0 and up to 1.
        let uniform = ((random::next(&mut state) >> 11) + 1) as f64 / (1u64 << 53) as f64;
        let gap = -uniform.ln() * mean_gap_nanos;
        Tick {
            due: tick.due.saturating_add(gap.round() as Nanos),
            state,
        }
    }
}

/// Makes even arrivals drift by one gap and back, at most a thousandth as fast as time itself, so that they beat with
/// nothing periodic that watches them. It is a function of time alone: the threads' requests keep their places among
/// each other, and none leaves the slice.
#[derive(Debug, Clone, Copy)]
struct Drift {
    gap_nanos: f64,
    cycles_per_nano: f64,
}

impl Drift {
    /// There or back takes half a second, so that a profile of one second has seen every phase.
    const SWEEP_NANOS: f64 = SECOND as f64 / 2.0;
    const SLOWEST_IN_GAPS: f64 = 1000.0;

    fn over(gap_nanos: f64) -> Drift {
        let sweep = Drift::SWEEP_NANOS.max(Drift::SLOWEST_IN_GAPS * gap_nanos);
        Drift {
            gap_nanos,
            cycles_per_nano: 0.5 / sweep,
        }
    }

    /// When that happens which would be `even_nanos` after the start.
    #[inline]
    fn of(self, even_nanos: f64) -> f64 {
        let cycles = even_nanos * self.cycles_per_nano;
        let in_cycle = cycles - cycles.floor();
        even_nanos + self.gap_nanos * (1.0 - (2.0 * in_cycle - 1.0).abs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan;
    use model::rate::Rate;
    use proptest::prelude::*;

    const START: Nanos = 5_000_000_000;
    const END: Nanos = START + SECOND / 5;

    fn open(rate_per_second: f64, arrivals: Arrivals) -> Pace {
        Pace::Open {
            rate_per_second: Rate::new(rate_per_second).unwrap(),
            arrivals,
        }
    }

    /// Every due time of one connection before `end`; the replies' instants are nonsense on purpose.
    fn dues(schedule: &Schedule, position: usize, end: Nanos) -> Vec<Nanos> {
        let later = |tick: &Tick| Some(schedule.next(*tick, tick.due ^ 0xFFFF_FFFF));
        std::iter::successors(Some(schedule.first(position)), later)
            .map(|tick| tick.due)
            .take_while(|&due| due < end)
            .collect()
    }

    fn all_dues(schedule: &Schedule, connections: usize, end: Nanos) -> Vec<Nanos> {
        let mut all: Vec<_> = (0..connections)
            .flat_map(|position| dues(schedule, position, end))
            .collect();
        all.sort_unstable();
        all
    }

    proptest! {
        #[test]
        fn smooth_requests_are_due_at_k_over_rate_and_at_most_a_gap_later(
            counts in prop::collection::vec(1usize..50, 1..4), rate in 10.0f64..100_000.0,
        ) {
            for share in plan::shares(&counts) {
                let schedule = Schedule::new(&open(rate, Arrivals::Smooth), share, (START, END), 0);
                let own_rate = share.rate_per_second(rate);
                for (k, due) in all_dues(&schedule, share.connections, END).into_iter().enumerate() {
                    let later = due as f64 - (START as f64 + (k as f64 + share.phase()) / own_rate * 1e9);
                    prop_assert!((-2.0..1e9 / rate + 2.0).contains(&later), "{k}: {later} ns later");
                }
            }
        }

        #[test]
        fn the_rate_is_offered_in_full(
            counts in prop::collection::vec(1usize..50, 1..4), rate in 100.0f64..100_000.0, burst_micros in 0u64..20_000,
        ) {
            let arrivals = match burst_micros {
                0 => Arrivals::Smooth,
                interval_micros => Arrivals::Burst { interval_micros },
            };
            let count = |share: plan::Share| {
                let schedule = Schedule::new(&open(rate, arrivals), share, (START, END), 0);
                (0..share.connections).map(|position| schedule.remaining(schedule.first(position), END)).sum::<u64>()
            };
            let due: u64 = plan::shares(&counts).into_iter().map(count).sum();
            // Each thread may be one request early.
            prop_assert!((due as f64 - rate / 5.0).abs() <= counts.len() as f64 + 1.0, "{due} of {rate}");
        }

        #[test]
        fn a_burst_is_what_fell_due_since_the_one_before(
            connections in 1usize..50, rate in 100.0f64..50_000.0, interval_micros in 1u64..20_000,
        ) {
            let share = plan::shares(&[connections])[0];
            let burst = Schedule::new(&open(rate, Arrivals::Burst { interval_micros }), share, (START, END), 0);
            let smooth = Schedule::new(&open(rate, Arrivals::Smooth), share, (START, END), 0);
            let interval = interval_micros * 1000;
            let bursts = all_dues(&burst, connections, END);
            let singles = all_dues(&smooth, connections, END);
            prop_assert_eq!(bursts.len(), singles.len());
            let gap = 1e9 / rate;
            let latest = (END - START) / interval;
            for (burst, single) in bursts.into_iter().zip(singles) {
                // A thousandth of the time is the most that it may have drifted.
                let drifted = (burst - START) % interval;
                prop_assert!(drifted <= latest * interval / 1000 + 2, "{drifted}");
                // As smooth arrivals, one interval later: the first interval ends when the slice starts.
                let even = (burst - drifted) as f64;
                prop_assert!((even - 1.0..even + interval as f64 + gap + 1.0).contains(&(single as f64)));
            }
        }

        #[test]
        fn what_remains_is_what_follows(
            connections in 1usize..20, rate in 1.0f64..50_000.0, kind in 0u8..3, seed: u64, millis in 0u64..300,
        ) {
            let arrivals = [Arrivals::Smooth, Arrivals::Poisson, Arrivals::Burst { interval_micros: 700 }][kind as usize];
            let share = plan::shares(&[connections])[0];
            let schedule = Schedule::new(&open(rate, arrivals), share, (START, END), seed);
            let end = START + millis * 1_000_000;
            for position in 0..connections {
                let counted = dues(&schedule, position, end).len() as u64;
                prop_assert_eq!(schedule.remaining(schedule.first(position), end), counted);
            }
            prop_assert_eq!(schedule.remaining(Tick::NEVER, Nanos::MAX), 0);
        }

        #[test]
        fn a_closed_loop_follows_the_reply(think_time_micros in 0u64..1_000_000, replied in START..2 * START) {
            let share = plan::shares(&[4])[0];
            let schedule = Schedule::new(&Pace::Closed { think_time_micros }, share, (START, END), 0);
            let first: Vec<_> = (0..4).map(|position| schedule.first(position).due - START).collect();
            prop_assert_eq!(&first, &[0, 1, 2, 3].map(|turn| turn * think_time_micros * 250));
            let next = schedule.next(schedule.first(0), replied);
            prop_assert_eq!(next.due, replied + think_time_micros * 1000);
        }
    }

    /// The kernel's ticks and other observers come at 100, 250, 300 or 1000 Hz; rates and bursts have round numbers too.
    #[test]
    fn no_observer_sees_the_same_phase_each_time() {
        let burst = Arrivals::Burst {
            interval_micros: 1000,
        };
        for (rate, arrivals, gap) in [
            (4_000.0, Arrivals::Smooth, 250_000),
            (40_000.0, Arrivals::Smooth, 25_000),
            (51_000.0, Arrivals::Smooth, SECOND / 51_000),
            (40_000.0, burst, 1_000_000),
        ] {
            let seconds = 2;
            let end = START + seconds * SECOND;
            let schedule = Schedule::new(&open(rate, arrivals), plan::shares(&[10])[0], (START, end), 0);
            let dues = all_dues(&schedule, 10, end);
            for hertz in [100, 250, 300, 1000] {
                // How long before each tick the last request was due, in tenths of a gap.
                let mut tenths = [0; 10];
                for tick in (1..seconds * hertz).map(|tick| START + tick * SECOND / hertz) {
                    let before = tick - dues[dues.partition_point(|&due| due <= tick) - 1];
                    tenths[(before * 10 / gap).min(9) as usize] += 1;
                }
                let fair = seconds * hertz / 10;
                let is_fair = |&count: &u64| count > fair / 2 && count < fair * 2;
                assert!(
                    tenths.iter().all(is_fair),
                    "{rate} {arrivals:?} at {hertz} Hz: {tenths:?}"
                );
            }
        }
    }

    #[test]
    fn poisson_gaps_have_the_mean_and_the_spread_of_their_law() {
        let share = plan::shares(&[10, 10])[1];
        let seconds = 5;
        let schedule = Schedule::new(
            &open(20_000.0, Arrivals::Poisson),
            share,
            (START, START + seconds * SECOND),
            42,
        );
        let due = all_dues(&schedule, 10, START + seconds * SECOND);
        // Half of the rate is this thread's; a count of 50,000 has a standard deviation of 224.
        assert!((49_000..51_000).contains(&due.len()), "{}", due.len());
        let gaps: Vec<f64> = due.windows(2).map(|pair| (pair[1] - pair[0]) as f64).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
        // An exponential distribution's standard deviation equals its mean.
        assert!(
            (variance.sqrt() / mean - 1.0).abs() < 0.03,
            "{mean} {}",
            variance.sqrt()
        );
    }

    #[test]
    fn a_seed_gives_the_same_slice_again_and_another_seed_another() {
        let share = plan::shares(&[3])[0];
        let of = |seed| {
            let schedule = Schedule::new(
                &open(1000.0, Arrivals::Poisson),
                share,
                (START, START + SECOND),
                seed,
            );
            all_dues(&schedule, 3, START + SECOND)
        };
        assert_eq!(of(1), of(1));
        assert_ne!(of(1), of(2));
    }

    #[test]
    fn only_smooth_arrivals_spin() {
        let share = plan::shares(&[3])[0];
        let spins = |pace: &Pace| Schedule::new(pace, share, (START, END), 0).spins();
        assert!(spins(&open(10.0, Arrivals::Smooth)));
        assert!(!spins(&open(10.0, Arrivals::Poisson)));
        assert!(!spins(&open(
            10.0,
            Arrivals::Burst {
                interval_micros: 1000
            }
        )));
        assert!(!spins(&Pace::Closed { think_time_micros: 0 }));
    }
}
