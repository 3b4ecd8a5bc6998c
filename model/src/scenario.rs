//! Scenarios: TOML in, a validated [`Scenario`] out. Unknown keys are errors.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::pace::Arrivals;
use crate::protocol::{CONNECTIONS_MAX, MESSAGE_BYTES_MAX};
use crate::rate::Rate;

/// The share of the slowest contender's capacity that is offered to all when nothing else is said: enough to keep
/// a server busy, far enough from saturation that queues stay short and the same work is done by all.
const DEFAULT_SHARE: f64 = 0.6;
/// The original experiment's message.
const DEFAULT_MESSAGE_BYTES: u64 = 100;
/// Short, so that a machine's drift hits all contenders alike.
const DEFAULT_SLICE: Duration = Duration::from_millis(250);
/// Starts of each contender: two starts of one server differ, so the interval comes from them.
const DEFAULT_ROUNDS: u32 = 6;
/// Slices of each contender per start.
const DEFAULT_CYCLES: u32 = 5;
/// More rounds than anyone waits for.
pub const ROUNDS_MAX: u32 = 10_000;
/// What is asked of every contender, validated.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scenario {
    /// Its name, by which results and rules refer to it.
    pub name: String,
    /// One line on what it stands for.
    pub about: String,
    /// Connections to each contender.
    pub connections: u64,
    /// Bytes of a message.
    pub message_bytes: u64,
    /// When requests are due.
    pub pace: Load,
    /// How long a slice is, in microseconds.
    pub slice_micros: u64,
    /// Starts of each contender.
    #[serde(default = "one")]
    pub rounds: u32,
    /// Slices of each contender per round.
    pub cycles: u32,
}

/// Rounds in results of schema 1.
fn one() -> u32 {
    1
}

/// When requests are due, before calibration has filled in the rate.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Load {
    /// On every connection a think time after the previous reply.
    Closed {
        /// The think time in microseconds.
        think_time_micros: u64,
    },
    /// At a fixed rate over all connections.
    Open {
        /// The rate.
        rate: Offer,
        /// How the due times lie in time.
        arrivals: Arrivals,
    },
}

/// What an open loop offers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Offer {
    /// This share (0 to 1) of the slowest contender's closed-loop capacity.
    AutoShare(f64),
    /// So many messages per second.
    PerSecond(Rate),
}

/// What the command line changes in every scenario.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Overrides {
    /// Connections to each contender.
    pub connections: Option<u64>,
    /// Bytes of a message.
    pub message_bytes: Option<u64>,
    /// The rate of open loops; the outer `Some(None)` is `auto` with the scenario's own share.
    pub rate: Option<Option<Rate>>,
    /// Arrivals of open loops.
    pub arrivals: Option<Arrivals>,
    /// Think time of closed loops.
    pub think_time: Option<Duration>,
    /// Length of a slice.
    pub slice: Option<Duration>,
    /// Starts of each contender.
    pub rounds: Option<u32>,
    /// Slices of each contender per round.
    pub cycles: Option<u32>,
}

/// Why a text or file is no scenario.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScenarioError {
    /// Neither built in nor a file.
    #[error("there is no scenario `{name}`: choose among {known}, or give the path of a .toml file")]
    Unknown {
        /// As given.
        name: String,
        /// What would have been possible.
        known: String,
    },
    /// The file cannot be read.
    #[error("cannot read the scenario {path}: {why}")]
    Unreadable {
        /// As given.
        path: String,
        /// What the system said.
        why: String,
    },
    /// Not TOML, or a key too many or too few.
    #[error("scenario {origin}: {why}")]
    Malformed {
        /// The file, or the name of the built-in scenario.
        origin: String,
        /// What is wrong and what to write instead.
        why: String,
    },
    /// A value that cannot be.
    #[error("scenario {origin}: {key} = {value} {why}")]
    Invalid {
        /// The file, or the name of the built-in scenario.
        origin: String,
        /// What it is a value of.
        key: &'static str,
        /// The value.
        value: String,
        /// What it should be, to be read after key and value.
        why: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: Option<String>,
    about: Option<String>,
    connections: u64,
    message_bytes: Option<u64>,
    pace: PaceName,
    rate: Option<toml::Value>,
    share: Option<f64>,
    arrivals: Option<Arrivals>,
    think_time: Option<String>,
    slice: Option<String>,
    rounds: Option<u32>,
    cycles: Option<u32>,
}

