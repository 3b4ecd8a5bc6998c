//! The run itself: start everything, connect everything, calibrate, slice by slice, drain; saved as it goes.

mod calibration;
mod child;
mod client;
mod inquiry;
mod lane;
mod profile;
mod record;
mod restarts;
mod server;
pub mod takers;
mod tracking;

pub use child::{Interrupted, Waiter};

use model::figure::Figure;
use std::collections::BTreeMap;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::metrics::{LabMetrics, Phase};
use crate::progress::Progress;
use crate::store::Store;
use ::model::pace::Pace;
use lane::{Lane, Place};
use model::comparison;
use model::config::{Config, CpuPlan};
use model::contender::Contender;
use model::judge::Death;
use model::plan::{self, Turn};
use model::result::LabResult;
use model::result::Skipped;
use model::scenario::Scenario;
use model::spoilt;
use record::Record;
use sys::cpu::CpuSet;
use takers::Takers;

/// Connections that a client establishes in a second, for the estimate.
const RAMP_PER_SECOND: f64 = 20_000.0;
/// Starting and stopping a server and a client, for the estimate.
const START_AND_STOP: Duration = Duration::from_millis(400);
/// What a slice takes beside itself, for the estimate: the drain, reading clocks, saving.
const BESIDE_SLICE: Duration = Duration::from_millis(15);

/// How often a scenario's contenders are compared while its cycles go on: each time costs tens of milliseconds for the
/// bootstrap, in which nothing is measured.
const COMPARE_PAUSE: Duration = Duration::from_secs(10);

/// Whether an update compares the contenders of its scenario.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Comparisons {
    /// It does.
    Anew,
    /// What was found last time stands, which may lack some cycles.
    OfLastTime,
}

/// What a run of the lab works with.
pub struct Session<'a> {
    /// What to do.
    pub config: &'a Config,
    /// Listens for the user's wish to stop.
    pub waiter: &'a Waiter,
    /// Shows how far it is.
    pub progress: &'a mut Progress,
    /// Shows it to others.
    pub metrics: &'a LabMetrics,
    /// Keeps results.
    pub store: &'a Store,
    /// What is known so far.
    pub result: LabResult,
    /// How many of the skipped are so because of what the user said of them: no server at that address, no such program.
    pub input_faults: usize,
    /// What is known of the scenario's contenders that are not up: between rounds, and when they died.
    pub parked: Parked,
    /// The CPUs of servers and clients; `None` when they may run on all.
    pub cpus: Option<CpuSet>,
    /// Processes of servers that the lab did not start.
    pub processes: restarts::Processes,
    /// Who took CPU in this scenario's slices.
    pub takers: Takers,
    /// Contenders whose metrics did not answer in time, with what to say of it. They are not asked again.
    pub silent: BTreeMap<String, String>,
}

/// Records by the contender's name.
#[derive(Debug, Default)]
pub struct Parked(BTreeMap<String, Record>);

/// Why a run of the lab did not come to its end. What was measured until then is kept.
#[derive(Debug)]
pub enum Stop {
    /// The user wants to stop.
    Interrupted,
    /// Results cannot be saved any more.
    Failed(anyhow::Error),
}

impl From<Interrupted> for Stop {
    fn from(Interrupted: Interrupted) -> Stop {
        Stop::Interrupted
    }
}

