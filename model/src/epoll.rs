//! Options of the `epoll` engine, as a result keeps them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Options that the `epoll` engine and its yardstick `bare` are given, and nobody else. What is null is the server's
/// default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpollOptions {
    /// How listening sockets are shared.
    pub accept: Option<Accept>,
    /// How readiness is reported.
    pub trigger: Option<Trigger>,
    /// Events per wait.
    pub events: Option<usize>,
}

/// How several epolls share the listening socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Accept {
    /// One socket in every epoll.
    Shared,
    /// One socket in every epoll, added with EPOLLEXCLUSIVE.
    Exclusive,
    /// A socket per worker (SO_REUSEPORT).
    Reuseport,
}

/// How an epoll reports readiness.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    /// A change is reported once.
    Edge,
    /// A state is reported for as long as it lasts.
    Level,
}

impl Accept {
    /// All ways.
    pub const ALL: [Accept; 3] = [Accept::Shared, Accept::Exclusive, Accept::Reuseport];

    /// Its name as a flag's value.
    pub fn name(self) -> &'static str {
        match self {
            Accept::Shared => "shared",
            Accept::Exclusive => "exclusive",
            Accept::Reuseport => "reuseport",
        }
    }
}

impl Trigger {
    /// Both ways.
    pub const ALL: [Trigger; 2] = [Trigger::Edge, Trigger::Level];

    /// Its name as a flag's value.
    pub fn name(self) -> &'static str {
        match self {
            Trigger::Edge => "edge",
            Trigger::Level => "level",
        }
    }
}

impl fmt::Display for Accept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Trigger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a text is no option of `epoll`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("should be one of {0}")]
pub struct UnknownOption(String);

impl FromStr for Accept {
    type Err = UnknownOption;

    fn from_str(text: &str) -> Result<Accept, UnknownOption> {
        named(Accept::ALL, text)
    }
}

impl FromStr for Trigger {
    type Err = UnknownOption;

    fn from_str(text: &str) -> Result<Trigger, UnknownOption> {
        named(Trigger::ALL, text)
    }
}

fn named<T: fmt::Display + Copy, const N: usize>(all: [T; N], text: &str) -> Result<T, UnknownOption> {
    let found = all.into_iter().find(|option| option.to_string() == text);
    found.ok_or_else(|| UnknownOption(all.map(|option| option.to_string()).join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_read_what_they_write_and_what_is_stored() {
        for accept in Accept::ALL {
            assert_eq!(accept.to_string().parse(), Ok(accept));
            assert_eq!(serde_json::to_string(&accept).unwrap(), format!("\"{accept}\""));
        }
        for trigger in Trigger::ALL {
            assert_eq!(trigger.to_string().parse(), Ok(trigger));
            assert_eq!(serde_json::to_string(&trigger).unwrap(), format!("\"{trigger}\""));
        }
        let error = "both".parse::<Trigger>().unwrap_err().to_string();
        assert_eq!(error, "should be one of edge, level");
    }
}
