//! The whole lab in containers: images, confinement, runs, dashboards against a live Prometheus, bad input, and stopping.
//!
//! Needs Docker with Compose v2, so a plain `cargo test` ignores it; `.ci/run` runs it with `--ignored`. Grafana is left
//! out: its dashboards are asked here as it would ask them.

// Test code, helpers included.
#![allow(clippy::unwrap_used)]

mod watching;

use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, Once, PoisonError};
use std::time::{Duration, Instant};
use watching::agreement::{agree, unanswered};
use watching::board::{items, text};
use watching::project::{IMAGES, Project, run_within, said};
use watching::prometheus::{Prometheus, now};

const CONTENDERS: &[&str] = &["epoll", "tokio", "threads", "go-net"];
/// All but Grafana.
const SERVICES: &[&str] = &[
    "server-epoll",
    "server-tokio",
    "server-threads",
    "server-go-net",
    "prometheus",
    "lab",
];
/// What an image of our own may take, in bytes.
const SERVER_IMAGE_MAX: u64 = 40_000_000;
/// A first build compiles every dependency.
const BUILD_PATIENCE: Duration = Duration::from_secs(45 * 60);
/// From `up` to all healthy.
const HEALTHY_PATIENCE: Duration = Duration::from_secs(60);
/// The longest of the runs below, calibration included, on a busy machine.
const RUN_PATIENCE: Duration = Duration::from_secs(300);

/// So many results at most, and none begun later than this, until each contender was found well once.
const RESULTS_MAX: usize = 4;
const RESULTS_PATIENCE: Duration = Duration::from_secs(480);

/// Short slices at a load that any machine bears. Closed loops come out right on a busy machine too, where an open loop's
/// client soon sends late.
const LOAD: &[(&str, &str)] = &[
    ("SCENARIOS", "/scenarios/original.toml"),
    ("CONNECTIONS", "100"),
    ("THINK_TIME", "50ms"),
    ("SLICE", "3s"),
    // As many as an interval needs.
    ("CYCLES", "6"),
    ("LAB_REPEAT", "false"),
    ("PROFILE_HZ", "19"),
];

/// For the figures: open loops, whose load is the same from a slice's first second to its last, and slices long enough for
/// the rules, which look back five seconds.
const OPEN_LOAD: &[(&str, &str)] = &[
    ("SCENARIOS", "few"),
    ("CONNECTIONS", "60"),
    ("RATE", "3000"),
    ("ARRIVALS", "burst 5ms"),
    ("SLICE", "20s"),
    ("CYCLES", "1"),
];

/// What is empty while all is well, or shorter than a scrape at a rate that is given.
const MAY_BE_EMPTY: &[&str] = &["Accept errors", "Errors", "annotation Calibration"];

/// One test at a time: they measure.
static MACHINE: Mutex<()> = Mutex::new(());
static BUILT: Once = Once::new();

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .canonicalize()
        .unwrap()
}

fn machine() -> MutexGuard<'static, ()> {
    let machine = MACHINE.lock().unwrap_or_else(PoisonError::into_inner);
    BUILT.call_once(|| {
        let began = Instant::now();
        let project = Project::new(&root(), "build", &[]);
        let output = project.try_compose(&["build"], BUILD_PATIENCE);
        assert!(output.status.success(), "{}", said(&output));
        eprintln!("the images were built in {:.0?}", began.elapsed());
    });
    machine
}

fn image_has(image: &str, format: &str) -> String {
    docker(&["image", "inspect", "--format", format, image])
}

fn docker(arguments: &[&str]) -> String {
    let mut command = Command::new("docker");
    command.args(arguments);
    let output = run_within(command, Duration::from_secs(60));
    assert!(output.status.success(), "docker {arguments:?}: {}", said(&output));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Starts everything but Grafana, and waits until all is healthy and the lab has set to work.
fn start(project: &Project) {
    let began = Instant::now();
    let arguments: Vec<&str> = ["up", "--detach", "--no-build"]
        .iter()
        .chain(SERVICES)
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
        SERVICES.iter().all(|service| well(service)).then_some(())
    });
}

/// Waits until the lab has ended by itself; returns its exit code.
fn lab_ends(project: &Project) -> i64 {
    project.until("the lab ends", RUN_PATIENCE, || {
        project
            .state("lab")
            .filter(|lab| lab.state == "exited")
            .map(|lab| lab.exit_code)
    })
}

fn verdicts(run: &Value) -> Vec<&str> {
    items(&run["verdicts"]).iter().map(text).collect()
}

fn runs_by_contender(result: &Value) -> BTreeMap<String, &Value> {
    let runs = items(&result["runs"]).iter();
    runs.map(|run| (text(&run["contender"]).to_owned(), run))
        .collect()
}

fn phase_of(prometheus: &Prometheus, contender: &str, phase: &str) -> bool {
    let expression = format!("echolab_phase{{phase=\"{phase}\", contender=\"{contender}\"}} == 1");
    !prometheus.live(&expression).is_empty()
}

