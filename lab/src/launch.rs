//! `lab run`: from a valid configuration to table, report and exit code.

use std::net::TcpListener;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use sys::signal::Termination;
use telemetry::exporter::Exporter;
use telemetry::process::OwnProcess;

use crate::contender::external;
use crate::engines;
use crate::exit::Exit;
use crate::machine;
use crate::measure::MachineCpu;
use crate::metrics::LabMetrics;
use crate::profile::files;
use crate::progress::Progress;
use crate::report;
use crate::runner::{self, Session, Stop, Waiter};
use crate::store::Store;
use crate::{fail, neighbours, refuse, show, stalls};
use model::config::Config;
use model::contender::{Contender, Origin};
use model::decision;
use model::result::{LabResult, SCHEMA};
use model::threshold::SLICE_STOLEN_SHARE_MAX;

/// How long the machine is looked at before anything is started.
const LOOK: Duration = Duration::from_secs(2);
/// How long each look takes while the lab waits for a quiet machine.
const QUIET_WATCHED: Duration = Duration::from_millis(500);
/// How long the final figures can still be scraped: whoever scrapes each second sees them twice.
const LAST_SCRAPE: Duration = Duration::from_secs(2);

/// Does what the configuration says, again and again when it says so.
pub fn launch(config: &Config) -> ExitCode {
    // Before any thread is started: threads inherit the blocked signals.
    let waiter = match Termination::block() {
        Ok(termination) => Waiter::new(termination),
        Err(error) => return fail(&format!("cannot wait for SIGTERM and SIGINT: {error}")),
    };
    // The lab itself holds a few descriptors for each contender; its children raise theirs themselves.
    if let Err(error) = sys::limits::raise_descriptor_limit() {
        eprintln!("warning: the limit of open files cannot be raised ({error})");
    }
    let metrics = LabMetrics::new();
    let _exporter = match exporter(config, &metrics) {
        Ok(exporter) => exporter,
        Err(message) => return refuse(&message),
    };
    loop {
        let exit = once(config, &waiter, &metrics);
        if !config.repeat || waiter.interrupted() || matches!(exit, Exit::Failure | Exit::Input) {
            if config.metrics.is_some() {
                // Cut short by the user's wish to stop, which is as good an end of waiting.
                let _ = waiter.until(LAST_SCRAPE, || false);
            }
            return exit.into();
        }
    }
}

