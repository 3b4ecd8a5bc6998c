//! What is known of one run so far, and the [`Run`] that follows from it.

mod machine;
mod times;

use std::collections::BTreeMap;

use model::judge::{CycleEvidence, Death, Disturbance, Doubt, Evidence, judge};
use model::machine_part::{Throttling, Unaccounted};
use model::plan::Turn;
use model::protocol::{Slice, Spread};
use model::quantiles::Quantiles;
use model::run::{Bytes, ClientFigures, Cycle, EpollFigures, Round, Run, ServerFigures};
use model::scenario::Scenario;
use model::spoilt::{self, Cause, Spoilt};
use model::statistics;
use model::threshold;
use model::verdict::Verdict;

use crate::measure::{MachineCpu, Reading, Totals};
use crate::report::reasons;
use times::Times;

/// What is known of one run so far.
#[derive(Debug, Default)]
pub struct Record {
    /// The contender's name.
    pub contender: String,
    /// Whether requests fall due at a fixed rate.
    pub open_loop: bool,
    /// Whether the client has CPUs that no server may use.
    pub client_apart: bool,
    /// Messages per second that are offered.
    pub offered_per_second: Option<f64>,
    /// Closed-loop capacity, and whether the client was what limited it.
    pub capacity: Option<(f64, bool)>,
    /// What ended it before its time.
    pub death: Option<Death>,
    /// What could not be checked, and why.
    pub unchecked: Vec<String>,
    rounds: Vec<RoundRecord>,
    idle: Idle,
    machine: MachineCpu,
    machine_seconds: f64,
    /// What its quotas did, in the order in which they were found, and the seconds of the slices.
    quotas: Vec<(Throttling, f64)>,
    /// CPU time on the servers' CPUs that no account explains, of the contender with the least, in percent of one core.
    pub least_unaccounted_percent: f64,
}

/// What is known of one round so far.
#[derive(Debug, Default)]
struct RoundRecord {
    /// What the result says of it.
    round: Round,
    /// Before the first counted slice.
    totals_before: Totals,
    /// After the last one.
    totals_after: Totals,
    readings: Vec<Reading>,
    /// The times of each slice.
    times: Vec<Times>,
    errors: BTreeMap<String, u64>,
}

/// CPU used while others were under load.
#[derive(Debug, Default)]
struct Idle {
    cpu_seconds: f64,
    seconds: f64,
}

impl Record {
    /// A round begins: its server is up, its connections stand.
    pub fn begin_round(&mut self, round: Round) {
        self.rounds.push(RoundRecord {
            round,
            ..RoundRecord::default()
        });
    }

    /// The round that goes on; the first one begins by itself.
    fn current(&mut self) -> &mut RoundRecord {
        if self.rounds.is_empty() {
            self.rounds.push(RoundRecord::default());
        }
        let last = self.rounds.len() - 1;
        &mut self.rounds[last]
    }

    /// What was read before the round's first counted slice.
    pub fn begin_slices(&mut self, totals: Totals) {
        self.current().totals_before = totals;
    }

    /// What was read after the round's last counted slice.
    pub fn end_slices(&mut self, totals: Totals) {
        self.current().totals_after = totals;
    }

    /// The round came to its end: what both sides counted over the life of its connections, and how the messages were
    /// spread over them.
    pub fn end_round(&mut self, bytes: Option<Bytes>, spread: Option<Spread>) {
        let round = &mut self.current().round;
        round.bytes = bytes;
        round.spread = spread;
    }

    /// Says once what could not be checked, also when every round says it.
    pub fn cannot_check(&mut self, why: &str) {
        if self.unchecked.iter().all(|said| said != why) {
            self.unchecked.push(why.to_owned());
        }
    }

    /// Counts errors: those of slices that are measured, and of those before and after.
    pub fn count_errors(&mut self, errors: &BTreeMap<String, u64>) {
        let counted = &mut self.current().errors;
        for (reason, count) in errors {
            *counted.entry(reason.clone()).or_default() += count;
        }
    }

