//! A Compose project of a test's own: its name, ports and results are nobody else's, and dropped it takes all down.

use serde_json::Value;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// How often a condition is looked at. Asking Docker costs CPU, which is missing where something is measured.
const POLL: Duration = Duration::from_secs(2);
/// The longest that a Compose command may take which builds nothing.
const COMMAND_PATIENCE: Duration = Duration::from_secs(120);

/// Images of the tests' own, beside those of whoever uses the lab: the variable of .env, and the name.
pub const IMAGES: &[(&str, &str)] = &[
    ("SERVER_IMAGE", "echolab-test-server"),
    ("CLIENT_IMAGE", "echolab-test-client"),
    ("GO_NET_IMAGE", "echolab-test-go-net"),
];

/// A project, from its first command to `down -v`.
pub struct Project {
    name: String,
    root: PathBuf,
    /// Compose files; the default one when there are none.
    files: Vec<&'static str>,
    environment: Vec<(String, String)>,
    results: tempfile::TempDir,
    /// Where its Prometheus is published.
    pub prometheus_port: u16,
}

/// What a container is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// The service.
    pub service: String,
    /// `running`, `exited`, …
    pub state: String,
    /// `healthy`, `starting`, `unhealthy`, or empty without a health check.
    pub health: String,
    /// How it ended.
    pub exit_code: i64,
    /// The container's name.
    pub container: String,
}

impl Project {
    /// Nothing is started yet. `settings` replace lines of .env.
    pub fn new(root: &Path, name: &str, settings: &[(&str, &str)]) -> Project {
        let results = tempfile::tempdir().unwrap();
        let folder = results.path().to_string_lossy().into_owned();
        let owner = fs::metadata(&folder).unwrap();
        // Who runs the test should be able to remove what the lab writes; root may remove anything.
        let user = match owner.uid() {
            0 => "65532:65532".to_owned(),
            uid => format!("{uid}:{}", owner.gid()),
        };
        let mut project = Project {
            name: format!("echolab-test-{name}-{}", std::process::id()),
            root: root.to_owned(),
            files: Vec::new(),
            environment: Vec::new(),
            prometheus_port: 0,
            results,
        };
        project.set("LAB_USER", &user);
        project.set("RESULTS", &folder);
        let ports = [
            "PROMETHEUS",
            "GRAFANA",
            "EPOLL_METRICS",
            "TOKIO_METRICS",
            "THREADS_METRICS",
            "GO_NET_METRICS",
            "URING_METRICS",
        ];
        // All are held until all are known, so that they differ.
        let held: Vec<TcpListener> = ports
            .iter()
            .map(|_| TcpListener::bind("127.0.0.1:0").unwrap())
            .collect();
        for (name, listener) in ports.iter().zip(&held) {
            let port = listener.local_addr().unwrap().port();
            project.set(&format!("{name}_PORT"), &port.to_string());
            if *name == "PROMETHEUS" {
                project.prometheus_port = port;
            }
        }
        for (name, value) in IMAGES.iter().chain(settings) {
            project.set(name, value);
        }
        project
    }

