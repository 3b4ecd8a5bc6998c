//! The stack as a whole: started, confined, and what its lab wrote.

use super::board::{items, text};
use super::project::Project;
use super::prometheus::now;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// From `up` to all healthy.
pub const HEALTHY_PATIENCE: Duration = Duration::from_secs(60);
/// The longest run, calibration included, on a busy machine.
pub const RUN_PATIENCE: Duration = Duration::from_secs(300);
/// The longest grace period of a service.
const GRACE: Duration = Duration::from_secs(30);

/// Verdicts that speak of what was done, not of how fast, and so of no machine's haste.
const WRONG: &[&str] = &[
    "server-died",
    "client-died",
    "not-measured",
    "no-replies",
    "bad-replies",
    "errors",
    "not-conserved",
];

/// Starts these services, and waits until all are healthy and the lab has set to work.
pub fn start(project: &Project, services: &[&str]) {
    let began = Instant::now();
    let arguments: Vec<&str> = ["up", "--detach", "--no-build"]
        .iter()
        .chain(services)
        .copied()
        .collect();
    project.compose(&arguments);
    let left = HEALTHY_PATIENCE.saturating_sub(began.elapsed());
    project.until("all are healthy", left, || {
        let states = project.states();
        let well = |service: &str| {
            states.iter().any(|state| {
                state.service == service && state.state == "running" && state.health == "healthy"
            })
        };
        services.iter().all(|service| well(service)).then_some(())
    });
    eprintln!("all were healthy after {:.0?}", began.elapsed());
}

/// Waits until the lab has ended by itself; returns its exit code.
pub fn lab_ends(project: &Project) -> i64 {
    project.until("the lab ends", RUN_PATIENCE, || {
        project
            .state("lab")
            .filter(|lab| lab.state == "exited")
            .map(|lab| lab.exit_code)
    })
}

/// Waits until so many results hold a finished cycle; returns the newest.
pub fn measured(project: &Project, count: usize) -> (PathBuf, Value) {
    project.until("a cycle is saved", RUN_PATIENCE, || {
        let mut results = project.results();
        let newest = (results.len() == count).then(|| results.pop())??;
        let mut runs = items(&newest.1["runs"]).iter();
        runs.any(|run| !items(&run["rounds"][0]["cycles"]).is_empty())
            .then_some(newest)
    })
}

/// Ends the stack with `docker compose COMMAND` as a user would, while the lab measures for the result of this number:
/// within the grace period, nobody killed, and with the report of what there is.
pub fn end_with(project: &Project, command: &str, count: usize) {
    let (folder, result) = measured(project, count);
    assert_eq!(result["complete"], false, "there is nothing to stop");
    assert!(!folder.join("report.md").exists());
    let began = Instant::now();
    let since = now();
    project.compose(&[command]);
    let took = began.elapsed();
    eprintln!("`docker compose {command}` took {took:.1?}");
    assert!(took < GRACE, "`docker compose {command}` took {took:?}");
    let deaths = project.deaths(since);
    assert!(deaths.iter().any(|(service, _)| service == "lab"), "{deaths:?}");
    for (service, code) in &deaths {
        assert_ne!(code, "137", "{service} had to be killed");
        assert!(!service.starts_with("server") || code == "0", "{deaths:?}");
    }
    let results = project.results();
    assert_eq!(
        results.len(),
        count,
        "it started anew although it was told to end"
    );
    let (folder, result) = &results[count - 1];
    for report in ["report.md", "report.html"] {
        assert!(folder.join(report).is_file(), "{report} is missing");
    }
    assert!(!items(&result["runs"]).is_empty());
}

/// A run's verdicts.
pub fn verdicts(run: &Value) -> Vec<&str> {
    items(&run["verdicts"]).iter().map(text).collect()
}

/// The runs of one scenario.
pub fn runs_of<'a>(result: &'a Value, scenario: &str) -> BTreeMap<String, &'a Value> {
    let runs = items(&result["runs"]).iter();
    runs.filter(|run| run["scenario"] == scenario)
        .map(|run| (text(&run["contender"]).to_owned(), run))
        .collect()
}

/// Every byte of a run came back, from every connection, and nobody died: true on any machine, however busy.
///
/// # Panics
/// When it is not so.
pub fn nothing_was_lost(run: &Value, connections: u64) {
    let found = verdicts(run);
    let wrong: Vec<_> = found.iter().filter(|verdict| WRONG.contains(verdict)).collect();
    assert!(wrong.is_empty(), "{wrong:?}: {run:#}");
    assert_eq!(run["errors"], serde_json::json!({}), "{run:#}");
    let sent = run["bytes"]["client_sent"].as_u64().unwrap_or_default();
    assert!(sent > 0, "{run:#}");
    for end in ["server_received", "server_sent", "client_received"] {
        assert_eq!(run["bytes"][end], sent, "{end}: {run:#}");
    }
    for cycle in items(&run["rounds"])
        .iter()
        .flat_map(|round| items(&round["cycles"]))
    {
        assert_eq!(cycle["connections"], connections, "{run:#}");
    }
}

/// Not root, nothing writable, no capability, no system call beyond a filter's: asked of Docker and of the kernel.
pub fn confined(project: &Project) {
    for state in project.states() {
        if state.service == "results" {
            assert_eq!((state.state.as_str(), state.exit_code), ("exited", 0));
            continue;
        }
        let container = project.inspect(&state.container);
        assert_eq!(
            container["HostConfig"]["ReadonlyRootfs"], true,
            "{}",
            state.service
        );
        assert_eq!(container["HostConfig"]["Privileged"], false, "{}", state.service);
        let pid = &container["State"]["Pid"];
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
        };
        assert!(
            line("Uid:").iter().all(|uid| uid != "0"),
            "{} runs as root",
            state.service
        );
        for set in ["CapPrm:", "CapEff:", "CapBnd:"] {
            assert_eq!(
                line(set),
                ["0000000000000000"],
                "{} has capabilities ({set})",
                state.service
            );
        }
        assert_eq!(line("NoNewPrivs:"), ["1"], "{}", state.service);
        assert_eq!(line("Seccomp:"), ["2"], "{} has no filter", state.service);
    }
}
