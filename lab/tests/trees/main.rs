//! Contenders that are more than one process: what they use is counted, and nothing of them is left behind.

// Helpers of a test may fail the test.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod family;

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use lab::store;
use libtest_mimic::{Arguments, Trial};
use model::result::LabResult;

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

fn main() {
    let words: Vec<String> = std::env::args().collect();
    if words.get(1).is_some_and(|word| word == family::NAME) {
        return family::main(&words[2..]);
    }
    let tests: [(&str, fn()); 6] = [
        (
            "every_process_of_a_contender_counts",
            every_process_of_a_contender_counts,
        ),
        (
            "processes_and_threads_that_end_count",
            processes_and_threads_that_end_count,
        ),
        ("memory_of_workers_counts", memory_of_workers_counts),
        (
            "a_contender_starts_as_from_a_shell",
            a_contender_starts_as_from_a_shell,
        ),
        (
            "a_contender_that_ends_when_asked_costs_no_wait",
            a_contender_that_ends_when_asked_costs_no_wait,
        ),
        (
            "a_killed_lab_leaves_nothing_behind",
            a_killed_lab_leaves_nothing_behind,
        ),
    ];
    let mut arguments = Arguments::from_args();
    // They measure: one at a time.
    arguments.test_threads = Some(1);
    let trials = tests.map(|(name, test)| {
        Trial::test(name, move || {
            test();
            Ok(())
        })
    });
    libtest_mimic::run(&arguments, trials.into()).exit();
}

/// The flag that makes a contender: this program in a shape of [`family`].
fn contender(shape: &str, more: &str) -> String {
    let exe = std::env::current_exe().unwrap();
    let command = format!("'{}' {} {shape} {{port}} {more}", exe.display(), family::NAME);
    format!("name={shape},command=\"{command}\"")
}

fn lab(folder: &Path) -> Command {
    std::fs::write(
        folder.join("short.toml"),
        "connections = 8\npace = \"open\"\nrate = 2000\n",
    )
    .unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_lab"));
    command
        .env_clear()
        .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
        .current_dir(folder)
        .args(["--scenario", "short.toml", "--contenders", "own"])
        .args(["--slice", "150ms"]);
    command
}

fn run(folder: &Path, contenders: &[String]) -> (Output, LabResult) {
    let mut command = lab(folder);
    command.args(["--rounds", "1", "--cycles", "4"]);
    for contender in contenders {
        command.args(["--contender", contender]);
    }
    let output = command.output().unwrap();
    let result = store::load(&folder.join("results/latest/result.json"));
    (output, result.unwrap())
}

/// A message's cost, by contender. Every server burns 100 µs per message, beside which the rest is small.
fn cost(result: &LabResult, contender: &str) -> f64 {
    let run = result.run("short", contender);
    let run = run.unwrap_or_else(|| panic!("{contender} did not run: {:?}", result.skipped));
    run.server.cpu_micros_per_message.unwrap()
}

fn every_process_of_a_contender_counts() {
    let folder = tempfile::tempdir().unwrap();
    let shapes = ["direct", "child", "grandchild", "daemon", "prefork"];
    let contenders: Vec<_> = shapes.iter().map(|shape| contender(shape, "")).collect();
    let (output, result) = run(folder.path(), &contenders);
    let direct = cost(&result, "direct");
    assert!(direct > 90.0, "{direct}\n{output:?}");
    for shape in &shapes[1..] {
        let ratio = cost(&result, shape) / direct;
        assert!((0.8..1.25).contains(&ratio), "{shape}: {ratio} of {direct} µs");
    }
}

fn processes_and_threads_that_end_count() {
    let folder = tempfile::tempdir().unwrap();
    let shapes = ["direct", "brief-processes", "brief-threads"];
    let contenders: Vec<_> = shapes.iter().map(|shape| contender(shape, "")).collect();
    let (_, result) = run(folder.path(), &contenders);
    let direct = cost(&result, "direct");
    for shape in &shapes[1..] {
        // They burn once more per message, in a process or thread of its own that has ended when the slice has.
        let ratio = cost(&result, shape) / direct;
        assert!(ratio > 1.7, "{shape}: {ratio} of {direct} µs");
    }
}

fn memory_of_workers_counts() {
    let folder = tempfile::tempdir().unwrap();
    let contenders = ["direct", "prefork"].map(|shape| contender(shape, "32"));
    let (_, result) = run(folder.path(), &contenders);
    let memory = |name: &str| result.run("short", name).unwrap().server.resident_bytes.unwrap();
    // Two workers, each with 32 MiB of its own; the parent has none.
    let (direct, prefork) = (memory("direct"), memory("prefork"));
    assert!((32 << 20..60 << 20).contains(&direct), "{direct}");
    assert!((64 << 20..92 << 20).contains(&prefork), "{prefork}");
}

fn a_contender_starts_as_from_a_shell() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("status");
    let (_, _) = run(
        folder.path(),
        &[contender("direct", &format!("0 '{}'", file.display()))],
    );
    let status = std::fs::read_to_string(file).unwrap();
    for field in ["SigBlk", "SigIgn"] {
        let line = status.lines().find(|line| line.starts_with(field)).unwrap();
        let mask = u64::from_str_radix(line.split_whitespace().nth(1).unwrap(), 16).unwrap();
        // The Rust runtime of this server itself ignores SIGPIPE.
        assert_eq!(mask & !(1 << 12), 0, "{line}");
    }
}

fn a_contender_that_ends_when_asked_costs_no_wait() {
    let folder = tempfile::tempdir().unwrap();
    let began = Instant::now();
    let mut command = lab(folder.path());
    command.args(["--contender", &contender("direct", "")]);
    command.args(["--contender", &contender("prefork", "")]);
    let output = command.args(["--rounds", "6", "--cycles", "1"]).output().unwrap();
    // Whether a busy machine lets the figures be believed is no matter here.
    assert!(matches!(output.status.code(), Some(0 | 5)), "{output:?}");
    // Twelve servers that had to be killed would take six seconds each.
    assert!(began.elapsed() < Duration::from_secs(40), "{:?}", began.elapsed());
}

fn a_killed_lab_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = lab(folder.path());
    for shape in ["child", "daemon", "prefork", "stubborn"] {
        command.args(["--contender", &contender(shape, "")]);
    }
    let mut lab = command
        .args(["--rounds", "1", "--cycles", "1000"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mark = folder.path().display().to_string();
    wait_until("a cycle is on record", || {
        let result = store::load(&folder.path().join("results/latest/result.json"));
        result.is_ok_and(|result| result.runs.iter().any(|run| run.cycles().count() > 0))
    });
    let before = ours(&mark);
    assert!(
        before.len() >= 8,
        "servers, their children and supervisors: {before:?}"
    );
    lab.kill().unwrap();
    lab.wait().unwrap();
    wait_until("all are gone", || before.iter().all(|pid| !alive(*pid)));
    assert_eq!(ours(&mark), Vec::<u32>::new());
}

/// Processes whose working folder is this test's.
fn ours(folder: &str) -> Vec<u32> {
    let entries = std::fs::read_dir("/proc").unwrap();
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| {
        std::fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd.display().to_string() == folder)
    })
    .collect()
}

fn alive(pid: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    status
        .rsplit_once(')')
        .is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z'))
}

fn wait_until(what: &str, mut ready: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !ready() {
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
