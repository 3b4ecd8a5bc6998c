//! What one contender did in one scenario: its rounds, their cycles, and the figures over all of them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::machine_part::Throttling;
use crate::protocol::Spread;
use crate::quantiles::Quantiles;
use crate::spoilt::Spoilt;
use crate::threshold::CONNECTIONS_THAT_WEIGH;
use crate::verdict::Verdict;

/// One contender in one scenario. Its figures are medians over its cycles, its histograms their sum.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// The scenario's name.
    pub scenario: String,
    /// The contender's name.
    pub contender: String,
    /// `ok` alone, or why the run is not to be believed, worst first.
    pub verdicts: Vec<Verdict>,
    /// The same in plain words, with a remedy each; empty when `ok`.
    pub reasons: Vec<String>,
    /// What could not be checked, and why.
    pub unchecked: Vec<String>,
    /// Messages per second that were offered; none in a closed loop.
    pub offered_per_second: Option<f64>,
    /// Closed-loop capacity in messages per second, from calibration.
    pub capacity_per_second: Option<f64>,
    /// Whether the client was the bottleneck of the calibration: the server's capacity is at least this.
    pub capacity_is_at_least: bool,
    /// Replies per second within the slices.
    pub replies_per_second: f64,
    /// Replies in all slices.
    pub replies: u64,
    /// What the client counted as errors over its whole life, by reason.
    pub errors: BTreeMap<String, u64>,
    /// What the server used.
    pub server: ServerFigures,
    /// What the client used.
    pub client: ClientFigures,
    /// From due to reply, of all that fell due.
    pub response_micros: Quantiles,
    /// From the actual send to the reply, of all that were sent.
    pub service_micros: Quantiles,
    /// The response times of all replies: HDR V2 in base64, so that runs can be merged exactly.
    pub histogram: String,
    /// Their service times, likewise.
    pub service_histogram: String,
    /// How long requests without a reply had been due when they were last seen, likewise; empty when there are none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub open_histogram: String,
    /// What others took of this machine's CPUs meanwhile.
    pub others: Option<Others>,
    /// CPU quotas that held for it, server's and client's; empty where there are none.
    #[serde(default)]
    pub quotas: Vec<Throttling>,
    /// Message bytes of the whole life of the connections; none when the run did not come to its end.
    pub bytes: Option<Bytes>,
    /// The rounds, each with a server and a client of its own.
    pub rounds: Vec<Round>,
}

/// What a contender did between one start and the next.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Round {
    /// The round, from 0.
    pub round: u32,
    /// The place in the order of starts, from 0.
    pub start_position: usize,
    /// Whether its server process is new in this round. A server that the lab only finds stays up unless its user restarts it.
    pub restarted: bool,
    /// How long it took to establish all connections.
    pub ramp_seconds: f64,
    /// Resident memory before the first connection; null when earlier connections have left their mark on it.
    pub resident_bytes_before_connections: Option<u64>,
    /// Resident memory under load: the median over cycles.
    pub resident_bytes: Option<u64>,
    /// Message bytes of the round's connections; null when the round did not come to its end.
    pub bytes: Option<Bytes>,
    /// How the messages were spread over the connections; null when the round did not come to its end.
    pub spread: Option<Spread>,
    /// The slices.
    pub cycles: Vec<Cycle>,
}

