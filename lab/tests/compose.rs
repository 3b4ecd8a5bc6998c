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
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, Once, PoisonError};
use std::time::{Duration, Instant};
use watching::agreement::unanswered;
use watching::board::{items, text};
use watching::figures::Shown;
use watching::project::{IMAGES, Project, run_within, said};
use watching::prometheus::{Prometheus, now};
use watching::stack::{
    HEALTHY_PATIENCE, RUN_PATIENCE, confined, end_with, lab_ends, nothing_was_lost, runs_of, start, verdicts,
};

/// Who runs when nothing else is said.
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

/// Until when contenders are to be found well.
#[derive(Clone, Copy, PartialEq)]
enum Found {
    /// All of them in one result.
    Together,
    /// Each of them in one of the results.
    EachOnce,
}

/// So many results at most, and none begun later than this, until contenders were found well.
const RESULTS_MAX: usize = 4;
const RESULTS_PATIENCE: Duration = Duration::from_secs(480);

/// The lab's exit codes when all went well: a busy machine may leave no run of a scenario to be believed.
const BELIEVED_OR_NOT: [i64; 2] = [0, 5];

/// Short slices at a load that any machine bears. Closed loops come out right on a busy machine too, where an open loop's
/// client soon sends a millisecond late at any rate; the longer the think time, the later their client may send.
const LOAD: &[(&str, &str)] = &[
    ("SCENARIOS", "/scenarios/original.toml"),
    ("CONNECTIONS", "100"),
    ("THINK_TIME", "200ms"),
    ("SLICE", "2s"),
    // As many as an interval needs.
    ("ROUNDS", "3"),
    ("CYCLES", "2"),
];

/// For the figures: open loops, whose load is the same from a slice's first second to its last, and slices long enough for
/// the rules, which look back five seconds.
const OPEN_LOAD: &[(&str, &str)] = &[
    ("SCENARIOS", "few"),
    ("CONNECTIONS", "60"),
    ("RATE", "3000"),
    ("ARRIVALS", "burst 5ms"),
    ("SLICE", "20s"),
    ("ROUNDS", "1"),
    ("CYCLES", "1"),
];

/// What is empty while all is well, or shorter than a scrape at a rate that is given.
const MAY_BE_EMPTY: &[&str] = &["Accept errors", "Errors", "annotation Calibration"];

/// Health checks that are asked often: for tests that do not measure.
const IMPATIENT: &str = "lab/tests/watching/impatient.yml";
/// What compose.host.yml has listen on 127.0.0.1 beside Prometheus and Grafana: no test can choose these.
const HOST_PORTS: &[u16] = &[
    8881, 8882, 8883, 8884, 9101, 9102, 9103, 9104, 9200, 9201, 9202, 9203, 9204,
];

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

