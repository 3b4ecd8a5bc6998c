//! The command line: `Args` mirrors the flags, `Config` cannot be wrong. Past this file nobody sees `Args`.

use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

use clap::Parser;
use clap::builder::BoolishValueParser;
use sys::cpu::CpuSet;

use crate::failure::Failure;
use model::pace::{Arrivals, Pace};
use model::protocol::{CONNECTIONS_MAX, MESSAGE_BYTES_MAX};
use model::rate::{Rate, RateError};

/// The load generator of echolab: keeps its rate, checks every reply byte by byte, and says what it saw.
///
/// Exit codes: 0, the load was what was asked for (also when Ctrl-C ended it, with the summary until then). 1, it
/// failed, or replies were wrong, or no connection was left. 2, bad input or a limit that the need exceeds. 3, it ran, but
/// the load was not what was asked for: the first lines say why.
#[derive(Debug, Parser)]
#[command(name = "client", version, allow_negative_numbers = true)]
struct Args {
    /// The echo server's address. Of a name's addresses the first that accepts a connection is used.
    #[arg(long, env, value_name = "HOST:PORT")]
    target: String,
    /// Connections to open.
    #[arg(long, env, value_name = "N", default_value = "50")]
    connections: String,
    /// Bytes of a message, from 1 up.
    #[arg(long, env, value_name = "N", default_value = "100")]
    message_bytes: String,
    /// closed: the next request follows the reply after a think time; open: requests fall due at a rate, whatever the
    /// replies do. By default open when a rate is given, else closed.
    #[arg(long, env, value_name = "closed|open")]
    pace: Option<String>,
    /// Closed pace: the time between a reply and the next request of its connection; 0 for none.
    #[arg(long, env, value_name = "DURATION", default_value = "10ms")]
    think_time: String,
    /// Open pace: requests due per second over all connections.
    #[arg(long, env, value_name = "N")]
    rate: Option<String>,
    /// Open pace: smooth (each at its own time; spins on its CPUs rather than oversleep), poisson (at random), or
    /// 'burst 1ms' (all of one interval together at its end). Smooth and bursts drift to and fro by one gap, or the
    /// kernel's ticks would always meet the same point of the work.
    #[arg(long, env, value_name = "ARRIVALS", default_value = "smooth")]
    arrivals: String,
    /// The time over which connections are opened; 0 for as fast as they come.
    #[arg(long, env, value_name = "DURATION", default_value = "0s")]
    ramp: String,
    /// Load before the measured window, not counted in its figures.
    #[arg(long, env, value_name = "DURATION", default_value = "1s")]
    warm_up: String,
    /// The measured window.
    #[arg(long, env, value_name = "DURATION", default_value = "10s")]
    duration: String,
    /// Threads; by default one for each CPU that the client may use, and never more than connections.
    #[arg(long, env, value_name = "N")]
    threads: Option<String>,
    /// Source addresses, to pass the limit of one address's ports: a number N for 127.0.0.1 to 127.0.0.N, or a list
    /// of addresses. By default as many as needed when the target is a loopback address, else the system's choice.
    #[arg(long, env, value_name = "N|LIST")]
    sources: Option<String>,
    /// CPUs to run on, such as 0-3 or 1,3.
    #[arg(long, env, value_name = "LIST")]
    cpus: Option<String>,
    /// Where to serve /metrics, or none.
    #[arg(long, env, value_name = "ADDR|none", default_value = "none")]
    metrics: String,
    /// How long a reply, or a connection, is awaited.
    #[arg(long, env, value_name = "DURATION", default_value = "10s")]
    timeout: String,
    /// What random arrivals follow from.
    #[arg(long, env, value_name = "N", default_value = "1")]
    seed: String,
    /// Send each message at once (TCP_NODELAY).
    #[arg(long, env, value_name = "true|false", default_value = "true", action = clap::ArgAction::Set,
        value_parser = BoolishValueParser::new())]
    nodelay: bool,
    /// Print the summary as JSON, and nothing else, on standard output.
    #[arg(long, env, value_parser = BoolishValueParser::new())]
    json: bool,
    /// Take commands from standard input and answer on standard output, a line of JSON each (for the lab). What says
    /// when requests are due comes with the commands then: --pace, --think-time, --rate, --arrivals, --warm-up and
    /// --duration mean nothing.
    #[arg(long, env, value_parser = BoolishValueParser::new())]
    control: bool,
}

