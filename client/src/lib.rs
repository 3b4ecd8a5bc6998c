//! The load generator: checks every reply byte, keeps its rate, and costs less than what it measures.
//!
//! The main thread (`team`) tells worker threads what to do; each worker has one epoll and its share of the
//! connections. `plan`, `pace`, `queue`, `rota`, `message`, `connection`, `carried`, `ledger` and `text` are pure: they do
//! no I/O and never read the clock. [`model::protocol`] is what the lab knows of us.

mod carried;
mod cli;
mod clock;
mod connection;
mod control;
mod deviation;
mod failure;
mod ledger;
mod message;
mod metrics;
mod pace;
mod plan;
mod preflight;
mod progress;
mod queue;
mod random;
mod rota;
mod run;
mod team;
mod text;
mod worker;

use std::ffi::OsString;
use std::net::{SocketAddr, TcpListener};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};

use sys::signal::Termination;
use telemetry::exporter::Exporter;
use telemetry::process::OwnProcess;

use cli::{Config, Mode};
use clock::Clock;
use failure::Failure;
use metrics::{Board, Reason};
use progress::Progress;
use team::{Input, Ramp, Team};
use worker::Setup;

/// The client, from its arguments (the program's name first) to its exit code: 0 when it ran and the load was what was
/// asked for, 1 when it failed or replies were wrong or no connection was left, 2 for bad input, 3 when it ran but the
/// load was not what was asked for.
pub fn main(arguments: Vec<OsString>) -> ExitCode {
    let config = match cli::parse(arguments) {
        Ok(Some(config)) => config,
        Ok(None) => return ExitCode::SUCCESS,
        Err(failure) => return give_up(&failure),
    };
    let ended = load(&config);
    ended.unwrap_or_else(|failure| {
        if config.mode == Mode::Control {
            control::say_failed(&failure);
        }
        give_up(&failure)
    })
}

fn give_up(failure: &Failure) -> ExitCode {
    eprintln!("client: {failure}");
    failure.exit_code()
}

/// Check, connect, load, close.
fn load(config: &Config) -> Result<ExitCode, Failure> {
    if let Some(cpus) = &config.cpus {
        cpus.pin_current_thread()
            .map_err(|error| Failure::input(format!("--cpus {cpus}: {error}")))?;
    }
    let (mouth, inbox) = channel();
    listen_for_signals(mouth.clone())?;
    let sources = preflight::check(config)?;
    let board = Board::new(config.threads);
    let _exporter = config
        .metrics
        .map(|address| export(address, &board))
        .transpose()?;
    let setup = Setup {
        target: config.address,
        all_connections: config.connections,
        message_bytes: config.message_bytes,
        sources,
        ramp: clock::nanos(config.ramp),
        timeout: clock::nanos(config.timeout),
        nodelay: config.nodelay,
        seed: config.seed,
        clock: Clock::start(),
        board,
    };
    let mut progress = match config.mode {
        Mode::Alone { .. } => Progress::visible(),
        Mode::Control => Progress::none(),
    };
    let mut team = Team::start(setup, config.threads, (mouth.clone(), inbox))?;
    let ramp = team.ramp(&mut progress)?;
    judge_ramp(config, &ramp, team.stopped)?;
    match &config.mode {
        Mode::Alone { load, json } => run::run(config, load, *json, team, &ramp, progress),
        Mode::Control => {
            control::listen(mouth)?;
            control::obey(team, ramp.connections, ramp.seconds)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// SIGTERM and SIGINT become input like any other. The thread that waits for them ends with the process.
fn listen_for_signals(mouth: Sender<Input>) -> Result<(), Failure> {
    let failed = |error| Failure::runtime(format!("signals cannot be listened for: {error}"));
    let termination = Termination::block().map_err(failed)?;
    let listen = move || {
        while let Ok(came) = termination.wait(None) {
            if came && mouth.send(Input::Stop).is_err() {
                return;
            }
        }
    };
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(listen)
        .map_err(failed)?;
    Ok(())
}

fn export(address: SocketAddr, board: &Arc<Board>) -> Result<Exporter, Failure> {
    let listener = TcpListener::bind(address).map_err(|error| {
        let remedy = "choose a free address of this machine, or none";
        Failure::input(format!(
            "--metrics {address} cannot be listened at ({error}): {remedy}"
        ))
    })?;
    let process =
        OwnProcess::new().map_err(|error| Failure::runtime(format!("/proc cannot be read: {error}")))?;
    let exporter = Exporter::start(listener, vec![Arc::clone(board) as _, Arc::new(process)])
        .map_err(|error| Failure::runtime(format!("the metrics exporter cannot be started: {error}")))?;
    eprintln!("client: metrics at http://{}/metrics", exporter.address());
    Ok(exporter)
}

/// A ramp that brought nothing is the end; one that brought less than asked for is said.
fn judge_ramp(config: &Config, ramp: &Ramp, stopped: bool) -> Result<(), Failure> {
    let (asked, target) = (config.connections as u64, &config.target);
    let why = ramp
        .trouble
        .as_ref()
        .map_or("stopped", |(_, error)| error.as_str());
    match (ramp.connections, &ramp.trouble) {
        (connections, _) if connections == asked => Ok(()),
        (0, Some((Reason::ConnectRefused, _))) => Err(Failure::input(format!(
            "--target {target} refused the connection ({}): start the server there, or correct the address",
            config.address
        ))),
        (0, Some((Reason::ConnectTimeout, _))) => Err(Failure::runtime(format!(
            "--target {target} ({}) did not answer within --timeout: check the address, the server and its firewall",
            config.address
        ))),
        (0, Some((_, error))) => Err(Failure::runtime(format!(
            "--target {target} ({}): {error}",
            config.address
        ))),
        (0, None) if stopped => Err(Failure::runtime("stopped before any connection stood")),
        (connections, _) => {
            eprintln!("client: only {connections} of {asked} connections to {target} stand: {why}");
            Ok(())
        }
    }
}
