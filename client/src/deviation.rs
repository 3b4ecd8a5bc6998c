//! What was not as the user asked for: other load than was ordered, or a client that measured itself. Pure.

use std::fmt;

use model::pace::Pace;
use model::protocol::{Account, Slice};
use model::threshold::{REPLIED_SHARE_MIN, SEND_LAG_MICROS_MAX, STALLED_SHARE_MAX};

use crate::text::{count, time};

/// Why the load was not what was asked for.
#[derive(Debug, Clone, PartialEq)]
pub enum Deviation {
    /// Connections that carried nothing, or not to the end.
    Connections {
        /// Connections that did not stand at the end.
        missing: u64,
        /// Connections asked for.
        asked: u64,
        /// Whether an open loop's rate was shared over the others.
        rate_moved: bool,
    },
    /// Fewer replies in time than fell due.
    RateMissed(Account),
    /// Requests without a right reply, although the rate was met.
    Lost(Account),
    /// The client did not run.
    Stalled {
        /// In all, in seconds.
        seconds: f64,
        /// At once, in seconds.
        longest: f64,
    },
    /// The client sent late by itself: the 99th percentile, in microseconds.
    Late(f64),
}

/// All of them, worst first; empty when the load was what was asked for.
pub fn deviations(window: &Slice, pace: &Pace, asked: u64) -> Vec<Deviation> {
    let open = matches!(pace, Pace::Open { .. });
    let account = window.account();
    let mut found = Vec::new();
    if window.connections < asked {
        found.push(Deviation::Connections {
            missing: asked - window.connections,
            asked,
            rate_moved: open && window.connections > 0,
        });
    }
    let wanted = REPLIED_SHARE_MIN * account.due as f64;
    if open && (account.answered_in_time as f64) < wanted {
        found.push(Deviation::RateMissed(account));
    } else if account.lost > 0 {
        found.push(Deviation::Lost(account));
    }
    if window.stalled_seconds > STALLED_SHARE_MAX * window.seconds {
        found.push(Deviation::Stalled {
            seconds: window.stalled_seconds,
            longest: window.longest_stall_seconds,
        });
    }
    let lag = window
        .send_lag_micros
        .p99
        .filter(|lag| *lag > SEND_LAG_MICROS_MAX);
    found.extend(lag.filter(|_| open).map(Deviation::Late));
    found
}

impl fmt::Display for Deviation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Deviation::Connections {
                missing,
                asked,
                rate_moved,
            } => {
                write!(
                    f,
                    "{missing} of {} did not last to the end",
                    count(*asked, "connection")
                )?;
                match rate_moved {
                    true => write!(f, ", so the others carried the rate"),
                    false => Ok(()),
                }
            }
            Deviation::RateMissed(account) => write!(
                f,
                "the rate was missed: {} of {} were answered in time ({:.1} %); lower --rate, or see whether server or client is busy",
                account.answered_in_time,
                count(account.due, "due request"),
                100.0 * account.answered_in_time as f64 / account.due.max(1) as f64
            ),
            Deviation::Lost(account) => write!(
                f,
                "{} of {} got no right reply",
                account.lost,
                count(account.sent, "sent request")
            ),
            Deviation::Stalled { seconds, longest } => write!(
                f,
                "the client was stopped or had no CPU for {}, {} at once: these response times are its own",
                time(seconds * 1e6),
                time(longest * 1e6)
            ),
            Deviation::Late(micros) => write!(
                f,
                "the client was late: the p99 of its send lag is {}; give it CPUs of its own, or lower --rate",
                time(*micros)
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::pace::Arrivals;
    use model::quantiles::Quantiles;
    use model::rate::Rate;

    fn open() -> Pace {
        Pace::Open {
            rate_per_second: Rate::new(100.0).unwrap(),
            arrivals: Arrivals::Smooth,
        }
    }

    fn good() -> Slice {
        Slice {
            seconds: 3.0,
            due: 300,
            sent: 300,
            replies: 300,
            replies_in_time: 299,
            connections: 10,
            ..Slice::default()
        }
    }

    fn said(window: &Slice, pace: &Pace) -> Vec<String> {
        let found = deviations(window, pace, 10);
        found.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_load_as_asked_has_none() {
        assert_eq!(said(&good(), &open()), [""; 0]);
    }

    #[test]
    fn each_is_said_by_itself() {
        let closed = Pace::Closed { think_time_micros: 0 };
        let late = Quantiles {
            p99: Some(5_000.0),
            ..Quantiles::default()
        };
        for (window, pace, beginning) in [
            (
                Slice {
                    connections: 4,
                    ..good()
                },
                open(),
                "6 of 10 connections did not last to the end, so the others",
            ),
            (
                Slice {
                    connections: 0,
                    ..good()
                },
                closed,
                "10 of 10 connections did not last to the end",
            ),
            (
                Slice {
                    replies_in_time: 290,
                    ..good()
                },
                open(),
                "the rate was missed: 290 of 300 due requests",
            ),
            (
                Slice {
                    replies: 299,
                    ..good()
                },
                open(),
                "1 of 300 sent requests got no right reply",
            ),
            (
                Slice {
                    stalled_seconds: 2.5,
                    longest_stall_seconds: 2.0,
                    ..good()
                },
                open(),
                "the client was stopped or had no CPU for 2.50 s, 2.00 s at once",
            ),
            (
                Slice {
                    send_lag_micros: late.clone(),
                    ..good()
                },
                open(),
                "the client was late: the p99 of its send lag is 5.00 ms",
            ),
        ] {
            let said = said(&window, &pace);
            assert!(said.len() == 1 && said[0].starts_with(beginning), "{said:?}");
        }
        // A closed loop has no rate to miss and no due time to be late for.
        let slow = Slice {
            replies_in_time: 1,
            send_lag_micros: late,
            ..good()
        };
        assert_eq!(said(&slow, &closed), [""; 0]);
    }
}