/// What to do. Every value is valid, alone and together with the others.
#[derive(Debug, Clone)]
pub struct Config {
    /// The target as given.
    pub target: String,
    /// The target's address.
    pub address: SocketAddr,
    /// Connections; at least 1.
    pub connections: usize,
    /// Bytes of a message; at least 1.
    pub message_bytes: u32,
    /// How long connections are opened; zero for as fast as they come.
    pub ramp: Duration,
    /// Threads; from 1 to `connections`.
    pub threads: usize,
    /// Which source addresses are wanted.
    pub sources: Sources,
    /// The CPUs to run on, if not all.
    pub cpus: Option<CpuSet>,
    /// Where to serve metrics.
    pub metrics: Option<SocketAddr>,
    /// How long a reply or a connection is awaited; more than 0.
    pub timeout: Duration,
    /// What random arrivals follow from.
    pub seed: u64,
    /// Whether TCP_NODELAY is set.
    pub nodelay: bool,
    /// What to do with the connections.
    pub mode: Mode,
}

/// What is done with the connections.
#[derive(Debug, Clone, PartialEq)]
pub enum Mode {
    /// A warm-up and a window, then a summary.
    Alone {
        /// The load.
        load: Load,
        /// Whether the summary is JSON.
        json: bool,
    },
    /// What the lab says.
    Control,
}

/// The load of a run without a lab.
#[derive(Debug, Clone, PartialEq)]
pub struct Load {
    /// When requests are due.
    pub pace: Pace,
    /// Load before the window; zero for none.
    pub warm_up: Duration,
    /// The window; more than 0.
    pub duration: Duration,
}

/// Source addresses of connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sources {
    /// As many loopback addresses as the number of connections needs when the target is one, else the system's choice.
    ByNeed,
    /// These, in turn.
    Listed(Vec<IpAddr>),
}

/// How long one of several addresses may take to accept a connection.
const PROBE_PATIENCE: Duration = Duration::from_secs(3);
/// The longest duration that is accepted as input.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);

/// Reads and validates the command line; `arguments` begin with the program's name. `Ok(None)` when help or the version was asked for, and printed.
///
/// # Errors
/// The flag, its value, and what to write instead.
pub fn parse(arguments: Vec<OsString>) -> Result<Option<Config>, Failure> {
    match Args::try_parse_from(arguments) {
        Ok(args) => validate(args.without_empty()).map(Some),
        Err(error) if error.use_stderr() => {
            let text = error.render().to_string();
            Err(Failure::input(text.trim_start_matches("error: ").trim_end()))
        }
        Err(help) => {
            // Nothing is left to be done when help cannot be printed.
            let _ = help.print();
            Ok(None)
        }
    }
}

impl Args {
    /// An empty value counts as none: that is how compose files pass a variable that nobody has set.
    fn without_empty(mut self) -> Args {
        for value in [
            &mut self.pace,
            &mut self.rate,
            &mut self.threads,
            &mut self.sources,
            &mut self.cpus,
        ] {
            value.take_if(|text| text.is_empty());
        }
        self
    }
}