/// What stands behind a `#NAME=` in .env, for those who want it.
fn offered_in_env(name: &str) -> String {
    let text = fs::read_to_string(root().join(".env")).unwrap();
    let mut lines = text.lines();
    let line = lines.find_map(|line| line.strip_prefix(&format!("#{name}=")));
    line.unwrap_or_else(|| panic!(".env does not offer {name}"))
        .to_owned()
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
        "sys",
        "model",
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

/// With io_uring as well, switched on as .env says.
#[test]
#[ignore = "needs Docker"]
fn a_run_and_its_dashboards() {
    let _machine = machine();
    let mut project = Project::new(&root(), "run", LOAD);
    for name in ["COMPOSE_PROFILES", "MORE_CONTENDERS"] {
        project.set(name, &offered_in_env(name));
    }
    let contenders = [CONTENDERS, &["uring"]].concat();
    start(&project, &[SERVICES, &["server-uring"]].concat());
    confined(&project);
    let mut prometheus = Prometheus::on(project.prometheus_port);
    // An honest lab on a noisy machine says so, and then it is run again.
    let result = until_all(&project, &contenders, "original", Found::Together, |_, run| {
        nothing_was_lost(run, 100);
        match verdicts(run).as_slice() {
            ["ok"] => Ok(()),
            _ => Err(format!("{} ({})", run["verdicts"], run["reasons"])),
        }
    });
    assert_eq!(result["machine"]["network"], "bridge");
    prometheus.end = now();
    servers_had(&prometheus, &contenders, 100.0);
    assert_eq!(Shown::on(&prometheus, &root()).untold(&result), [""; 0]);

    // Another number in the environment is another number of connections.
    for (name, value) in OPEN_LOAD {
        project.set(name, value);
    }
    project.compose(&["up", "--detach", "--no-build", "lab"]);
    project.until("60 connections each", HEALTHY_PATIENCE, || {
        let all = prometheus.live("min(echolab_connections) == 60 and count(echolab_connections) == 5");
        (!all.is_empty()).then_some(())
    });
    // Two instruments read the same run, so they must agree whatever its verdict. They do not look at the same seconds
    // of it, though, between which a noisy machine changes.
    let result = until_all(&project, &contenders, "few", Found::EachOnce, |result, run| {
        prometheus.end = now();
        eprintln!("{}: {}", run["contender"], run["verdicts"]);
        nothing_was_lost(run, 60);
        Shown::on(&prometheus, &root()).agree(text(&result["run_id"]), run)
    });
    prometheus.end = now();
    assert_eq!(Shown::on(&prometheus, &root()).untold(&result), [""; 0]);
    assert_eq!(unanswered(&prometheus, &root(), MAY_BE_EMPTY), [""; 0]);
    project.down();
    assert_eq!(project.leftovers(), "");
}

/// Waits for results, and starts the lab again, until contenders were found well. Returns the last.
fn until_all(
    project: &Project,
    contenders: &[&'static str],
    scenario: &str,
    found: Found,
    mut well: impl FnMut(&Value, &Value) -> Result<(), String>,
) -> Value {
    let began = Instant::now();
    let everyone = || contenders.iter().map(|contender| (*contender, String::new()));
    let mut wanting: BTreeMap<&str, String> = everyone().collect();
    for attempt in 1.. {
        if found == Found::Together {
            wanting = everyone().collect();
        }
        let code = lab_ends(project);
        assert!(
            BELIEVED_OR_NOT.contains(&code),
            "{code}: {}",
            project.compose(&["logs", "lab"])
        );
        // The last scrape, and the last evaluation of the rules.
        std::thread::sleep(Duration::from_secs(2));
        let (folder, result) = project.results().pop().unwrap();
        assert!(folder.join("report.md").is_file());
        let runs = runs_of(&result, scenario);
        assert_eq!(runs.len(), contenders.len(), "{result:#}");
        wanting.retain(|contender, why| {
            well(&result, runs[*contender])
                .map_err(|found| *why = found)
                .is_err()
        });
        if wanting.is_empty() {
            return result;
        }
        let again = attempt < RESULTS_MAX && began.elapsed() < RESULTS_PATIENCE;
        assert!(again, "after {attempt} results: {wanting:#?}");
        eprintln!("result {attempt}: {wanting:#?}");
        project.compose(&["start", "lab"]);
    }
    unreachable!("it returns or fails")
}

/// The servers held so many connections at most, each.
fn servers_had(prometheus: &Prometheus, contenders: &[&str], connections: f64) {
    let held = prometheus
        .range("max by (contender) (echolab_connections{job=\"server\"})")
        .unwrap();
    assert_eq!(held.len(), contenders.len());
    for series in held {
        let most = series.values.iter().copied().fold(0.0, f64::max);
        assert_eq!(most, connections, "{}", series.label("contender"));
    }
}

/// On the host's network, and taken down in the middle of a run.
#[test]
#[ignore = "needs Docker"]
fn a_killed_server_costs_its_own_run_alone() {
    let _machine = machine();
    // A listener that is there would answer for the stack's.
    for port in HOST_PORTS {
        if let Err(error) = TcpListener::bind(("127.0.0.1", *port)) {
            panic!("compose.host.yml needs port {port}: {error}; stop who has it");
        }
    }
    let files = ["docker-compose.yml", "compose.host.yml", IMPATIENT];
    let mut project = Project::new(&root(), "host", LOAD).with_files(&files);
    project.set("ROUNDS", "1");
    project.set("CYCLES", "4");
    project.set("LAB_REPEAT", "true");
    nobody_publishes(&mut project);
    start(&project, SERVICES);
    let prometheus = Prometheus::on(project.prometheus_port);
    project.until("threads is under load", RUN_PATIENCE, || {
        let live = prometheus.live("echolab_phase{phase=\"slice\", contender=\"threads\"} == 1");
        (!live.is_empty()).then_some(())
    });
    let up = prometheus.live("count by (job) (up == 1)");
    let up: BTreeMap<&str, f64> = up
        .iter()
        .map(|series| (series.label("job"), series.values[0]))
        .collect();
    let everyone = [("client", 4.0), ("lab", 1.0), ("server", 4.0)];
    assert_eq!(up, everyone.into(), "not all can be scraped by their names");
    project.compose(&["kill", "--signal", "KILL", "server-threads"]);
    let (folder, result) = project.until("the run ends", RUN_PATIENCE, || {
        let mut results = project.results().into_iter();
        results.find(|(folder, result)| result["complete"] == true && folder.join("report.html").is_file())
    });
    assert!(folder.join("report.md").is_file());
    assert_eq!(result["machine"]["network"], "host");
    let runs = runs_of(&result, "original");
    assert_eq!(
        verdicts(runs["threads"]).first(),
        Some(&"server-died"),
        "{:#}",
        runs["threads"]
    );
    for contender in ["epoll", "tokio", "go-net"] {
        nothing_was_lost(runs[contender], 100);
        let cycles = items(&runs[contender]["rounds"][0]["cycles"]).len();
        assert_eq!(cycles, 4, "{contender} did not go on: {:#}", runs[contender]);
    }
    // The lab goes on as well, without the dead one, until it is told to end.
    end_with(&project, "down", 2);
    let (_, result) = project.results().pop().unwrap();
    assert_eq!(result["skipped"][0]["contender"], "threads", "{result:#}");
    // The volumes are all that `down` leaves.
    project.down();
    assert_eq!(project.leftovers(), "");
}

/// What compose makes of its files for the host's network, the contenders that are off by default included.
fn nobody_publishes(project: &mut Project) {
    project.set("COMPOSE_PROFILES", "uring,tools");
    let config: Value = serde_json::from_str(&project.compose(&["config", "--format", "json"])).unwrap();
    project.unset("COMPOSE_PROFILES");
    let services = config["services"].as_object().unwrap();
    assert!(services.contains_key("server-uring") && services.contains_key("client"));
    for (name, service) in services {
        let network = if name == "results" { "none" } else { "host" };
        assert_eq!(service["network_mode"], network, "{name}");
        assert_eq!(items(&service["ports"]).len(), 0, "{name} publishes a port");
        for setting in ["LISTEN", "METRICS", "CLIENT_METRICS"] {
            let address = text(&service["environment"][setting]);
            assert!(
                address.is_empty() || address.starts_with("127.0.0.1:"),
                "{name} is open to the network: {setting}={address}"
            );
        }
    }
}

/// The stack as .env has it, but for time: 10,000 connections to each contender in its second scenario.
#[test]
#[ignore = "needs Docker"]
fn the_defaults_run_and_stopping_writes_the_report_in_time() {
    let _machine = machine();
    let shortened = [("SLICE", "1s"), ("ROUNDS", "1"), ("CYCLES", "1")];
    let project =
        Project::new(&root(), "defaults", &shortened).with_files(&["docker-compose.yml", IMPATIENT]);
    start(&project, SERVICES);
    let code = lab_ends(&project);
    assert!(
        BELIEVED_OR_NOT.contains(&code),
        "{code}: {}",
        project.compose(&["logs", "lab"])
    );
    let (_, result) = project.results().pop().unwrap();
    assert_eq!(items(&result["skipped"]).len(), 0, "{result:#}");
    for (scenario, connections) in [("few", 50), ("many", 10_000)] {
        let runs = runs_of(&result, scenario);
        assert_eq!(runs.len(), CONTENDERS.len());
        for run in runs.values() {
            eprintln!("{scenario} {}: {}", run["contender"], run["verdicts"]);
            nothing_was_lost(run, connections);
            assert_eq!(items(&run["rounds"][0]["cycles"]).len(), 1, "{run:#}");
        }
    }
    // Once more, and not to its end.
    project.compose(&["start", "lab"]);
    end_with(&project, "stop", 2);
    project.down();
    assert_eq!(project.leftovers(), "");
}

#[test]
#[ignore = "needs Docker"]
fn bad_input_is_one_clear_line() {
    let _machine = machine();
    let mut project = Project::new(&root(), "input", &[]);
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
        project.set(name, value);
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
        project.unset(name);
    }
}
