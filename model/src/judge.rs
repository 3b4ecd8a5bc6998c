//! Is a run to be believed, and if not, why? Figures in, doubts out; the words for them stand in the reports.

use std::collections::BTreeMap;

use crate::machine_part::{Throttling, Unaccounted};
use crate::run::Bytes;
use crate::spoilt::Cause;
use crate::statistics;
use crate::threshold::{
    BUSY_SHARE_MAX, HALVES_CYCLES_MIN, HALVES_SHARE_MAX, LATE_SHARE_MAX, LITTLE_SHARE_MAX,
    ON_THEIR_WAY_SHARE_MAX, REPLIED_SHARE_MIN, REPLIED_SHARE_OF_ALL_MIN, SEND_LAG_MICROS_MAX,
    THROTTLED_SHARE_MAX, UNACCOUNTED_PERCENT_MAX, UNACCOUNTED_SHARE_MAX, WAITED_SHARE_MAX,
};
use crate::verdict::Verdict;

/// The client's name for a reply that is not what was sent.
const BAD_REPLY: &str = "bad_reply";

/// What ended a run before its time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Death {
    /// The server, with what is known of why.
    Server(String),
    /// The client, with what it said.
    Client(String),
}

/// What one cycle contributes to the verdicts.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct CycleEvidence {
    /// How long requests fell due.
    pub seconds: f64,
    /// Requests that fell due.
    pub due: u64,
    /// Replies, the drain's included.
    pub replies: u64,
    /// Replies before `seconds` were over.
    pub replies_in_time: u64,
    /// Median response time.
    pub response_micros_p50: f64,
    /// Share of the time that the client's busiest thread was at work.
    pub busy_share: f64,
    /// Share of the time that the client was ready to run and had no CPU.
    pub waited_share: f64,
    /// 99th percentile of how late the client itself sent.
    pub send_lag_micros_p99: f64,
    /// Mean number of requests in flight.
    pub in_flight_mean: f64,
    /// Mean number of connections in their think time.
    pub thinking_mean: f64,
    /// Mean number of connections whose request was due and not sent yet, because the client was late.
    pub late_mean: f64,
}

/// What the verdicts of a run rest on.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Evidence {
    /// Whether requests fell due at a fixed rate; else the loop was closed.
    pub open_loop: bool,
    /// Whether the client has CPUs that no server may use: else it waits for them by design.
    pub client_apart: bool,
    /// Connections asked for.
    pub connections: u64,
    /// Whether calibration asked for replies and got none.
    pub silent_calibration: bool,
    /// Its cycles.
    pub cycles: Vec<CycleEvidence>,
    /// What the client counted as errors over its whole life, by reason.
    pub errors: BTreeMap<String, u64>,
    /// Bytes of both sides, when the run came to its end and the server counts them.
    pub bytes: Option<Bytes>,
    /// What ended it before its time.
    pub death: Option<Death>,
    /// How the machine disturbed it, when it did so too often.
    pub spoilt: Option<Disturbance>,
    /// CPU quotas that held for it.
    pub quotas: Vec<Throttling>,
    /// CPU time that no account explains.
    pub unaccounted: Option<Unaccounted>,
}

/// How the machine disturbed a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disturbance {
    /// Cycles that it disturbed.
    pub spoilt: usize,
    /// All cycles.
    pub cycles: usize,
    /// What disturbed them, most frequent first.
    pub causes: Vec<Cause>,
}

/// Why a run is not to be believed, with what was seen.
#[derive(Debug, Clone, PartialEq)]
pub enum Doubt {
    /// The server or the client ended before the run did.
    Died(Death),
    /// The lab was stopped before the first slice ended.
    NotMeasured,
    /// Not one right reply.
    NoReplies,
    /// So many replies were not what was sent.
    BadReplies(u64),
    /// Connections were lost or requests never answered: how many, by reason.
    Errors(Vec<(String, u64)>),
    /// The client sent, the server received and sent, the client received so many bytes.
    NotConserved([u64; 4]),
    /// CPU quotas stopped the server, the client, or both.
    Throttled(Vec<Throttling>),
    /// The machine disturbed too many cycles.
    Disturbed(Disturbance),
    /// The servers' CPUs did much that no account explains.
    Unaccounted(Unaccounted),
    /// Fewer replies than offered.
    RateMissed {
        /// The share that was replied to in time.
        share: f64,
        /// Whether the client did not keep its times.
        by_client: bool,
    },
    /// The client was the bottleneck.
    ClientBound(Bottleneck),
    /// Closed loop: throughput × mean time accounts for another number of connections than there are.
    OutOfLaw {
        /// The connections that it accounts for.
        accounted: f64,
        /// The connections that there are.
        connections: u64,
    },
    /// Messages per second in the first half and in the second.
    Unstable(f64, f64),
}