    /// The client's own sum of the round's errors, which holds those between slices too.
    pub fn replace_errors(&mut self, errors: BTreeMap<String, u64>) {
        self.current().errors = errors;
    }

    /// Errors of all rounds, by reason.
    fn errors(&self) -> BTreeMap<String, u64> {
        let mut sums = BTreeMap::new();
        for (reason, count) in self.rounds.iter().flat_map(|round| &round.errors) {
            *sums.entry(reason.clone()).or_default() += count;
        }
        sums
    }

    /// The slices of all rounds.
    fn all_cycles(&self) -> impl Iterator<Item = &Cycle> {
        self.rounds.iter().flat_map(|round| &round.round.cycles)
    }

    /// Cycles that the machine disturbed.
    fn spoilt(&self) -> usize {
        self.all_cycles().filter(|cycle| cycle.spoilt.is_some()).count()
    }

    /// Whether so many are spoilt that the rest says little.
    fn disturbed(&self) -> bool {
        self.spoilt() as f64 > threshold::SPOILT_SHARE_MAX * self.all_cycles().count() as f64
    }

    /// The slices that figures come from: those that the machine left alone. A disturbed run shows all, with its verdict.
    fn cycles(&self) -> impl Iterator<Item = &Cycle> {
        let all = self.disturbed();
        self.all_cycles()
            .filter(move |cycle| all || cycle.spoilt.is_none())
    }

    /// The times of the same slices.
    fn times(&self) -> Times {
        let mut sums = Times::default();
        let all = self.disturbed();
        for round in &self.rounds {
            for (cycle, times) in round.round.cycles.iter().zip(&round.times) {
                if all || cycle.spoilt.is_none() {
                    sums.merge(times);
                }
            }
        }
        sums
    }

    /// Message bytes: those of the first round in which some got lost, else the sum. `None` when a round did not come to
    /// its end.
    fn bytes(&self) -> Option<Bytes> {
        let rounds: Option<Vec<Bytes>> = self.rounds.iter().map(|round| round.round.bytes).collect();
        let rounds = rounds?;
        let lost = rounds.iter().find(|bytes| !bytes.conserved()).copied();
        lost.or_else(|| rounds.into_iter().reduce(Bytes::and))
    }

    /// Adds CPU that was used while others were under load.
    pub fn add_idle(&mut self, cpu_seconds: f64, seconds: f64) {
        self.idle.cpu_seconds += cpu_seconds;
        self.idle.seconds += seconds;
    }

    /// Its slices, as far as they tell what the machine did.
    pub fn slices(&self) -> impl Iterator<Item = spoilt::Slice> {
        let rounds = self.rounds.iter().map(|round| &round.round);
        let all = rounds.flat_map(|round| round.cycles.iter().map(|cycle| (round.round, cycle)));
        // A client that shares its CPUs waits for them by design, and a closed loop is late when its server is.
        let (apart, open) = (self.client_apart, self.client_apart && self.open_loop);
        all.map(move |(round, cycle)| spoilt::Slice {
            round,
            cycle: cycle.cycle,
            seconds: cycle.seconds,
            contender: self.contender.clone(),
            send_lag_micros_p99: cycle.send_lag_micros_p99.filter(|_| open),
            waited_share: cycle.client_waited_share.filter(|_| apart),
            stolen_share: cycle.stolen_share,
            others_share: cycle.others_share,
        })
    }

    /// Leaves out what counts for no contender. Earlier marks are forgotten.
    pub fn mark(&mut self, spoilt: &BTreeMap<(u32, u32), Spoilt>) {
        for round in self.rounds.iter_mut().map(|round| &mut round.round) {
            for cycle in &mut round.cycles {
                cycle.spoilt = spoilt.get(&(round.round, cycle.cycle)).cloned();
            }
        }
    }

