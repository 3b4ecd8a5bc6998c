//! Pure: is a run to be believed, and if not, why, in plain words and with a remedy.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::result::Bytes;
use crate::spoilt::Cause;
use crate::stats;

/// Open loop: the typical cycle must bring at least this share of what fell due.
pub const REPLIED_SHARE_MIN: f64 = 0.99;
/// Open loop: all cycles together must bring at least this share; one bad cycle of dozens is the machine's.
pub const REPLIED_SHARE_OF_ALL_MIN: f64 = 0.95;
/// Open loop: at most this share of a slice's requests may be excused as still on their way when the slice ends.
pub const ON_THEIR_WAY_SHARE_MAX: f64 = 0.05;
/// The client's busiest thread may be at work for this share of the time.
pub const BUSY_SHARE_MAX: f64 = 0.90;
/// Open loop: the 99th percentile of how late the client itself sends.
pub const SEND_LAG_MICROS_MAX: f64 = 1_000.0;
/// Open loop: the client may be ready to run and without a CPU for this share of a slice.
pub const WAITED_SHARE_MAX: f64 = 0.25;
/// Closed loop: this share of the connections may wait for a client that sends late.
pub const LATE_SHARE_MAX: f64 = 0.05;
/// Closed loop: connections in flight, thinking or waiting for the client may differ by this share from the connections there are.
pub const LITTLE_SHARE_MAX: f64 = 0.05;
/// The rates of the two halves of a run may differ by this share.
pub const HALVES_SHARE_MAX: f64 = 0.10;
/// Fewer cycles have no halves to compare.
pub const HALVES_CYCLES_MIN: usize = 4;
/// An idle contender may use this much CPU, in percent of one core; more disturbs the others.
pub const IDLE_CPU_PERCENT_MAX: f64 = 1.0;

/// Other programs may use this much CPU, in percent of one core, before they are named beside a verdict.
pub const OTHERS_CPU_PERCENT_MAX: f64 = 10.0;

/// The client's name for a reply that is not what was sent.
const BAD_REPLY: &str = "bad_reply";

/// Whether a run may be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It may.
    Ok,
    /// The server ended before the run did.
    ServerDied,
    /// The client ended before the run did.
    ClientDied,
    /// The lab was stopped before its first slice ended.
    NotMeasured,
    /// Not one right reply, so nothing was measured.
    NoReplies,
    /// Replies were not what was sent.
    BadReplies,
    /// Connections were lost or requests never answered.
    Errors,
    /// Bytes were lost or invented on the way.
    NotConserved,
    /// The machine disturbed too many cycles.
    Disturbed,
    /// Fewer replies than offered.
    RateMissed,
    /// The client was the bottleneck.
    ClientBound,
    /// Closed loop: the figures contradict Little's law. In an open loop the number in flight follows from the rate, and a
    /// server that falls behind misses that.
    Unlittle,
    /// The run changed its pace on the way.
    Unstable,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Verdict::Ok => "ok",
            Verdict::ServerDied => "server-died",
            Verdict::ClientDied => "client-died",
            Verdict::NotMeasured => "not-measured",
            Verdict::NoReplies => "no-replies",
            Verdict::BadReplies => "bad-replies",
            Verdict::Errors => "errors",
            Verdict::NotConserved => "not-conserved",
            Verdict::Disturbed => "disturbed",
            Verdict::RateMissed => "rate-missed",
            Verdict::ClientBound => "client-bound",
            Verdict::Unlittle => "unlittle",
            Verdict::Unstable => "unstable",
        })
    }
}

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

/// A verdict with its reason: what was seen, what it means, what to change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The verdict.
    pub verdict: Verdict,
    /// In plain words.
    pub reason: String,
}

/// The findings of a run, worst first; empty when it may be believed.
pub fn judge(evidence: &Evidence) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut find = |verdict, reason: Option<String>| {
        if let Some(reason) = reason {
            findings.push(Finding { verdict, reason });
        }
    };
    match &evidence.death {
        Some(Death::Server(why)) => find(
            Verdict::ServerDied,
            Some(format!(
                "the server ended before the run did ({why}); what was measured until then is shown. See why it ended, then run again."
            )),
        ),
        Some(Death::Client(why)) => find(
            Verdict::ClientDied,
            Some(format!(
                "the client ended before the run did ({why}); what was measured until then is shown."
            )),
        ),
        None => {
            find(Verdict::NotMeasured, not_measured(evidence));
            find(Verdict::NoReplies, no_replies(evidence));
        }
    }
    find(Verdict::BadReplies, bad_replies(evidence));
    find(Verdict::Errors, errors(evidence));
    find(Verdict::NotConserved, not_conserved(evidence));
    find(Verdict::Disturbed, disturbed(evidence));
    find(Verdict::RateMissed, rate_missed(evidence));
    find(Verdict::ClientBound, client_bound(evidence));
    find(Verdict::Unlittle, unlittle(evidence));
    find(Verdict::Unstable, unstable(evidence));
    findings
}

/// Without a slice nothing is known, good or bad, unless calibration has shown it already.
fn not_measured(evidence: &Evidence) -> Option<String> {
    (evidence.cycles.is_empty() && !evidence.silent_calibration).then(|| {
        "it was stopped before its first slice ended, so nothing was measured. Run again, and let it go on longer.".to_owned()
    })
}

fn no_replies(evidence: &Evidence) -> Option<String> {
    let silent = if evidence.cycles.is_empty() {
        evidence.silent_calibration
    } else {
        evidence.cycles.iter().all(|cycle| cycle.replies == 0)
    };
    silent.then(|| {
        "not one right reply came back, so there is nothing to measure. Check that it is an echo service: it sends back every byte, in order.".to_owned()
    })
}