/// How a client was the bottleneck.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Bottleneck {
    /// Its busiest thread was at work for this share of the time.
    Busy(f64),
    /// It was runnable and without a CPU for this share of the time.
    Waited(f64),
    /// It sent late by itself: the 99th percentile, in microseconds.
    Late(f64),
    /// So many connections, on average, waited for it.
    Waiting {
        /// Mean number of connections whose request was due and not sent.
        late: f64,
        /// All connections.
        connections: u64,
    },
}

impl Doubt {
    /// The verdict that it stands for.
    pub fn verdict(&self) -> Verdict {
        match self {
            Doubt::Died(Death::Server(_)) => Verdict::ServerDied,
            Doubt::Died(Death::Client(_)) => Verdict::ClientDied,
            Doubt::NotMeasured => Verdict::NotMeasured,
            Doubt::NoReplies => Verdict::NoReplies,
            Doubt::BadReplies(_) => Verdict::BadReplies,
            Doubt::Errors(_) => Verdict::Errors,
            Doubt::NotConserved(_) => Verdict::NotConserved,
            Doubt::Throttled(_) => Verdict::Throttled,
            Doubt::Disturbed(_) => Verdict::Disturbed,
            Doubt::Unaccounted(_) => Verdict::Unaccounted,
            Doubt::RateMissed { .. } => Verdict::RateMissed,
            Doubt::ClientBound(_) => Verdict::ClientBound,
            Doubt::OutOfLaw { .. } => Verdict::OutOfLaw,
            Doubt::Unstable(..) => Verdict::Unstable,
        }
    }
}

/// The doubts about a run, worst first; empty when it may be believed.
pub fn judge(evidence: &Evidence) -> Vec<Doubt> {
    let ended = match &evidence.death {
        Some(death) => [Some(Doubt::Died(death.clone())), None],
        None => [not_measured(evidence), no_replies(evidence)],
    };
    let others = [
        bad_replies(evidence),
        errors(evidence),
        not_conserved(evidence),
        throttled(evidence),
        evidence.spoilt.clone().map(Doubt::Disturbed),
        unaccounted(evidence),
        rate_missed(evidence),
        bottleneck(evidence).map(Doubt::ClientBound),
        out_of_law(evidence),
        unstable(evidence),
    ];
    ended.into_iter().chain(others).flatten().collect()
}

/// Without a slice nothing is known, good or bad, unless calibration has shown it already.
fn not_measured(evidence: &Evidence) -> Option<Doubt> {
    (evidence.cycles.is_empty() && !evidence.silent_calibration).then_some(Doubt::NotMeasured)
}

fn no_replies(evidence: &Evidence) -> Option<Doubt> {
    let silent = if evidence.cycles.is_empty() {
        evidence.silent_calibration
    } else {
        evidence.cycles.iter().all(|cycle| cycle.replies == 0)
    };
    silent.then_some(Doubt::NoReplies)
}

fn bad_replies(evidence: &Evidence) -> Option<Doubt> {
    let bad = *evidence.errors.get(BAD_REPLY)?;
    (bad > 0).then_some(Doubt::BadReplies(bad))
}

fn errors(evidence: &Evidence) -> Option<Doubt> {
    let counted = evidence
        .errors
        .iter()
        .filter(|(reason, count)| reason.as_str() != BAD_REPLY && **count > 0);
    let counted: Vec<_> = counted.map(|(reason, count)| (reason.clone(), *count)).collect();
    (!counted.is_empty()).then_some(Doubt::Errors(counted))
}

fn not_conserved(evidence: &Evidence) -> Option<Doubt> {
    let bytes = evidence.bytes?;
    let counted = [
        bytes.client_sent,
        bytes.server_received?,
        bytes.server_sent?,
        bytes.client_received,
    ];
    (counted.iter().any(|&count| count != counted[0])).then_some(Doubt::NotConserved(counted))
}

/// Quotas that cut in. Less than the limit is a stray period, which hits no quantile that is shown.
fn throttled(evidence: &Evidence) -> Option<Doubt> {
    let cut_in = |quota: &&Throttling| quota.stopped_share > THROTTLED_SHARE_MAX;
    let quotas: Vec<_> = evidence.quotas.iter().filter(cut_in).cloned().collect();
    (!quotas.is_empty()).then_some(Doubt::Throttled(quotas))
}

