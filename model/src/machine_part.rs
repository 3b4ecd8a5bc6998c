//! What the machine did to a run beside the contender: quotas that stopped a side, CPU time that nobody accounts for,
//! programs that took CPU.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A side of a measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The contender's processes.
    Server,
    /// The load generator.
    Client,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Side::Server => "server",
            Side::Client => "client",
        })
    }
}

/// A CPU quota that holds for one side.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Throttling {
    /// For which side.
    pub side: Side,
    /// The file that sets it.
    pub file: String,
    /// What stands there: microseconds of CPU time per period, and the period.
    pub value: String,
    /// How long it stopped threads during the slices, in seconds over all CPUs.
    pub stopped_seconds: f64,
    /// The same over the time of the slices.
    pub stopped_share: f64,
}

/// CPU time on the servers' CPUs that no account explains.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Unaccounted {
    /// In percent of one core, beyond what is so for the contender with the least.
    pub percent: f64,
    /// What the contender's own account says, in percent of one core.
    pub own_percent: f64,
}

/// A program, or a thread of the kernel, that took CPU from servers and clients.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Taker {
    /// In which scenario.
    pub scenario: String,
    /// Its name, as the kernel keeps it.
    pub name: String,
    /// Its process number.
    pub pid: i32,
    /// Whether it is a thread of the kernel's own.
    pub kernel: bool,
    /// CPU time that it took while slices ran, in seconds.
    pub seconds: f64,
    /// How long the slices took, in seconds.
    pub watched_seconds: f64,
}
