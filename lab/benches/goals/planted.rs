//! A slowdown of a known size, planted into a copy of a server: whether the lab finds it, and its size.

use std::path::{Path, PathBuf};
use std::process::Command;

use model::figure::Figure;
use model::result::LabResult;
use model::statistics::Estimate;

use crate::bench::{Bench, ok_run, repository, single};
use crate::goal::{Goal, Row};

/// The part of its own cost that the slow copy costs more.
const PLANTED: f64 = 0.02;
/// Runs per scenario, each with a seed of its own.
const SEEDS: u32 = 6;
/// Rounds of a run: twice the default, as only two of six contenders take part.
const ROUNDS: &str = "12";
/// Of 12 runs, so many intervals should not hold 1.
const SEEN_OF_ALL: f64 = 10.0;

/// Runs both copies in both scenarios, and counts.
pub fn rows(bench: &Bench) -> Result<Vec<Row>, String> {
    let library = library(bench)?;
    let (mut right, mut seen) = (0, 0);
    let mut rows = Vec::new();
    for scenario in ["few", "many"] {
        let nanos = PLANTED * 1e3 * cost(bench, scenario, &library)?;
        for seed in 1..=SEEDS {
            let folder = format!("planted-{scenario}/{seed}");
            let words = words(bench, scenario, seed, &library, nanos, ROUNDS);
            let result = bench.by_default(&folder, &words)?;
            let (truth, found) = match (truth(&result, scenario), found(&result, scenario)) {
                (Ok(truth), Ok(found)) => (truth, found),
                (Err(why), _) | (_, Err(why)) => {
                    rows.push(row(format!("{scenario}, seed {seed}"), Goal::None, Err(why)));
                    continue;
                }
            };
            let (low, high) = found.interval.unwrap_or((found.median, found.median));
            right += u32::from(low <= truth && truth <= high);
            seen += u32::from(low > 1.0);
            rows.push(row(
                format!("{scenario}, seed {seed}: slow / plain, planted {truth:.4}"),
                Goal::None,
                Ok(found),
            ));
        }
    }
    let all = f64::from(2 * SEEDS);
    rows.push(row(
        format!("of {all} intervals, so many hold what was planted"),
        Goal::AtLeast(all),
        single(Some(f64::from(right))),
    ));
    rows.push(row(
        format!("of {all} intervals, so many do not hold 1"),
        Goal::AtLeast(SEEN_OF_ALL),
        single(Some(f64::from(seen))),
    ));
    Ok(rows)
}

fn row(what: String, goal: Goal, found: Result<Estimate, String>) -> Row {
    Row {
        what,
        goal,
        found,
        unit: "",
    }
}

/// What a message costs the copy that is not slower, in microseconds, in a first run.
fn cost(bench: &Bench, scenario: &str, library: &Path) -> Result<f64, String> {
    let words = words(bench, scenario, 1, library, 0.0, "1");
    let result = bench.by_default(&format!("planted-{scenario}/0"), &words)?;
    cost_of_plain(&result, scenario)
}

fn cost_of_plain(result: &LabResult, scenario: &str) -> Result<f64, String> {
    let plain = ok_run(result, scenario, "plain")?;
    let cost = plain.server.cpu_micros_per_message;
    cost.ok_or_else(|| "its CPU time is not known".to_owned())
}

/// The ratio that the interval should hold. The nanoseconds stand in the slow copy's command, as a kept result may have
/// been planted with others.
fn truth(result: &LabResult, scenario: &str) -> Result<f64, String> {
    let slow = result.config.contenders.iter().find(|one| one.name == "slow");
    let words = slow.and_then(|slow| match &slow.origin {
        model::contender::Origin::Command { command, .. } => Some(command),
        _ => None,
    });
    let nanos = words.and_then(|words| {
        words
            .iter()
            .find_map(|word| word.strip_prefix("PLANTED_NANOS=")?.parse::<f64>().ok())
    });
    let nanos = nanos.ok_or_else(|| "the result does not say what was planted".to_owned())?;
    Ok(1.0 + nanos / 1e3 / cost_of_plain(result, scenario)?)
}

fn found(result: &LabResult, scenario: &str) -> Result<Estimate, String> {
    let (slow, plain) = (
        ok_run(result, scenario, "slow")?,
        ok_run(result, scenario, "plain")?,
    );
    model::comparison::ratio(slow, plain, Figure::Cpu)
        .map(|ratio| ratio.estimate)
        .ok_or_else(|| "its CPU time is not known".to_owned())
}

/// The flags of a run of both copies. Both load the library, so that they differ in its rounds only.
fn words(bench: &Bench, scenario: &str, seed: u32, library: &Path, nanos: f64, rounds: &str) -> Vec<String> {
    let (rate, seed) = (bench.rate.to_string(), seed.to_string());
    let mut words = ["--scenario", scenario, "--rate", &rate, "--seed", &seed]
        .map(str::to_owned)
        .to_vec();
    words.extend(["--rounds", rounds, "--contenders", "own", "--baseline", "plain"].map(str::to_owned));
    for (name, nanos) in [("plain", 0.0), ("slow", nanos)] {
        words.push("--contender".to_owned());
        words.push(format!(
            "name={name},command=\"env LD_PRELOAD='{}' PLANTED_NANOS={nanos:.2} '{}' server --engine epoll \
             --listen 127.0.0.1:{{port}} --metrics none\"",
            library.display(),
            env!("CARGO_BIN_EXE_lab"),
        ));
    }
    words
}

/// Compiles what makes a slower copy of a server: the source that the tests of profiles have.
fn library(bench: &Bench) -> Result<PathBuf, String> {
    let library = bench.folder.join("planted.so");
    let status = Command::new("cc")
        .args(["-O2", "-shared", "-fPIC", "-o"])
        .arg(&library)
        .arg(repository().join("lab/tests/profile/planted.c"))
        .arg("-ldl")
        .status()
        .map_err(|error| format!("no C compiler can be started: {error}"))?;
    if status.success() {
        Ok(library)
    } else {
        Err(format!("the C compiler ended with {status}"))
    }
}