    /// Adds a measured slice. `cpu_before` was read just before it, `after` just after.
    pub fn add(&mut self, turn: Turn, slice: &Slice, cpu_before: Option<f64>, after: Reading) {
        self.count_errors(&slice.errors);
        let times = Times::read(slice).unwrap_or_else(|error| {
            self.unchecked
                .push(format!("the quantiles lack cycle {}: {error}", turn.cycle));
            Times::default()
        });
        let current = self.current();
        current.readings.push(after);
        current.times.push(times);
        current.round.cycles.push(Cycle {
            cycle: turn.cycle,
            position: turn.position,
            seconds: slice.seconds,
            drain_seconds: slice.drain_seconds,
            due: slice.due,
            sent: Some(slice.sent),
            replies: slice.replies,
            replies_in_time: slice.replies_in_time,
            server_cpu_seconds: after
                .cpu_seconds
                .zip(cpu_before)
                .map(|(after, before)| after - before),
            client_cpu_seconds: slice.cpu_seconds,
            response_micros_p50: slice.response_micros.p50,
            response_micros_p99: slice.response_micros.p99,
            service_micros_p99: slice.service_micros.p99,
            send_lag_micros_p99: slice.send_lag_micros.p99,
            busy_share: slice.busy_share,
            client_waited_share: slice.waited_share,
            in_flight_mean: slice.in_flight_mean,
            thinking_mean: slice.thinking_mean,
            // Little's law: how many are late is how often one is sent times how late it is.
            late_mean: if slice.seconds > 0.0 {
                slice.sent as f64 * slice.send_lag_micros.mean.unwrap_or(0.0) / 1e6 / slice.seconds
            } else {
                0.0
            },
            connections: slice.connections,
            ..Cycle::default()
        });
    }

    /// What a message has cost the server so far, in microseconds of CPU: the run's figure.
    pub fn cpu_micros_per_message(&self) -> Option<f64> {
        self.median(Cycle::server_cpu_micros_per_message)
    }

    /// How far that may be off, by how its cycles differ: the standard error over the figure.
    pub fn cpu_relative_error(&self) -> Option<f64> {
        let costs: Vec<f64> = self
            .cycles()
            .filter_map(Cycle::server_cpu_micros_per_message)
            .collect();
        statistics::median_relative_error(&costs)
    }

    /// The run as it stands.
    pub fn to_run(&self, scenario: &Scenario) -> Run {
        let doubts = judge(&self.evidence(scenario));
        let mut verdicts: Vec<_> = doubts.iter().map(Doubt::verdict).collect();
        if verdicts.is_empty() {
            verdicts.push(Verdict::Ok);
        }
        let times = self.times();
        let mut run = Run {
            scenario: scenario.name.clone(),
            contender: self.contender.clone(),
            verdicts,
            reasons: reasons::all(&doubts),
            unchecked: self.unchecked.clone(),
            offered_per_second: self.offered_per_second,
            capacity_per_second: self.capacity.map(|(capacity, _)| capacity),
            capacity_is_at_least: self.capacity.is_some_and(|(_, client_bound)| client_bound),
            replies_per_second: self.median(Cycle::replies_per_second).unwrap_or(0.0),
            replies: self.all_cycles().map(|cycle| cycle.replies).sum(),
            errors: self.errors(),
            server: self.server_figures(),
            client: self.client_figures(),
            response_micros: Quantiles::of(&times.response, &times.response_open),
            service_micros: Quantiles::of(&times.service, &times.service_open),
            histogram: times.response.to_base64(),
            service_histogram: times.service.to_base64(),
            open_histogram: match times.response_open.count() {
                0 => String::new(),
                _ => times.response_open.to_base64(),
            },
            others: self.others(),
            quotas: self.quotas(),
            bytes: self.bytes(),
            rounds: self.rounds.iter().map(RoundRecord::to_round).collect(),
        };
        let unknown = self.cycles().all(|cycle| cycle.server_cpu_seconds.is_none());
        let told = run.unchecked.iter().any(|why| why.starts_with("metrics: "));
        if unknown && !told && self.cycles().next().is_some() {
            run.unchecked.push("CPU and memory: the lab did not start this contender, and it shows no metrics with process_cpu_seconds_total (metrics=URL)".to_owned());
        }
        run
    }

