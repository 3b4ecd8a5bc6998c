//! The echo service on other Rust runtimes: what they share, so that they differ in nothing but the runtime.
//!
//! Flags, sockets, counters, metrics, the accept loop's decisions and the stop are here; how a runtime starts its
//! workers, reads and writes is in its own file in `bin/`. All keep the contract that stands at the top of
//! `server/src/engine.rs`.

pub mod accept;
pub mod cli;
pub mod connection;
mod crew;
mod health;
pub mod listen;
pub mod monoio_echo;
pub mod probe;
// How the house's own server samples itself: the same, or the contenders would not compare.
#[path = "../../../server/src/profile.rs"]
pub mod profile;
pub mod shared;
pub mod worker;

use std::ffi::OsString;
use std::io::{self, Write};
use std::net::TcpListener;
use std::process::ExitCode;
use std::sync::Arc;

use sys::signal::Termination;
use telemetry::allocator::Jemalloc;
use telemetry::counters::ServerCounters;
use telemetry::exporter::Exporter;
use telemetry::family::Source;
use telemetry::process::OwnProcess;

use crate::cli::{Config, Request};
use crate::crew::Crew;
use crate::listen::Bound;
use crate::shared::Shared;
use crate::worker::Worker;

/// The allocator of the house's own server, without its counting, which a runtime that allocates for each call would
/// feel.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// How a runtime's experts share a port between workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharing {
    /// Every worker has a listener of its own on the same port (SO_REUSEPORT).
    ListenerPerWorker,
    /// One listener; the runtime spreads connections itself.
    OneListener,
}

/// One of the runtimes.
pub struct Contender {
    /// Its name, the binary's too.
    pub name: &'static str,
    /// One sentence for the help text.
    pub about: &'static str,
    /// How workers share the port.
    pub sharing: Sharing,
    /// Whether each worker wants a CPU of its own, when `--cpus` has enough of them.
    pub thread_per_core: bool,
    /// Says whether this machine allows it, and if not, what to change.
    pub probe: fn() -> Result<(), String>,
    /// Serves one listener until the stop, on the calling thread: once for each worker, or once in all when there is
    /// one listener.
    pub work: fn(Arc<Worker>, TcpListener) -> io::Result<()>,
}

/// What went wrong: a request that can never work here, or a failure that may pass.
#[derive(Debug)]
pub enum Failure {
    /// Exit code 2.
    Refused(String),
    /// Exit code 1.
    Failed(String),
}

/// The entry point of every binary: parse, validate, probe, bind, serve, stop.
pub fn main(contender: &Contender, args: impl Iterator<Item = OsString>) -> ExitCode {
    let outcome = match cli::parse(contender, args) {
        Ok(Request::Serve(config)) => serve(contender, config),
        Ok(Request::Healthcheck(address)) => health::check(address),
        Err(error) => {
            // Help goes to stdout with code 0, everything else to stderr with code 2. Nobody may be reading.
            let _ = error.print();
            return ExitCode::from(error.exit_code() as u8);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Refused(why)) => {
            eprintln!("{}: {why}", contender.name);
            ExitCode::from(2)
        }
        Err(Failure::Failed(why)) => {
            eprintln!("{}: {why}", contender.name);
            ExitCode::from(1)
        }
    }
}

fn serve(contender: &Contender, config: Config) -> Result<(), Failure> {
    // Before any thread starts, so that all of them inherit the mask.
    let termination =
        Termination::block().map_err(|error| Failure::Failed(format!("cannot receive signals: {error}")))?;
    (contender.probe)().map_err(Failure::Refused)?;
    if let Some(cpus) = &config.cpus {
        cpus.pin_current_thread()
            .map_err(|error| Failure::Refused(format!("--cpus {cpus}: {error}")))?;
    }
    if let Err(error) = sys::limits::raise_descriptor_limit() {
        eprintln!(
            "{}: the limit of open files stays as it is: {error}",
            contender.name
        );
    }

    let bound = Bound::new(&config, contender.sharing)?;
    let counters = ServerCounters::new(contender.name, env!("CARGO_PKG_VERSION"));
    let exporter = export(contender, &config, &counters)?;
    let metrics = match &exporter {
        Some(exporter) => exporter.address().to_string(),
        None => "none".to_owned(),
    };
    let shared = Arc::new(Shared::new(config, counters));
    let mut crew = Crew::start(contender, &shared, bound.listeners)?;
    let mut stdout = io::stdout().lock();
    // Whoever started us may not be reading.
    let _ = writeln!(stdout, "ready echo={} metrics={metrics}", bound.address).and_then(|()| stdout.flush());

    let outcome = crew.watch(&termination);
    shared.stop();
    bound.wakers.wake();
    crew.join(&shared);
    outcome
}

/// Serves /metrics and profiles, unless that is off.
fn export(
    contender: &Contender,
    config: &Config,
    counters: &Arc<ServerCounters>,
) -> Result<Option<Exporter>, Failure> {
    let Some(address) = config.metrics else {
        return Ok(None);
    };
    let listener = TcpListener::bind(address).map_err(|error| {
        Failure::Refused(format!(
            "--metrics {address}: {error}; name another address, or none"
        ))
    })?;
    let start = || {
        let extras = profile::extras(contender.name, config.profile_hz)?;
        let mut sources: Vec<Arc<dyn Source>> = vec![Arc::clone(counters) as _, Arc::new(OwnProcess::new()?)];
        if let Some(profiler) = &extras.profiler {
            sources.push(Arc::clone(profiler) as _);
        }
        Exporter::start_with(listener, sources, extras)
    };
    let started: io::Result<Exporter> = start();
    started
        .map(Some)
        .map_err(|error| Failure::Failed(format!("cannot serve metrics and profiles on {address}: {error}")))
}
