//! A contender in a scenario: its server, its client, and what is known of the run so far.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use model::pace::Pace;
use model::protocol::Slice;

use super::Session;
use super::child::Interrupted;
use super::client::{Client, Connecting, NoAnswer};
use super::inquiry;
use super::record::Record;
use super::server::{Refusal, Server};
use super::takers;
use crate::cgroup::Quota;
use crate::measure::{MachineCpu, Reading, Totals};
use crate::metrics::Phase;
use crate::preflight;
use model::contender::{Contender, Origin};
use model::judge::Death;
use model::machine_part::Side;
use model::plan::Turn;
use model::result::Skipped;
use model::run::{Bytes, Round};
use model::scenario::Scenario;

/// How long counters of server and client may take to agree after the last connection is closed.
const AGREE_PATIENCE: Duration = Duration::from_secs(2);
/// How often they are compared meanwhile.
const AGREE_PAUSE: Duration = Duration::from_millis(50);

/// A contender in a scenario. Dropped, its client and server end.
pub struct Lane {
    // Dropped in this order: the client goes first, so that the server can end at once.
    client: Client,
    server: Server,
    /// What is known of the run so far.
    pub record: Record,
    /// Whether dashboards need a profile of it to show what its CPU goes into.
    pub wants_profile: bool,
    /// Bytes that the server had counted before our first connection.
    counted_before: (Option<u64>, Option<u64>),
    /// Whether other lanes put load on the same server.
    shares_server: bool,
    /// CPU quotas that hold for the server and for the client.
    quotas: Vec<(Side, Quota)>,
    last: Option<(f64, Instant)>,
    /// What the client counted as errors while the server was profiled: no matter of the measured slices.
    errors_while_profiled: BTreeMap<String, u64>,
    /// Whether it ended while it was profiled, after its measured slices.
    ended_while_profiled: bool,
}

/// Which start of a contender it is.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    /// The round, from 0.
    pub round: u32,
    /// The place in the order of starts, from 0.
    pub position: usize,
}

/// A contender whose server is up, and whose client connects.
pub struct Starting {
    contender: Contender,
    place: Place,
    // Dropped in this order: the client goes first, so that the server can end at once.
    client: Connecting,
    server: Server,
    before: Reading,
    counted: Totals,
    wants_profile: bool,
}

/// Why a contender cannot take part.
fn skipped<T>(scenario: &Scenario, contender: &Contender, why: String) -> Result<T, Skipped> {
    Err(Skipped {
        scenario: scenario.name.clone(),
        contender: contender.name.clone(),
        why,
    })
}

/// Starts the server. A contender that cannot take part becomes a row of the skipped.
pub fn start(
    session: &mut Session<'_>,
    scenario: &Scenario,
    index: usize,
    contender: &Contender,
    place: Place,
) -> Result<Result<Starting, Skipped>, Interrupted> {
    let skipped = |why: String| Ok(skipped(scenario, contender, why));
    if let Some(why) = preflight::obstacle(contender, scenario, &session.result.machine) {
        // Every obstacle is one of too many connections.
        session.input_faults += usize::from(session.config.connections_by_flag);
        return skipped(why);
    }
    let waiter = session.waiter;
    session.enter(scenario, &contender.name, Phase::Starting);
    let mut server = match Server::start(contender, session.config, waiter) {
        Ok(server) => server,
        Err(Refusal::Interrupted) => return Err(Interrupted),
        Err(Refusal::Cannot(why)) => return skipped(why),
        Err(Refusal::Input(why)) => {
            session.input_faults += 1;
            return skipped(why);
        }
    };
    if let Some(fault) = session.silent.get(&contender.name) {
        server.source.silence(fault);
    }
    let before = server.source.read();
    let counted = server.source.totals();
    server.started_at = counted.started_at;
    if let Some(fault) = server.source.fault() {
        if place.round == 0 {
            session
                .progress
                .say(&format!("{}: {}: {fault}", scenario.name, contender.name));
        }
        if server.source.is_silent() {
            session.silent.insert(contender.name.clone(), fault);
        }
    }
    // Asked once: what a profiler keeps does not grow from round to round.
    let wants_profile =
        place.round == 0 && inquiry::wanted(session, scenario, &contender.name, server.source.metrics())?;
    let client = match Connecting::new(index, server.echo.clone(), scenario, session.config) {
        Ok(client) => client,
        Err(why) => return skipped(why),
    };
    Ok(Ok(Starting {
        contender: contender.clone(),
        place,
        server,
        client,
        before,
        counted,
        wants_profile,
    }))
}

