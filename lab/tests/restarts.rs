//! A server that the lab did not start, and that its user restarts between rounds.

// Helpers of a test may fail the test.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use lab::store;
use model::result::LabResult;

/// A server of ours. Killed when dropped.
struct Server {
    process: Child,
    echo: String,
    metrics: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        // One that a test killed already cannot be killed again.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn serve(echo: &str, metrics: &str) -> Server {
    let mut process = Command::new(env!("CARGO_BIN_EXE_lab"))
        .env_clear()
        .args(["server", "--engine", "epoll", "--workers", "1"])
        .args(["--listen", echo, "--metrics", metrics])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(process.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let value = |key: &str| {
        let mut words = line.split_whitespace();
        words.find_map(|word| word.strip_prefix(key)).unwrap().to_owned()
    };
    Server {
        process,
        echo: value("echo="),
        metrics: value("metrics="),
    }
}

/// Two rounds against a found server. `restart` tells whether it is restarted when the lab asks for it.
fn two_rounds(patience: &str, restart: bool) -> LabResult {
    let folder = tempfile::tempdir().unwrap();
    let mut server = serve("127.0.0.1:0", "127.0.0.1:0");
    let scenario = folder.path().join("found.toml");
    std::fs::write(&scenario, "connections = 1000\npace = \"open\"\nrate = 2000\n").unwrap();
    let mut lab = Command::new(env!("CARGO_BIN_EXE_lab"))
        .env_clear()
        .current_dir(folder.path())
        .args(["--scenario", "found.toml", "--contenders", "own"])
        .args(["--rounds", "2", "--cycles", "1", "--slice", "50ms"])
        .args(["--await-restarts", patience, "--contender"])
        .arg(format!(
            "name=found,echo={},metrics=http://{}/metrics",
            server.echo, server.metrics
        ))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = String::new();
    for line in BufReader::new(lab.stderr.take().unwrap()).lines() {
        let line = line.unwrap();
        if restart && line.contains("round 2 waits for a restart of found") {
            server.process.kill().unwrap();
            server.process.wait().unwrap();
            server = serve(&server.echo, &server.metrics);
        }
        said += &format!("{line}\n");
    }
    lab.wait().unwrap();
    assert!(said.contains("waits for a restart of found"), "{said}");
    store::load(&folder.path().join("results/latest/result.json")).unwrap()
}

#[test]
fn a_new_process_begins_a_round_of_its_own() {
    let result = two_rounds("60s", true);
    let run = result.run("found", "found").unwrap();
    assert_eq!(run.rounds.len(), 2);
    for round in &run.rounds {
        assert!(round.restarted, "{round:?}");
        let (before, after) = (round.resident_bytes_before_connections, round.resident_bytes);
        assert!(before.unwrap() < after.unwrap(), "{before:?} {after:?}");
    }
    assert!(
        run.unchecked.iter().all(|why| !why.starts_with("memory")),
        "{run:?}"
    );
    assert!(
        result.notes.iter().all(|note| !note.contains("restart")),
        "{:?}",
        result.notes
    );
}

#[test]
fn a_process_that_stays_is_said_to() {
    let result = two_rounds("200ms", false);
    let run = result.run("found", "found").unwrap();
    let rounds: Vec<_> = run
        .rounds
        .iter()
        .map(|round| (round.restarted, round.resident_bytes_before_connections.is_some()))
        .collect();
    assert_eq!(rounds, [(true, true), (false, false)]);
    assert!(
        run.unchecked.iter().any(|why| why.starts_with("memory")),
        "{run:?}"
    );
    let note = "found: no restart of found before round 2 (--await-restarts 0.2s)";
    assert!(result.notes.iter().any(|said| said == note), "{:?}", result.notes);
}
