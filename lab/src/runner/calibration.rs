//! The rate that all contenders of a scenario are offered: a share of the slowest one's closed-loop capacity.

use model::threshold;
use std::time::Duration;

use model::pace::Pace;

use super::Session;
use super::child::Interrupted;
use super::lane::Lane;
use crate::metrics::Phase;
use model::judge::{CycleEvidence, Evidence, judge};
use model::rate::Rate;
use model::scenario::{Load, Offer, Scenario};
use model::verdict::Verdict;
use model::{plan, statistics};

/// Closed-loop slices of each contender: the first may be cold, the median of three is not.
pub const ROUNDS: u32 = 3;
/// How long each of them is, beside what many connections add.
const ROUND: Duration = Duration::from_millis(150);
/// A closed loop begins with a request on every connection: that wave must not be all there is.
const ROUND_PER_CONNECTION: Duration = Duration::from_micros(10);
/// Nobody needs longer.
const ROUND_MAX: Duration = Duration::from_secs(1);
/// A warm-up need not be longer than this.
pub const WARM_UP_MAX: Duration = Duration::from_secs(1);
/// How often an automatic rate is lowered when someone cannot hold it even in the warm-up.
const LOWERINGS_MAX: u32 = 3;
/// By how much.
const LOWERING: f64 = 0.8;

/// How long each closed-loop slice is.
pub fn round(scenario: &Scenario) -> Duration {
    let connections = u32::try_from(scenario.connections).unwrap_or(u32::MAX);
    ROUND_PER_CONNECTION
        .saturating_mul(connections)
        .saturating_add(ROUND)
        .min(ROUND_MAX)
}

/// Measures each lane's closed-loop capacity.
pub fn capacities(
    session: &mut Session<'_>,
    scenario: &Scenario,
    lanes: &mut [Lane],
) -> Result<(), Interrupted> {
    let flat_out = Pace::Closed { think_time_micros: 0 };
    let mut measured: Vec<(Vec<f64>, Vec<f64>)> = vec![Default::default(); lanes.len()];
    let everyone = lanes.len();
    for turn in (0..ROUNDS).flat_map(|round| plan::cycle(round, everyone, session.config.seed)) {
        let lane = &mut lanes[turn.contender];
        if !lane.lives() {
            continue;
        }
        session.enter(scenario, &lane.record.contender, Phase::Calibration);
        if let Some(slice) = lane.rehearse(session, flat_out, round(scenario))? {
            let (rates, busy) = &mut measured[turn.contender];
            rates.push(slice.replies_in_time as f64 / slice.seconds.max(f64::MIN_POSITIVE));
            busy.push(slice.busy_share);
        }
        session.enter(scenario, &lane.record.contender, Phase::Idle);
        session.done(round(scenario));
    }
    for (lane, (rates, busy)) in lanes.iter_mut().zip(&measured) {
        let client_bound = statistics::median(busy).is_some_and(|busy| busy > threshold::BUSY_SHARE_MAX);
        lane.record.capacity = statistics::median(rates).map(|rate| (rate, client_bound));
    }
    Ok(())
}

/// The pace that all lanes are offered; `None` when nobody replies, so that there is no rate to choose.
pub fn pace(scenario: &Scenario, lanes: &[Lane]) -> Option<Pace> {
    match scenario.pace {
        Load::Closed { think_time_micros } => Some(Pace::Closed { think_time_micros }),
        Load::Open { rate, arrivals } => Some(Pace::Open {
            arrivals,
            rate_per_second: match rate {
                Offer::PerSecond(rate) => rate,
                Offer::AutoShare(share) => {
                    let capacities = lanes
                        .iter()
                        .filter(|lane| lane.lives())
                        .filter_map(|lane| lane.record.capacity)
                        .map(|(capacity, _)| capacity)
                        .filter(|capacity| *capacity > 0.0);
                    Rate::new(rounded_down(share * capacities.min_by(f64::total_cmp)?)).ok()?
                }
            },
        }),
    }
}

