//! The command line: `Args` mirrors the flags, [`Config`] cannot be wrong.

use std::ffi::OsString;
use std::net::{SocketAddr, ToSocketAddrs};
use std::num::NonZeroU32;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{ArgAction, CommandFactory, FromArgMatches, Parser, Subcommand};
use sys::cpu::CpuSet;
use telemetry::profile::request::HERTZ;

use crate::Contender;

/// The flags of the house's own server.
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    #[command(subcommand)]
    command: Option<Command>,

    /// Address of the echo service; port 0 takes any free one
    #[arg(long, env, value_name = "ADDR", default_value = "127.0.0.1:8888", value_parser = address)]
    listen: SocketAddr,

    /// Address of /metrics, /healthz and /debug/pprof/, or none
    #[arg(long, env, value_name = "ADDR|none", default_value = "127.0.0.1:9100", global = true, value_parser = metrics)]
    metrics: Metrics,

    /// Threads, each with a runtime of its own (smol: threads of its one executor) [default: the CPUs that this
    /// process may use]
    #[arg(long, env, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    workers: Option<u16>,

    /// Bytes that one read may bring
    #[arg(long, env, value_name = "BYTES", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=64 << 20))]
    read_buffer: u32,

    /// SO_SNDBUF of each connection; 0 leaves the kernel's default
    #[arg(long, env, value_name = "BYTES", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=1 << 30))]
    send_buffer: u32,

    /// TCP_NODELAY on each connection
    #[arg(long, env, value_name = "true|false", default_value_t = true, action = ArgAction::Set)]
    nodelay: bool,

    /// Connections that may wait to be accepted; net.core.somaxconn caps it
    #[arg(long, env, value_name = "N", default_value_t = 4096, value_parser = clap::value_parser!(i32).range(1..))]
    backlog: i32,

    /// While this many are open, accepting pauses; 0 is unlimited
    #[arg(long, env, value_name = "N", default_value_t = 0)]
    max_connections: u32,

    /// Time to finish in after SIGTERM or SIGINT
    #[arg(long, env, value_name = "DURATION", default_value = "5s", value_parser = humantime::parse_duration)]
    grace: Duration,

    /// Samples for each second of CPU time, all the time, for CPU by category; 0 for none
    #[arg(long, env, value_name = "HZ", default_value_t = 0, value_parser = clap::value_parser!(u32).range(..=i64::from(*HERTZ.end())))]
    profile_hz: u32,

    /// Run on these CPUs alone, such as 0-3 or 0,2 [default: wherever the scheduler puts it]
    #[arg(long, env, value_name = "LIST")]
    cpus: Option<CpuSet>,

    /// Events that one wait may bring (mio; the others decide themselves)
    #[arg(long, env, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=65536))]
    events: u32,

    /// Taken for the sake of one command line for all, and ignored: the binary is the engine
    #[arg(long, env, value_name = "NAME", hide_default_value = true)]
    engine: Option<String>,

    /// Likewise ignored: the runtime's own way (see README.md)
    #[arg(long, env, value_name = "WAY")]
    accept: Option<String>,

    /// Likewise ignored: the runtime decides
    #[arg(long, env, value_name = "TRIGGER")]
    trigger: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Asks /healthz of --metrics; exit code 0 when it answers, else 1
    Healthcheck,
}

/// What `--metrics` says.
#[derive(Debug, Clone, Copy)]
enum Metrics {
    Off,
    At(SocketAddr),
}

/// Whoever holds one need not check it again.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where the echo service listens; port 0 takes any free one.
    pub listen: SocketAddr,
    /// Where metrics are served; `None` is off.
    pub metrics: Option<SocketAddr>,
    /// Threads; at least 1.
    pub workers: usize,
    /// At least 1.
    pub read_buffer_bytes: usize,
    /// SO_SNDBUF; `None` is the kernel's default.
    pub send_buffer_bytes: Option<usize>,
    /// TCP_NODELAY.
    pub nodelay: bool,
    /// At least 1.
    pub backlog: i32,
    /// `None` is unlimited.
    pub max_connections: Option<usize>,
    /// Time to finish in after a signal.
    pub grace: Duration,
    /// Samples for each second of CPU time, all the time.
    pub profile_hz: Option<NonZeroU32>,
    /// `None` leaves the affinity alone.
    pub cpus: Option<CpuSet>,
    /// Events per wait, for mio; at least 1.
    pub events: usize,
}

/// What the command line asks for.
#[derive(Debug)]
pub enum Request {
    /// Serve.
    Serve(Config),
    /// Ask /healthz at this address.
    Healthcheck(SocketAddr),
}

