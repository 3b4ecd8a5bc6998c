//! Pure: how long a machine stops a thread that wants to run, and what latency cannot be told from that.

use serde::{Deserialize, Serialize};

use crate::quantiles::Quantile;

/// What spinning threads saw before anything else ran: one on each CPU of servers and clients.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Stalls {
    /// How long they spun.
    pub watched_seconds: f64,
    /// What each CPU did.
    pub cpus: Vec<CpuStalls>,
    /// The floor of the median response time, in microseconds. A request that comes at any time is held up so long by stalls
    /// of either side in half of all cases.
    pub floor_micros_p50: f64,
    /// The same of 90 %.
    pub floor_micros_p90: f64,
    /// The same of 99 %.
    pub floor_micros_p99: f64,
    /// The same of 99.9 %.
    pub floor_micros_p999: f64,
}

/// How one CPU stopped its spinning thread.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct CpuStalls {
    /// The CPU.
    pub cpu: u32,
    /// The longest stop, in microseconds.
    pub longest_micros: f64,
    /// The share of the time in which it was stopped, 0 to 1.
    pub stopped_share: f64,
}

impl Stalls {
    /// From the stops of each CPU, in microseconds.
    pub fn of(watched_seconds: f64, stops: &[(u32, Vec<f64>)]) -> Stalls {
        let watched_micros = watched_seconds * 1e6;
        let all: Vec<f64> = stops.iter().flat_map(|(_, stops)| stops).copied().collect();
        let cpus = stops.iter().map(|(cpu, stops)| CpuStalls {
            cpu: *cpu,
            longest_micros: stops.iter().copied().fold(0.0, f64::max),
            stopped_share: if watched_micros > 0.0 {
                stops.iter().sum::<f64>() / watched_micros
            } else {
                0.0
            },
        });
        let floor = |share: f64| floor(watched_micros, &all, share);
        Stalls {
            watched_seconds,
            cpus: cpus.collect(),
            floor_micros_p50: floor(0.5),
            floor_micros_p90: floor(0.1),
            floor_micros_p99: floor(0.01),
            floor_micros_p999: floor(0.001),
        }
    }

    /// Below this, in microseconds, a quantile is the machine's; `None` for the longest time and the mean, which have none.
    pub fn floor_micros(&self, quantile: Quantile) -> Option<f64> {
        match quantile {
            Quantile::P50 => Some(self.floor_micros_p50),
            Quantile::P90 => Some(self.floor_micros_p90),
            Quantile::P99 => Some(self.floor_micros_p99),
            Quantile::P999 => Some(self.floor_micros_p999),
            Quantile::Max | Quantile::Mean => None,
        }
    }

    /// The longest stop on any CPU, in microseconds.
    pub fn longest_micros(&self) -> f64 {
        let longest = self.cpus.iter().map(|cpu| cpu.longest_micros);
        longest.fold(0.0, f64::max)
    }
}

/// The delay that stops alone cause in this share of all instants. An instant within a stop of length `s` waits for its end;
/// it waits longer than `x` in `s - x` of the time.
fn floor(watched_micros: f64, stops: &[f64], share: f64) -> f64 {
    let delayed = |x: f64| stops.iter().map(|stop| (stop - x).max(0.0)).sum::<f64>();
    let wanted = share * watched_micros;
    if delayed(0.0) <= wanted {
        return 0.0;
    }
    // `delayed` falls as x grows, so halving finds where it crosses.
    let (mut low, mut high) = (0.0, stops.iter().copied().fold(0.0, f64::max));
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if delayed(middle) > wanted {
            low = middle;
        } else {
            high = middle;
        }
    }
    high
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_without_stops_has_no_floor() {
        let stalls = Stalls::of(1.0, &[(0, vec![]), (1, vec![])]);
        assert_eq!(stalls.floor_micros(Quantile::P999), Some(0.0));
        assert_eq!((stalls.cpus.len(), stalls.longest_micros()), (2, 0.0));
    }

    /// One stop of 100 ms in a second: 10 % of all instants lie in it, and 1 % wait for more than 90 ms.
    #[test]
    fn the_floor_is_what_a_request_at_any_instant_waits() {
        let stalls = Stalls::of(1.0, &[(0, vec![100_000.0]), (3, vec![10.0])]);
        let close = |found: Option<f64>, wanted: f64| (found.unwrap() - wanted).abs() < 100.0;
        assert!(close(stalls.floor_micros(Quantile::P99), 90_000.0), "{stalls:?}");
        assert!(close(stalls.floor_micros(Quantile::P999), 99_000.0), "{stalls:?}");
        assert_eq!(stalls.floor_micros(Quantile::P50), Some(0.0));
        assert_eq!(stalls.floor_micros(Quantile::Max), None);
        assert_eq!(stalls.longest_micros(), 100_000.0);
        assert!((stalls.cpus[0].stopped_share - 0.1).abs() < 1e-9);
    }

    #[test]
    fn nothing_watched_is_nothing_known() {
        let stalls = Stalls::of(0.0, &[(0, vec![])]);
        assert_eq!(stalls.cpus[0].stopped_share, 0.0);
    }
}