#[derive(Deserialize, Clone, Copy, PartialEq)]
#[serde(rename_all = "snake_case")]
enum PaceName {
    Open,
    Closed,
}

impl Scenario {
    /// Reads TOML. `origin` names it in errors; `default_name` is its name unless it says another.
    ///
    /// # Errors
    /// When the text is not TOML, has an unknown key, lacks one, or a value cannot be.
    pub fn parse(text: &str, origin: &str, default_name: &str) -> Result<Scenario, ScenarioError> {
        let invalid = |why: String| ScenarioError::Malformed {
            origin: origin.to_owned(),
            why,
        };
        let file: File =
            toml::from_str(text).map_err(|error| invalid(error.to_string().trim_end().to_owned()))?;
        let pace = pace(&file).map_err(invalid)?;
        let slice = match &file.slice {
            Some(text) => duration("slice", text).map_err(invalid)?,
            None => DEFAULT_SLICE,
        };
        let scenario = Scenario {
            name: file.name.unwrap_or_else(|| default_name.to_owned()),
            about: file.about.unwrap_or_default(),
            connections: file.connections,
            message_bytes: file.message_bytes.unwrap_or(DEFAULT_MESSAGE_BYTES),
            pace,
            slice_micros: slice.as_micros() as u64,
            rounds: file.rounds.unwrap_or(DEFAULT_ROUNDS),
            cycles: file.cycles.unwrap_or(DEFAULT_CYCLES),
        };
        scenario.checked(origin)
    }

    /// This scenario with what the command line changes.
    ///
    /// # Errors
    /// When the changed scenario cannot be; the message names key and value.
    pub fn with(mut self, overrides: &Overrides) -> Result<Scenario, ScenarioError> {
        self.connections = overrides.connections.unwrap_or(self.connections);
        self.message_bytes = overrides.message_bytes.unwrap_or(self.message_bytes);
        self.rounds = overrides.rounds.unwrap_or(self.rounds);
        self.cycles = overrides.cycles.unwrap_or(self.cycles);
        if let Some(slice) = overrides.slice {
            self.slice_micros = slice.as_micros() as u64;
        }
        match &mut self.pace {
            Load::Closed { think_time_micros } => {
                if let Some(think_time) = overrides.think_time {
                    *think_time_micros = think_time.as_micros() as u64;
                }
            }
            Load::Open { rate, arrivals } => {
                *arrivals = overrides.arrivals.unwrap_or(*arrivals);
                *rate = match (overrides.rate, *rate) {
                    (Some(Some(per_second)), _) => Offer::PerSecond(per_second),
                    (Some(None), Offer::PerSecond(_)) => Offer::AutoShare(DEFAULT_SHARE),
                    (_, unchanged) => unchanged,
                };
            }
        }
        let origin = self.name.clone();
        self.checked(&origin)
    }

    /// How long a slice is.
    pub fn slice(&self) -> Duration {
        Duration::from_micros(self.slice_micros)
    }

