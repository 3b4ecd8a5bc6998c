//! Pure: which cycles the machine disturbed, so that they count for no contender.
//!
//! A cycle is spoilt when one of its slices was disturbed, be it a slice of a good contender or of a bad one. No criterion
//! depends on how good a contender is: what a contender does in most of its slices is its load, which is a verdict's matter.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::statistics;
use crate::threshold::{
    COUNTED_SECONDS_MIN, SLICE_OTHERS_SHARE_MAX, SLICE_SEND_LAG_MICROS_MAX, SLICE_STOLEN_SHARE_MAX,
    SLICE_WAITED_SHARE_MAX,
};

/// What disturbed a slice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The client sent late by itself.
    ClientLate,
    /// The client waited for a CPU.
    ClientWaited,
    /// The hypervisor took CPU away.
    Stolen,
    /// Another program ran on the CPUs of server or client.
    Others,
}

/// Why a cycle is spoilt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spoilt {
    /// In whose slice it happened.
    pub contender: String,
    /// What happened.
    pub cause: Cause,
}

/// What is known of one slice beside its figures.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Slice {
    /// The round, from 0.
    pub round: u32,
    /// The cycle within the round, from 0.
    pub cycle: u32,
    /// Whose slice it is.
    pub contender: String,
    /// How long it was.
    pub seconds: f64,
    /// 99th percentile of how late the client itself sent; `None` when lateness says nothing, as in closed loops.
    pub send_lag_micros_p99: Option<f64>,
    /// Share of the slice in which the client was ready to run and had no CPU; `None` when it has no CPUs of its own.
    pub waited_share: Option<f64>,
    /// CPU time that the hypervisor took, as a share of one CPU.
    pub stolen_share: Option<f64>,
    /// CPU time of other programs, as a share of one CPU.
    pub others_share: Option<f64>,
}

/// A criterion: a figure, its limit, what it means beyond.
type Criterion = (fn(&Slice) -> Option<f64>, f64, Cause);

const CRITERIA: [Criterion; 4] = [
    (|slice| slice.stolen_share, SLICE_STOLEN_SHARE_MAX, Cause::Stolen),
    (|slice| slice.others_share, SLICE_OTHERS_SHARE_MAX, Cause::Others),
    (
        |slice| slice.waited_share,
        SLICE_WAITED_SHARE_MAX,
        Cause::ClientWaited,
    ),
    (
        |slice| slice.send_lag_micros_p99,
        SLICE_SEND_LAG_MICROS_MAX,
        Cause::ClientLate,
    ),
];