/// What a server used. A figure that cannot be had is null.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ServerFigures {
    /// CPU time (user and system) for each reply.
    pub cpu_micros_per_message: Option<f64>,
    /// The part of the CPU time that was spent in user mode, 0 to 1, over all slices.
    pub cpu_user_share: Option<f64>,
    /// CPU time in percent of one core, over slice and drain.
    pub cpu_percent: Option<f64>,
    /// CPU time in percent of one core while others were under load.
    pub idle_cpu_percent: Option<f64>,
    /// CPU time on the servers' CPUs during the slices that no account explains, in percent of one core: interrupts, the
    /// kernel's own threads, other programs. Null when servers have no CPUs of their own.
    #[serde(default)]
    pub unaccounted_percent: Option<f64>,
    /// Resident memory under load.
    pub resident_bytes: Option<u64>,
    /// Resident memory before the first connection.
    pub resident_bytes_before_connections: Option<u64>,
    /// Virtual memory under load.
    pub virtual_bytes: Option<u64>,
    /// Threads under load.
    pub threads: Option<u64>,
    /// Voluntary context switches (the server waited, and was woken) for each reply, over all slices.
    pub context_switches_per_message: Option<f64>,
    /// Allocations that the server asked for, for each reply, over all slices.
    #[serde(default)]
    pub allocations_per_message: Option<f64>,
    /// Bytes of those allocations, for each reply.
    #[serde(default)]
    pub allocated_bytes_per_message: Option<f64>,
    /// How the load was spread over its epolls; empty when it shows no figures of each.
    #[serde(default)]
    pub epolls: Vec<EpollFigures>,
}

/// What one epoll of a server did.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct EpollFigures {
    /// Its name in the server's metrics: a number, in ours.
    pub epoll: String,
    /// Events over all slices that said that a connection has bytes: one for each message, unless several wait at once.
    pub readable_events: u64,
    /// Connections that it watched after the last slice.
    pub connections: u64,
}

impl ServerFigures {
    /// How much resident memory one connection costs; `None` of fewer than [`CONNECTIONS_THAT_WEIGH`].
    pub fn resident_bytes_per_connection(&self, connections: u64) -> Option<f64> {
        let grown = self
            .resident_bytes?
            .saturating_sub(self.resident_bytes_before_connections?);
        (connections >= CONNECTIONS_THAT_WEIGH).then(|| grown as f64 / connections as f64)
    }
}

/// What others than server and client took of this machine's CPUs during the slices: the first suspect when a run is
/// not to be believed. In the kernel's ticks, so coarse.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Others {
    /// CPU time of other programs, in percent of one core.
    pub cpu_percent: f64,
    /// CPU time that the hypervisor gave to other machines, in percent of one core.
    pub stolen_percent: f64,
}

/// What a client used.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ClientFigures {
    /// CPU time (user and system) for each reply; spinning until the next request is due included.
    pub cpu_micros_per_message: Option<f64>,
    /// CPU time in percent of one core, over slice and drain.
    pub cpu_percent: Option<f64>,
    /// Share of the time that its busiest thread was at work; spinning does not count.
    pub busy_share: f64,
    /// How late it sent by itself: the median over cycles of the 99th percentile.
    pub send_lag_micros_p99: f64,
    /// How long it took to establish all connections.
    pub ramp_seconds: f64,
}

/// Message bytes over the whole life of the connections. The server's are null when it does not count them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bytes {
    /// What the client sent.
    pub client_sent: u64,
    /// What the server read.
    pub server_received: Option<u64>,
    /// What the server wrote.
    pub server_sent: Option<u64>,
    /// What the client received.
    pub client_received: u64,
}

impl Bytes {
    /// Whether all sides counted the same; sides that do not count are taken at their word.
    pub fn conserved(&self) -> bool {
        let counted = [Some(self.client_received), self.server_received, self.server_sent];
        counted
            .into_iter()
            .flatten()
            .all(|count| count == self.client_sent)
    }

    /// Both together; the server's part is known when it is known of both.
    pub fn and(self, other: Bytes) -> Bytes {
        let sum = |one: Option<u64>, two: Option<u64>| Some(one? + two?);
        Bytes {
            client_sent: self.client_sent + other.client_sent,
            server_received: sum(self.server_received, other.server_received),
            server_sent: sum(self.server_sent, other.server_sent),
            client_received: self.client_received + other.client_received,
        }
    }
}

