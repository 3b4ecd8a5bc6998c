//! The validated configuration: what it says can be done, as far as can be told before starting.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use sys::cpu::CpuSet;

use crate::contender::Contender;
use crate::epoll::EpollOptions;
use crate::rule::{Rule, Undecided};
use crate::scenario::Scenario;

/// What the lab is to do. Stored whole with every result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// One after the other.
    pub scenarios: Vec<Scenario>,
    /// Whether the connections are what a flag says rather than the scenarios: too many are a fault of the input then.
    #[serde(skip)]
    pub connections_by_flag: bool,
    /// Who takes part, in order.
    pub contenders: Vec<Contender>,
    /// To whom all others are compared: one of the contenders.
    pub baseline: String,
    /// Threads that each server may work with; given to all alike.
    pub workers: usize,
    /// Threads of each client.
    pub client_threads: usize,
    /// Which CPUs are whose.
    pub cpus: CpuPlan,
    /// What is passed to the `epoll` engine; what is null is the server's default.
    pub epoll: EpollOptions,
    /// Seeds the order of starts and of slices, the bootstrap and the clients' random arrivals.
    pub seed: u64,
    /// Whether rounds go on until intervals are narrow; absent for a fixed number of rounds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Until>,
    /// How long a further round waits until servers that the lab did not start run as new processes; absent for not at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub await_restarts_seconds: Option<f64>,
    /// How long the lab waits for a quiet machine before it starts anything, in seconds; absent for not at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait_quiet_seconds: Option<f64>,
    /// Where results go: a folder for each result.
    pub output: PathBuf,
    /// When one of these holds, the lab fails.
    pub fail_if: Vec<Rule>,
    /// What an undecided rule means.
    #[serde(default)]
    pub undecided: Undecided,
    /// Contenders that the user named: the lab fails when they do not take part.
    #[serde(default)]
    pub named: Vec<String>,
    /// Whether to start again after the last scenario, until stopped.
    pub repeat: bool,
    /// Seconds of the profile that is taken of each contender after its measured slices; null for none.
    #[serde(default)]
    pub profile_seconds: Option<u32>,
    /// Samples for each second of CPU time that our servers take of themselves, and whether others are asked for a profile
    /// before their measured slices, so that dashboards show what the CPU goes into; absent for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile_hz: Option<NonZeroU32>,
    /// Where the lab's own metrics are served.
    pub metrics: Option<SocketAddr>,
    /// Where the clients' metrics are served: the client of the first contender on this port, the next one on the
    /// next port.
    pub client_metrics: Option<SocketAddr>,
    /// What `lab sweep` varies; absent for `lab run`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sweep: Option<Sweep>,
}

/// When a scenario has had enough rounds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Until {
    /// Every interval of CPU per message ends at most this share from its ratio.
    pub half_width: f64,
    /// No further round of a scenario begins after this time.
    pub max_time_seconds: f64,
}

/// One parameter, varied over the runs of a result, to see how cost grows with it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sweep {
    /// What is varied, as the flag without its dashes: `connections`, `rate`, `workers`, `linger`, `message-bytes`.
    pub parameter: String,
    /// The contenders before their point's suffix: one line in a chart each.
    pub families: Vec<String>,
    /// Those of them that the parameter does not touch: they take part once, under their own name, and are shown at the
    /// first point.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub once: Vec<String>,
    /// The values, ascending.
    pub points: Vec<SweepPoint>,
}

impl Sweep {
    /// The contender whose run in the point's scenario is that of a family at this point.
    pub fn contender(&self, family: &str, point: &SweepPoint) -> String {
        let once = self.once.iter().any(|once| once == family);
        if once && self.points.first() == Some(point) {
            family.to_owned()
        } else {
            format!("{family}{}", point.suffix)
        }
    }
}

/// One value of a [`Sweep`], and where its runs are: [`Sweep::contender`] says whose in `scenario`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SweepPoint {
    /// The value as a number: a count, messages per second, bytes, or microseconds.
    pub value: f64,
    /// The value as it is shown, such as `20 µs`.
    pub label: String,
    /// The scenario of its runs.
    pub scenario: String,
    /// What is appended to a family's name; may be empty.
    pub suffix: String,
}

/// Which CPUs are whose, as Linux writes sets of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum CpuPlan {
    /// Servers and clients on sets of their own.
    Disjoint {
        /// The servers'.
        server: CpuSet,
        /// The clients'.
        client: CpuSet,
    },
    /// There is one CPU, and they share it.
    Shared,
    /// Nobody is pinned (`--no-pin`).
    Unpinned,
}

impl CpuPlan {
    /// The CPUs of both sides, when they are pinned.
    pub fn all(&self) -> Option<CpuSet> {
        Some(self.server()?.iter().chain(self.client()?.iter()).collect())
    }

    /// The servers' CPUs, when they are pinned.
    pub fn server(&self) -> Option<&CpuSet> {
        match self {
            CpuPlan::Disjoint { server, .. } => Some(server),
            CpuPlan::Shared | CpuPlan::Unpinned => None,
        }
    }

    /// The clients' CPUs, when they are pinned.
    pub fn client(&self) -> Option<&CpuSet> {
        match self {
            CpuPlan::Disjoint { client, .. } => Some(client),
            CpuPlan::Shared | CpuPlan::Unpinned => None,
        }
    }
}