impl Session<'_> {
    /// Runs all scenarios.
    ///
    /// # Errors
    /// When the user wants to stop, or results cannot be saved. `self.result` holds what is known.
    pub fn run(&mut self) -> Result<(), Stop> {
        self.metrics.publish(&self.result);
        for scenario in &self.config.scenarios {
            self.run_scenario(scenario)?;
        }
        self.result.complete = true;
        self.save()
    }

    fn run_scenario(&mut self, scenario: &Scenario) -> Result<(), Stop> {
        let names = self
            .config
            .contenders
            .iter()
            .map(|contender| contender.name.clone());
        self.metrics.begin(&scenario.name, names);
        self.parked.0.clear();
        self.takers = Takers::default();
        let began = Instant::now();
        let mut pace = None;
        for round in 0.. {
            if round >= scenario.rounds && !self.goes_on(scenario, began) {
                break;
            }
            let last = self.config.until.is_none() && round + 1 == scenario.rounds;
            pace = self.run_round(scenario, round, last, pace)?;
            if pace.is_none() {
                break;
            }
        }
        Ok(())
    }

    /// Whether another round is wanted: an interval is wider than asked for, and there is time left. It goes by width
    /// only: stopping when a difference shows would find differences everywhere.
    fn goes_on(&mut self, scenario: &Scenario, began: Instant) -> bool {
        let Some(until) = self.config.until else {
            return false;
        };
        let widest = self
            .result
            .comparisons
            .iter()
            .filter(|one| one.scenario == scenario.name && one.metric == Figure::Cpu)
            .map(|one| one.half_width().unwrap_or(f64::INFINITY))
            .fold(0.0, f64::max);
        if widest <= until.half_width {
            return false;
        }
        let enough = began.elapsed().as_secs_f64() < until.max_time_seconds;
        if !enough {
            let percent = |share: f64| share * 100.0;
            self.note(format!(
                "{}: the time is over (--max-time {}s) and an interval is still ±{:.1} % wide, not ±{:.1} %",
                scenario.name,
                until.max_time_seconds,
                percent(widest),
                percent(until.half_width),
            ));
        }
        enough
    }

    /// One round: start, connect, warm up, cycles, drain. The first one also finds the `pace` for all. `None` when nobody
    /// replies, so that there is no rate to choose.
    fn run_round(
        &mut self,
        scenario: &Scenario,
        round: u32,
        last: bool,
        pace: Option<Pace>,
    ) -> Result<Option<Pace>, Stop> {
        restarts::await_new_processes(self, scenario, round)?;
        tracking::await_room(self, scenario, round)?;
        let mut lanes = self.start_lanes(scenario, round)?;
        let pace = match pace {
            Some(pace) => {
                calibration::rehearse(self, scenario, &mut lanes, pace)?;
                Some(pace)
            }
            None => {
                calibration::capacities(self, scenario, &mut lanes)?;
                match calibration::pace(scenario, &lanes) {
                    Some(pace) => Some(calibration::warm_up(self, scenario, &mut lanes, pace)?),
                    None => None,
                }
            }
        };
        if let Some(pace) = pace {
            profile::shares(self, scenario, &mut lanes, pace)?;
            for lane in &mut lanes {
                lane.record.client_apart = matches!(self.config.cpus, CpuPlan::Disjoint { .. });
                lane.record.open_loop = matches!(pace, Pace::Open { .. });
                if let Pace::Open { rate_per_second, .. } = pace {
                    lane.record.offered_per_second = Some(rate_per_second.per_second());
                }
                lane.begin();
            }
            self.update(scenario, &mut lanes, Comparisons::OfLastTime)?;
            let ended = self.run_cycles(scenario, round, &mut lanes, pace);
            if ended.is_ok() {
                for lane in lanes.iter_mut().filter(|lane| lane.lives()) {
                    lane.end();
                }
            }
            // Stopped or not: the slices that are finished count.
            self.update(scenario, &mut lanes, Comparisons::Anew)?;
            ended?;
            if last {
                profile::profiles(self, scenario, &mut lanes, pace)?;
            }
        }
        let drained = self.drain(scenario, &mut lanes);
        self.update(scenario, &mut lanes, Comparisons::Anew)?;
        for lane in lanes {
            let record = lane.into_record();
            self.parked.0.insert(record.contender.clone(), record);
        }
        drained?;
        Ok(pace)
    }

    fn drain(&mut self, scenario: &Scenario, lanes: &mut [Lane]) -> Result<(), Stop> {
        for lane in lanes.iter_mut().filter(|lane| lane.lives()) {
            self.enter(scenario, &lane.record.contender, Phase::Drain);
            lane.finish(self)?;
            lane.stop();
        }
        Ok(())
    }

    fn start_lanes(&mut self, scenario: &Scenario, round: u32) -> Result<Vec<Lane>, Stop> {
        let contenders = &self.config.contenders;
        let mut lanes: Vec<_> = contenders.iter().map(|_| None).collect();
        let skipped_before = self.result.skipped.len();
        let order = plan::start(round, contenders.len(), self.config.seed);
        let mut up = Vec::new();
        for (position, index) in order.into_iter().enumerate() {
            let contender = &contenders[index];
            let place = Place { round, position };
            if !self.takes_part(scenario, contender, round) {
                continue;
            }
            match lane::start(self, scenario, index, contender, place)? {
                Ok(starting) => up.push((index, starting)),
                Err(skipped) => self.cannot_take_part(round, skipped),
            }
        }
        lane::connect_all(up.iter_mut().map(|(_, starting)| starting));
        for (index, server) in up {
            match lane::connected(self, scenario, server)? {
                Ok(lane) => {
                    lanes[index] = Some(lane);
                    self.done(starting(scenario));
                }
                Err(skipped) => self.cannot_take_part(round, skipped),
            }
        }
        // From here on they stand as the user named them.
        let named = |name: &str| contenders.iter().position(|contender| contender.name == name);
        self.result.skipped[skipped_before..].sort_by_key(|skipped| named(&skipped.contender));
        Ok(lanes.into_iter().flatten().collect())
    }

    /// Notes that a contender did not start: in the first round it is skipped, later it died.
    fn cannot_take_part(&mut self, round: u32, skipped: Skipped) {
        let (scenario, contender, why) = (&skipped.scenario, &skipped.contender, &skipped.why);
        self.metrics.leave(contender);
        if round == 0 {
            self.progress
                .say(&format!("{scenario}: {contender} is skipped: {why}"));
            self.result.skipped.push(skipped);
            return;
        }
        let why = format!("round {}: {why}", round + 1);
        self.progress
            .say(&format!("{scenario}: {contender} did not start again: {why}"));
        let record = self.parked.0.entry(contender.clone()).or_default();
        record.death = Some(Death::Server(why));
    }

    /// Whether a contender is started in this round: not again when it could not start, or died.
    fn takes_part(&self, scenario: &Scenario, contender: &Contender, round: u32) -> bool {
        let died = self
            .parked
            .0
            .get(&contender.name)
            .map(|record| record.death.is_some());
        let skipped = || {
            let mut skipped = self.result.skipped_of(&scenario.name);
            skipped.any(|skipped| skipped.contender == contender.name)
        };
        round == 0 || !(died.unwrap_or(true) || skipped())
    }

    fn run_cycles(
        &mut self,
        scenario: &Scenario,
        round: u32,
        lanes: &mut [Lane],
        pace: Pace,
    ) -> Result<(), Stop> {
        let mut compared = Instant::now();
        for cycle in 0..scenario.cycles {
            // The schedule balances positions over many cycles, so it goes on from round to round.
            let number = round.wrapping_mul(scenario.cycles).wrapping_add(cycle);
            for turn in plan::cycle(number, lanes.len(), self.config.seed) {
                let turn = Turn { cycle, ..turn };
                let lane = &mut lanes[turn.contender];
                if lane.lives() {
                    let name = lane.record.contender.clone();
                    self.metrics.enter(&name, Phase::Slice);
                    self.progress.now(
                        &stage(scenario, round),
                        &format!(
                            "round {}/{} cycle {}/{} {name}",
                            round + 1,
                            scenario.rounds.max(round + 1),
                            cycle + 1,
                            scenario.cycles
                        ),
                    );
                    lane.measure(self, turn, pace, scenario.slice())?;
                    if lane.lives() {
                        self.metrics.enter(&name, Phase::Idle);
                    } else {
                        self.metrics.leave(&name);
                        self.progress.say(&format!("{}: {name} died", scenario.name));
                    }
                }
                self.done(scenario.slice() + BESIDE_SLICE);
            }
            if compared.elapsed() >= COMPARE_PAUSE {
                self.update(scenario, lanes, Comparisons::Anew)?;
                compared = Instant::now();
            } else {
                self.update(scenario, lanes, Comparisons::OfLastTime)?;
            }
        }
        Ok(())
    }

    /// Takes over what the lanes know now, and saves. The comparisons of this scenario may stay those of an earlier
    /// cycle until it ends or is stopped; those of other scenarios do not change any more.
    fn update(
        &mut self,
        scenario: &Scenario,
        lanes: &mut [Lane],
        comparisons: Comparisons,
    ) -> Result<(), Stop> {
        let up = lanes.iter_mut().map(|lane| &mut lane.record);
        let mut records: Vec<&mut Record> = up.chain(self.parked.0.values_mut()).collect();
        let slices: Vec<_> = records.iter().flat_map(|record| record.slices()).collect();
        let spoilt = spoilt::cycles(&slices);
        for record in &mut records {
            record.mark(&spoilt);
        }
        let unaccounted: Vec<f64> = records
            .iter()
            .filter_map(|record| record.unaccounted_percent())
            .collect();
        // A contender by itself has nobody to be held against.
        let least = match &unaccounted[..] {
            [] | [_] => 0.0,
            several => several.iter().copied().fold(f64::INFINITY, f64::min),
        };
        for record in &mut records {
            record.least_unaccounted_percent = least;
        }
        self.result.takers.retain(|taker| taker.scenario != scenario.name);
        self.result.takers.extend(self.takers.named(&scenario.name));
        self.result.runs.retain(|run| run.scenario != scenario.name);
        for contender in &self.config.contenders {
            let up = lanes.iter().find(|lane| lane.record.contender == contender.name);
            let record = up
                .map(|lane| &lane.record)
                .or_else(|| self.parked.0.get(&contender.name));
            self.result
                .runs
                .extend(record.map(|record| record.to_run(scenario)));
        }
        if comparisons == Comparisons::Anew {
            let anew =
                comparison::of_scenario(self.result.runs_of(&scenario.name), &self.result.config.baseline);
            self.result
                .comparisons
                .retain(|one| one.scenario != scenario.name);
            self.result.comparisons.extend(anew);
        }
        self.save()
    }

    fn save(&mut self) -> Result<(), Stop> {
        self.metrics.publish(&self.result);
        self.store.save(&self.result).map_err(Stop::Failed)
    }

    /// A contender enters a phase other than its slices.
    fn enter(&mut self, scenario: &Scenario, contender: &str, phase: Phase) {
        self.metrics.enter(contender, phase);
        let doing = match phase {
            Phase::Starting | Phase::Ramp => "starting and connecting",
            Phase::Calibration => "calibrating",
            Phase::WarmUp => "warming up",
            Phase::Profile => "profiling",
            Phase::Drain => "draining",
            Phase::Slice | Phase::Idle => return,
        };
        self.progress
            .now(&format!("{}: {doing}", scenario.name), contender);
    }

    fn done(&mut self, planned: Duration) {
        self.progress.done(planned);
    }

    /// Says something, and keeps it in the result.
    pub fn note(&mut self, note: String) {
        self.progress.say(&note);
        self.result.notes.push(note);
    }
}