/// Starts the clients of all servers that are up. They connect side by side, over the same time. The kernel puts new
/// connections before old ones in its tables, so that older ones cost more per message. With 80,000 connections on 2 CPUs,
/// the first of eight equal servers paid 11 % more than the last when each connected before the next.
pub fn connect_all<'a>(started: impl Iterator<Item = &'a mut Starting>) {
    for starting in started {
        starting.client.begin();
    }
}

/// Waits until all connections of a contender stand. A contender that cannot take part becomes a row of the skipped.
pub fn connected(
    session: &mut Session<'_>,
    scenario: &Scenario,
    starting: Starting,
) -> Result<Result<Lane, Skipped>, Interrupted> {
    let Starting {
        contender,
        place,
        mut server,
        client,
        before,
        counted,
        wants_profile,
    } = starting;
    let skipped = |why: String| Ok(skipped(scenario, &contender, why));
    session.enter(scenario, &contender.name, Phase::Ramp);
    let client = match client.ready(scenario, session.waiter) {
        Ok(client) => client,
        Err(NoAnswer::Interrupted) => return Err(Interrupted),
        Err(NoAnswer::Gone(why)) => {
            return skipped(match server.obituary(true) {
                Some(end) => format!("its server ended while connections were made ({end})"),
                None => format!("its client could not connect: {why}"),
            });
        }
        Err(NoAnswer::Input(why)) => {
            session.input_faults += 1;
            return skipped(why);
        }
    };
    session.enter(scenario, &contender.name, Phase::Idle);
    let mut record = session.parked.0.remove(&contender.name).unwrap_or_default();
    record.contender.clone_from(&contender.name);
    let found = matches!(contender.origin, Origin::Running { .. });
    // A process that served earlier connections of ours has not given all their memory back.
    let fresh = !found || session.processes.is_new(&server.echo, counted.started_at);
    if !fresh {
        record.cannot_check("memory before the connections, in later rounds and scenarios: the server stays up and keeps memory of earlier connections; restart it before each round (--await-restarts)");
    }
    if let Some(fault) = server.source.fault() {
        record.cannot_check(&format!("metrics: {fault}"));
    }
    let resident = before.memory.map(|memory| memory.resident_bytes);
    record.begin_round(Round {
        round: place.round,
        start_position: place.position,
        restarted: fresh,
        ramp_seconds: client.ramp_seconds,
        resident_bytes_before_connections: resident.filter(|_| fresh),
        ..Round::default()
    });
    let others = session.config.contenders.iter();
    let of_server = server.source.any_process().map(|pid| (Side::Server, pid));
    let sides = of_server.into_iter().chain([(Side::Client, client.pid())]);
    let quotas = sides.flat_map(|(side, pid)| Quota::of(pid).into_iter().map(move |quota| (side, quota)));
    Ok(Ok(Lane {
        quotas: quotas.collect(),
        client,
        server,
        record,
        counted_before: (counted.received_bytes, counted.sent_bytes),
        wants_profile,
        shares_server: found && others.filter(|other| other.origin == contender.origin).count() > 1,
        last: None,
        errors_while_profiled: BTreeMap::new(),
        ended_while_profiled: false,
    }))
}

impl Lane {
    /// Whether it still takes part.
    pub fn lives(&self) -> bool {
        self.record.death.is_none() && !self.ended_while_profiled
    }

    /// Where its metrics are, if it has any.
    pub fn metrics(&self) -> Option<&str> {
        self.server.source.metrics()
    }