#[test]
#[ignore = "needs Docker"]
fn images_are_small_and_dependencies_are_built_apart() {
    let _machine = machine();
    for (variable, image) in IMAGES {
        let size: u64 = image_has(image, "{{.Size}}").parse().unwrap();
        eprintln!("{image}: {size} bytes");
        assert!(
            *variable != "SERVER_IMAGE" || size < SERVER_IMAGE_MAX,
            "{image} has {size} bytes"
        );
        assert_eq!(image_has(image, "{{.Config.User}}"), "65532:65532");
    }
    // The same tree with one source file changed: its dependencies come from the cache as a whole.
    let copy = tempfile::tempdir().unwrap();
    for part in [
        "Dockerfile",
        ".dockerignore",
        "Cargo.toml",
        "Cargo.lock",
        ".cargo",
        "sys",
        "telemetry",
        "server",
        "client",
        "lab",
    ] {
        copy_tree(&root().join(part), &copy.path().join(part));
    }
    let touched = copy.path().join("server/src/engine.rs");
    let source = fs::read_to_string(&touched).unwrap();
    fs::write(&touched, source + "\n// touched\n").unwrap();
    let id = copy.path().join("id");
    let mut command = Command::new("docker");
    command
        .args(["build", "--progress", "plain", "--target", "dependencies"])
        .args(["--iidfile", &id.to_string_lossy(), "."])
        .current_dir(copy.path());
    let output = run_within(command, Duration::from_secs(300));
    assert!(output.status.success(), "{}", said(&output));
    // The image has no name; what it was built from stays in the cache.
    docker(&["image", "rm", fs::read_to_string(&id).unwrap().trim()]);
    let told = said(&output);
    assert!(
        !told.contains("Compiling"),
        "a touched source file rebuilds dependencies:\n{told}"
    );
    assert!(told.contains("CACHED"), "{told}");
}

fn copy_tree(from: &Path, to: &Path) {
    if from.is_file() {
        fs::copy(from, to).unwrap();
    } else if from.is_dir() && !from.ends_with("target") {
        fs::create_dir(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let name = entry.unwrap().file_name();
            copy_tree(&from.join(&name), &to.join(&name));
        }
    }
}

#[test]
#[ignore = "needs Docker"]
fn a_run_and_its_dashboards() {
    let _machine = machine();
    let mut project = Project::new(&root(), "run", LOAD);
    start(&project);
    confined(&project);
    let mut prometheus = Prometheus::on(project.prometheus_port);
    // An honest lab on a noisy machine says so, and then it is run again; who is never ok fails.
    until_all(&project, |contender, result| {
        assert_eq!(result["machine"]["network"], "bridge");
        let run = runs_by_contender(result)[contender];
        match verdicts(run).as_slice() {
            ["ok"] => Ok(()),
            _ => Err(format!("{} ({})", run["verdicts"], run["reasons"])),
        }
    });
    prometheus.end = now();
    servers_had(&prometheus, 100.0);

    // Another number in the environment is another number of connections.
    for (name, value) in OPEN_LOAD {
        project.set(name, value);
    }
    project.compose(&["up", "--detach", "--no-build", "lab"]);
    project.until("60 connections each", HEALTHY_PATIENCE, || {
        let all = prometheus.live("min(echolab_connections) == 60 and count(echolab_connections) == 4");
        (!all.is_empty()).then_some(())
    });
    // Two instruments read the same run, so they must agree whatever its verdict. They do not look at the same seconds
    // of it, though, between which a noisy machine changes.
    until_all(&project, |contender, result| {
        prometheus.end = now();
        let run = runs_by_contender(result)[contender];
        agree(&prometheus, text(&result["run_id"]), run)
    });
    prometheus.end = now();
    assert_eq!(unanswered(&prometheus, &root(), MAY_BE_EMPTY), [""; 0]);
    project.down();
    assert_eq!(project.leftovers(), "");
}

/// Waits for results, and starts the lab again, until each contender was once found well in one.
fn until_all(project: &Project, mut well: impl FnMut(&str, &Value) -> Result<(), String>) {
    let began = Instant::now();
    let mut wanting: BTreeMap<&str, String> = CONTENDERS
        .iter()
        .map(|contender| (*contender, String::new()))
        .collect();
    for attempt in 1.. {
        assert_eq!(lab_ends(project), 0, "{}", project.compose(&["logs", "lab"]));
        // The last scrape, and the last evaluation of the rules.
        std::thread::sleep(Duration::from_secs(2));
        let results = project.results();
        let (folder, result) = results.last().unwrap();
        assert!(folder.join("report.md").is_file());
        assert_eq!(runs_by_contender(result).len(), CONTENDERS.len(), "{result:#}");
        wanting.retain(|contender, why| well(contender, result).map_err(|found| *why = found).is_err());
        if wanting.is_empty() {
            return;
        }
        let again = attempt < RESULTS_MAX && began.elapsed() < RESULTS_PATIENCE;
        assert!(again, "after {attempt} results: {wanting:#?}");
        eprintln!("result {attempt}: {wanting:#?}");
        project.compose(&["start", "lab"]);
    }
}

