//! The echo service on several engines, under one contract.
//!
//! [`engine`] holds the contract and the engines. [`main`] is the whole program: parse, validate, pin, probe, bind,
//! serve. Standard output carries one line, when the server is ready; everything else goes to standard error.

mod cli;
pub mod engine;
mod failure;
mod health;
mod listen;
pub mod profile;
mod serve;

use std::ffi::OsString;
use std::process::ExitCode;

use crate::cli::Invocation;
pub use crate::cli::variables;
use crate::failure::Failure;

/// Runs the server with these arguments, the program's name first. Returns 0 after an orderly stop, 1 when something
/// failed at run time, 2 when the input was wrong.
pub fn main(args: Vec<OsString>) -> ExitCode {
    match run(args) {
        Ok(code) => code,
        Err(failure) => failure.report(),
    }
}

fn run(args: Vec<OsString>) -> Result<ExitCode, Failure> {
    let config = match cli::parse(args)? {
        Invocation::Serve(config) => config,
        Invocation::Healthcheck(metrics) => return Ok(health::check(metrics)),
        Invocation::Engines => return Ok(cli::print_engines()),
    };
    // Before any thread is started: threads inherit the blocked signals and the CPUs.
    let termination = serve::block_signals()?;
    serve::pin(&config)?;
    serve::raise_descriptor_limit(&config);
    serve::probe(config.engine)?;
    let echo = listen::echo(&config.listen)?;
    let metrics = listen::metrics(config.metrics)?;
    serve::run(*config, echo, metrics, &termination)
}