fn unaccounted(evidence: &Evidence) -> Option<Doubt> {
    let found = evidence.unaccounted?;
    let limit = UNACCOUNTED_PERCENT_MAX.max(UNACCOUNTED_SHARE_MAX * found.own_percent);
    (found.percent > limit).then_some(Doubt::Unaccounted(found))
}

/// The share of a cycle's requests that were replied to. What is on its way when the slice ends is not missed: by
/// Little's law as many as fall due in a typical response time, up to a limit, beyond which it is a queue.
fn replied_share(cycle: &CycleEvidence) -> Option<f64> {
    if cycle.due == 0 || cycle.seconds <= 0.0 {
        return None;
    }
    let due = cycle.due as f64;
    let on_their_way = (cycle.response_micros_p50 / 1e6 / cycle.seconds).min(ON_THEIR_WAY_SHARE_MAX);
    let in_time = cycle.replies_in_time as f64 / due + on_their_way;
    Some(in_time.min(cycle.replies as f64 / due))
}

fn rate_missed(evidence: &Evidence) -> Option<Doubt> {
    if !evidence.open_loop {
        return None;
    }
    let shares: Vec<f64> = evidence.cycles.iter().filter_map(replied_share).collect();
    let typical = statistics::median(&shares)?;
    let all = shares.iter().sum::<f64>() / shares.len() as f64;
    let share = match (typical < REPLIED_SHARE_MIN, all < REPLIED_SHARE_OF_ALL_MIN) {
        (true, _) => typical,
        (false, true) => all,
        (false, false) => return None,
    };
    // The server is to blame only when the client kept its times.
    let by_client = bottleneck(evidence).is_some();
    Some(Doubt::RateMissed { share, by_client })
}

fn bottleneck(evidence: &Evidence) -> Option<Bottleneck> {
    let of = |figure: fn(&CycleEvidence) -> f64| {
        let values: Vec<f64> = evidence.cycles.iter().map(figure).collect();
        statistics::median(&values)
    };
    let busy = of(|cycle| cycle.busy_share)?;
    let lag = of(|cycle| cycle.send_lag_micros_p99)?;
    let late = of(|cycle| cycle.late_mean)?;
    let waited = of(|cycle| cycle.waited_share)?;
    if busy > BUSY_SHARE_MAX {
        return Some(Bottleneck::Busy(busy));
    }
    // What it sends late because a reply lay unread is no send lag: to the client that reply was still under way.
    if evidence.open_loop && evidence.client_apart && waited > WAITED_SHARE_MAX {
        return Some(Bottleneck::Waited(waited));
    }
    if evidence.open_loop {
        return (lag > SEND_LAG_MICROS_MAX).then_some(Bottleneck::Late(lag));
    }
    let connections = evidence.connections;
    (late > LATE_SHARE_MAX * connections as f64).then_some(Bottleneck::Waiting { late, connections })
}

fn out_of_law(evidence: &Evidence) -> Option<Doubt> {
    if evidence.open_loop || evidence.connections == 0 {
        return None;
    }
    let accounted: Vec<f64> = evidence
        .cycles
        .iter()
        .map(|cycle| cycle.in_flight_mean + cycle.thinking_mean + cycle.late_mean)
        .collect();
    let accounted = statistics::median(&accounted)?;
    let connections = evidence.connections;
    ((accounted / connections as f64 - 1.0).abs() > LITTLE_SHARE_MAX).then_some(Doubt::OutOfLaw {
        accounted,
        connections,
    })
}

fn unstable(evidence: &Evidence) -> Option<Doubt> {
    if evidence.cycles.len() < HALVES_CYCLES_MIN {
        return None;
    }
    let rates: Vec<f64> = evidence
        .cycles
        .iter()
        .filter(|cycle| cycle.seconds > 0.0)
        .map(|cycle| cycle.replies_in_time as f64 / cycle.seconds)
        .collect();
    let (first, second) = rates.split_at(rates.len() / 2);
    let (first, second) = (statistics::median(first)?, statistics::median(second)?);
    let larger = first.max(second);
    (larger > 0.0 && (first - second).abs() / larger > HALVES_SHARE_MAX)
        .then_some(Doubt::Unstable(first, second))
}

#[cfg(test)]
mod tests;
