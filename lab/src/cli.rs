//! The command line: [`Args`] mirrors the flags, [`Args::validated`] makes a [`Config`] of them or says what is wrong.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand};
use client::summary::Arrivals;
use sys::cpu::CpuSet;

use crate::config::{Config, CpuPlan, EpollOptions};
use crate::contender::{self, Contender};
use crate::fail_if::Rule;
use crate::scenario::{Overrides, Scenario};

/// `--quick`: few cycles of short slices, so that both scenarios end within half a minute.
const QUICK_CYCLES: u32 = 6;
const QUICK_SLICE: Duration = Duration::from_millis(200);

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

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// Run scenarios × contenders × cycles, and report (the default)
    Run(Box<Args>),
    /// List contenders and scenarios, and what cannot run here and why
    List,
    /// Make table and report.md again from a result.json
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

/// The flags of `lab run`, as they were typed.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Scenarios: `few`, `many`, or the path of a .toml file; several with commas
    #[arg(
        long,
        env = "SCENARIOS",
        value_delimiter = ',',
        default_value = "few,many",
        value_name = "LIST|FILE.toml"
    )]
    scenario: Vec<String>,
    /// Contenders in order: names, `engines` (our server's), `own` (the --contender ones), or `all` (both, and the other
    /// servers of this repository that are built: see `lab list`); the same twice makes a null check
    #[arg(
        long,
        env,
        value_delimiter = ',',
        default_value = "engines,own",
        value_name = "LIST"
    )]
    contenders: Vec<String>,
    /// A contender of your own: name=mine,echo=HOST:PORT[,metrics=URL] (it runs already) or
    /// name=mine,command="./mine --port {port}"[,metrics=URL with {metrics_port}] (the lab starts it); repeatable,
    /// in the environment separated by semicolons
    #[arg(long, env, value_name = "DEFINITION")]
    contender: Vec<String>,
    /// To whom all others are compared
    #[arg(long, env, default_value = "epoll", value_name = "NAME")]
    baseline: String,
    /// How long a slice is [default: the scenario's, 250ms]
    #[arg(long, env, value_parser = humantime::parse_duration, value_name = "DURATION")]
    slice: Option<Duration>,
    /// Slices of each contender [default: the scenario's, 40]
    #[arg(long, env, value_name = "N")]
    cycles: Option<u32>,
    /// Messages per second over all connections, or `auto`: a share of the slowest contender's capacity
    /// [default: the scenario's, auto]
    #[arg(long, env, value_name = "auto|N", allow_hyphen_values = true)]
    rate: Option<String>,
    /// Connections to each contender [default: the scenario's]
    #[arg(long, env, value_name = "N")]
    connections: Option<u64>,
    /// Bytes of a message [default: the scenario's]
    #[arg(long, env, value_name = "BYTES")]
    message_bytes: Option<u64>,
    /// Arrivals in open loops: smooth, poisson, or 'burst 1ms' [default: the scenario's]
    #[arg(long, env, value_name = "ARRIVALS")]
    arrivals: Option<Arrivals>,
    /// Think time in closed loops [default: the scenario's]
    #[arg(long, env, value_parser = humantime::parse_duration, value_name = "DURATION")]
    think_time: Option<Duration>,
    /// A short look: few cycles, under 30 s in all
    #[arg(long, env)]
    quick: bool,
    /// Where results go
    #[arg(long, env, default_value = "results", value_name = "DIR")]
    output: PathBuf,
    /// Seeds the bootstrap and random arrivals
    #[arg(long, env, default_value_t = 1, value_name = "N")]
    seed: u64,
    /// Fail (exit code 3) when this holds, such as 'tokio/epoll cpu_micros_per_message > 1.5' or
    /// 'few: epoll response_micros.p99 > 1000', or cannot be decided; repeatable
    #[arg(long, env, value_delimiter = ';', value_name = "RULE")]
    fail_if: Vec<Rule>,
    /// Threads that each server may work with [default: the number of the servers' CPUs]
    #[arg(long, env, value_name = "N")]
    workers: Option<usize>,
    /// CPUs of the servers, such as 0-3,6 [default: the first half]
    #[arg(long, env, value_name = "LIST")]
    server_cpus: Option<CpuSet>,
    /// CPUs of the clients [default: the last half]
    #[arg(long, env, value_name = "LIST")]
    client_cpus: Option<CpuSet>,
    /// Pin nobody to CPUs
    #[arg(long, env, conflicts_with_all = ["server_cpus", "client_cpus"])]
    no_pin: bool,
    /// Passed to epoll: how listening sockets are shared
    #[arg(long, env, value_parser = ["shared", "exclusive", "reuseport"])]
    accept: Option<String>,
    /// Passed to epoll: edge- or level-triggered
    #[arg(long, env, value_parser = ["edge", "level"])]
    trigger: Option<String>,
    /// Passed to epoll: events for each wait
    #[arg(long, env, value_name = "N")]
    events: Option<usize>,
    /// Where the lab's own metrics are served, or `none`
    #[arg(long, env, default_value = "none", value_name = "ADDR|none")]
    metrics: String,
    /// Where the clients' metrics are served, or `none`: the first contender's client on this port, the next one on
    /// the next
    #[arg(long, env, default_value = "none", value_name = "ADDR|none")]
    client_metrics: String,
    /// Start again after the last scenario, until stopped
    #[arg(
        long,
        env = "LAB_REPEAT",
        num_args = 0..=1,
        default_value = "false",
        default_missing_value = "true",
        value_name = "true|false"
    )]
    repeat: bool,
}

