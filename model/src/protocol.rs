//! What a client is told and what it answers: the JSON that passes between the lab and its clients, and the
//! summary that a client prints.
//!
//! With `--control` a client reads a [`Command`] a line from its standard input and writes an [`Event`] a line to
//! its standard output. Its life: connect everything, [`Event::Ready`]; any number of [`Command::Slice`], each
//! answered by [`Event::Slice`] once its last reply is in; [`Command::Finish`] (or the end of its input), answered
//! by [`Event::Finished`] once every connection is closed. Without `--control` it runs one slice after its ramp
//! and warm-up, and prints the same [`Summary`].

use std::collections::BTreeMap;

use crate::pace::Pace;
use crate::quantiles::Quantiles;
use serde::{Deserialize, Serialize};

/// The most connections that a client may be asked for: more than one machine's addresses could hold.
pub const CONNECTIONS_MAX: u64 = 10_000_000;
/// The largest message that a client may be asked for, in bytes.
pub const MESSAGE_BYTES_MAX: u64 = 16 << 20;

/// What the lab tells a client.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case", deny_unknown_fields)]
pub enum Command {
    /// Put the server under load for a while, on the connections that stand.
    Slice {
        /// When requests are due.
        pace: Pace,
        /// How long requests fall due; what is under way then is still awaited.
        duration_micros: u64,
        /// Whether its messages count for [`Spread`]. Not those of a calibration or a warm-up.
        #[serde(default = "counted")]
        counted: bool,
    },
    /// Close all connections and say the totals.
    Finish,
}

/// A slice counts unless its order says otherwise.
fn counted() -> bool {
    true
}

/// What a client tells the lab.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// Every connection is established.
    Ready {
        /// How many.
        connections: u64,
        /// How long that took.
        ramp_seconds: f64,
    },
    /// A slice is over.
    Slice(Box<Slice>),
    /// Every connection is closed; nothing follows.
    Finished(Totals),
    /// The client gives up; nothing follows but its exit code.
    Failed {
        /// What went wrong, and what to change.
        why: String,
    },
}

/// What one slice brought.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Slice {
    /// How long requests fell due.
    pub seconds: f64,
    /// How long the last replies were awaited after that.
    pub drain_seconds: f64,
    /// Requests that fell due; in a closed loop, those sent.
    pub due: u64,
    /// Requests sent.
    pub sent: u64,
    /// Replies that came back whole and right, the drain's included.
    pub replies: u64,
    /// Replies that came before `seconds` were over.
    pub replies_in_time: u64,
    /// What went wrong, by reason (`bad_reply`, `reset`, `closed_by_server`, `timeout`, …).
    pub errors: BTreeMap<String, u64>,
    /// Connections that stood at the end.
    pub connections: u64,
    /// Requests in flight, averaged over `seconds`: the sum of the replied requests' times between send and reply,
    /// cut at the end of `seconds`, divided by it. A request that is never replied to is missing here.
    pub in_flight_mean: f64,
    /// Connections in their think time, averaged over `seconds` in the same way (closed loop).
    pub thinking_mean: f64,
    /// CPU time that the client process used, drain included.
    pub cpu_seconds: f64,
    /// Share of the time that the busiest thread was at work; idle spinning does not count.
    pub busy_share: f64,
    /// Share of the time that the thread which waited longest was ready to run and had no CPU; `None` where the kernel does
    /// not say.
    pub waited_share: Option<f64>,
    /// Time that the client's thread did not run although it was to, beyond [`crate::threshold::STALL_SECONDS_MIN`] at
    /// once: it was stopped, or others had its CPU. Of the thread that lost most.
    #[serde(default)]
    pub stalled_seconds: f64,
    /// The longest such stretch.
    #[serde(default)]
    pub longest_stall_seconds: f64,
    /// Message bytes sent.
    pub sent_bytes: u64,
    /// Message bytes received.
    pub received_bytes: u64,
    /// From due to reply, of all that fell due.
    pub response_micros: Quantiles,
    /// From the actual send to the reply, of all that were sent.
    pub service_micros: Quantiles,
    /// How late the client itself sent: from when the request was due *and* its connection free, to the send.
    pub send_lag_micros: Quantiles,
    /// The response times of all replies: HDR V2 in base64.
    pub response_histogram: String,
    /// Their service times, likewise.
    pub service_histogram: String,
    /// How long requests without a reply had been due: when they were given up, or else when the slice ended. Likewise;
    /// empty when each has its reply.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub response_open_histogram: String,
    /// How long sent requests without a reply had been under way. Likewise.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub service_open_histogram: String,
}

