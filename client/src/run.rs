//! A run without a lab: ramp, warm-up, window, drain, summary.

use std::process::ExitCode;

use crate::cli::{Config, Load};
use crate::deviation;
use crate::failure::Failure;
use crate::progress::Progress;
use crate::team::{Ramp, Team};
use crate::text;
use model::protocol::Summary;

/// It ran, but the load was not what was asked for.
const NOT_AS_ASKED: u8 = 3;
/// The version of the summary's format.
const SCHEMA: u32 = 1;

/// Runs the load on connections that stand, closes them, and prints the summary.
///
/// # Errors
/// When a worker cannot go on, or standard output cannot be written.
pub fn run(
    config: &Config,
    load: &Load,
    json: bool,
    mut team: Team,
    ramp: &Ramp,
    mut progress: Progress,
) -> Result<ExitCode, Failure> {
    if !load.warm_up.is_zero() && !team.stopped {
        progress.phase("warm-up");
        team.slice(&load.pace, load.warm_up, false, &mut progress)?;
    }
    progress.phase("window");
    let window = team.slice(&load.pace, load.duration, true, &mut progress)?;
    progress.clear();
    let complaint = team.complaint.take();
    let deviations = deviation::deviations(&window, &load.pace, config.connections as u64);
    let summary = Summary {
        schema: SCHEMA,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        target: config.target.clone(),
        address: config.address.to_string(),
        connections: config.connections as u64,
        message_bytes: u64::from(config.message_bytes),
        pace: load.pace,
        ramp_seconds: ramp.seconds,
        account: window.account(),
        deviations: deviations.iter().map(ToString::to_string).collect(),
        window,
        totals: team.finish()?,
    };
    let out = match json {
        true => serde_json::to_string_pretty(&summary)
            .map_err(|error| Failure::runtime(format!("the summary cannot be written as JSON: {error}")))?,
        false => text::render(&summary, complaint.as_deref()),
    };
    print(out.trim_end())?;
    let bad_replies = summary.totals.errors.contains_key("bad_reply");
    Ok(match bad_replies || summary.window.connections == 0 {
        true => ExitCode::from(1),
        false if deviations.is_empty() => ExitCode::SUCCESS,
        false => ExitCode::from(NOT_AS_ASKED),
    })
}

fn print(text: &str) -> Result<(), Failure> {
    use std::io::Write;
    let written = writeln!(std::io::stdout().lock(), "{text}");
    written.map_err(|error| {
        Failure::runtime(format!(
            "the summary cannot be written to standard output: {error}"
        ))
    })
}
