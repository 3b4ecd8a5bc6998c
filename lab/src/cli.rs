//! The command line: [`Args`] mirrors the flags, [`Args::validated`] makes a [`Config`] of them or says what is wrong.

mod contenders;
mod cpus;
mod flags;
mod sweep;
mod typed;
mod values;

pub use flags::{Args, CompareArgs, SweepArgs};
pub use typed::Typed;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use clap::{CommandFactory, Parser, Subcommand};
use sys::cpu::CpuSet;

use crate::contender;
use crate::scenarios as known;
pub use cpus::Cores;
use flags::Common;
use model::config::{Config, Until};
use model::contender::{Contender, Origin};
use model::epoll::EpollOptions;
use model::rate::Rate;
use model::scenario::{Load, Overrides, Scenario, ScenarioError};

/// `--quick`: few rounds of few short slices, so that both scenarios end within a minute and have an interval.
const QUICK_ROUNDS: u32 = 3;
const QUICK_CYCLES: u32 = 2;
const QUICK_SLICE: Duration = Duration::from_millis(150);

/// The words after `lab`.
#[derive(Debug, Parser)]
#[command(
    name = "lab",
    version,
    about = "Runs contenders against scenarios under equal load and reports what each costs.",
    after_help = "Every flag of `lab run` may also be given to `lab` alone, or as an environment variable.",
    args_conflicts_with_subcommands = true
)]
pub struct Lab {
    /// What to do; `run` when nothing is said.
    #[command(subcommand)]
    pub action: Option<Action>,
    /// What `run` takes.
    #[command(flatten)]
    pub run: Args,
}

/// The same when the first word says what to do: the flags of `run` are then none of its business, nor are their
/// variables of the environment, which may hold what only a sweep takes.
#[derive(Debug, Parser)]
#[command(name = "lab", version)]
struct Named {
    #[command(subcommand)]
    action: Action,
}

/// What was asked for on the command line.
#[derive(Debug)]
pub enum Asked {
    /// A run, without the word.
    Run(Box<Args>),
    /// What the first word says.
    Action(Action),
}

impl Asked {
    /// Reads the command line, the program's name first.
    ///
    /// # Errors
    /// When it cannot be, and for help and version.
    pub fn parse(words: &[OsString]) -> Result<Asked, Unread> {
        let typed = Typed::new(words);
        let first = words.get(1).and_then(|word| word.to_str());
        let mut asked = if first.is_some_and(|first| Named::command().find_subcommand(first).is_some()) {
            let named = Named::try_parse_from(words).map_err(|error| {
                // Of the commands below, only the one that was named is asked for its variables.
                let command = Named::command();
                let named = first.and_then(|first| command.find_subcommand(first).cloned());
                unread(&typed, error, &named.unwrap_or(command))
            })?;
            Asked::Action(named.action)
        } else {
            let lab = Lab::try_parse_from(words).map_err(|error| unread(&typed, error, &Lab::command()))?;
            match lab.action {
                Some(action) => Asked::Action(action),
                None => Asked::Run(Box::new(lab.run)),
            }
        };
        match &mut asked {
            Asked::Run(args) | Asked::Action(Action::Run(args)) => args.common.typed = typed,
            Asked::Action(Action::Sweep(args)) => args.common.typed = typed,
            Asked::Action(_) => {}
        }
        Ok(asked)
    }
}

/// Why a command line cannot be read.
#[derive(Debug)]
pub enum Unread {
    /// A value cannot be: where it stands, the value, and what it should be, in one line.
    Value(String),
    /// Whatever else the parser says, help and version among it.
    Parser(clap::Error),
}