impl Slice {
    /// What became of all that fell due.
    pub fn account(&self) -> Account {
        Account {
            due: self.due,
            sent: self.sent,
            answered_in_time: self.replies_in_time,
            answered_late: self.replies.saturating_sub(self.replies_in_time),
            never_sent: self.due.saturating_sub(self.sent),
            lost: self.sent.saturating_sub(self.replies),
        }
    }
}

/// What became of the requests that fell due. `due` is `sent` and `never_sent`. `sent` is `answered_in_time`,
/// `answered_late` and `lost`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Requests that fell due; in a closed loop, those sent.
    pub due: u64,
    /// Requests that were sent.
    pub sent: u64,
    /// Right replies before the end.
    pub answered_in_time: u64,
    /// Right replies after the end.
    pub answered_late: u64,
    /// Requests that fell due and were not sent before the end.
    pub never_sent: u64,
    /// Requests that were sent and got no right reply.
    pub lost: u64,
}

/// What a client did in its whole life, warm-up and ramp included.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Totals {
    /// Connections established in all.
    pub connections: u64,
    /// Requests sent.
    pub sent: u64,
    /// Replies that came back whole and right.
    pub replies: u64,
    /// What went wrong, by reason.
    pub errors: BTreeMap<String, u64>,
    /// Message bytes sent.
    pub sent_bytes: u64,
    /// Message bytes received.
    pub received_bytes: u64,
    /// CPU time that the client process used.
    pub cpu_seconds: f64,
    /// How the messages of all counted slices were spread over the connections; `None` when no slice was counted.
    #[serde(default)]
    pub spread: Option<Spread>,
}

/// How the messages of the counted slices were spread over the connections that stood when one of these began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spread {
    /// Connections that carried at least one message.
    pub connections_used: u64,
    /// Messages sent on the connection that carried the fewest, which may be 0.
    pub messages_fewest: u64,
    /// Messages sent on the connection that carried the most.
    pub messages_most: u64,
}

impl Spread {
    /// The spread over the connections of both.
    pub fn and(self, other: Spread) -> Spread {
        Spread {
            connections_used: self.connections_used + other.connections_used,
            messages_fewest: self.messages_fewest.min(other.messages_fewest),
            messages_most: self.messages_most.max(other.messages_most),
        }
    }
}

/// What a client prints with `--json` when it runs on its own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// The version of this format.
    pub schema: u32,
    /// The client's version.
    pub version: String,
    /// The server's address as given.
    pub target: String,
    /// The address that answered.
    #[serde(default)]
    pub address: String,
    /// Connections asked for.
    pub connections: u64,
    /// Bytes of a message.
    pub message_bytes: u64,
    /// When requests were due.
    pub pace: Pace,
    /// How long the ramp took.
    pub ramp_seconds: f64,
    /// What became of the requests of the window.
    #[serde(default)]
    pub account: Account,
    /// What was not as asked for, in words, worst first; empty when the load was what was asked for.
    #[serde(default)]
    pub deviations: Vec<String>,
    /// The measured window.
    pub window: Slice,
    /// The whole life.
    pub totals: Totals,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pace::Arrivals;
    use crate::rate::Rate;

    #[test]
    fn commands_and_events_are_one_line_of_json() {
        let pace = Pace::Open {
            rate_per_second: Rate::new(40_000.0).unwrap(),
            arrivals: Arrivals::Burst {
                interval_micros: 1000,
            },
        };
        let command = Command::Slice {
            pace,
            duration_micros: 250_000,
            counted: false,
        };
        let text = serde_json::to_string(&command).unwrap();
        assert_eq!(
            text,
            r#"{"command":"slice","pace":{"kind":"open","rate_per_second":40000.0,"arrivals":"burst 1ms"},"duration_micros":250000,"counted":false}"#
        );
        assert_eq!(serde_json::from_str::<Command>(&text).unwrap(), command);
        // An order that does not say so counts.
        let silent = text.replace(r#","counted":false"#, "");
        assert!(matches!(
            serde_json::from_str(&silent).unwrap(),
            Command::Slice { counted: true, .. }
        ));
        let event = Event::Slice(Box::default());
        let text = serde_json::to_string(&event).unwrap();
        assert!(!text.contains('\n'));
        assert_eq!(serde_json::from_str::<Event>(&text).unwrap(), event);
    }
}
