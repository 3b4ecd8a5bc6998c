//! `lab sweep` and `lab compare` as a user meets them: a small sweep, its result against itself and against a changed
//! one, the gate's exit codes, and what is refused.

// Helpers of a test may fail the test.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The lab, free of flags that the environment could set.
fn lab(folder: &Path, words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lab"));
    command.env_clear().current_dir(folder).args(words);
    command.output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A sweep in as little time as it takes; its result.
fn sweep(folder: &Path, words: &[&str]) -> model::result::LabResult {
    let common = [
        "sweep", "--slice", "30ms", "--rounds", "1", "--cycles", "3", "--no-pin",
    ];
    let output = lab(folder, &[&common, words].concat());
    let stderr = text(&output.stderr);
    assert!(matches!(output.status.code(), Some(0 | 5)), "{stderr}");
    let shown = text(&output.stdout);
    assert!(shown.contains("CPU µs per message, and times that at"), "{shown}");
    let report = std::fs::read_to_string(folder.join("results/latest/report.md")).unwrap();
    assert!(report.contains("\n## By "), "{report}");
    lab::store::load(&folder.join("results/latest/result.json")).unwrap()
}

#[test]
fn a_sweep_over_connections_measures_every_value() {
    let folder = tempfile::tempdir().unwrap();
    let result = sweep(
        folder.path(),
        &[
            "--connections",
            "4,2",
            "--rate",
            "200",
            "--contenders",
            "epoll,tokio",
        ],
    );
    let sweep = result.config.sweep.as_ref().unwrap();
    let labels: Vec<_> = sweep.points.iter().map(|point| &*point.label).collect();
    assert_eq!(labels, ["2", "4"]);
    for point in &sweep.points {
        for family in &sweep.families {
            let run = result.run(&point.scenario, family).unwrap();
            assert_eq!(run.offered_per_second, Some(200.0));
            assert_eq!(run.cycles().next().unwrap().connections, point.value as u64);
        }
    }
}

#[test]
fn a_sweep_over_linger_and_workers_starts_servers_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let common = [
        "--connections",
        "2",
        "--rate",
        "200",
        "--contenders",
        "epoll,tokio",
    ];
    let result = sweep(folder.path(), &[&["--linger", "0s,200us"], &common[..]].concat());
    let names: Vec<_> = result.runs.iter().map(|run| &*run.contender).collect();
    assert_eq!(names, ["epoll", "epoll linger=200us", "tokio"]);
    let result = sweep(folder.path(), &[&["--workers", "1,3"], &common[..]].concat());
    let threads = |name| result.run("few", name).unwrap().server.threads.unwrap();
    assert_eq!(threads("epoll workers=3"), threads("epoll workers=1") + 2);
}

/// A result that was measured for this test, and the same with another contender's cost and seed.
fn before_and_after(folder: &Path) -> (PathBuf, PathBuf) {
    let flags = [
        "--scenario",
        "few",
        "--connections",
        "2",
        "--rate",
        "200",
        "--no-pin",
    ];
    let short = [
        "--slice",
        "60ms",
        "--rounds",
        "3",
        "--cycles",
        "2",
        "--contenders",
        "epoll,tokio",
    ];
    let output = lab(folder, &[&flags[..], &short].concat());
    // A busy machine may leave no run to be believed, which does not matter below.
    let code = output.status.code();
    assert!(matches!(code, Some(0 | 5)), "{}", text(&output.stderr));
    let before = folder.join("results/latest/result.json");
    let mut result = lab::store::load(&before).unwrap();
    for run in &mut result.runs {
        // What a busy machine makes of so small a run is not what is asked here.
        run.verdicts = vec![model::verdict::Verdict::Ok];
        run.reasons.clear();
        for cycle in run.cycles_mut() {
            cycle.spoilt = None;
            cycle.server_cpu_seconds = Some(cycle.replies as f64 * 10e-6);
        }
    }
    std::fs::write(&before, serde_json::to_vec(&result).unwrap()).unwrap();
    for cycle in result
        .runs
        .iter_mut()
        .filter(|run| run.contender == "tokio")
        .flat_map(model::run::Run::cycles_mut)
    {
        cycle.server_cpu_seconds = cycle.server_cpu_seconds.map(|seconds| seconds * 100.0);
    }
    result.config.seed = 99;
    let after = folder.join("after.json");
    std::fs::write(&after, serde_json::to_vec(&result).unwrap()).unwrap();
    (before, after)
}