    /// A slice that is not counted: calibration or warm-up. `None` when the lane died of it.
    pub fn rehearse(
        &mut self,
        session: &mut Session<'_>,
        pace: Pace,
        duration: Duration,
    ) -> Result<Option<Slice>, Interrupted> {
        let answer = self.client.uncounted(pace, duration, session.waiter);
        let slice = self.outcome(answer)?;
        if let Some(slice) = &slice {
            self.record.count_errors(&slice.errors);
        }
        Ok(slice)
    }

    /// Reads what is read once before all counted slices.
    pub fn begin(&mut self) {
        self.record.begin_slices(self.server.source.totals());
        self.last = self
            .server
            .source
            .cpu_seconds()
            .map(|cpu_seconds| (cpu_seconds, Instant::now()));
    }

    /// A slice that counts.
    pub fn measure(
        &mut self,
        session: &mut Session<'_>,
        turn: Turn,
        pace: Pace,
        duration: Duration,
    ) -> Result<(), Interrupted> {
        let stopped_before = self.stopped();
        let taken_before = takers::begin();
        let servers = session.config.cpus.server();
        let servers_before = servers.and_then(|cpus| MachineCpu::now(Some(cpus)));
        let (machine_before, began) = (MachineCpu::now(session.cpus.as_ref()), Instant::now());
        let before = self.server.source.cpu_seconds();
        if let Some(((last, since), now)) = self.last.zip(before) {
            self.record.add_idle(now - last, since.elapsed().as_secs_f64());
        }
        let answer = self.client.slice(pace, duration, session.waiter);
        let after = self.server.source.read();
        let took = began.elapsed().as_secs_f64();
        let machine = machine_before.zip(MachineCpu::now(session.cpus.as_ref()));
        let servers_after = servers.and_then(|cpus| MachineCpu::now(Some(cpus)));
        let servers_took =
            began.elapsed().as_secs_f64() * servers.map_or(0, |cpus| cpus.iter().count()) as f64;
        self.last = after.cpu_seconds.map(|cpu_seconds| (cpu_seconds, Instant::now()));
        let taken = session.takers.end(taken_before, session.cpus.as_ref(), servers);
        if let Some((before, now)) = before.zip(after.cpu_seconds).filter(|(before, now)| now < before) {
            let why = format!("its CPU time fell from {before} to {now} s: its process was restarted");
            self.record.death = Some(Death::Server(why));
            self.client.stop();
            return Ok(());
        }
        if let Some(slice) = self.outcome(answer)? {
            self.record.add(turn, &slice, before, after);
            if let Some((before, after)) = machine {
                self.record.add_machine(before, after, took);
            }
            if let Some((before, after)) = servers_before.zip(servers_after) {
                let ran = servers_took - (after.away_seconds - before.away_seconds);
                self.record.add_unaccounted(ran - taken, took);
            }
            for ((side, quota), (before, now)) in
                self.quotas.iter().zip(stopped_before.iter().zip(self.stopped()))
            {
                let stopped = now.zip(*before).map_or(0.0, |(now, before)| now - before);
                self.record.add_quota(*side, quota, stopped, took);
            }
        }
        Ok(())
    }

    /// How long each quota has stopped threads so far, in seconds.
    fn stopped(&self) -> Vec<Option<f64>> {
        let each = self.quotas.iter();
        each.map(|(_, quota)| quota.throttled_seconds()).collect()
    }

    /// Reads what is read once after all counted slices.
    pub fn end(&mut self) {
        // CPU first: the scrape below costs some.
        if let Some(((last, since), now)) = self.last.zip(self.server.source.cpu_seconds()) {
            self.record.add_idle(now - last, since.elapsed().as_secs_f64());
        }
        self.record.end_slices(self.server.source.totals());
        if let Some(fault) = self.server.source.fault() {
            self.record.cannot_check(&format!("metrics: {fault}"));
        }
    }