fn validate(args: Args) -> Result<Config, Failure> {
    let connections = whole("connections", &args.connections, 1, CONNECTIONS_MAX)? as usize;
    let message_bytes = whole("message-bytes", &args.message_bytes, 1, MESSAGE_BYTES_MAX)? as u32;
    let ramp = duration("ramp", &args.ramp, Duration::ZERO)?;
    let timeout = duration("timeout", &args.timeout, Duration::from_millis(1))?;
    let seed = whole("seed", &args.seed, 0, u64::MAX)?;
    let cpus = args.cpus.as_deref().map(cpus).transpose()?;
    let metrics = match args.metrics.as_str() {
        "none" => None,
        text => Some(text.parse().map_err(|_| {
            bad(
                "metrics",
                text,
                "write ADDRESS:PORT, such as 127.0.0.1:9101, or none",
            )
        })?),
    };
    let mode = match args.control {
        true => Mode::Control,
        false => Mode::Alone {
            load: Load {
                pace: pace(&args)?,
                warm_up: duration("warm-up", &args.warm_up, Duration::ZERO)?,
                duration: duration("duration", &args.duration, Duration::from_micros(1))?,
            },
            json: args.json,
        },
    };
    let address = resolve(&args.target, timeout)?;
    let sources = sources(args.sources.as_deref(), address)?;
    let threads = match (&args.threads, &cpus) {
        (Some(text), _) => whole("threads", text, 1, 1024)? as usize,
        (None, Some(cpus)) => cpus.len(),
        (None, None) => CpuSet::allowed().map_or(1, |allowed| allowed.len()),
    };
    Ok(Config {
        threads: threads.clamp(1, connections),
        target: args.target,
        address,
        connections,
        message_bytes,
        ramp,
        sources,
        cpus,
        metrics,
        timeout,
        seed,
        nodelay: args.nodelay,
        mode,
    })
}

fn pace(args: &Args) -> Result<Pace, Failure> {
    let pace = args
        .pace
        .as_deref()
        .unwrap_or(if args.rate.is_some() { "open" } else { "closed" });
    // Looked at also where it has no effect: a slip of the pen is never ignored.
    let arrivals = args
        .arrivals
        .parse::<Arrivals>()
        .map_err(|error| Failure::input(format!("--arrivals: {error}")))?;
    match (pace, &args.rate) {
        ("closed", None) => {
            let think_time = duration("think-time", &args.think_time, Duration::ZERO)?;
            Ok(Pace::Closed {
                think_time_micros: think_time.as_micros() as u64,
            })
        }
        ("closed", Some(rate)) => Err(bad(
            "rate",
            rate,
            "a closed loop has no rate: leave --rate out, or use --pace open",
        )),
        ("open", Some(rate)) => Ok(Pace::Open {
            rate_per_second: rate_per_second(rate)?,
            arrivals,
        }),
        ("open", None) => Err(Failure::input(
            "--pace open needs a rate: add --rate N, such as --rate 10000",
        )),
        (other, _) => Err(bad("pace", other, "use closed or open")),
    }
}

fn rate_per_second(text: &str) -> Result<Rate, Failure> {
    text.parse()
        .map_err(|why: RateError| bad("rate", text, &format!("it {why}")))
}

/// CPUs that this process may use.
fn cpus(text: &str) -> Result<CpuSet, Failure> {
    let cpus = text
        .parse::<CpuSet>()
        .map_err(|error| bad("cpus", text, &error.to_string()))?;
    match CpuSet::allowed() {
        Ok(allowed) if !cpus.is_subset(&allowed) => Err(bad(
            "cpus",
            text,
            &format!("this process may use {allowed}; choose among those"),
        )),
        _ => Ok(cpus),
    }
}

/// The target's address. Of several, the first one in the resolver's order that accepts a connection.
fn resolve(target: &str, timeout: Duration) -> Result<SocketAddr, Failure> {
    let remedy = "give the echo server as HOST:PORT, such as 127.0.0.1:8888";
    match target.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0) => {}
        _ => return Err(bad("target", target, remedy)),
    }
    let found = target.to_socket_addrs().map_err(|error| {
        let remedy =
            format!("its host cannot be resolved ({error}); correct the name, or give an IP address");
        bad("target", target, &remedy)
    })?;
    // A name may stand twice in the hosts file.
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for address in found {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    match addresses[..] {
        [] => Err(bad("target", target, "its host has no address; correct the name")),
        // Whether it accepts connections, the first of them will show.
        [only] => Ok(only),
        _ => first_that_accepts(target, &addresses, timeout.min(PROBE_PATIENCE)),
    }
}

