//! When requests are due: as a client is told, and as a scenario asks for it before calibration.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::rate::Rate;

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
        rate_per_second: Rate,
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
}