/// What is wrong with the command line: flag, value and remedy in one sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UsageError(String);

fn of_flag(flag: &str, why: impl std::fmt::Display) -> UsageError {
    UsageError(format!("{flag}: {why}"))
}

impl Args {
    /// Makes a configuration that cannot be wrong. `engines` are the names of our own server's engines, `allowed`
    /// the CPUs that this process may use.
    ///
    /// # Errors
    /// When a value cannot be; the message names flag, value and remedy.
    pub fn validated(self, engines: &[&str], allowed: &CpuSet) -> Result<Config, UsageError> {
        let overrides = self.overrides()?;
        let mut scenarios: Vec<Scenario> = Vec::new();
        for name in &self.scenario {
            let scenario = Scenario::find(name.trim())
                .and_then(|scenario| scenario.with(&overrides))
                .map_err(|why| of_flag("--scenario", why))?;
            if scenarios.iter().any(|earlier| earlier.name == scenario.name) {
                return Err(of_flag(
                    "--scenario",
                    format!("`{}` stands twice: name each scenario once", scenario.name),
                ));
            }
            scenarios.push(scenario);
        }
        let own = own_contenders(&self.contender)?;
        let contenders = contender::select(&trimmed(&self.contenders), engines, &own)
            .map_err(|why| of_flag("--contenders", why))?;
        let baseline = baseline(&self.baseline, &contenders)?;
        check_rules(&self.fail_if, &scenarios, &contenders)?;
        let cpus = cpu_plan(
            self.no_pin,
            self.server_cpus.as_ref(),
            self.client_cpus.as_ref(),
            allowed,
        )?;
        let count = |set: Option<&str>| {
            let set = set.and_then(|text| text.parse::<CpuSet>().ok());
            set.map_or(allowed.len(), |set| set.len()).max(1)
        };
        let workers = at_least_one("--workers", self.workers)?.unwrap_or_else(|| count(cpus.server()));
        let client_metrics = address("--client-metrics", &self.client_metrics)?;
        if let Some(first) = client_metrics
            && first.port() != 0
            && usize::from(first.port()) + contenders.len() > usize::from(u16::MAX) + 1
        {
            return Err(of_flag(
                "--client-metrics",
                format!(
                    "{first} leaves no port for each of {} clients: choose a lower one",
                    contenders.len()
                ),
            ));
        }
        Ok(Config {
            client_threads: count(cpus.client()),
            scenarios,
            contenders,
            baseline,
            workers,
            cpus,
            epoll: EpollOptions {
                events: at_least_one("--events", self.events)?,
                accept: self.accept,
                trigger: self.trigger,
            },
            seed: self.seed,
            output: self.output,
            fail_if: self.fail_if,
            repeat: self.repeat,
            metrics: address("--metrics", &self.metrics)?,
            client_metrics,
            sweep: None,
        })
    }

    fn overrides(&self) -> Result<Overrides, UsageError> {
        let rate = match self.rate.as_deref().map(str::trim) {
            None => None,
            Some("auto") => Some(None),
            Some(text) => match text.parse::<f64>() {
                Ok(rate) if rate.is_finite() && rate > 0.0 && rate <= 1e9 => Some(Some(rate)),
                _ => {
                    return Err(of_flag(
                        "--rate",
                        format!(
                            "`{text}` should be `auto`, or more than 0 and at most 1e9 (messages per second)"
                        ),
                    ));
                }
            },
        };
        // Zeroes are refused here, where the flag can be named, and not by the scenario.
        for (flag, value) in [
            ("--connections", self.connections),
            ("--message-bytes", self.message_bytes),
            ("--cycles", self.cycles.map(u64::from)),
        ] {
            if value == Some(0) {
                return Err(of_flag(flag, "0 leaves nothing to measure: choose 1 or more"));
            }
        }
        let quick = |value| self.quick.then_some(value);
        Ok(Overrides {
            connections: self.connections,
            message_bytes: self.message_bytes,
            rate,
            arrivals: self.arrivals,
            think_time: self.think_time,
            slice: self.slice.or(quick(QUICK_SLICE)),
            cycles: self.cycles.or(self.quick.then_some(QUICK_CYCLES)),
        })
    }
}