fn unread(typed: &Typed, error: clap::Error, command: &clap::Command) -> Unread {
    typed
        .line(&error, command)
        .map_or(Unread::Parser(error), Unread::Value)
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// Run scenarios × contenders × cycles, and report (the default)
    Run(Box<Args>),
    /// Vary one parameter, to see how cost grows with it
    Sweep(Box<SweepArgs>),
    /// Show two results side by side: what changed, and whether chance explains it
    Compare(CompareArgs),
    /// List contenders and scenarios, and what cannot run here and why
    List,
    /// Make the table, report.md and report.html again from a result.json
    Report {
        /// The result.json.
        file: PathBuf,
    },
    /// Start the echo server (see `lab server --help`)
    #[command(disable_help_flag = true)]
    Server,
    /// Start the load generator (see `lab client --help`)
    #[command(disable_help_flag = true)]
    Client,
}

/// What is wrong with the command line: flag, value and remedy in one sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UsageError(String);

fn of_flag(flag: &str, why: impl std::fmt::Display) -> UsageError {
    UsageError(format!("{flag}: {why}"))
}

impl UsageError {
    /// The same with the variable's name where the flag was not typed and the environment holds it.
    fn with_origin(self, typed: &Typed, command: &clap::Command) -> UsageError {
        let end = self.0.find([' ', ':']).unwrap_or(self.0.len());
        let (flag, rest) = self.0.split_at(end);
        if !flag.starts_with("--") {
            return self;
        }
        UsageError(format!("{}{rest}", typed.origin(flag, command)))
    }
}

/// What is offered to whom, one value each: a sweep has taken its list out.
#[derive(Debug, Clone, Default, PartialEq)]
struct Asking {
    scenarios: Vec<String>,
    rate: Option<String>,
    connections: Option<u64>,
    message_bytes: Option<u64>,
    workers: Option<usize>,
    linger: Option<Duration>,
}

impl Args {
    /// Makes a configuration that cannot be wrong. `engines` are the names of our own server's engines, `cores`
    /// the CPUs that this process may use.
    ///
    /// # Errors
    /// When a value cannot be; the message names flag, value and remedy.
    pub fn validated(self, engines: &[&str], cores: &Cores) -> Result<Config, UsageError> {
        let typed = self.common.typed.clone();
        self.checked(engines, cores)
            .map_err(|error| error.with_origin(&typed, &of_action("run")))
    }

    fn checked(self, engines: &[&str], cores: &Cores) -> Result<Config, UsageError> {
        let load = Asking {
            scenarios: self.scenario,
            rate: self.rate,
            connections: self.connections,
            message_bytes: self.message_bytes,
            workers: self.workers,
            linger: self.linger,
        };
        checked(self.common.config(load, engines, cores)?)
    }
}

impl SweepArgs {
    /// Makes a configuration of it, with a scenario or contenders for each value.
    ///
    /// # Errors
    /// When a value cannot be; the message names flag, value and remedy.
    pub fn validated(self, engines: &[&str], cores: &Cores) -> Result<Config, UsageError> {
        let typed = self.common.typed.clone();
        self.checked(engines, cores)
            .map_err(|error| error.with_origin(&typed, &of_action("sweep")))
    }

    fn checked(self, engines: &[&str], cores: &Cores) -> Result<Config, UsageError> {
        let (parameter, values, load) = sweep::read(&self)?;
        let config = self.common.config(load, engines, cores)?;
        let config = crate::sweep::spread(config, parameter, &values)
            .map_err(|why| of_flag(&format!("--{}", parameter.name()), why))?;
        checked(config)
    }
}

/// The flags of one action.
fn of_action(name: &str) -> clap::Command {
    let command = Named::command();
    command.find_subcommand(name).cloned().unwrap_or(command)
}

/// Refuses what speaks of contenders and scenarios that are not there, or of too many.
fn checked(config: Config) -> Result<Config, UsageError> {
    contenders::check_rules(&config)?;
    let Some(first) = config.client_metrics.filter(|first| first.port() != 0) else {
        return Ok(config);
    };
    let clients = config.contenders.len();
    let ports = usize::from(first.port())..usize::from(first.port()) + clients;
    if ports.end > usize::from(u16::MAX) + 1 {
        return Err(of_flag(
            "--client-metrics",
            format!("{first} leaves no port for each of {clients} clients: choose a lower one"),
        ));
    }
    if let Some(own) = config.metrics
        && own.ip() == first.ip()
        && ports.contains(&usize::from(own.port()))
    {
        return Err(of_flag(
            "--client-metrics",
            format!(
                "{first} and the next ports, one for each of {clients} clients, hold that of --metrics, {own}: choose another"
            ),
        ));
    }
    Ok(config)
}