/// One slice.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Cycle {
    /// The cycle within its round, from 0.
    pub cycle: u32,
    /// The place within the cycle, from 0: the order of the slices.
    pub position: usize,
    /// How long requests fell due.
    pub seconds: f64,
    /// How long the last replies were awaited after that.
    pub drain_seconds: f64,
    /// Requests that fell due.
    pub due: u64,
    /// Requests that were sent; absent in results of older versions.
    #[serde(default)]
    pub sent: Option<u64>,
    /// Replies, the drain's included.
    pub replies: u64,
    /// Replies before `seconds` were over.
    pub replies_in_time: u64,
    /// CPU time of the server, drain included.
    pub server_cpu_seconds: Option<f64>,
    /// CPU time of the client, drain included.
    pub client_cpu_seconds: f64,
    /// Median response time; null when nothing fell due.
    pub response_micros_p50: Option<f64>,
    /// 99th percentile of the response time.
    pub response_micros_p99: Option<f64>,
    /// 99th percentile of the service time.
    pub service_micros_p99: Option<f64>,
    /// 99th percentile of how late the client itself sent; null when it sent nothing.
    pub send_lag_micros_p99: Option<f64>,
    /// Share of the time that the client's busiest thread was at work.
    pub busy_share: f64,
    /// Share of the time that the client was ready to run and had no CPU; `None` where the kernel does not say.
    #[serde(default)]
    pub client_waited_share: Option<f64>,
    /// Mean number of requests in flight.
    pub in_flight_mean: f64,
    /// Mean number of connections in their think time.
    pub thinking_mean: f64,
    /// Mean number of connections whose request was due and not sent yet, because the client was late.
    pub late_mean: f64,
    /// Connections that stood at the end.
    pub connections: u64,
    /// CPU time that the hypervisor took from the CPUs of server and client, as a share of one CPU.
    #[serde(default)]
    pub stolen_share: Option<f64>,
    /// CPU time of other programs on the CPUs of server and client, as a share of one CPU; in the kernel's ticks, so coarse.
    #[serde(default)]
    pub others_share: Option<f64>,
    /// CPU time on the servers' CPUs that no account explains, as a share of one CPU; in the kernel's ticks, so coarse.
    #[serde(default)]
    pub unaccounted_share: Option<f64>,
    /// Why the cycle counts for no contender; absent when it counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spoilt: Option<Spoilt>,
}

impl Cycle {
    /// CPU time of the server for each reply, in microseconds.
    pub fn server_cpu_micros_per_message(&self) -> Option<f64> {
        (self.replies > 0).then_some(self.server_cpu_seconds? * 1e6 / self.replies as f64)
    }

    /// CPU time of the client for each reply, in microseconds.
    pub fn client_cpu_micros_per_message(&self) -> Option<f64> {
        (self.replies > 0).then(|| self.client_cpu_seconds * 1e6 / self.replies as f64)
    }

    /// Replies per second within the slice.
    pub fn replies_per_second(&self) -> Option<f64> {
        (self.seconds > 0.0).then(|| self.replies_in_time as f64 / self.seconds)
    }
}

impl Run {
    /// The slices of all rounds, in the order in which they were measured.
    pub fn cycles(&self) -> impl Iterator<Item = &Cycle> {
        self.rounds.iter().flat_map(|round| &round.cycles)
    }

    /// The same, to be changed.
    pub fn cycles_mut(&mut self) -> impl Iterator<Item = &mut Cycle> {
        self.rounds.iter_mut().flat_map(|round| &mut round.cycles)
    }

    /// Whether each of its rounds had a server that was started for it.
    pub fn restarted(&self) -> bool {
        self.rounds.iter().all(|round| round.restarted)
    }

    /// Whether the run may be believed.
    pub fn is_ok(&self) -> bool {
        self.verdicts == [Verdict::Ok]
    }

    /// The verdicts as one text.
    pub fn verdict_text(&self) -> String {
        let texts: Vec<_> = self.verdicts.iter().map(ToString::to_string).collect();
        texts.join(", ")
    }
}