    /// As if these files were given with `-f`, one on top of the other.
    pub fn with_files(mut self, files: &[&'static str]) -> Project {
        self.files = files.to_vec();
        self
    }

    /// Replaces a line of .env for the commands that follow.
    pub fn set(&mut self, name: &str, value: &str) {
        self.environment.retain(|(known, _)| known != name);
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// Lets the line of .env count again.
    pub fn unset(&mut self, name: &str) {
        self.environment.retain(|(known, _)| known != name);
    }

    /// Runs `docker compose` with these arguments; what it says is returned, whatever its exit code.
    pub fn try_compose(&self, arguments: &[&str], patience: Duration) -> Output {
        let mut command = Command::new("docker");
        // What the shell has of these is not the test's: .env counts, and what is set here.
        for name in settings(&self.root) {
            command.env_remove(name);
        }
        command
            .args(["compose", "-p", &self.name])
            .args(self.files.iter().flat_map(|file| ["-f", file]))
            .args(arguments)
            .current_dir(&self.root)
            .envs(self.environment.iter().map(|(name, value)| (name, value)));
        run_within(command, patience)
    }

    /// As [`Project::try_compose`]; it must succeed. Returns its standard output.
    pub fn compose(&self, arguments: &[&str]) -> String {
        let output = self.try_compose(arguments, COMMAND_PATIENCE);
        assert!(
            output.status.success(),
            "docker compose {arguments:?}:\n{}",
            said(&output)
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// All containers, ended ones included.
    pub fn states(&self) -> Vec<State> {
        let listed = self.compose(&["ps", "--all", "--format", "json"]);
        // Compose prints one array, or, since 2.21, an object a line.
        let rows: Vec<Value> = match serde_json::from_str::<Value>(&listed) {
            Ok(Value::Array(rows)) => rows,
            _ => listed
                .lines()
                .map(|line| serde_json::from_str(line).unwrap())
                .collect(),
        };
        let text = |row: &Value, name: &str| row[name].as_str().unwrap_or_default().to_owned();
        rows.iter()
            .map(|row| State {
                service: text(row, "Service"),
                state: text(row, "State"),
                health: text(row, "Health"),
                exit_code: row["ExitCode"].as_i64().unwrap_or(-1),
                container: text(row, "Name"),
            })
            .collect()
    }

    /// What one service's container is doing.
    pub fn state(&self, service: &str) -> Option<State> {
        self.states().into_iter().find(|state| state.service == service)
    }

    /// `docker inspect` of a container.
    pub fn inspect(&self, container: &str) -> Value {
        let mut command = Command::new("docker");
        command.args(["inspect", container]);
        let output = run_within(command, COMMAND_PATIENCE);
        let all: Value = serde_json::from_slice(&output.stdout).unwrap();
        all[0].clone()
    }

    /// The containers that have ended since (seconds since 1970): the service, and its exit code.
    pub fn deaths(&self, since: f64) -> Vec<(String, String)> {
        let mut command = Command::new("docker");
        command
            .args(["events", "--format", "{{json .Actor.Attributes}}"])
            .args(["--since", &format!("{since:.3}")])
            .args(["--until", &format!("{:.3}", super::prometheus::now())])
            .args(["--filter", "event=die", "--filter", &self.label()]);
        let output = run_within(command, COMMAND_PATIENCE);
        assert!(output.status.success(), "{}", said(&output));
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        told.lines()
            .map(|line| {
                let attributes: Value = serde_json::from_str(line).unwrap();
                let attribute = |name: &str| attributes[name].as_str().unwrap_or_default().to_owned();
                (attribute("com.docker.compose.service"), attribute("exitCode"))
            })
            .collect()
    }

    fn label(&self) -> String {
        format!("label=com.docker.compose.project={}", self.name)
    }

    /// Waits until `done` brings something.
    pub fn until<T>(&self, what: &str, patience: Duration, mut done: impl FnMut() -> Option<T>) -> T {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(value) = done() {
                return value;
            }
            if Instant::now() > deadline {
                let logs = self.try_compose(&["logs", "--tail", "20"], COMMAND_PATIENCE);
                panic!(
                    "{what}: not within {patience:?}\n{:#?}\n{}",
                    self.states(),
                    said(&logs)
                );
            }
            std::thread::sleep(POLL);
        }
    }

    /// The results so far: each folder's result.json that can be read, oldest first.
    pub fn results(&self) -> Vec<(PathBuf, Value)> {
        let mut folders: Vec<PathBuf> = fs::read_dir(self.results.path())
            .unwrap()
            .map(|entry| entry.unwrap())
            .filter(|entry| entry.file_type().unwrap().is_dir())
            .map(|entry| entry.path())
            .collect();
        folders.sort();
        folders
            .into_iter()
            .filter_map(|folder| {
                let text = fs::read_to_string(folder.join("result.json")).ok()?;
                Some((folder, serde_json::from_str(&text).ok()?))
            })
            .collect()
    }

    /// Takes everything down, volumes too.
    pub fn down(&self) {
        let output = self.try_compose(
            &["down", "--volumes", "--remove-orphans", "--timeout", "5"],
            COMMAND_PATIENCE,
        );
        assert!(output.status.success(), "{}", said(&output));
    }

    /// Containers, networks and volumes that still bear this project's name.
    pub fn leftovers(&self) -> String {
        let label = self.label();
        let mut left = String::new();
        for kind in ["container", "network", "volume"] {
            let mut command = Command::new("docker");
            command.args([kind, "ls", "--quiet", "--filter", &label]);
            command.args((kind == "container").then_some("--all"));
            left += &String::from_utf8_lossy(&run_within(command, COMMAND_PATIENCE).stdout);
        }
        left
    }
}

/// The names of .env, those included that are not set.
fn settings(root: &Path) -> Vec<String> {
    let text = fs::read_to_string(root.join(".env")).unwrap();
    let name = |line: &str| {
        line.trim_start_matches('#')
            .split_once('=')
            .map(|(name, _)| name.to_owned())
    };
    let names = text.lines().filter_map(name);
    names
        .filter(|name| name.chars().all(|one| one.is_ascii_uppercase() || one == '_'))
        .collect()
}

impl Drop for Project {
    fn drop(&mut self) {
        // A test that failed may have left anything; there is nobody to tell when this fails too.
        let _ = self.try_compose(
            &["down", "--volumes", "--remove-orphans", "--timeout", "1"],
            COMMAND_PATIENCE,
        );
    }
}

/// Standard output and error as one text.
pub fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// Runs a command; one that hangs fails the test.
pub fn run_within(mut command: Command, patience: Duration) -> Output {
    let shown = format!("{command:?}");
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || sender.send(command.output()));
    match receiver.recv_timeout(patience) {
        Ok(output) => {
            output.unwrap_or_else(|error| panic!("{shown}: {error}; is Docker with Compose v2 installed?"))
        }
        Err(_) => panic!("{shown}: not within {patience:?}"),
    }
}