/// The spoilt cycles, by round and cycle. Lateness and waiting are held against the contender's own typical slice, too:
/// when that is beyond the limit, it is the load that makes the client late.
pub fn cycles(slices: &[Slice]) -> BTreeMap<(u32, u32), Spoilt> {
    let mut spoilt = BTreeMap::new();
    for (figure, limit, cause) in CRITERIA {
        let of_the_load = matches!(cause, Cause::ClientLate | Cause::ClientWaited);
        let beyond = |slice: &&Slice| {
            figure(slice).is_some_and(|value| {
                value > limit && (of_the_load || value * slice.seconds >= COUNTED_SECONDS_MIN)
            })
        };
        for slice in slices.iter().filter(beyond) {
            let own = slices.iter().filter(|other| other.contender == slice.contender);
            let own: Vec<f64> = own.filter_map(figure).collect();
            if of_the_load && statistics::median(&own).is_some_and(|typical| typical > limit) {
                continue;
            }
            let why = || Spoilt {
                contender: slice.contender.clone(),
                cause,
            };
            spoilt.entry((slice.round, slice.cycle)).or_insert_with(why);
        }
    }
    spoilt
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slices(contender: &str, lags: &[f64]) -> Vec<Slice> {
        let slice = |(lag, cycle): (&f64, u32)| Slice {
            cycle,
            seconds: 0.25,
            contender: contender.to_owned(),
            send_lag_micros_p99: Some(*lag),
            waited_share: Some(0.01),
            stolen_share: Some(0.0),
            others_share: Some(0.1),
            ..Slice::default()
        };
        lags.iter().zip(0..).map(slice).collect()
    }

    #[test]
    fn a_quiet_machine_spoils_nothing() {
        let quiet = [slices("a", &[20.0, 90.0, 160.0]), slices("b", &[60.0; 3])].concat();
        assert!(cycles(&quiet).is_empty());
    }

    #[test]
    fn one_late_stretch_costs_one_cycle_of_everyone() {
        let all = [slices("a", &[20.0, 20_000.0, 30.0]), slices("b", &[60.0; 3])].concat();
        let found = cycles(&all);
        assert_eq!(found.keys().collect::<Vec<_>>(), [&(0, 1)]);
        assert_eq!(found[&(0, 1)].contender, "a");
        assert_eq!(found[&(0, 1)].cause, Cause::ClientLate);
    }

    /// A load that makes the client late in most slices is no disturbance, but the verdict `client-bound`.
    #[test]
    fn what_is_typical_of_a_contender_spoils_nothing() {
        let all = [slices("a", &[20_000.0, 20_000.0, 30.0]), slices("b", &[60.0; 3])].concat();
        assert!(cycles(&all).is_empty());
        let mut waits = slices("a", &[20.0; 3]);
        waits.iter_mut().for_each(|slice| slice.waited_share = Some(0.5));
        assert!(cycles(&waits).is_empty());
    }

    /// Other programs and the hypervisor are the machine's, however often they come.
    #[test]
    fn what_others_take_spoils_every_cycle_that_it_hits() {
        for (stolen, others, cause) in [(0.3, 0.0, Cause::Stolen), (0.0, 0.9, Cause::Others)] {
            let mut all = slices("a", &[20.0; 3]);
            for slice in &mut all {
                (slice.stolen_share, slice.others_share) = (Some(stolen), Some(others));
            }
            let found = cycles(&all);
            assert!(found.len() == 3 && found.values().all(|spoilt| spoilt.cause == cause));
        }
    }

    /// In a short slice one tick is a large share.
    #[test]
    fn a_tick_or_two_is_no_disturbance() {
        let mut all = slices("a", &[20.0; 3]);
        for slice in &mut all {
            (slice.seconds, slice.stolen_share) = (0.03, Some(0.66));
        }
        assert!(cycles(&all).is_empty());
    }

    /// Equal contenders, disturbed at random: what is left is as equal as before, and a dear contender is not spoilt more.
    #[test]
    fn dropping_spoilt_cycles_favours_nobody() {
        let mut random = fastrand::Rng::with_seed(3);
        let (mut kept, mut all) = (Vec::new(), Vec::new());
        let (mut of_cheap, mut of_dear) = (0, 0);
        for _ in 0..200 {
            let mut slices = Vec::new();
            let mut costs = BTreeMap::new();
            for cycle in 0..30 {
                for (contender, cost) in [("cheap", 1.0), ("dear", 3.0)] {
                    let late = random.f64() < 0.05;
                    // What makes the client late makes the server dearer as well.
                    let cost = cost * (1.0 + 0.05 * random.f64()) * if late { 1.5 } else { 1.0 };
                    costs.insert((cycle, contender), cost);
                    slices.push(Slice {
                        cycle,
                        contender: contender.to_owned(),
                        send_lag_micros_p99: Some(if late { 9_000.0 } else { 50.0 }),
                        ..Slice::default()
                    });
                }
            }
            let spoilt = cycles(&slices);
            of_cheap += spoilt
                .values()
                .filter(|spoilt| spoilt.contender == "cheap")
                .count();
            of_dear += spoilt
                .values()
                .filter(|spoilt| spoilt.contender == "dear")
                .count();
            for cycle in 0..30 {
                let ratio: f64 = costs[&(cycle, "dear")] / costs[&(cycle, "cheap")];
                all.push(ratio);
                if !spoilt.contains_key(&(0, cycle)) {
                    kept.push(ratio);
                }
            }
        }
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        assert!((mean(&kept) / 3.0 - 1.0).abs() < 0.005, "{}", mean(&kept));
        assert!(
            (mean(&all) / 3.0 - 1.0).abs() > 0.005,
            "undropped, they bias: {}",
            mean(&all)
        );
        let share = f64::from(of_dear as u32) / f64::from((of_dear + of_cheap) as u32);
        assert!((0.4..0.6).contains(&share), "{share}");
    }
}