/// What stays on a screen without cursor: the rounds of a scenario.
fn stage(scenario: &Scenario, round: u32) -> String {
    let rounds = scenario.rounds.max(round + 1);
    format!("{}: measuring, round {} of {rounds}", scenario.name, round + 1)
}

fn starting(scenario: &Scenario) -> Duration {
    START_AND_STOP + Duration::from_secs_f64(scenario.connections as f64 / RAMP_PER_SECOND)
}

/// About how long all of it takes, when those contenders run of which `able` is true: the others cost no time.
pub fn estimate(config: &Config, able: impl Fn(&Contender) -> bool) -> Duration {
    let contenders = config.contenders.iter().filter(|contender| able(contender));
    let contenders = contenders.count() as u32;
    let of_scenario = |scenario: &Scenario| {
        let warm_up = scenario.slice().min(calibration::WARM_UP_MAX);
        let round = starting(scenario) + warm_up + (scenario.slice() + BESIDE_SLICE) * scenario.cycles;
        (round * scenario.rounds
            + calibration::round(scenario) * calibration::ROUNDS
            + config.profile_seconds.map_or(Duration::ZERO, profile::planned))
            * contenders
    };
    config.scenarios.iter().map(of_scenario).sum()
}

/// The lab's own program as `lab server` or `lab client`, free of the environment's flags: they are the lab's.
fn own_command(role: &str) -> Result<Command, String> {
    let exe =
        std::env::current_exe().map_err(|error| format!("the lab cannot find its own program: {error}"))?;
    let mut command = Command::new(exe);
    command.arg(role);
    without_settings(&mut command);
    Ok(command)
}

/// Clears a command's environment but for what programs need to find things and to tell of failures: a variable of the
/// lab's that is a flag of one server (READ_BUFFER, GOGC) must not make it unlike the others.
fn without_settings(command: &mut Command) {
    command.env_clear();
    for name in ["PATH", "HOME", "TMPDIR", "RUST_BACKTRACE", "RUST_LOG"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
}