fn bad_replies(evidence: &Evidence) -> Option<String> {
    let bad = *evidence.errors.get(BAD_REPLY)?;
    (bad > 0).then(|| {
        format!(
            "{bad} replies were not what had been sent; its figures are those of a server that does other work. An echo service sends back every byte, once, in order."
        )
    })
}

fn errors(evidence: &Evidence) -> Option<String> {
    let listed: Vec<_> = evidence
        .errors
        .iter()
        .filter(|(reason, count)| reason.as_str() != BAD_REPLY && **count > 0)
        .map(|(reason, count)| format!("{count} × {reason}"))
        .collect();
    (!listed.is_empty()).then(|| {
        format!(
            "connections were lost or requests never answered ({}), so the load was not the one that was asked for. Look at the server's own log and limits.",
            listed.join(", ")
        )
    })
}

fn not_conserved(evidence: &Evidence) -> Option<String> {
    let bytes = evidence.bytes?;
    let counted = [
        bytes.client_sent,
        bytes.server_received?,
        bytes.server_sent?,
        bytes.client_received,
    ];
    (counted.iter().any(|&count| count != counted[0])).then(|| {
        format!(
            "bytes got lost on the way: the client sent {}, the server received {} and sent {}, the client received {}. All four are equal when every byte is echoed.",
            counted[0], counted[1], counted[2], counted[3]
        )
    })
}

fn disturbed(evidence: &Evidence) -> Option<String> {
    let Disturbance {
        spoilt,
        cycles,
        causes,
    } = evidence.spoilt.as_ref()?;
    let causes: Vec<_> = causes.iter().map(ToString::to_string).collect();
    Some(format!(
        "the machine disturbed {spoilt} of {cycles} cycles ({}), so too few are left. Stop other programs, or wait for a quiet machine.",
        causes.join("; ")
    ))
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

fn rate_missed(evidence: &Evidence) -> Option<String> {
    if !evidence.open_loop {
        return None;
    }
    let shares: Vec<f64> = evidence.cycles.iter().filter_map(replied_share).collect();
    let typical = stats::median(&shares)?;
    let all = shares.iter().sum::<f64>() / shares.len() as f64;
    let share = match (typical < REPLIED_SHARE_MIN, all < REPLIED_SHARE_OF_ALL_MIN) {
        (true, _) => typical,
        (false, true) => all,
        (false, false) => return None,
    };
    // The server is to blame only when the client kept its times.
    let why = match client_bound(evidence) {
        Some(_) => {
            "because of the client (see client-bound): CPU and latency are not those of the offered load."
        }
        None => {
            "so CPU and latency are those of an overloaded server. Offer less (--rate), or give the servers more CPUs."
        }
    };
    Some(format!(
        "only {:.1} % of what was offered was replied to in time, {why}",
        share * 100.0
    ))
}

fn client_bound(evidence: &Evidence) -> Option<String> {
    let of = |figure: fn(&CycleEvidence) -> f64| {
        let values: Vec<f64> = evidence.cycles.iter().map(figure).collect();
        stats::median(&values)
    };
    let busy = of(|cycle| cycle.busy_share)?;
    let lag = of(|cycle| cycle.send_lag_micros_p99)?;
    let late = of(|cycle| cycle.late_mean)?;
    let waited = of(|cycle| cycle.waited_share)?;
    let remedy = "so it may be the client that was measured. Give it more CPUs (--client-cpus), or offer less (--rate).";
    if busy > BUSY_SHARE_MAX {
        let percent = busy * 100.0;
        return Some(format!(
            "the client's busiest thread was at work {percent:.0} % of the time, {remedy}"
        ));
    }
    // What it sends late because a reply lay unread is no send lag: to the client that reply was still under way.
    if evidence.open_loop && evidence.client_apart && waited > WAITED_SHARE_MAX {
        let percent = waited * 100.0;
        return Some(format!(
            "the client waited for a CPU {percent:.0} % of the time, because other programs had it, {remedy}"
        ));
    }
    if evidence.open_loop {
        return (lag > SEND_LAG_MICROS_MAX).then(|| {
            let millis = lag / 1000.0;
            format!("the client sent late by itself ({millis:.1} ms at the 99th percentile), {remedy}")
        });
    }
    (late > LATE_SHARE_MAX * evidence.connections as f64).then(|| {
        format!(
            "the client sent late by itself: {late:.1} of {} connections were waiting for it, {remedy}",
            evidence.connections
        )
    })
}

fn unlittle(evidence: &Evidence) -> Option<String> {
    if evidence.open_loop || evidence.connections == 0 {
        return None;
    }
    let accounted: Vec<f64> = evidence
        .cycles
        .iter()
        .map(|cycle| cycle.in_flight_mean + cycle.thinking_mean + cycle.late_mean)
        .collect();
    let accounted = stats::median(&accounted)?;
    let connections = evidence.connections as f64;
    ((accounted / connections - 1.0).abs() > LITTLE_SHARE_MAX).then(|| {
        format!(
            "throughput × mean time accounts for {accounted:.1} of {connections:.0} connections: the figures contradict each other (Little's law), as when requests are never answered. Look for lost replies and a stalled client."
        )
    })
}

fn unstable(evidence: &Evidence) -> Option<String> {
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
    let (first, second) = (stats::median(first)?, stats::median(second)?);
    let larger = first.max(second);
    (larger > 0.0 && (first - second).abs() / larger > HALVES_SHARE_MAX).then(|| {
        format!(
            "it changed its pace: {first:.0} messages/s in its first half, {second:.0} in its second. Let it run longer (--cycles), and see what else this machine does."
        )
    })
}

#[cfg(test)]
mod tests;