/// Puts each lane under the offered load once, uncounted. An automatic rate that someone cannot hold even here is
/// lowered for all: closed-loop capacity comes in batches, and single messages cost more.
pub fn warm_up(
    session: &mut Session<'_>,
    scenario: &Scenario,
    lanes: &mut [Lane],
    mut pace: Pace,
) -> Result<Pace, Interrupted> {
    let automatic = matches!(
        scenario.pace,
        Load::Open {
            rate: Offer::AutoShare(_),
            ..
        }
    );
    let duration = scenario.slice().min(WARM_UP_MAX);
    let mut lowered: Option<(Rate, Rate, String)> = None;
    for lowerings in 0.. {
        let mut overtaxed = None;
        for lane in lanes.iter_mut().filter(|lane| lane.lives()) {
            session.enter(scenario, &lane.record.contender, Phase::WarmUp);
            let slice = lane.rehearse(session, pace, duration)?;
            if slice.is_some_and(|slice| slice.errors.is_empty() && overtaxes(&slice)) {
                overtaxed = Some(lane.record.contender.clone());
            }
            session.enter(scenario, &lane.record.contender, Phase::Idle);
        }
        let Some(contender) = overtaxed else { break };
        let Pace::Open { rate_per_second, .. } = &mut pace else {
            break;
        };
        if !automatic || lowerings == LOWERINGS_MAX {
            break;
        }
        let first = lowered.as_ref().map_or(*rate_per_second, |(first, ..)| *first);
        let Ok(less) = Rate::new(rounded_down(rate_per_second.per_second() * LOWERING)) else {
            break;
        };
        *rate_per_second = less;
        lowered = Some((first, *rate_per_second, contender));
    }
    if let Some((from, to, contender)) = lowered {
        session.note(format!(
            "{}: the offered rate was lowered from {from} to {to} messages/s, because {contender} or its client could not hold more when messages come one by one",
            scenario.name
        ));
    }
    Ok(pace)
}

/// Puts each lane under the offered load once, uncounted: in later rounds, when the rate is known.
pub fn rehearse(
    session: &mut Session<'_>,
    scenario: &Scenario,
    lanes: &mut [Lane],
    pace: Pace,
) -> Result<(), Interrupted> {
    let duration = scenario.slice().min(WARM_UP_MAX);
    for lane in lanes.iter_mut().filter(|lane| lane.lives()) {
        session.enter(scenario, &lane.record.contender, Phase::WarmUp);
        lane.rehearse(session, pace, duration)?;
        session.enter(scenario, &lane.record.contender, Phase::Idle);
    }
    Ok(())
}

fn overtaxes(slice: &model::protocol::Slice) -> bool {
    let evidence = Evidence {
        open_loop: true,
        cycles: vec![CycleEvidence {
            seconds: slice.seconds,
            due: slice.due,
            replies: slice.replies,
            replies_in_time: slice.replies_in_time,
            response_micros_p50: slice.response_micros.p50.unwrap_or(0.0),
            busy_share: slice.busy_share,
            // How late the client sends by itself is not asked here: a busy machine makes it late at any rate.
            ..CycleEvidence::default()
        }],
        ..Evidence::default()
    };
    judge(&evidence)
        .iter()
        .any(|doubt| matches!(doubt.verdict(), Verdict::RateMissed | Verdict::ClientBound))
}

/// Two significant digits: nobody remembers more, and nothing depends on them.
fn rounded_down(rate: f64) -> f64 {
    if rate < 10.0 {
        return rate;
    }
    let step = 10f64.powf(rate.log10().floor() - 1.0);
    (rate / step).floor() * step
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_have_two_digits() {
        for (rate, rounded) in [
            (23_456.0, 23_000.0),
            (99_999.0, 99_000.0),
            (100_000.0, 100_000.0),
            (123.0, 120.0),
            (57.9, 57.0),
            (3.25, 3.25),
        ] {
            assert!(
                (rounded_down(rate) - rounded).abs() < 1e-6,
                "{rate}: {}",
                rounded_down(rate)
            );
        }
    }
}
