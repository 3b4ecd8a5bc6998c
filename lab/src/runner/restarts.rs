//! Servers that the lab finds and does not start: which process serves, and how long the lab waits for a new one.

use std::collections::BTreeMap;
use std::time::Duration;

use model::contender::Origin;
use model::scenario::Scenario;

use super::Session;
use super::child::Interrupted;
use super::server::reach;
use crate::source::{Source, another};

/// How often a server is asked for the start of its process.
const ASK_PAUSE: Duration = Duration::from_millis(200);

/// The processes that had connections of the lab, by echo address: seconds since 1970 at which each started.
#[derive(Debug, Default)]
pub struct Processes(BTreeMap<String, Option<f64>>);

impl Processes {
    /// Notes that the process that started at `started_at` gets connections. Returns whether it never had any.
    pub fn is_new(&mut self, echo: &str, started_at: Option<f64>) -> bool {
        let is_new = self.replaced(echo, started_at) || !self.0.contains_key(echo);
        self.0.insert(echo.to_owned(), started_at);
        is_new
    }

    /// Whether another process than the last one serves now.
    fn replaced(&self, echo: &str, started_at: Option<f64>) -> bool {
        another(self.0.get(echo).copied().flatten(), started_at)
    }
}

/// A server that the lab did not start, and whose process it knows.
struct Found<'a> {
    contender: &'a str,
    echo: &'a str,
    source: Source,
}

/// Waits until each server that the lab did not start runs as a new process: `--await-restarts`. Does nothing without
/// that flag, for servers that had no connections yet, and for those that show no `process_start_time_seconds`. A server
/// that is not restarted in time is noted, and the round begins.
///
/// # Errors
/// When the user wants to stop.
pub fn await_new_processes(
    session: &mut Session<'_>,
    scenario: &Scenario,
    round: u32,
) -> Result<(), Interrupted> {
    let config = session.config;
    let Some(patience) = config.await_restarts_seconds.map(Duration::from_secs_f64) else {
        return Ok(());
    };
    let mut old: Vec<Found<'_>> = Vec::new();
    for contender in &config.contenders {
        let Origin::Running { echo, metrics } = &contender.origin else {
            continue;
        };
        let known = session.processes.0.get(echo).copied().flatten().is_some();
        if known && old.iter().all(|found| found.echo != echo) {
            old.push(Found {
                contender: &contender.name,
                echo,
                source: Source::new(None, metrics.clone()),
            });
        }
    }
    let processes = &session.processes;
    let drop_new = |old: &mut Vec<Found<'_>>| {
        old.retain(|found| {
            !(processes.replaced(found.echo, found.source.started_at()) && reach(found.echo).is_ok())
        });
    };
    drop_new(&mut old);
    if old.is_empty() {
        return Ok(());
    }
    let round = round + 1;
    session.progress.say(&format!(
        "{}: round {round} waits for a restart of {}",
        scenario.name,
        names(&old)
    ));
    let all_new = session.waiter.until(patience, || {
        std::thread::sleep(ASK_PAUSE);
        drop_new(&mut old);
        old.is_empty()
    })?;
    if !all_new {
        session.note(format!(
            "{}: no restart of {} before round {round} (--await-restarts {}s)",
            scenario.name,
            names(&old),
            patience.as_secs_f64()
        ));
    }
    Ok(())
}

fn names(found: &[Found<'_>]) -> String {
    let names: Vec<_> = found.iter().map(|found| found.contender).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_start_is_a_new_process() {
        let mut processes = Processes::default();
        assert!(processes.is_new("a:1", Some(100.0)));
        assert!(!processes.is_new("a:1", Some(100.000_2)), "the same start");
        assert!(processes.is_new("a:1", Some(100.5)), "a later one");
        assert!(processes.is_new("a:1", Some(99.0)), "a clock that was put back");
        assert!(processes.is_new("b:1", None));
        assert!(!processes.is_new("b:1", None), "nothing tells them apart");
        assert!(!processes.is_new("b:1", Some(5.0)), "known only from now on");
        assert!(processes.is_new("b:1", Some(6.0)));
    }
}