    fn evidence(&self, scenario: &Scenario) -> Evidence {
        let cycle = |cycle: &Cycle| CycleEvidence {
            seconds: cycle.seconds,
            due: cycle.due,
            replies: cycle.replies,
            replies_in_time: cycle.replies_in_time,
            response_micros_p50: cycle.response_micros_p50.unwrap_or(0.0),
            busy_share: cycle.busy_share,
            waited_share: cycle.client_waited_share.unwrap_or(0.0),
            send_lag_micros_p99: cycle.send_lag_micros_p99.unwrap_or(0.0),
            in_flight_mean: cycle.in_flight_mean,
            thinking_mean: cycle.thinking_mean,
            late_mean: cycle.late_mean,
        };
        Evidence {
            open_loop: self.open_loop,
            client_apart: self.client_apart,
            connections: scenario.connections,
            silent_calibration: self.capacity.is_some_and(|(capacity, _)| capacity == 0.0),
            cycles: self.cycles().map(cycle).collect(),
            errors: self.errors(),
            bytes: self.bytes(),
            death: self.death.clone(),
            quotas: self.quotas(),
            unaccounted: self.unaccounted_percent().map(|percent| Unaccounted {
                percent: percent - self.least_unaccounted_percent,
                own_percent: self
                    .median(|cycle| percent_of(cycle.server_cpu_seconds?, cycle))
                    .unwrap_or(0.0),
            }),
            spoilt: self.disturbed().then(|| Disturbance {
                spoilt: self.spoilt(),
                cycles: self.all_cycles().count(),
                causes: self.causes(),
            }),
        }
    }

    /// What spoilt its cycles, most frequent first.
    fn causes(&self) -> Vec<Cause> {
        let mut counts: BTreeMap<Cause, usize> = BTreeMap::new();
        for spoilt in self.all_cycles().filter_map(|cycle| cycle.spoilt.as_ref()) {
            *counts.entry(spoilt.cause).or_default() += 1;
        }
        let mut causes: Vec<_> = counts.into_iter().collect();
        causes.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        causes.into_iter().map(|(cause, _)| cause).collect()
    }

    fn median(&self, figure: impl Fn(&Cycle) -> Option<f64>) -> Option<f64> {
        let values: Vec<f64> = self.cycles().filter_map(figure).collect();
        statistics::median(&values)
    }

    fn server_figures(&self) -> ServerFigures {
        let readings: Vec<&Reading> = self.rounds.iter().flat_map(|round| &round.readings).collect();
        let memory =
            |figure: fn(&telemetry::process::Memory) -> u64| memory(readings.iter().copied(), figure);
        let before = self.rounds.iter().filter_map(|round| {
            let bytes = round.round.resident_bytes_before_connections?;
            Some(bytes as f64)
        });
        let before: Vec<f64> = before.collect();
        let (user, all) = self
            .rounds
            .iter()
            .filter_map(|round| {
                let ((user_before, all_before), (user, all)) =
                    round.totals_before.cpu_modes.zip(round.totals_after.cpu_modes)?;
                Some((user - user_before, all - all_before))
            })
            .fold((0.0, 0.0), |(users, alls), (user, all)| {
                (users + user, alls + all)
            });
        let user_share = (all > 0.0).then(|| (user / all).clamp(0.0, 1.0));
        let per_message = |figure: fn(&Totals) -> Option<f64>| self.per_message(figure);
        ServerFigures {
            cpu_micros_per_message: self.cpu_micros_per_message(),
            cpu_user_share: user_share,
            cpu_percent: self.median(|cycle| percent_of(cycle.server_cpu_seconds?, cycle)),
            idle_cpu_percent: (self.idle.seconds > 0.0)
                .then(|| self.idle.cpu_seconds / self.idle.seconds * 100.0),
            unaccounted_percent: self.unaccounted_percent(),
            resident_bytes: memory(|memory| memory.resident_bytes),
            resident_bytes_before_connections: statistics::median(&before).map(|bytes| bytes as u64),
            virtual_bytes: memory(|memory| memory.virtual_bytes),
            threads: memory(|memory| memory.threads),
            context_switches_per_message: per_message(|totals| totals.voluntary_switches),
            allocations_per_message: per_message(|totals| totals.allocations),
            allocated_bytes_per_message: per_message(|totals| totals.allocated_bytes),
            epolls: self.epolls(),
        }
    }

