//! A rate of messages, with the only limits there are.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Messages per second: more than 0, at most [`Rate::MAX`].
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Rate(f64);

/// Why a number or text is no rate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("should be a number above 0 and at most 1e8 (messages per second)")]
pub struct RateError;

impl Rate {
    /// The highest rate that is accepted as input. One thread of the client reaches less than 1 % of it.
    pub const MAX: f64 = 1e8;

    /// A rate of so many messages per second.
    ///
    /// # Errors
    /// When the number is out of range, or none.
    pub fn new(per_second: f64) -> Result<Rate, RateError> {
        if per_second > 0.0 && per_second <= Rate::MAX {
            Ok(Rate(per_second))
        } else {
            Err(RateError)
        }
    }

    /// Messages per second.
    pub fn per_second(self) -> f64 {
        self.0
    }
}

impl TryFrom<f64> for Rate {
    type Error = RateError;

    fn try_from(per_second: f64) -> Result<Rate, RateError> {
        Rate::new(per_second)
    }
}

impl From<Rate> for f64 {
    fn from(rate: Rate) -> f64 {
        rate.0
    }
}

impl FromStr for Rate {
    type Err = RateError;

    fn from_str(text: &str) -> Result<Rate, RateError> {
        text.trim()
            .parse::<f64>()
            .map_err(|_| RateError)
            .and_then(Rate::new)
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_within_the_limits_is_a_rate() {
        for text in ["1", "0.5", "40000", "1e8", " 7 "] {
            assert!(text.parse::<Rate>().is_ok(), "{text}");
        }
        for text in ["", "0", "-1", "1.1e8", "inf", "nan", "fast"] {
            assert_eq!(text.parse::<Rate>(), Err(RateError), "{text}");
        }
        assert!(serde_json::from_str::<Rate>("0").is_err());
        assert_eq!(serde_json::to_string(&Rate(40_000.0)).unwrap(), "40000.0");
    }
}
