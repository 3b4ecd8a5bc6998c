//! Runs contenders against scenarios under equal load and reports what each costs.
//!
//! [`cli`] turns flags into a [`config::Config`]; [`runner`] does what it says and fills a [`result::LabResult`];
//! [`verdict`] and [`comparison`] say what may be believed of it; [`store`] keeps it; [`report`] shows it. What is
//! pure (no I/O, no clock) says so in its first line.

pub mod cli;
pub mod comparison;
pub mod config;
pub mod contender;
pub mod engines;
pub mod exec;
pub mod fail_if;
pub mod launch;
pub mod list;
pub mod machine;
pub mod measure;
pub mod metrics;
pub mod preflight;
pub mod progress;
pub mod report;
pub mod result;
pub mod runner;
pub mod scenario;
pub mod schedule;
pub mod stats;
pub mod store;
pub mod verdict;

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::ExitCode;

use clap::Parser;
use sys::cpu::CpuSet;

use cli::{Action, Args, Lab};

/// The exit code of bad input.
pub const EXIT_INPUT: u8 = 2;
/// The exit code of a failure on the way.
pub const EXIT_FAILURE: u8 = 1;

/// Runs the lab with these arguments, the program's name first. Returns 0 when all went well, 1 when something failed
/// on the way, 2 when the input was wrong, 3 when a `--fail-if` rule holds, 130 when it was stopped.
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
        Some(exec::NAME) => return exec::main(&args[2..]),
        _ => {}
    }
    let lab = match Lab::try_parse_from(&args) {
        Ok(lab) => lab,
        Err(error) => {
            // Help and version are no errors: clap knows where each belongs and what code it has.
            let _ = error.print();
            return ExitCode::from(error.exit_code() as u8);
        }
    };
    match lab.action {
        None => run(lab.run),
        Some(Action::Run(args)) => run(*args),
        Some(Action::List) => {
            print!("{}", list::render());
            ExitCode::SUCCESS
        }
        Some(Action::Report { file }) => report(&file),
        Some(Action::Server | Action::Client) => refuse("`server` and `client` come first: lab server …"),
    }
}

fn run(args: Args) -> ExitCode {
    let allowed = match CpuSet::allowed() {
        Ok(allowed) => allowed,
        Err(error) => return fail(&format!("cannot read which CPUs may be used: {error}")),
    };
    match args.validated(&engines::names(), &allowed) {
        Ok(config) => launch::launch(&config),
        Err(error) => refuse(&error.to_string()),
    }
}

fn report(file: &Path) -> ExitCode {
    let result = match store::load(file) {
        Ok(result) => result,
        Err(error) => return refuse(&format!("{error:#}")),
    };
    let path = file.with_file_name("report.md");
    if let Err(error) = store::write_report(&path, &result) {
        return fail(&format!("{error:#}"));
    }
    print!("{}", report::terminal::render(&result));
    println!("Report: {}", path.display());
    ExitCode::SUCCESS
}

/// Bad input: one message, exit code 2.
pub(crate) fn refuse(message: &str) -> ExitCode {
    eprintln!("error: {message}");
    ExitCode::from(EXIT_INPUT)
}

/// A failure on the way: one message, exit code 1.
pub(crate) fn fail(message: &str) -> ExitCode {
    eprintln!("error: {message}");
    ExitCode::from(EXIT_FAILURE)
}
