//! The run itself: start everything, connect everything, calibrate, slice by slice, drain; saved as it goes.

mod calibration;
mod child;
mod client;
mod lane;
mod profile;
mod record;
mod server;

pub use child::{Interrupted, Waiter};

use std::process::Command;
use std::time::{Duration, Instant};

use crate::comparison;
use crate::config::{Config, CpuPlan};
use crate::contender::Contender;
use crate::metrics::{LabMetrics, Phase};
use crate::progress::Progress;
use crate::result::LabResult;
use crate::scenario::Scenario;
use crate::schedule;
use crate::store::Store;
use lane::Lane;

/// Connections that a client establishes in a second, for the estimate.
const RAMP_PER_SECOND: f64 = 8_000.0;
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
}

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
        let mut lanes = self.start_lanes(scenario)?;
        calibration::capacities(self, scenario, &mut lanes)?;
        if let Some(pace) = calibration::pace(scenario, &lanes) {
            let pace = calibration::warm_up(self, scenario, &mut lanes, pace)?;
            profile::shares(self, scenario, &mut lanes, pace)?;
            for lane in &mut lanes {
                lane.record.client_apart = matches!(self.config.cpus, CpuPlan::Disjoint { .. });
                lane.record.open_loop = matches!(pace, ::client::summary::Pace::Open { .. });
                if let ::client::summary::Pace::Open { rate_per_second, .. } = pace {
                    lane.record.offered_per_second = Some(rate_per_second);
                }
                lane.begin();
            }
            self.update(scenario, &lanes, Comparisons::OfLastTime)?;
            let ended = self.run_cycles(scenario, &mut lanes, pace);
            if ended.is_ok() {
                for lane in lanes.iter_mut().filter(|lane| lane.lives()) {
                    lane.end();
                }
            }
            // Stopped or not: the slices that are finished count.
            self.update(scenario, &lanes, Comparisons::Anew)?;
            ended?;
            profile::profiles(self, scenario, &mut lanes, pace)?;
        }
        let drained = self.drain(scenario, &mut lanes);
        self.update(scenario, &lanes, Comparisons::Anew)?;
        drained
    }

    fn drain(&mut self, scenario: &Scenario, lanes: &mut [Lane]) -> Result<(), Stop> {
        for lane in lanes.iter_mut().filter(|lane| lane.lives()) {
            self.enter(scenario, &lane.record.contender, Phase::Drain);
            lane.finish(self)?;
            lane.stop();
        }
        Ok(())
    }

    fn start_lanes(&mut self, scenario: &Scenario) -> Result<Vec<Lane>, Stop> {
        let contenders = &self.config.contenders;
        let mut lanes: Vec<_> = contenders.iter().map(|_| None).collect();
        let skipped_before = self.result.skipped.len();
        for index in schedule::start(contenders.len(), self.config.seed) {
            let contender = &contenders[index];
            match lane::start(self, scenario, index, contender)? {
                Ok(lane) => {
                    lanes[index] = Some(lane);
                    self.done(starting(scenario));
                }
                Err(skipped) => {
                    self.metrics.leave(&contender.name);
                    self.progress.say(&format!(
                        "{}: {} is skipped: {}",
                        scenario.name, contender.name, skipped.why
                    ));
                    self.result.skipped.push(skipped);
                }
            }
        }
        // From here on they stand as the user named them.
        let named = |name: &str| contenders.iter().position(|contender| contender.name == name);
        self.result.skipped[skipped_before..].sort_by_key(|skipped| named(&skipped.contender));
        Ok(lanes.into_iter().flatten().collect())
    }

    fn run_cycles(
        &mut self,
        scenario: &Scenario,
        lanes: &mut [Lane],
        pace: ::client::summary::Pace,
    ) -> Result<(), Stop> {
        let mut compared = Instant::now();
        for cycle in 0..scenario.cycles {
            for turn in schedule::cycle(cycle, lanes.len(), self.config.seed) {
                let lane = &mut lanes[turn.contender];
                if lane.lives() {
                    let name = lane.record.contender.clone();
                    self.metrics.enter(&name, Phase::Slice);
                    self.progress.now(
                        &stage(scenario, cycle),
                        &format!("cycle {}/{} {name}", cycle + 1, scenario.cycles),
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
    fn update(&mut self, scenario: &Scenario, lanes: &[Lane], comparisons: Comparisons) -> Result<(), Stop> {
        self.result.runs.retain(|run| run.scenario != scenario.name);
        let runs = lanes.iter().map(|lane| lane.record.to_run(scenario));
        self.result.runs.extend(runs);
        if comparisons == Comparisons::Anew {
            let anew = comparison::of_scenario(&self.result, &scenario.name);
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

    fn note(&mut self, note: String) {
        self.progress.say(&note);
        self.result.notes.push(note);
    }
}

/// What stays on a screen without cursor: the tenths of a scenario.
fn stage(scenario: &Scenario, cycle: u32) -> String {
    let step = scenario.cycles.div_ceil(10).max(1);
    format!(
        "{}: measuring, cycle {} of {}",
        scenario.name,
        cycle / step * step + 1,
        scenario.cycles
    )
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
        (starting(scenario)
            + calibration::round(scenario) * calibration::ROUNDS
            + warm_up
            + (scenario.slice() + BESIDE_SLICE) * scenario.cycles
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