    /// How much a count grew for each reply, over the rounds that have it before and after.
    fn per_message(&self, figure: fn(&Totals) -> Option<f64>) -> Option<f64> {
        let rounds = self.rounds.iter().filter_map(|round| {
            let grown = figure(&round.totals_after)? - figure(&round.totals_before)?;
            let replies: u64 = round.round.cycles.iter().map(|cycle| cycle.replies).sum();
            Some((grown, replies))
        });
        let (grown, replies) = rounds.fold((0.0, 0), |(sum, replies), (grown, more)| {
            (sum + grown, replies + more)
        });
        (replies > 0).then(|| grown / replies as f64)
    }

    /// What each epoll did between the first slice and the last of every round, in the order of their numbers.
    fn epolls(&self) -> Vec<EpollFigures> {
        let mut sums: BTreeMap<&String, EpollFigures> = BTreeMap::new();
        for round in &self.rounds {
            for (epoll, after) in &round.totals_after.epolls {
                let Some(before) = round.totals_before.epolls.get(epoll) else {
                    continue;
                };
                let sum = sums.entry(epoll).or_default();
                sum.epoll.clone_from(epoll);
                sum.readable_events += (after.readable_events - before.readable_events) as u64;
                sum.connections = after.connections as u64;
            }
        }
        let mut epolls: Vec<_> = sums.into_values().collect();
        epolls.sort_by_cached_key(|figures| {
            let number = figures.epoll.parse::<u64>().unwrap_or(u64::MAX);
            (number, figures.epoll.clone())
        });
        epolls
    }

    fn client_figures(&self) -> ClientFigures {
        ClientFigures {
            cpu_micros_per_message: self.median(Cycle::client_cpu_micros_per_message),
            cpu_percent: self.median(|cycle| percent_of(cycle.client_cpu_seconds, cycle)),
            busy_share: self.median(|cycle| Some(cycle.busy_share)).unwrap_or(0.0),
            send_lag_micros_p99: self.median(|cycle| cycle.send_lag_micros_p99).unwrap_or(0.0),
            ramp_seconds: self
                .rounds
                .iter()
                .map(|round| round.round.ramp_seconds)
                .fold(0.0, f64::max),
        }
    }
}

impl RoundRecord {
    /// The round as it stands.
    fn to_round(&self) -> Round {
        Round {
            resident_bytes: memory(&self.readings, |memory| memory.resident_bytes),
            ..self.round.clone()
        }
    }
}

/// The median of a figure of memory over readings; `None` when no reading has it.
fn memory<'a>(
    readings: impl IntoIterator<Item = &'a Reading>,
    figure: fn(&telemetry::process::Memory) -> u64,
) -> Option<u64> {
    let readings = readings.into_iter().filter_map(|reading| reading.memory.as_ref());
    let values: Vec<f64> = readings.map(|memory| figure(memory) as f64).collect();
    statistics::median(&values).map(|value| value as u64)
}

fn percent_of(cpu_seconds: f64, cycle: &Cycle) -> Option<f64> {
    let seconds = cycle.seconds + cycle.drain_seconds;
    (seconds > 0.0).then(|| cpu_seconds / seconds * 100.0)
}

#[cfg(test)]
mod tests;