/// Parses and validates. Each flag may also be set by the environment variable of its name in capitals.
///
/// # Errors
/// What is wrong and with which value, or the help text if that was asked for.
pub fn parse(contender: &Contender, args: impl Iterator<Item = OsString>) -> Result<Request, clap::Error> {
    let mut command = Args::command().name(contender.name).about(contender.about);
    let args = Args::from_arg_matches(&command.try_get_matches_from_mut(args)?)?;
    match (args.command, args.metrics) {
        (Some(Command::Healthcheck), Metrics::At(address)) if address.port() != 0 => {
            Ok(Request::Healthcheck(address))
        }
        (Some(Command::Healthcheck), _) => {
            let why = "nothing can be asked there; give --metrics the address that the server exposes its metrics on";
            Err(command.error(ErrorKind::ValueValidation, why))
        }
        (None, metrics) => {
            let cpus_in_use = match &args.cpus {
                Some(cpus) => cpus.len(),
                None => std::thread::available_parallelism().map_or(1, usize::from),
            };
            Ok(Request::Serve(Config {
                listen: args.listen,
                metrics: match metrics {
                    Metrics::Off => None,
                    Metrics::At(address) => Some(address),
                },
                workers: args.workers.map_or(cpus_in_use, usize::from),
                read_buffer_bytes: args.read_buffer as usize,
                send_buffer_bytes: (args.send_buffer > 0).then_some(args.send_buffer as usize),
                nodelay: args.nodelay,
                backlog: args.backlog,
                max_connections: (args.max_connections > 0).then_some(args.max_connections as usize),
                grace: args.grace,
                profile_hz: NonZeroU32::new(args.profile_hz),
                cpus: args.cpus,
                events: args.events as usize,
            }))
        }
    }
}

/// HOST:PORT; a host name is resolved, its first address taken.
fn address(text: &str) -> Result<SocketAddr, String> {
    let expected = "expected HOST:PORT, such as 127.0.0.1:8888";
    match text.to_socket_addrs() {
        Ok(mut addresses) => addresses
            .next()
            .ok_or_else(|| format!("no address has this name; {expected}")),
        Err(error) => Err(format!("{error}; {expected}")),
    }
}

fn metrics(text: &str) -> Result<Metrics, String> {
    match text {
        "none" => Ok(Metrics::Off),
        _ => address(text)
            .map(Metrics::At)
            .map_err(|why| format!("{why}, or none")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Sharing;

    fn parsed(args: &[&str]) -> Result<Request, clap::Error> {
        let contender = Contender {
            name: "test",
            about: "",
            sharing: Sharing::ListenerPerWorker,
            thread_per_core: false,
            probe: || Ok(()),
            work: |_, _| Ok(()),
        };
        parse(&contender, ["test"].iter().chain(args).map(OsString::from))
    }

    #[test]
    fn the_flags_of_the_houses_server_are_taken() {
        let line = "--engine epoll --listen 127.0.0.1:0 --metrics none --workers 3 --accept shared --trigger edge \
                    --events 16 --read-buffer 100 --send-buffer 4096 --nodelay false --backlog 7 \
                    --max-connections 9 --grace 250ms --profile-hz 19 --cpus 0-1";
        let Request::Serve(config) = parsed(&line.split_whitespace().collect::<Vec<_>>()).unwrap() else {
            panic!("not a request to serve");
        };
        assert_eq!(
            (config.workers, config.events, config.read_buffer_bytes),
            (3, 16, 100)
        );
        assert_eq!(
            (config.send_buffer_bytes, config.nodelay, config.backlog),
            (Some(4096), false, 7)
        );
        assert_eq!(
            (config.max_connections, config.grace),
            (Some(9), Duration::from_millis(250))
        );
        assert_eq!(config.profile_hz, NonZeroU32::new(19));
        assert_eq!(
            (config.metrics, config.cpus.unwrap().to_string()),
            (None, "0-1".to_owned())
        );
    }

    #[test]
    fn what_cannot_work_is_named() {
        for (args, named) in [
            (&["--workers", "0"][..], "--workers"),
            (&["--read-buffer", "0"], "--read-buffer"),
            (&["--listen", "nowhere"], "--listen"),
            (&["--cpus", "3-1"], "--cpus"),
            (&["--grace", "soon"], "--grace"),
            (&["--profile-hz", "1001"], "--profile-hz"),
            (&["healthcheck", "--metrics", "none"], "--metrics"),
            (&["--colour", "red"], "--colour"),
        ] {
            let error = parsed(args).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{args:?}");
            assert!(error.to_string().contains(named), "{args:?}: {error}");
        }
    }

    #[test]
    fn the_healthcheck_knows_where_to_ask() {
        let request = parsed(&["healthcheck", "--metrics", "127.0.0.1:9"]).unwrap();
        assert!(matches!(request, Request::Healthcheck(address) if address.port() == 9));
    }
}