/// Not root, nothing writable, no capability: asked of Docker and of the kernel.
fn confined(project: &Project) {
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
    }
}

/// The servers held so many connections at most, each.
fn servers_had(prometheus: &Prometheus, connections: f64) {
    let held = prometheus
        .range("max by (contender) (echolab_connections{job=\"server\"})")
        .unwrap();
    assert_eq!(held.len(), CONTENDERS.len());
    for series in held {
        let most = series.values.iter().copied().fold(0.0, f64::max);
        assert_eq!(most, connections, "{}", series.label("contender"));
    }
}

#[test]
#[ignore = "needs Docker"]
fn a_killed_server_costs_its_own_run_alone() {
    let _machine = machine();
    let mut project = Project::new(&root(), "kill", LOAD);
    project.set("SLICE", "3s");
    project.set("CYCLES", "4");
    start(&project);
    let prometheus = Prometheus::on(project.prometheus_port);
    project.until("threads is under load", RUN_PATIENCE, || {
        phase_of(&prometheus, "threads", "slice").then_some(())
    });
    project.compose(&["kill", "--signal", "KILL", "server-threads"]);
    let code = lab_ends(&project);
    let results = project.results();
    let (folder, result) = results.last().unwrap();
    assert!(
        folder.join("report.md").is_file(),
        "the lab ended with {code} and without a report"
    );
    let runs = runs_by_contender(result);
    assert_eq!(
        verdicts(runs["threads"]).first(),
        Some(&"server-died"),
        "{:#}",
        runs["threads"]
    );
    for contender in ["epoll", "tokio", "go-net"] {
        let died = verdicts(runs[contender])
            .iter()
            .any(|verdict| verdict.ends_with("died"));
        let cycles = items(&runs[contender]["cycles"]).len();
        assert!(
            !died && cycles == 4,
            "{contender} did not go on: {:#}",
            runs[contender]
        );
    }
}

#[test]
#[ignore = "needs Docker"]
fn stopping_writes_the_report_in_time() {
    let _machine = machine();
    let mut project = Project::new(&root(), "stop", LOAD);
    project.set("SLICE", "2s");
    project.set("CYCLES", "50");
    project.set("LAB_REPEAT", "true");
    start(&project);
    project.until("a cycle is saved", RUN_PATIENCE, || {
        (!project.results().is_empty()).then_some(())
    });
    let began = Instant::now();
    project.compose(&["stop"]);
    let took = began.elapsed();
    assert!(took < Duration::from_secs(30), "stopping took {took:?}");
    for state in project.states() {
        assert_ne!(state.exit_code, 137, "{} had to be killed", state.service);
        assert!(
            !state.service.starts_with("server") || state.exit_code == 0,
            "{state:?}"
        );
    }
    let results = project.results();
    assert_eq!(results.len(), 1, "it started anew although it was told to stop");
    let (folder, result) = &results[0];
    assert!(folder.join("report.md").is_file());
    assert!(!items(&result["runs"]).is_empty());
    project.down();
    assert_eq!(project.leftovers(), "");
}

#[test]
#[ignore = "needs Docker"]
fn bad_input_is_one_clear_line() {
    let _machine = machine();
    for (service, name, value) in [
        ("lab", "CONNECTIONS", "abc"),
        ("lab", "RATE", "-1"),
        ("lab", "SCENARIOS", "fwe"),
        ("lab", "SLICE", "soon"),
        ("lab", "CLIENT_CPUS", "99"),
        ("server-epoll", "EPOLLS", "0"),
        ("server-epoll", "ACCEPT", "all"),
        ("server-tokio", "SERVER_CPUS", "99"),
        ("server-go-net", "EPOLLS", "many"),
    ] {
        let project = Project::new(&root(), "input", &[(name, value)]);
        let output = project.try_compose(
            &["run", "--rm", "--no-deps", "-T", service],
            Duration::from_secs(60),
        );
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(
            output.status.code(),
            Some(2),
            "{service} with {name}={value}: {}",
            said(&output)
        );
        // Compose itself tells, indented, of networks and volumes that it makes.
        let own = told.lines().filter(|line| !line.starts_with(' '));
        let ours: Vec<&str> = own.filter(|line| line.contains(value)).collect();
        assert_eq!(ours.len(), 1, "{service} with {name}={value} said:\n{told}");
        assert!(!told.contains("panicked"), "{told}");
        assert_eq!(
            String::from_utf8_lossy(&output.stdout),
            "",
            "{service} with {name}={value}"
        );
    }
}