    fn checked(self, origin: &str) -> Result<Scenario, ScenarioError> {
        let invalid = |key: &'static str, value: &dyn std::fmt::Display, why: String| {
            Err(ScenarioError::Invalid {
                origin: origin.to_owned(),
                key,
                value: value.to_string(),
                why,
            })
        };
        let between = |most: u64| format!("should be between 1 and {most}");
        let named = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if self.name.is_empty() || !self.name.chars().all(named) {
            let should = "should consist of letters, digits, `-`, `_` and `.`";
            return invalid("name", &format!("{:?}", self.name), should.to_owned());
        }
        if self.connections == 0 || self.connections > CONNECTIONS_MAX {
            return invalid("connections", &self.connections, between(CONNECTIONS_MAX));
        }
        if self.message_bytes == 0 || self.message_bytes > MESSAGE_BYTES_MAX {
            return invalid("message_bytes", &self.message_bytes, between(MESSAGE_BYTES_MAX));
        }
        if self.rounds == 0 || self.rounds > ROUNDS_MAX {
            return invalid("rounds", &self.rounds, between(ROUNDS_MAX.into()));
        }
        if self.cycles == 0 {
            return invalid("cycles", &0, "measures nothing: choose 1 or more".to_owned());
        }
        if self.slice() < Duration::from_millis(10) || self.slice() > Duration::from_secs(3600) {
            let slice = humantime::format_duration(self.slice());
            return invalid("slice", &slice, "should be between 10ms and 1h".to_owned());
        }
        if let Load::Open { rate, .. } = self.pace {
            match rate {
                Offer::AutoShare(share) if !(share > 0.0 && share <= 1.0) => {
                    let should = "should be more than 0 and at most 1 (of the slowest contender's capacity)";
                    return invalid("share", &share, should.to_owned());
                }
                _ => {}
            }
        }
        Ok(self)
    }
}

impl std::fmt::Display for Load {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Load::Closed { think_time_micros } => {
                let think_time = Duration::from_micros(*think_time_micros);
                write!(
                    f,
                    "closed loop, think time {}",
                    humantime::format_duration(think_time)
                )
            }
            Load::Open { rate, arrivals } => match rate {
                Offer::AutoShare(share) => write!(
                    f,
                    "open loop at {:.0} % of the slowest contender's capacity, {arrivals} arrivals",
                    share * 100.0
                ),
                Offer::PerSecond(rate) => {
                    write!(f, "open loop at {rate} messages/s, {arrivals} arrivals")
                }
            },
        }
    }
}

fn pace(file: &File) -> Result<Load, String> {
    let belongs = |key: &str, pace: &str| format!("`{key}` belongs to pace = \"{pace}\": remove one of them");
    match file.pace {
        PaceName::Closed => {
            for (key, given) in [
                ("rate", file.rate.is_some()),
                ("share", file.share.is_some()),
                ("arrivals", file.arrivals.is_some()),
            ] {
                if given {
                    return Err(belongs(key, "open"));
                }
            }
            let think_time = match &file.think_time {
                Some(text) => duration("think_time", text)?,
                None => Duration::ZERO,
            };
            Ok(Load::Closed {
                think_time_micros: think_time.as_micros() as u64,
            })
        }
        PaceName::Open => {
            if file.think_time.is_some() {
                return Err(belongs("think_time", "closed"));
            }
            let auto = Offer::AutoShare(file.share.unwrap_or(DEFAULT_SHARE));
            let rate = match &file.rate {
                None => auto,
                Some(toml::Value::String(text)) if text == "auto" => auto,
                Some(toml::Value::Integer(rate)) => per_second(*rate as f64)?,
                Some(toml::Value::Float(rate)) => per_second(*rate)?,
                Some(toml::Value::String(text)) => {
                    return Err(format!("rate = {text:?} should be \"auto\" or a number"));
                }
                Some(other) => {
                    return Err(format!(
                        "rate should be \"auto\" or a number of messages per second, not of type {}",
                        other.type_str()
                    ));
                }
            };
            if matches!(rate, Offer::PerSecond(_)) && file.share.is_some() {
                return Err("`share` belongs to rate = \"auto\": remove one of them".to_owned());
            }
            Ok(Load::Open {
                rate,
                arrivals: file.arrivals.unwrap_or(Arrivals::Smooth),
            })
        }
    }
}

fn per_second(rate: f64) -> Result<Offer, String> {
    Rate::new(rate)
        .map(Offer::PerSecond)
        .map_err(|why| format!("rate = {rate} {why}, or \"auto\""))
}

fn duration(key: &str, text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .map_err(|error| format!("{key} = {text:?} is no duration ({error}): write it like \"250ms\""))
}

#[cfg(test)]
mod tests;