    /// A slice during which the server is profiled, after all that are measured: whatever happens in it is no matter of
    /// theirs. What the server's CPU clock says of it would hold the profiler's work, so nobody reads that. The inner error
    /// says how the lane ended.
    pub fn profiled(
        &mut self,
        session: &Session<'_>,
        pace: Pace,
        duration: Duration,
    ) -> Result<Result<Slice, String>, Interrupted> {
        let why = match self.client.uncounted(pace, duration, session.waiter) {
            Err(NoAnswer::Interrupted) => return Err(Interrupted),
            Ok(slice) => {
                for (reason, count) in &slice.errors {
                    *self.errors_while_profiled.entry(reason.clone()).or_default() += count;
                }
                match self.server.obituary(slice.connections == 0) {
                    None => return Ok(Ok(slice)),
                    Some(end) => format!("its server ended while it was profiled ({end})"),
                }
            }
            Err(NoAnswer::Gone(why) | NoAnswer::Input(why)) => match self.server.obituary(true) {
                Some(end) => format!("its server ended while it was profiled ({end})"),
                None => format!("its client ended while it was profiled ({why})"),
            },
        };
        self.ended_while_profiled = true;
        self.record.unchecked.push(format!("bytes: {why}"));
        self.stop();
        Ok(Err(why))
    }

    /// Closes all connections and compares what both sides counted.
    pub fn finish(&mut self, session: &mut Session<'_>) -> Result<(), Interrupted> {
        let totals = match self.client.finish(session.waiter) {
            Ok(totals) => totals,
            Err(NoAnswer::Interrupted) => return Err(Interrupted),
            Err(NoAnswer::Gone(why) | NoAnswer::Input(why)) => {
                self.die(why);
                return Ok(());
            }
        };
        let mut errors = totals.errors;
        for (reason, count) in &self.errors_while_profiled {
            let left = errors.get(reason).copied().unwrap_or(0).saturating_sub(*count);
            if left > 0 {
                errors.insert(reason.clone(), left);
            } else {
                errors.remove(reason);
            }
        }
        self.record.replace_errors(errors);
        if self.shares_server {
            self.record
                .cannot_check("bytes: its server counts those of other contenders too");
            return Ok(());
        }
        let mut bytes = Bytes {
            client_sent: totals.sent_bytes,
            client_received: totals.received_bytes,
            server_received: None,
            server_sent: None,
        };
        // The server may still be about to count the last turn when the client has its bytes already.
        session.waiter.until(AGREE_PATIENCE, || {
            let counted = self.server.source.totals();
            let since = |now: Option<u64>, before: Option<u64>| Some(now?.saturating_sub(before?));
            bytes.server_received = since(counted.received_bytes, self.counted_before.0);
            bytes.server_sent = since(counted.sent_bytes, self.counted_before.1);
            let agree = bytes
                .server_received
                .is_none_or(|received| received == bytes.client_sent)
                && bytes.server_sent.is_none_or(|sent| sent == bytes.client_received);
            if !agree {
                std::thread::sleep(AGREE_PAUSE);
            }
            agree
        })?;
        if bytes.server_received.is_none() || bytes.server_sent.is_none() {
            let why = "bytes: the server shows no metrics that count them (echolab_received_bytes_total, echolab_sent_bytes_total)";
            self.record.cannot_check(why);
        }
        self.record.end_round(Some(bytes), totals.spread);
        Ok(())
    }

    /// What is known of the run so far; client and server end.
    pub fn into_record(self) -> Record {
        self.record
    }

    /// Ends client and server.
    pub fn stop(&mut self) {
        self.client.stop();
        self.server.stop();
    }

    /// What a slice brought, unless server or client died of it.
    fn outcome(&mut self, answer: Result<Slice, NoAnswer>) -> Result<Option<Slice>, Interrupted> {
        match answer {
            Err(NoAnswer::Interrupted) => Err(Interrupted),
            Err(NoAnswer::Gone(why) | NoAnswer::Input(why)) => {
                self.die(why);
                Ok(None)
            }
            Ok(slice) => {
                if let Some(why) = self.server.obituary(slice.connections == 0) {
                    self.record.count_errors(&slice.errors);
                    self.record.death = Some(Death::Server(why));
                    self.client.stop();
                    return Ok(None);
                }
                Ok(Some(slice))
            }
        }
    }

    /// The client is gone; if the server is too, that is why.
    fn die(&mut self, why: String) {
        self.record.death = Some(match self.server.obituary(true) {
            Some(end) => Death::Server(end),
            None => Death::Client(why),
        });
        self.stop();
    }
}
