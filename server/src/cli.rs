//! The command line and the environment: [`Args`] mirrors the flags, [`Config`] is valid.

use std::ffi::OsString;
use std::io::Write;
use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::process::ExitCode;
use std::time::Duration;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{ArgAction, CommandFactory, Parser, Subcommand};
use sys::cpu::CpuSet;
use telemetry::profile::request::HERTZ;

use crate::engine::{self, Accept, ENGINES, EVENTS_MAX, Engine, Trigger, WORKERS_MAX, YARDSTICKS};
use crate::failure::Failure;
use crate::listen::Listen;

/// What is asked of the program.
pub enum Invocation {
    /// Serve.
    Serve(Box<Config>),
    /// Ask the server with this metrics address whether it is well.
    Healthcheck(SocketAddr),
    /// Say which engines there are.
    Engines,
}

/// A configuration that is not wrong in itself; whether this machine goes along shows when it is used.
pub struct Config {
    /// The engine that serves.
    pub engine: &'static Engine,
    /// Where and how the echo service listens.
    pub listen: Listen,
    /// Where the metrics are, if anywhere.
    pub metrics: Option<SocketAddr>,
    /// How epolls share the listening socket.
    pub accept: Accept,
    /// How epolls report readiness.
    pub trigger: Trigger,
    /// Events that one wait may bring.
    pub events_per_wait: NonZeroUsize,
    /// The most bytes that one read takes.
    pub read_buffer_bytes: NonZeroUsize,
    /// The most connections at a time.
    pub max_connections: Option<NonZeroUsize>,
    /// How long replies may take to leave once stopped.
    pub grace: Duration,
    /// How long events may gather before the next wait.
    pub linger: Duration,
    /// Samples for each second of CPU time, all the time, for CPU by category.
    pub profile_hz: Option<NonZeroU32>,
    /// The CPUs to run on.
    pub cpus: Option<CpuSet>,
    /// Threads that serve, in engines that have a fixed number of them.
    pub workers: NonZeroUsize,
}

/// Longer than this nobody wants a message to wait.
const LINGER_MAX: Duration = Duration::from_millis(10);
/// Beyond this a read buffer holds more than a socket does.
const READ_BUFFER_MAX: usize = 64 << 20;

/// The echo service on several engines.
///
/// Every flag can be set by an environment variable of the same name in capitals (READ_BUFFER for --read-buffer); the
/// flag wins. When the server is ready it prints one line: `ready echo=ADDR metrics=ADDR`.
#[derive(Parser)]
#[command(name = "server", version)]
struct Args {
    /// The I/O model
    #[arg(long, env, value_name = "NAME", default_value = ENGINES[0].name, value_parser = engine())]
    engine: &'static Engine,

    /// Where the echo service listens; port 0 takes any free one
    #[arg(long, env, value_name = "ADDR", default_value = "127.0.0.1:8888", value_parser = address)]
    listen: SocketAddr,

    /// Where /metrics and /healthz are served, on a thread of their own; `none` for nowhere
    #[arg(long, env, global = true, value_name = "ADDR|none", default_value = "127.0.0.1:9100", value_parser = metrics)]
    metrics: Metrics,

    /// Threads that serve; `threads` has one for each connection instead and ignores it [default: the CPUs it may use]
    #[arg(long, env, value_name = "N", value_parser = workers)]
    workers: Option<Workers>,

    /// How workers share the listening socket. With `shared` and `exclusive` the worker that is awake takes most of a
    /// fast ramp (50 connections: all of them), and the others stay idle; `reuseport` spreads them, so it is the default
    #[arg(long, env, value_name = "HOW", default_value = "reuseport")]
    accept: Accept,

    /// How epolls report readiness (`epoll` alone). `edge` costs a little less CPU, as the kernel does not look at a
    /// served connection again
    #[arg(long, env, value_name = "HOW", default_value = "edge")]
    trigger: Trigger,

    /// Events that one wait may bring (`epoll` alone)
    #[arg(long, env, value_name = "N", default_value = "64", value_parser = |text: &str| count(text, EVENTS_MAX))]
    events: NonZeroUsize,