fn trimmed(names: &[String]) -> Vec<String> {
    names.iter().map(|name| name.trim().to_owned()).collect()
}

fn at_least_one(flag: &str, value: Option<usize>) -> Result<Option<usize>, UsageError> {
    match value {
        Some(0) => Err(of_flag(flag, "0 is too few: choose 1 or more")),
        value => Ok(value),
    }
}

/// Reads definitions; one text may hold several, as an environment variable does, each beginning with `name=`.
fn own_contenders(definitions: &[String]) -> Result<Vec<Contender>, UsageError> {
    let mut own = Vec::new();
    for definition in definitions {
        let mut rest = definition.trim().trim_end_matches(';');
        while !rest.is_empty() {
            let end = rest
                .match_indices(';')
                .map(|(index, _)| index)
                .find(|index| rest[index + 1..].trim_start().starts_with("name="))
                .unwrap_or(rest.len());
            let one = rest[..end].trim();
            own.push(Contender::parse(one).map_err(|why| of_flag(&format!("--contender {one}"), why))?);
            rest = rest.get(end + 1..).unwrap_or_default();
        }
    }
    Ok(own)
}

/// The baseline as told. When only the user's own or a part takes part, the default `epoll` may be missing; then
/// the first contender stands in.
fn baseline(name: &str, contenders: &[Contender]) -> Result<String, UsageError> {
    if contenders.iter().any(|contender| contender.name == name) {
        return Ok(name.to_owned());
    }
    match contenders.first() {
        Some(first) if name == "epoll" => Ok(first.name.clone()),
        _ => {
            let names: Vec<_> = contenders
                .iter()
                .map(|contender| format!("`{}`", contender.name))
                .collect();
            Err(of_flag(
                "--baseline",
                format!("`{name}` takes no part: choose among {}", names.join(", ")),
            ))
        }
    }
}

fn check_rules(rules: &[Rule], scenarios: &[Scenario], contenders: &[Contender]) -> Result<(), UsageError> {
    for rule in rules {
        for name in std::iter::once(&rule.contender).chain(&rule.baseline) {
            if contenders.iter().all(|contender| contender.name != *name) {
                return Err(of_flag(
                    &format!("--fail-if '{rule}'"),
                    format!("`{name}` is none of the contenders"),
                ));
            }
        }
        if let Some(name) = &rule.scenario
            && scenarios.iter().all(|scenario| scenario.name != *name)
        {
            return Err(of_flag(
                &format!("--fail-if '{rule}'"),
                format!("`{name}` is none of the scenarios"),
            ));
        }
    }
    Ok(())
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

fn cpu_plan(
    no_pin: bool,
    server: Option<&CpuSet>,
    client: Option<&CpuSet>,
    allowed: &CpuSet,
) -> Result<CpuPlan, UsageError> {
    if no_pin {
        return Ok(CpuPlan::Unpinned);
    }
    for (flag, set) in [("--server-cpus", server), ("--client-cpus", client)] {
        if let Some(set) = set
            && (set.is_empty() || !set.is_subset(allowed))
        {
            return Err(of_flag(
                flag,
                format!("{set} is not among the CPUs that the lab may use: choose from {allowed}"),
            ));
        }
    }
    let rest = |taken: &CpuSet| -> CpuSet {
        let taken: Vec<_> = taken.iter().collect();
        allowed.iter().filter(|cpu| !taken.contains(cpu)).collect()
    };
    let (server, client) = match (server, client) {
        (None, None) if allowed.len() < 2 => return Ok(CpuPlan::Shared),
        (None, None) => {
            let servers = allowed.len().div_ceil(2);
            (
                allowed.iter().take(servers).collect(),
                allowed.iter().skip(servers).collect(),
            )
        }
        (Some(server), None) => (server.clone(), rest(server)),
        (None, Some(client)) => (rest(client), client.clone()),
        (Some(server), Some(client)) => (server.clone(), client.clone()),
    };
    if server.is_empty() || client.is_empty() {
        let (flag, other) = if server.is_empty() {
            ("--client-cpus", "servers")
        } else {
            ("--server-cpus", "clients")
        };
        return Err(of_flag(
            flag,
            format!("it leaves no CPU of {allowed} for the {other}: choose fewer, or --no-pin"),
        ));
    }
    if !server.is_disjoint(&client) {
        return Err(of_flag(
            "--server-cpus, --client-cpus",
            format!(
                "{server} and {client} overlap, so each would measure the other: choose disjoint sets, or --no-pin"
            ),
        ));
    }
    Ok(CpuPlan::Disjoint {
        server: server.to_string(),
        client: client.to_string(),
    })
}

#[cfg(test)]
mod tests;