/// One result.
fn once(config: &Config, waiter: &Waiter, metrics: &LabMetrics) -> Exit {
    let now = SystemTime::now();
    let store = match Store::create(&config.output, now) {
        Ok(store) => store,
        Err(error) => {
            eprintln!(
                "error: --output: {} cannot be written: {error}; choose another folder",
                config.output.display()
            );
            return Exit::Input;
        }
    };
    let planned = runner::estimate(config, able);
    let mut progress = Progress::new(planned);
    progress.say(&format!(
        "{} scenario(s) × {} contender(s), about {}; results go to {}",
        config.scenarios.len(),
        config.contenders.len(),
        humantime::format_duration(Duration::from_secs(planned.as_secs() + 1)),
        config.output.join(&store.run_id).display()
    ));
    // NETWORK_MODE is said by whoever starts a container: from inside it cannot be told.
    let network_mode = std::env::var("NETWORK_MODE").ok();
    let mut session = Session {
        config,
        waiter,
        progress: &mut progress,
        metrics,
        store: &store,
        result: LabResult {
            schema: SCHEMA,
            run_id: store.run_id.clone(),
            started_at: humantime::format_rfc3339_seconds(now).to_string(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            complete: false,
            machine: machine::read(network_mode.as_deref()),
            config: config.clone(),
            notes: Vec::new(),
            skipped: Vec::new(),
            runs: Vec::new(),
            takers: Vec::new(),
            comparisons: Vec::new(),
            profiles: Vec::new(),
        },
        input_faults: 0,
        cpus: config.cpus.all(),
        parked: Default::default(),
        processes: Default::default(),
        silent: Default::default(),
        takers: Default::default(),
    };
    look_at_the_machine(&mut session);
    let outcome = session.run();
    let (result, input_faults) = (session.result, session.input_faults);
    drop(progress);
    conclude(outcome, &result, input_faults, &store)
}

/// Looks at the machine before anything is started: who else uses its CPUs, what the hypervisor takes, and how long it stops
/// a thread that wants to run. Says so at once, and goes on.
fn look_at_the_machine(session: &mut Session<'_>) {
    wait_until_quiet(session);
    let allowed = sys::cpu::CpuSet::allowed().ok();
    let cpus = session.cpus.clone().or(allowed);
    let before = MachineCpu::now(cpus.as_ref());
    // The programs that run beside it are seen as well: they share the CPUs with the threads that spin.
    let (programs, stalls) = std::thread::scope(|scope| {
        let programs = scope.spawn(|| neighbours::busy_programs(LOOK));
        let stalls = cpus.as_ref().and_then(|cpus| stalls::watch(cpus, LOOK));
        (programs.join().unwrap_or_default(), stalls)
    });
    session.result.machine.stalls = stalls;
    if !programs.is_empty() {
        let note = format!(
            "This machine is busy: {}. Cycles that it disturbs count for no contender. Stop it for a clear answer, or wait for its end (--wait-quiet 2m)",
            names(&programs)
        );
        session.progress.say(&note);
        session.result.notes.push(note);
    }
    let stolen = before.zip(MachineCpu::now(cpus.as_ref()));
    let stolen = stolen.map_or(0.0, |(before, after)| {
        after.stolen_seconds - before.stolen_seconds
    });
    let share = stolen / LOOK.as_secs_f64();
    if share > SLICE_STOLEN_SHARE_MAX {
        session.note(format!(
            "The hypervisor took {:.0} % of a core from this machine before the run. Cycles that it disturbs count for no contender",
            share * 100.0
        ));
    }
}

/// Waits for the end of other programs, when the user wants that.
fn wait_until_quiet(session: &mut Session<'_>) {
    let Some(patience) = session.config.wait_quiet_seconds.map(Duration::from_secs_f64) else {
        return;
    };
    let deadline = Instant::now() + patience;
    let mut said = false;
    loop {
        let programs = neighbours::busy_programs(QUIET_WATCHED);
        if programs.is_empty() || session.waiter.interrupted() {
            return;
        }
        if Instant::now() >= deadline {
            session.note(format!(
                "This machine did not become quiet within {} s (--wait-quiet): {}",
                patience.as_secs_f64(),
                names(&programs)
            ));
            return;
        }
        if !std::mem::replace(&mut said, true) {
            session
                .progress
                .say(&format!("waiting for a quiet machine: {}", names(&programs)));
        }
    }
}

fn names(programs: &[neighbours::Program]) -> String {
    let names: Vec<_> = programs.iter().map(ToString::to_string).collect();
    names.join(", ")
}

/// Whether a contender can run here, as far as can be told before it is started.
fn able(contender: &Contender) -> bool {
    match &contender.origin {
        Origin::Engine { engine } => engines::probe(engine).is_ok(),
        Origin::External { external } => {
            external::find(external).is_some_and(|external| external.probe().is_ok())
        }
        Origin::Command { .. } | Origin::Running { .. } => true,
    }
}

/// Shows what there is and says how it went. `input_faults` of the skipped are so because of what the user said.
fn conclude(outcome: Result<(), Stop>, result: &LabResult, input_faults: usize, store: &Store) -> Exit {
    let mut exit = Exit::Done;
    let stopped = matches!(outcome, Err(Stop::Interrupted));
    if let Err(Stop::Failed(error)) = outcome {
        eprintln!("error: {error:#}");
        exit = Exit::Failure;
    }
    if result.runs.is_empty() && result.skipped.is_empty() {
        store.discard_if_empty();
        eprintln!("stopped before anything was measured");
    } else {
        // A run that was stopped before its first cycle has skipped rows alone: they are worth keeping.
        // Pictures too: the reports link to them, and the run may have been stopped between two profiles.
        let written = store
            .save(result)
            .and_then(|()| files::draw(store.folder(), result))
            .and_then(|()| store.report(result));
        show(&report::terminal::render(result));
        show(&report::terminal::places(&store.report_paths(), written.is_ok()));
        if let Err(error) = written {
            eprintln!(
                "error: {error:#}: make room or choose another folder (--output); what was measured stands above"
            );
            exit = Exit::Failure;
        }
    }
    if stopped {
        return Exit::Stopped;
    }
    if exit == Exit::Done && result.runs.is_empty() {
        eprintln!("error: no contender could run; the reasons stand above");
        exit = if input_faults == result.skipped.len() {
            Exit::Input
        } else {
            Exit::Failure
        };
    }
    let config = &result.config;
    let rules = config.fail_if.iter();
    let decisions: Vec<_> = rules.flat_map(|rule| decision::decide(rule, result)).collect();
    exit.max(Exit::of_rules(&decisions, config.undecided))
        .max(Exit::of_runs(result, &config.named))
}

fn exporter(config: &Config, metrics: &Arc<LabMetrics>) -> Result<Option<Exporter>, String> {
    let Some(address) = config.metrics else {
        return Ok(None);
    };
    let cannot = |error: std::io::Error| {
        format!("--metrics: cannot serve on {address}: {error}; choose another address, or `none`")
    };
    let listener = TcpListener::bind(address).map_err(cannot)?;
    let process = OwnProcess::new().map_err(cannot)?;
    let exporter =
        Exporter::start(listener, vec![Arc::clone(metrics) as _, Arc::new(process)]).map_err(cannot)?;
    eprintln!("metrics: http://{}/metrics", exporter.address());
    Ok(Some(exporter))
}