    /// The most bytes that one read takes
    #[arg(long, env, value_name = "BYTES", default_value = "200",
          value_parser = |text: &str| count(text, READ_BUFFER_MAX))]
    read_buffer: NonZeroUsize,

    /// SO_SNDBUF of each connection; 0 leaves it to the kernel
    #[arg(long, env, value_name = "BYTES", default_value = "0",
          value_parser = |text: &str| count_or_zero(text, i32::MAX as usize))]
    send_buffer: OrZero,

    /// TCP_NODELAY on each connection
    #[arg(long, env, value_name = "true|false", default_value = "true", action = ArgAction::Set)]
    nodelay: bool,

    /// Connections that may wait to be accepted; the kernel caps it at net.core.somaxconn
    #[arg(long, env, value_name = "N", default_value = "4096",
          value_parser = |text: &str| count(text, i32::MAX as usize))]
    backlog: NonZeroUsize,

    /// Connections at a time; while as many are open accepting pauses; 0 is unlimited
    #[arg(long, env, value_name = "N", default_value = "0",
          value_parser = |text: &str| count_or_zero(text, u32::MAX as usize))]
    max_connections: OrZero,

    /// How long replies may take to leave after SIGTERM or SIGINT
    #[arg(long, env, value_name = "DURATION", default_value = "5s", value_parser = duration)]
    grace: Duration,

    /// Samples for each second of CPU time that feed echolab_profile_seconds_total; 0 takes none. 19 costs about 0.15 %
    /// CPU per message (70 µs a sample, from paired slices at 997 Hz) and 2 MiB of memory
    #[arg(long, env, value_name = "HZ", default_value = "0",
          value_parser = |text: &str| count_or_zero(text, *HERTZ.end() as usize))]
    profile_hz: OrZero,

    /// Let events gather for up to this long before the next wait while there are many: fewer wake-ups, later replies.
    /// It pays from about five messages in that time; 0s for never (`epoll` and `uring` alone)
    #[arg(long, env, value_name = "DURATION", default_value = "0s", value_parser = linger)]
    linger: Duration,

    /// The CPUs to run on, such as `0-3,6` [default: all that it may use]
    #[arg(long, env, value_name = "LIST", value_parser = cpus)]
    cpus: Option<Cpus>,

    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Ask the server at --metrics whether it is well: exit code 0 when it is, else 1
    Healthcheck,
    /// List the engines, a line each: name, `ok` or why this machine refuses it, and what it does (tab-separated)
    Engines,
}

/// The variables of the environment that flags may come from.
pub fn variables() -> Vec<String> {
    let command = Args::command();
    let variables = command.get_arguments().filter_map(|argument| argument.get_env());
    variables
        .map(|name| name.to_string_lossy().into_owned())
        .collect()
}

/// Parses and validates; nothing is opened or changed here.
pub fn parse(args: Vec<OsString>) -> Result<Invocation, Failure> {
    let args = Args::try_parse_from(args)?;
    match args.command {
        None => Ok(Invocation::Serve(Box::new(args.validate()))),
        Some(Command::Healthcheck) => match args.metrics.0 {
            Some(metrics) => Ok(Invocation::Healthcheck(metrics)),
            None => Err(Failure::Input(
                "--metrics none: there is nothing to ask for health; give the server and the check one address"
                    .to_owned(),
            )),
        },
        Some(Command::Engines) => Ok(Invocation::Engines),
    }
}

/// Prints the table of engines as this machine sees it.
pub fn print_engines() -> ExitCode {
    let mut out = std::io::stdout().lock();
    for engine in ENGINES {
        let state = (engine.probe)().err().unwrap_or_else(|| "ok".to_owned());
        if writeln!(out, "{}\t{state}\t{}", engine.name, engine.summary).is_err() {
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

impl Args {
    fn validate(self) -> Config {
        let cpus = self.cpus.and_then(|cpus| cpus.0);
        let given = self.workers.and_then(|workers| workers.0);
        let workers = given.unwrap_or_else(|| default_workers(cpus.as_ref()));
        Config {
            engine: self.engine,
            listen: Listen {
                address: self.listen,
                sockets: (self.accept == Accept::Reuseport).then_some(workers),
                backlog: i32::try_from(self.backlog.get()).unwrap_or(i32::MAX),
                nodelay: self.nodelay,
                send_buffer_bytes: self.send_buffer.0,
            },
            metrics: self.metrics.0,
            accept: self.accept,
            trigger: self.trigger,
            events_per_wait: self.events,
            read_buffer_bytes: self.read_buffer,
            max_connections: self.max_connections.0,
            grace: self.grace,
            linger: self.linger,
            profile_hz: self.profile_hz.0.and_then(|hertz| hertz.try_into().ok()),
            cpus,
            workers,
        }
    }
}

/// One worker for each CPU that the process may use once it is pinned: not more than a container's quota allows.
fn default_workers(cpus: Option<&CpuSet>) -> NonZeroUsize {
    let available = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    match cpus.and_then(|cpus| NonZeroUsize::new(cpus.len())) {
        Some(pinned) => pinned.min(available),
        None => available,
    }
}

fn engine() -> impl TypedValueParser<Value = &'static Engine> {
    let values = ENGINES
        .iter()
        .chain(YARDSTICKS)
        .map(|engine| PossibleValue::new(engine.name).help(engine.summary));
    PossibleValuesParser::new(values)
        .try_map(|name| engine::find(&name).ok_or_else(|| format!("there is no engine `{name}`")))
}

/// An address, or none.
#[derive(Clone, Copy)]
struct Metrics(Option<SocketAddr>);
/// A count of which zero means "no limit" or "the default".
#[derive(Clone, Copy)]
struct OrZero(Option<NonZeroUsize>);
/// A number of workers; compose sets variables to nothing when a user leaves them empty.
#[derive(Clone, Copy)]
struct Workers(Option<NonZeroUsize>);
/// A set of CPUs; likewise.
#[derive(Clone)]
struct Cpus(Option<CpuSet>);

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        "write an address and a port, such as 127.0.0.1:8888, 0.0.0.0:8888 or [::1]:8888".to_owned()
    })
}

