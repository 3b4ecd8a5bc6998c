//! A bench for real runs of the lab: a folder, contenders, a scenario, and a guard on the lab's process.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use lab::measure::Exposition;
use model::result::LabResult;
use model::run::Run;

use crate::server;

/// Longer than any run here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(180);

/// A folder of one test's own.
pub struct Bench {
    folder: tempfile::TempDir,
}

/// The lab at work. Killed when dropped.
pub struct Lab {
    process: Child,
    output: PathBuf,
    stderr: PathBuf,
}

impl Bench {
    pub fn new() -> Bench {
        Bench {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The flags of a contender that lies in this way, called `name`.
    pub fn liar(&self, name: &str, lie: &str) -> [String; 2] {
        let exe = std::env::current_exe().unwrap();
        let pid_file = self.path(&format!("{name}.pid"));
        let command = format!(
            "'{}' {} {lie} {{port}} '{}'",
            exe.display(),
            server::NAME,
            pid_file.display()
        );
        [
            "--contender".to_owned(),
            format!("name={name},command=\"{command}\""),
        ]
    }

    /// The process number of a liar.
    pub fn pid(&self, name: &str) -> u32 {
        let text = std::fs::read_to_string(self.path(&format!("{name}.pid"))).unwrap();
        text.parse().unwrap()
    }

    /// Starts the lab with these flags. The scenario has few connections, 100-byte messages and an open pace.
    pub fn start(&self, connections: u64, rate: u64, flags: &[&str], liars: &[[String; 2]]) -> Lab {
        let scenario = self.path("lie.toml");
        let text =
            format!("connections = {connections}\npace = \"open\"\nrate = {rate}\narrivals = \"smooth\"\n");
        std::fs::write(&scenario, text).unwrap();
        let output = self.path("results");
        let stderr = self.path("stderr");
        let process = Command::new(env!("CARGO_BIN_EXE_lab"))
            .env_clear()
            // Building a Go contender takes these, and no flag is called so.
            .envs(
                ["PATH", "HOME"]
                    .iter()
                    .filter_map(|name| Some((name, std::env::var_os(name)?))),
            )
            .arg("--scenario")
            .arg(&scenario)
            .arg("--output")
            .arg(&output)
            // One start of each, unless a test says otherwise.
            .args(if flags.contains(&"--rounds") {
                &[][..]
            } else {
                &["--rounds", "1"]
            })
            .args(flags)
            .args(liars.iter().flatten())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(&stderr).unwrap())
            .spawn()
            .unwrap();
        Lab {
            process,
            output,
            stderr,
        }
    }

    /// Runs the lab to its end; its result and exit code.
    pub fn run(
        &self,
        connections: u64,
        rate: u64,
        flags: &[&str],
        liars: &[[String; 2]],
    ) -> (LabResult, i32) {
        self.start(connections, rate, flags, liars).finish()
    }
}

impl Lab {
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Waits for the end; the result and the exit code.
    pub fn finish(mut self) -> (LabResult, i32) {
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.process.try_wait().unwrap() {
                break status;
            }
            assert!(
                Instant::now() < deadline,
                "the lab does not end:\n{}",
                self.said()
            );
            std::thread::sleep(Duration::from_millis(10));
        };
        let code = status.code().unwrap_or(-1);
        let result = self
            .result()
            .unwrap_or_else(|| panic!("exit code {code} and no result:\n{}", self.said()));
        (result, code)
    }

    /// Waits until a contender has so many cycles on record.
    pub fn wait_for_cycles(&mut self, contender: &str, cycles: usize) {
        self.wait_for(&format!("{cycles} cycles of {contender}"), |result| {
            let run = result.runs.iter().find(|run| run.contender == contender);
            run.is_some_and(|run| run.cycles().count() >= cycles)
        });
    }

    /// Waits until the result shows something.
    pub fn wait_for(&mut self, what: &str, seen: impl Fn(&LabResult) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !self.result().is_some_and(|result| seen(&result)) {
            let ended = self.process.try_wait().unwrap();
            assert!(
                ended.is_none() && Instant::now() < deadline,
                "{what} never came:\n{}",
                self.said()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits until a contender is in this phase, as the lab's metrics say (`--metrics 127.0.0.1:0`).
    pub fn wait_for_phase(&mut self, contender: &str, phase: &str) {
        let labels = [("contender", contender), ("phase", phase)];
        self.wait_for_metrics(&format!("{contender} in {phase}"), |metrics| {
            metrics.value("echolab_phase", &labels) == Some(1.0)
        });
    }

    /// Waits until the lab's metrics show something (`--metrics 127.0.0.1:0`); returns them.
    pub fn wait_for_metrics(&mut self, what: &str, seen: impl Fn(&Exposition) -> bool) -> Exposition {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let said = self.said();
            let url = said.lines().find_map(|line| line.strip_prefix("metrics: "));
            if let Some(Ok(metrics)) = url.map(lab::measure::scrape)
                && seen(&metrics)
            {
                return metrics;
            }
            let ended = self.process.try_wait().unwrap();
            assert!(
                ended.is_none() && Instant::now() < deadline,
                "{what} never came:\n{said}"
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The processes that the lab has started and that are there now.
    pub fn children(&self) -> Vec<u32> {
        let parent = |pid: u32| -> Option<u32> {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            // The name in brackets may hold blanks; state and parent follow it.
            let (_, rest) = stat.rsplit_once(')')?;
            rest.split_whitespace().nth(1)?.parse().ok()
        };
        let entries = std::fs::read_dir("/proc").unwrap();
        entries
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .filter(|pid| parent(*pid) == Some(self.pid()))
            .collect()
    }

    pub fn latest(&self) -> PathBuf {
        self.output.join("latest")
    }

    fn result(&self) -> Option<LabResult> {
        lab::store::load(&self.latest().join("result.json")).ok()
    }

    fn said(&self) -> String {
        std::fs::read_to_string(&self.stderr).unwrap_or_default()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        // Ended already is as good.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The exit code without rules: a busy machine may leave no run that is ok.
pub fn expected_code(result: &LabResult) -> i32 {
    if result.runs.iter().any(Run::is_ok) { 0 } else { 5 }
}

/// A run as if the machine had disturbed no cycle: what a busy machine does is not what is asked.
pub fn undisturbed(run: &Run) -> Run {
    let mut run = run.clone();
    run.cycles_mut().for_each(|cycle| cycle.spoilt = None);
    run
}

/// One contender's run.
pub fn run_of<'a>(result: &'a LabResult, contender: &str) -> &'a Run {
    result
        .runs
        .iter()
        .find(|run| run.contender == contender)
        .unwrap_or_else(|| panic!("{contender} did not run; skipped: {:?}", result.skipped))
}

/// Waits until a process is gone.
pub fn wait_until_gone(pid: u32) {
    let process = PathBuf::from(format!("/proc/{pid}"));
    let deadline = Instant::now() + Duration::from_secs(20);
    while Path::exists(&process) {
        assert!(Instant::now() < deadline, "process {pid} lives on");
        std::thread::sleep(Duration::from_millis(10));
    }
}
