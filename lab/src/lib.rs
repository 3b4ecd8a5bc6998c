//! Runs contenders against scenarios under equal load and reports what each costs.
//!
//! [`cli`] turns flags into a [`model::config::Config`]; [`runner`] does what it says and fills a [`model::result::LabResult`];
//! [`model::judge`] and [`model::comparison`] say what may be believed of it; [`store`] keeps it; [`report`] shows it. What is
//! pure (no I/O, no clock) says so in its first line.

mod cgroup;
pub mod cli;
pub mod compare;
pub mod contender;
pub mod engines;
pub mod exit;
pub mod launch;
pub mod list;
pub mod machine;
pub mod measure;
pub mod metrics;
mod neighbours;
pub mod preflight;
mod processes;
pub mod profile;
pub mod progress;
pub mod report;
pub mod runner;
pub mod scenarios;
pub mod source;
mod stalls;
pub mod store;
mod supervise;
pub mod sweep;
mod tree;

use std::ffi::{OsStr, OsString};
use std::io::{ErrorKind, Write};
use std::path::Path;
use std::process::ExitCode;

use sys::cpu::CpuSet;

use cli::{Action, Asked, CompareArgs, Cores, Unread, UsageError};
use exit::Exit;
use model::config::Config;
use model::result::LabResult;

/// Runs the lab with these arguments, the program's name first. Returns one of the codes of [`exit::Exit`].
pub fn main(args: Vec<OsString>) -> ExitCode {
    let role = args.get(1).and_then(|word| word.to_str());
    let rest = |name: &str| {
        let program = OsStr::new(name).to_owned();
        std::iter::once(program)
            .chain(args.iter().skip(2).cloned())
            .collect()
    };
    match role {
        Some("server") => return server::main(rest("lab server")),
        Some("client") => return client::main(rest("lab client")),
        Some(supervise::NAME) => return supervise::main(&args[2..]),
        _ => {}
    }
    let asked = match Asked::parse(&args) {
        Ok(asked) => asked,
        Err(Unread::Value(line)) => return refuse(&line),
        Err(Unread::Parser(error)) => {
            // Help and version are no errors: clap knows where each belongs and what code it has.
            let _ = error.print();
            return ExitCode::from(error.exit_code() as u8);
        }
    };
    let action = match asked {
        Asked::Run(args) => Action::Run(args),
        Asked::Action(action) => action,
    };
    match action {
        Action::Run(args) => run(|engines, cores| args.validated(engines, cores)),
        Action::Sweep(args) => run(|engines, cores| args.validated(engines, cores)),
        Action::Compare(args) => compare(&args),
        Action::List => {
            show(&list::render());
            ExitCode::SUCCESS
        }
        Action::Report { file } => report(&file),
        Action::Server | Action::Client => refuse("`server` and `client` come first: lab server …"),
    }
}

fn run(validated: impl FnOnce(&[&str], &Cores) -> Result<Config, UsageError>) -> ExitCode {
    let allowed = match CpuSet::allowed() {
        Ok(allowed) => allowed,
        Err(error) => return fail(&format!("cannot read which CPUs may be used: {error}")),
    };
    let cores = Cores::new(allowed, &machine::siblings());
    match validated(&engines::names(), &cores) {
        Ok(config) => launch::launch(&config),
        Err(error) => refuse(&error.to_string()),
    }
}

fn report(file: &Path) -> ExitCode {
    let result = match store::load(file) {
        Ok(result) => result,
        Err(error) => return refuse(&format!("{error:#}")),
    };
    let folder = file.parent().unwrap_or(Path::new(""));
    let written = store::write_reports(folder, &result).and_then(|()| profile::files::draw(folder, &result));
    if let Err(error) = written {
        return fail(&format!("{error:#}"));
    }
    show(&report::terminal::render(&result));
    show(&report::terminal::places(&store::report_paths(folder), true));
    ExitCode::SUCCESS
}

/// Shows two results side by side.
fn compare(args: &CompareArgs) -> ExitCode {
    let load = |path: &Path| {
        if path.is_dir() {
            store::load(&path.join("result.json"))
        } else {
            store::load(path)
        }
    };
    let (before, after) = match (load(&args.before), load(&args.after)) {
        (Ok(before), Ok(after)) => (before, after),
        (Err(error), _) | (_, Err(error)) => return refuse(&format!("{error:#}")),
    };
    if let Err(message) = check_rules(args, [&before, &after]) {
        return refuse(&message);
    }
    let compared = compare::compare(&before, &after);
    if let Some(path) = &args.output
        && let Err(error) = std::fs::write(path, compare::markdown(&compared))
    {
        return refuse(&format!(
            "--output: {} cannot be written: {error}; choose another file",
            path.display()
        ));
    }
    show(&compare::terminal(&compared));
    let rules = args.fail_if.iter();
    let decisions: Vec<_> = rules.flat_map(|rule| compare::decide(rule, &compared)).collect();
    Exit::of_rules(&decisions, args.undecided).into()
}

/// Refuses rules that speak of a contender or scenario that neither result knows: a slip of the pen.
fn check_rules(args: &CompareArgs, results: [&LabResult; 2]) -> Result<(), String> {
    for rule in &args.fail_if {
        let contenders = || results.iter().flat_map(|result| &result.config.contenders);
        let scenarios = || results.iter().flat_map(|result| &result.config.scenarios);
        for name in std::iter::once(&rule.contender).chain(&rule.baseline) {
            if contenders().all(|contender| contender.name != *name) {
                return Err(format!(
                    "--fail-if '{rule}': `{name}` is a contender of neither result"
                ));
            }
        }
        if let Some(name) = &rule.scenario
            && scenarios().all(|scenario| scenario.name != *name)
        {
            return Err(format!(
                "--fail-if '{rule}': `{name}` is a scenario of neither result"
            ));
        }
    }
    Ok(())
}

/// Writes to standard output. Whoever reads it may have seen enough (`lab list | head -1`), which is no failure.
pub(crate) fn show(text: &str) {
    let mut out = std::io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    if let Err(error) = written
        && error.kind() != ErrorKind::BrokenPipe
    {
        eprintln!("warning: standard output cannot be written: {error}");
    }
}

/// Bad input: one message, exit code 2.
pub(crate) fn refuse(message: &str) -> ExitCode {
    eprintln!("error: {message}");
    Exit::Input.into()
}

/// A failure on the way: one message, exit code 1.
pub(crate) fn fail(message: &str) -> ExitCode {
    eprintln!("error: {message}");
    Exit::Failure.into()
}