impl Common {
    fn config(self, load: Asking, engines: &[&str], cores: &Cores) -> Result<Config, UsageError> {
        let overrides = self.overrides(&load)?;
        let scenarios = scenarios(&load.scenarios, &overrides, &self.typed)?;
        let own = contenders::own(&self.contender)?;
        let mut contenders = contender::select(&trimmed(&self.contenders), engines, &own)
            .map_err(|why| of_flag("--contenders", why))?;
        linger(&mut contenders, load.linger)?;
        self.refuse_idle_flags(&contenders)?;
        let named = contenders::named(&self.contenders, &own, self.baseline.as_deref(), &contenders);
        let baseline = contenders::baseline(self.baseline.as_deref(), &contenders)?;
        let cpus = cpus::plan(
            self.no_pin,
            self.server_cpus.as_ref(),
            self.client_cpus.as_ref(),
            cores,
        )?;
        let count = |set: Option<&CpuSet>| set.map_or(cores.allowed().len(), CpuSet::len).max(1);
        let workers = load.workers.unwrap_or_else(|| count(cpus.server()));
        Ok(Config {
            client_threads: count(cpus.client()),
            connections_by_flag: load.connections.is_some(),
            scenarios,
            contenders,
            baseline,
            workers,
            cpus,
            epoll: EpollOptions {
                events: self.events,
                accept: self.accept,
                trigger: self.trigger,
            },
            seed: self.seed,
            until: self.until.map(|half_width| Until {
                half_width,
                max_time_seconds: self.max_time.as_secs_f64(),
            }),
            await_restarts_seconds: self.await_restarts.map(|limit| limit.as_secs_f64()),
            wait_quiet_seconds: self.wait_quiet.map(|limit| limit.as_secs_f64()),
            output: self.output,
            fail_if: self.fail_if,
            undecided: self.undecided,
            named,
            repeat: self.repeat,
            profile_seconds: self.profile.then_some(self.profile_seconds),
            profile_hz: NonZeroU32::new(self.profile_hz),
            metrics: address("--metrics", &self.metrics)?,
            client_metrics: address("--client-metrics", &self.client_metrics)?,
            sweep: None,
        })
    }

    /// Refuses flags that would do nothing, or one would believe that they did. Variables of the environment may: whoever
    /// sets them sets them for all runs.
    fn refuse_idle_flags(&self, contenders: &[Contender]) -> Result<(), UsageError> {
        if !self.profile && self.typed.has("--profile-seconds") {
            return Err(of_flag(
                "--profile-seconds",
                format!(
                    "`{}` is how long profiles take, and none are taken: add --profile, or leave it out",
                    self.profile_seconds
                ),
            ));
        }
        let found = |contender: &Contender| matches!(contender.origin, Origin::Running { .. });
        if self.typed.has("--await-restarts") && !contenders.iter().any(found) {
            return Err(of_flag(
                "--await-restarts",
                "the lab starts all contenders itself, in each round afresh: leave it out",
            ));
        }
        if contenders.iter().any(contender::is_epoll) {
            return Ok(());
        }
        for flag in ["--accept", "--trigger", "--events"] {
            if self.typed.has(flag) {
                return Err(of_flag(
                    flag,
                    "it is passed to epoll and bare, which the lab would start, and neither takes part: leave it out, or name one in --contenders",
                ));
            }
        }
        Ok(())
    }

    fn overrides(&self, load: &Asking) -> Result<Overrides, UsageError> {
        let quick = |value| self.quick.then_some(value);
        Ok(Overrides {
            connections: load.connections,
            message_bytes: load.message_bytes,
            rate: rate(load.rate.as_deref())?,
            arrivals: self.arrivals,
            think_time: self.think_time,
            slice: self.slice.or(quick(QUICK_SLICE)),
            rounds: self.rounds.or(self.quick.then_some(QUICK_ROUNDS)),
            cycles: self.cycles.or(self.quick.then_some(QUICK_CYCLES)),
        })
    }
}