#[test]
fn a_comparison_shows_what_changed_and_gates() {
    let folder = tempfile::tempdir().unwrap();
    let (before, after) = before_and_after(folder.path());
    let (before, after) = (before.to_str().unwrap(), after.to_str().unwrap());
    let compare = |words: &[&str]| {
        let output = lab(folder.path(), &[&["compare"], words].concat());
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    // A folder stands for the result in it.
    let (code, shown, stderr) = compare(&["results/latest", before]);
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    assert!(
        shown.contains("no difference shown") && !shown.contains("took more"),
        "{shown}"
    );
    let (code, shown, stderr) = compare(&[before, after, "--output", "compared.md"]);
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    assert!(
        shown.contains("tokio took more") && shown.contains("seed: 1 -> 99"),
        "{shown}"
    );
    let markdown = std::fs::read_to_string(folder.path().join("compared.md")).unwrap();
    assert!(markdown.contains("| seed | 1 | 99 |"), "{markdown}");
    for (rule, expected) in [
        ("few: tokio cpu_micros_per_message > 1.05", 3),
        ("few: tokio/epoll cpu_micros_per_message > 1.05", 3),
        ("few: epoll cpu_micros_per_message > 2", 0),
        ("nginx cpu_micros_per_message > 1.05", 2),
        ("many: epoll cpu_micros_per_message > 1.05", 2),
    ] {
        let (code, _, stderr) = compare(&[before, after, "--fail-if", rule]);
        assert_eq!(code, Some(expected), "{rule}: {stderr}");
        assert_eq!(stderr.starts_with("passed: "), expected == 0, "{rule}: {stderr}");
    }
    let (code, shown, stderr) = compare(&[before, after, "--output", "results"]);
    assert_eq!(
        (code, shown.as_str()),
        (Some(2), ""),
        "a folder is no file to write to"
    );
    assert!(stderr.contains("--output: results cannot be written"), "{stderr}");
    // Swapped, it fell.
    let (code, shown, _) = compare(&[after, before, "--fail-if", "tokio cpu_micros_per_message > 1.05"]);
    assert_eq!(code, Some(0));
    assert!(shown.contains("tokio took less"), "{shown}");
}

#[test]
fn what_cannot_be_compared_is_named_and_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    std::fs::create_dir(folder.path().join("folder")).unwrap();
    write("empty.json", "");
    write("cut.json", "{\"schema\": 1, \"run_id\": \"2026");
    write("other.json", "{\"schema\": 7}");
    write("text.json", "nonsense");
    write("not-a-result.json", "{\"schema\": 1}");
    for (file, named) in [
        ("missing.json", "cannot read missing.json"),
        ("folder", "cannot read folder/result.json"),
        ("empty.json", "empty.json is empty"),
        ("cut.json", "cut.json is cut off"),
        ("other.json", "other.json has schema 7"),
        ("text.json", "text.json is not JSON"),
        ("not-a-result.json", "not-a-result.json is no result"),
    ] {
        let output = lab(
            folder.path(),
            &["compare", file, "missing.json", "--output", "out.md"],
        );
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{file}: {stderr}");
        assert!(stderr.contains(named), "{file}: {stderr}");
        assert_eq!(stderr.matches("error:").count(), 1, "{file}: {stderr}");
        assert!(
            output.stdout.is_empty() && !folder.path().join("out.md").exists(),
            "{file}"
        );
    }
}