fn first_that_accepts(
    target: &str,
    addresses: &[SocketAddr],
    patience: Duration,
) -> Result<SocketAddr, Failure> {
    let mut tried = Vec::new();
    for address in addresses {
        match TcpStream::connect_timeout(address, patience) {
            Ok(_) => return Ok(*address),
            Err(error) => tried.push(format!("{address}: {error}")),
        }
    }
    let remedy = format!(
        "none of its addresses accepts a connection ({}): start the server there, or correct the address",
        tried.join("; ")
    );
    Err(bad("target", target, &remedy))
}

fn sources(text: Option<&str>, target: SocketAddr) -> Result<Sources, Failure> {
    let Some(text) = text else {
        return Ok(Sources::ByNeed);
    };
    if let Ok(count) = text.parse::<u64>() {
        if !(1..=254).contains(&count) {
            return Err(bad(
                "sources",
                text,
                "use 1 to 254 loopback addresses, or a list of addresses",
            ));
        }
        if !matches!(target.ip(), IpAddr::V4(address) if address.is_loopback()) {
            let remedy = format!(
                "a number stands for 127.0.0.1 and on, from which {target} cannot be reached; \
                give a list of this machine's addresses"
            );
            return Err(bad("sources", text, &remedy));
        }
        return Ok(Sources::Listed(loopback(count as usize)));
    }
    let address = |part: &str| match part.trim().parse::<IpAddr>() {
        Ok(address) if address.is_ipv4() == target.is_ipv4() => Ok(address),
        Ok(_) => Err(bad(
            "sources",
            text,
            &format!("`{part}` and the target {target} differ in IP version"),
        )),
        Err(_) => Err(bad(
            "sources",
            text,
            &format!("`{part}` is no IP address; use a number, or a list such as 127.0.0.1,127.0.0.2"),
        )),
    };
    text.split(',')
        .map(address)
        .collect::<Result<_, _>>()
        .map(Sources::Listed)
}

/// 127.0.0.1, 127.0.0.2, …: `count` of them, 254 at most.
pub fn loopback(count: usize) -> Vec<IpAddr> {
    (1..=254u8)
        .take(count)
        .map(|last| Ipv4Addr::new(127, 0, 0, last).into())
        .collect()
}

fn whole(flag: &str, text: &str, least: u64, most: u64) -> Result<u64, Failure> {
    match text.parse::<u64>() {
        Ok(number) if (least..=most).contains(&number) => Ok(number),
        _ => Err(bad(
            flag,
            text,
            &format!("use a whole number from {least} to {most}"),
        )),
    }
}

fn duration(flag: &str, text: &str, least: Duration) -> Result<Duration, Failure> {
    let parsed = match text {
        "0" => Ok(Duration::ZERO),
        text => humantime::parse_duration(text),
    };
    match parsed {
        Ok(duration) if duration < least => {
            let least = humantime::format_duration(least);
            Err(bad(flag, text, &format!("use at least {least}")))
        }
        Ok(duration) if duration > LONGEST => Err(bad(flag, text, "use at most 366days")),
        Ok(duration) => Ok(duration),
        Err(error) => Err(bad(
            flag,
            text,
            &format!("{error}; write a duration such as 10ms, 2s or 1min"),
        )),
    }
}

/// The one form of every message about a flag: its name, its value, what to change. The value may have come from the
/// environment, so that name stands beside the flag's.
fn bad(flag: &str, value: &str, remedy: &str) -> Failure {
    let variable = flag.to_uppercase().replace('-', "_");
    Failure::input(format!(
        "--{flag} {value} (or {variable} in the environment): {remedy}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_address_that_accepts_is_taken() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let open = listener.local_addr().unwrap();
        // Port 1 of loopback addresses is nobody's.
        let shut: Vec<SocketAddr> = vec!["127.0.0.1:1".parse().unwrap(), "127.0.0.2:1".parse().unwrap()];
        let second = Duration::from_secs(1);
        assert_eq!(first_that_accepts("name:1", &[shut[0], open], second), Ok(open));
        let said = first_that_accepts("name:1", &shut, second)
            .unwrap_err()
            .to_string();
        for part in [
            "--target name:1",
            "127.0.0.1:1: ",
            "127.0.0.2:1: ",
            "start the server there",
        ] {
            assert!(said.contains(part), "{part}: {said}");
        }
    }
}