/// The scenarios with what the flags change. What was typed and no scenario can take is refused, or one would believe it
/// was used; the environment (an .env file) may hold what other scenarios take.
fn scenarios(names: &[String], overrides: &Overrides, typed: &Typed) -> Result<Vec<Scenario>, UsageError> {
    let mut scenarios: Vec<Scenario> = Vec::new();
    for name in names {
        let found = known::find(name.trim()).map_err(|why| of_flag("--scenario", why))?;
        let scenario = found.with(overrides).map_err(|why| match why {
            // What was fine in the scenario itself is wrong by the flag that changed it.
            ScenarioError::Invalid { key, value, why, .. } => of_flag(
                &format!("--{}", key.replace('_', "-")),
                format!("`{value}` {why}"),
            ),
            other => of_flag("--scenario", other),
        })?;
        if scenarios.iter().any(|earlier| earlier.name == scenario.name) {
            return Err(of_flag(
                "--scenario",
                format!("`{}` stands twice: name each scenario once", scenario.name),
            ));
        }
        scenarios.push(scenario);
    }
    let open = |scenario: &Scenario| matches!(scenario.pace, Load::Open { .. });
    let closed_alone = "belongs to open loops, and no scenario is one (pace = \"open\"): leave it out, or choose another --scenario";
    let open_alone = "belongs to closed loops, and no scenario is one: in an open loop requests fall due at a rate (--rate). Leave it out, or choose a --scenario FILE.toml with pace = \"closed\"";
    if let Some(think_time) = overrides.think_time
        && typed.has("--think-time")
        && scenarios.iter().all(open)
    {
        let text = humantime::format_duration(think_time);
        return Err(of_flag("--think-time", format!("`{text}` {open_alone}")));
    }
    if !scenarios.iter().any(open) {
        if let Some(Some(rate)) = overrides.rate
            && typed.has("--rate")
        {
            return Err(of_flag("--rate", format!("`{rate}` {closed_alone}")));
        }
        if let Some(arrivals) = overrides.arrivals
            && typed.has("--arrivals")
        {
            return Err(of_flag("--arrivals", format!("`{arrivals}` {closed_alone}")));
        }
    }
    Ok(scenarios)
}

fn rate(text: Option<&str>) -> Result<Option<Option<Rate>>, UsageError> {
    match text.map(str::trim) {
        None => Ok(None),
        Some("auto") => Ok(Some(None)),
        Some(text) => match text.parse::<Rate>() {
            Ok(rate) => Ok(Some(Some(rate))),
            Err(why) => Err(of_flag("--rate", format!("`{text}` {why}, or `auto`"))),
        },
    }
}

/// Lets those linger that can.
fn linger(contenders: &mut [Contender], linger: Option<Duration>) -> Result<(), UsageError> {
    let Some(linger) = linger else { return Ok(()) };
    let micros = model::contender::linger_micros(linger).map_err(|why| of_flag("--linger", why))?;
    let mut lingering = contenders
        .iter_mut()
        .filter(|contender| contender::can_linger(contender))
        .peekable();
    if micros > 0 && lingering.peek().is_none() {
        return Err(of_flag(
            "--linger",
            "epoll and uring linger, and neither takes part: leave it out, or name one in --contenders",
        ));
    }
    for contender in lingering {
        contender.linger_micros = (micros > 0).then_some(micros);
    }
    Ok(())
}

fn trimmed(names: &[String]) -> Vec<String> {
    names.iter().map(|name| name.trim().to_owned()).collect()
}

fn address(flag: &str, text: &str) -> Result<Option<SocketAddr>, UsageError> {
    match text {
        "none" => Ok(None),
        text => text.parse().map(Some).map_err(|_| {
            of_flag(
                flag,
                format!("`{text}` should be an address such as 127.0.0.1:9102, or `none`"),
            )
        }),
    }
}

#[cfg(test)]
mod tests;
