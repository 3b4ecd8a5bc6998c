//! The steps between a valid configuration and a stopped server.

use std::io::Write;
use std::net::TcpListener;
use std::os::fd::AsFd;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;

use anyhow::Context as _;
use sys::limits;
use sys::signal::Termination;
use sys::wake::{Flag, wait_readable};
use telemetry::counters::ServerCounters;
use telemetry::exporter::Exporter;
use telemetry::family::Source;
use telemetry::process::OwnProcess;

use crate::cli::Config;
use crate::engine::{Context, Engine, Listeners, Stop, YARDSTICKS};
use crate::failure::Failure;
use crate::profile;

/// Descriptors that the server needs beside its connections: standard streams, listeners, epolls, flags, a few scrapes.
/// Each worker adds up to three.
const DESCRIPTORS_BESIDE: usize = 32;

/// Makes SIGTERM and SIGINT readable. First of all, so that no thread is left that they would kill.
pub fn block_signals() -> Result<Termination, Failure> {
    Ok(Termination::block().context("cannot wait for SIGTERM and SIGINT")?)
}

/// Pins this thread, and so all that it starts, to the CPUs asked for.
pub fn pin(config: &Config) -> Result<(), Failure> {
    match &config.cpus {
        Some(cpus) => cpus
            .pin_current_thread()
            .map_err(|error| Failure::Input(format!("--cpus {cpus}: {error}; choose from those"))),
        None => Ok(()),
    }
}

/// Raises the limit of descriptors as far as this process may, and says so where it will not be enough.
pub fn raise_descriptor_limit(config: &Config) {
    let limit = match limits::raise_descriptor_limit().or_else(|_| limits::descriptor_limit()) {
        Ok(limit) => limit.soft,
        Err(error) => {
            eprintln!("warning: the limit of open files cannot be read ({error})");
            return;
        }
    };
    if let Some(connections) = config.max_connections {
        let needed = connections.get() + DESCRIPTORS_BESIDE + 3 * config.workers.get();
        if (limit as u128) < needed as u128 {
            eprintln!(
                "warning: --max-connections {connections} needs {needed} open files and this process may have \
                 {limit}: accepting will pause before; raise the hard limit (ulimit -Hn) or lower --max-connections"
            );
        }
    }
}

/// Asks whether this machine allows the engine.
pub fn probe(engine: &Engine) -> Result<(), Failure> {
    (engine.probe)().map_err(|why| Failure::Runtime(anyhow::anyhow!("--engine {}: {why}", engine.name)))
}

/// Serves until a signal comes and the engine has ended.
pub fn run(
    config: Config,
    echo: Listeners,
    metrics: Option<TcpListener>,
    termination: &Termination,
) -> Result<ExitCode, Failure> {
    let counters = ServerCounters::new(config.engine.name, env!("CARGO_PKG_VERSION"));
    // Lives until the engine has ended: the last scrape may come during the grace period.
    let exporter = metrics
        .map(|listener| start_exporter(listener, &config, Arc::clone(&counters)))
        .transpose()?;

    let echo_address = echo
        .address()
        .context("cannot tell where the echo service listens")?;
    let stop = Stop::new().context("cannot make the stop flag")?;
    let ended = Arc::new(Flag::new().context("cannot make the end flag")?);
    let context = Context {
        counters,
        workers: config.workers,
        accept: config.accept,
        trigger: config.trigger,
        events_per_wait: config.events_per_wait,
        read_buffer_bytes: config.read_buffer_bytes,
        max_connections: config.max_connections,
        grace: config.grace,
        linger: config.linger,
    };
    let engine = {
        let (stop, ended, serve) = (Arc::clone(&stop), Arc::clone(&ended), config.engine.serve);
        thread::Builder::new()
            .name("engine".to_owned())
            .spawn(move || {
                let _raised_at_the_end = RaiseOnDrop(ended);
                serve(context, echo, stop)
            })
            .context("cannot start the engine's thread")?
    };
    let metrics_address = exporter.as_ref().map(|exporter| exporter.address().to_string());
    let metrics_address = metrics_address.as_deref().unwrap_or("none");
    // Connections that come before the engine's first accept wait in the backlog, so it is ready now.
    announce(&format!("ready echo={echo_address} metrics={metrics_address}"));

    loop {
        let [signalled, over] =
            wait_readable([termination.as_fd(), ended.as_fd()], None).context("cannot wait for signals")?;
        if over {
            break;
        }
        if signalled && termination.wait(None).context("cannot read a signal")? {
            if stop.is_raised() {
                eprintln!("stopped by a second signal, without waiting for replies under way");
                return Ok(ExitCode::FAILURE);
            }
            stop.raise();
        }
    }
    let served = engine
        .join()
        .unwrap_or_else(|_| Err(std::io::Error::other("the engine panicked")));
    served.with_context(|| format!("the engine {} failed", config.engine.name))?;
    Ok(ExitCode::SUCCESS)
}

/// Serves metrics and profiles.
fn start_exporter(
    listener: TcpListener,
    config: &Config,
    counters: Arc<ServerCounters>,
) -> anyhow::Result<Exporter> {
    let process = OwnProcess::new().context("cannot read /proc, where this process's figures are")?;
    let extras =
        profile::extras(config.engine.name, config.profile_hz).context("cannot start the profiler")?;
    let mut sources: Vec<Arc<dyn Source>> = vec![Arc::new(process), Arc::new(profile::allocator())];
    // A yardstick counts nothing, and zeros would be lies.
    if !YARDSTICKS.iter().any(|other| other.name == config.engine.name) {
        sources.push(counters);
    }
    if let Some(profiler) = &extras.profiler {
        sources.push(Arc::clone(profiler) as _);
    }
    Exporter::start_with(listener, sources, extras).context("cannot start the metrics exporter")
}

/// Says that the server is ready. Whoever started it and closed the pipe does not care.
fn announce(line: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// Tells the main thread that the engine's thread is over, also when it panicked.
struct RaiseOnDrop(Arc<Flag>);

impl Drop for RaiseOnDrop {
    fn drop(&mut self) {
        self.0.raise();
    }
}
