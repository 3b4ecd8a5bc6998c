//! What a client is told and what it answers: the JSON that passes between the lab and its clients, and the
//! summary that a client prints.
//!
//! With `--control` a client reads a [`Command`] a line from its standard input and writes an [`Event`] a line to
//! its standard output. Its life: connect everything, [`Event::Ready`]; any number of [`Command::Slice`], each
//! answered by [`Event::Slice`] once its last reply is in; [`Command::Finish`] (or the end of its input), answered
//! by [`Event::Finished`] once every connection is closed. Without `--control` it runs one slice after its ramp
//! and warm-up, and prints the same [`Summary`].

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use telemetry::latency::Latency;

/// When the next request is due.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Pace {
    /// On every connection the next request is due a think time after the previous reply.
    Closed {
        /// The think time; 0 for as fast as replies come.
        think_time_micros: u64,
    },
    /// Requests fall due at a fixed rate over all connections, whatever the replies do.
    Open {
        /// Requests due per second, over all connections.
        rate_per_second: f64,
        /// How the due times lie in time.
        arrivals: Arrivals,
    },
}

/// How the due times of an open loop lie in time. Written `smooth`, `poisson` or `burst 1ms`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrivals {
    /// Evenly: each request at its own due time, the client spins rather than oversleep.
    Smooth,
    /// At random, independent of each other, seeded: exponential gaps.
    Poisson,
    /// All that fall due within one interval go out together at its end.
    Burst {
        /// The interval; more than 0.
        interval_micros: u64,
    },
}

impl fmt::Display for Arrivals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Arrivals::Smooth => f.write_str("smooth"),
            Arrivals::Poisson => f.write_str("poisson"),
            Arrivals::Burst { interval_micros } if interval_micros % 1000 == 0 => {
                write!(f, "burst {}ms", interval_micros / 1000)
            }
            Arrivals::Burst { interval_micros } => write!(f, "burst {interval_micros}us"),
        }
    }
}

/// Why a text names no arrivals.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is none of `smooth`, `poisson` and `burst INTERVAL` (such as `burst 1ms`)")]
pub struct ParseArrivalsError(String);

impl FromStr for Arrivals {
    type Err = ParseArrivalsError;

    fn from_str(text: &str) -> Result<Arrivals, ParseArrivalsError> {
        let unknown = || ParseArrivalsError(text.to_owned());
        match text.trim().split_once(char::is_whitespace) {
            None if text.trim() == "smooth" => Ok(Arrivals::Smooth),
            None if text.trim() == "poisson" => Ok(Arrivals::Poisson),
            Some(("burst", interval)) => {
                let interval = humantime::parse_duration(interval.trim()).map_err(|_| unknown())?;
                match u64::try_from(interval.as_micros()) {
                    Ok(interval_micros) if interval_micros > 0 => Ok(Arrivals::Burst { interval_micros }),
                    _ => Err(unknown()),
                }
            }
            _ => Err(unknown()),
        }
    }
}

impl Serialize for Arrivals {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Arrivals {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Arrivals, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

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
    /// Message bytes sent.
    pub sent_bytes: u64,
    /// Message bytes received.
    pub received_bytes: u64,
    /// From due to reply.
    pub response_micros: Quantiles,
    /// From the actual send to the reply.
    pub service_micros: Quantiles,
    /// How late the client itself sent: from when the request was due *and* its connection free, to the send.
    pub send_lag_micros: Quantiles,
    /// All response times: HDR V2 in base64.
    pub response_histogram: String,
    /// All service times, likewise.
    pub service_histogram: String,
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
    /// Connections asked for.
    pub connections: u64,
    /// Bytes of a message.
    pub message_bytes: u64,
    /// When requests were due.
    pub pace: Pace,
    /// How long the ramp took.
    pub ramp_seconds: f64,
    /// The measured window.
    pub window: Slice,
    /// The whole life.
    pub totals: Totals,
}

/// The quantiles of one distribution of times, in microseconds; all 0 when nothing was counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Quantiles {
    /// The mean.
    pub mean: f64,
    /// Half are faster.
    pub p50: f64,
    /// Nine of ten are faster.
    pub p90: f64,
    /// 99 of 100 are faster.
    pub p99: f64,
    /// 999 of 1,000 are faster.
    pub p999: f64,
    /// The slowest.
    pub max: f64,
}

impl From<&Latency> for Quantiles {
    fn from(latency: &Latency) -> Quantiles {
        Quantiles {
            mean: latency.mean_micros(),
            p50: latency.quantile_micros(0.5),
            p90: latency.quantile_micros(0.9),
            p99: latency.quantile_micros(0.99),
            p999: latency.quantile_micros(0.999),
            max: latency.max_micros(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrivals_read_what_they_write() {
        for text in ["smooth", "poisson", "burst 1ms", "burst 250us"] {
            assert_eq!(text.parse::<Arrivals>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "Smooth",
            "burst",
            "burst 0ms",
            "burst -1ms",
            "burst x",
            "poisson 3",
        ] {
            let error = text.parse::<Arrivals>().unwrap_err().to_string();
            assert!(error.contains(&format!("`{text}`")), "{error}");
        }
    }

    #[test]
    fn commands_and_events_are_one_line_of_json() {
        let pace = Pace::Open {
            rate_per_second: 40_000.0,
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
