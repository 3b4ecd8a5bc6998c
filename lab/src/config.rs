//! The validated configuration: what it says can be done, as far as can be told before starting.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::contender::Contender;
use crate::fail_if::Rule;
use crate::scenario::Scenario;

/// What the lab is to do. Stored whole with every result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// One after the other.
    pub scenarios: Vec<Scenario>,
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
    /// Seeds the bootstrap and the clients' random arrivals.
    pub seed: u64,
    /// Where results go: a folder for each result.
    pub output: PathBuf,
    /// When one of these holds, the lab fails.
    pub fail_if: Vec<Rule>,
    /// Whether to start again after the last scenario, until stopped.
    pub repeat: bool,
    /// Where the lab's own metrics are served.
    pub metrics: Option<SocketAddr>,
    /// Where the clients' metrics are served: the client of the first contender on this port, the next one on the
    /// next port.
    pub client_metrics: Option<SocketAddr>,
}

/// Which CPUs are whose, as Linux writes sets of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum CpuPlan {
    /// Servers and clients on sets of their own.
    Disjoint {
        /// The servers'.
        server: String,
        /// The clients'.
        client: String,
    },
    /// There is one CPU, and they share it.
    Shared,
    /// Nobody is pinned (`--no-pin`).
    Unpinned,
}

impl CpuPlan {
    /// The servers' CPUs, when they are pinned.
    pub fn server(&self) -> Option<&str> {
        match self {
            CpuPlan::Disjoint { server, .. } => Some(server),
            CpuPlan::Shared | CpuPlan::Unpinned => None,
        }
    }

    /// The clients' CPUs, when they are pinned.
    pub fn client(&self) -> Option<&str> {
        match self {
            CpuPlan::Disjoint { client, .. } => Some(client),
            CpuPlan::Shared | CpuPlan::Unpinned => None,
        }
    }
}

/// Options of the `epoll` engine, passed on as they are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpollOptions {
    /// How listening sockets are shared.
    pub accept: Option<String>,
    /// Edge- or level-triggered.
    pub trigger: Option<String>,
    /// Events for each wait.
    pub events: Option<usize>,
}
