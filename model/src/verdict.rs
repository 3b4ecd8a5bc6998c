//! Whether a run may be believed, in one word.

use std::fmt;

use serde::{Deserialize, Serialize};

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
    /// A CPU quota stopped the server or the client.
    Throttled,
    /// The machine disturbed too many cycles.
    Disturbed,
    /// The servers' CPUs did much that no account explains.
    Unaccounted,
    /// Fewer replies than offered.
    RateMissed,
    /// The client was the bottleneck.
    ClientBound,
    /// Closed loop: the figures contradict Little's law. In an open loop the number in flight follows from the rate, and a
    /// server that falls behind misses that.
    #[serde(alias = "unlittle")]
    OutOfLaw,
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
            Verdict::Throttled => "throttled",
            Verdict::Disturbed => "disturbed",
            Verdict::Unaccounted => "unaccounted",
            Verdict::RateMissed => "rate-missed",
            Verdict::ClientBound => "client-bound",
            Verdict::OutOfLaw => "out-of-law",
            Verdict::Unstable => "unstable",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_is_stored() {
        for verdict in [
            Verdict::Ok,
            Verdict::NotMeasured,
            Verdict::RateMissed,
            Verdict::ServerDied,
        ] {
            assert_eq!(serde_json::to_string(&verdict).unwrap(), format!("\"{verdict}\""));
        }
    }
}