fn metrics(text: &str) -> Result<Metrics, String> {
    match text {
        "none" => Ok(Metrics(None)),
        _ => address(text)
            .map(|address| Metrics(Some(address)))
            .map_err(|error| format!("{error}, or `none`")),
    }
}

fn count(text: &str, most: usize) -> Result<NonZeroUsize, String> {
    let wrong = || format!("write a whole number from 1 to {most}");
    let count = text.parse::<NonZeroUsize>().map_err(|_| wrong())?;
    if count.get() > most {
        Err(wrong())
    } else {
        Ok(count)
    }
}

fn count_or_zero(text: &str, most: usize) -> Result<OrZero, String> {
    match text.parse::<usize>() {
        Ok(count) if count <= most => Ok(OrZero(NonZeroUsize::new(count))),
        _ => Err(format!("write a whole number from 0 to {most}")),
    }
}

fn workers(text: &str) -> Result<Workers, String> {
    match text {
        "" => Ok(Workers(None)),
        _ => count(text, WORKERS_MAX).map(|workers| Workers(Some(workers))),
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(duration) if duration <= Duration::from_secs(3600) => Ok(duration),
        Ok(_) => Err("write at most 1h".to_owned()),
        Err(_) => Err("write a duration with its unit, such as 500ms or 5s".to_owned()),
    }
}

fn linger(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(duration) if duration <= LINGER_MAX => Ok(duration),
        Ok(_) => Err("write at most 10ms: each message may wait that long".to_owned()),
        Err(_) => Err("write a duration with its unit, such as 100us, or 0s for never".to_owned()),
    }
}

fn cpus(text: &str) -> Result<Cpus, String> {
    if text.is_empty() {
        return Ok(Cpus(None));
    }
    let cpus: CpuSet = text.parse().map_err(|error| format!("{error}"))?;
    let allowed = CpuSet::allowed().map_err(|error| format!("the allowed CPUs cannot be read ({error})"))?;
    if cpus.is_subset(&allowed) {
        Ok(Cpus(Some(cpus)))
    } else {
        Err(format!("this process may use CPUs {allowed}; choose from those"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(args: &[&str]) -> Config {
        let args = ["server"].iter().chain(args).map(OsString::from).collect();
        match parse(args) {
            Ok(Invocation::Serve(config)) => *config,
            _ => panic!("these arguments are valid"),
        }
    }

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn zero_is_no_limit_and_nothing_is_the_default() {
        let config = config(&[
            "--max-connections",
            "0",
            "--send-buffer",
            "0",
            "--workers",
            "",
            "--cpus",
            "",
        ]);
        assert!(config.max_connections.is_none() && config.listen.send_buffer_bytes.is_none());
        assert!(config.cpus.is_none());
    }

    #[test]
    fn each_worker_gets_a_socket_with_reuseport() {
        let sockets = |how: &str| config(&["--accept", how, "--workers", "3"]).listen.sockets;
        assert_eq!(sockets("reuseport").map(NonZeroUsize::get), Some(3));
        assert_eq!(sockets("shared"), None);
    }

    #[test]
    fn a_pinned_server_has_no_more_workers_than_cpus() {
        let allowed = CpuSet::allowed().unwrap();
        let first = allowed.iter().next().unwrap().to_string();
        assert_eq!(config(&["--cpus", &first]).workers.get(), 1);
    }
}
