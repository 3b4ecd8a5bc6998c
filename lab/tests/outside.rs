//! Numbers that come from outside: pages of metrics that lie, hang or forget, and what the lab says of them.

// Helpers of a test may fail the test.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use lab::store;
use model::run::Run;
use model::verdict::Verdict;

/// What a page of metrics answers to its request number so much (from 0); `None` for nothing at all.
type Page = fn(u64) -> Option<String>;

/// An echo service with a page of metrics. Its threads end with the test's process.
struct Contender {
    echo: String,
    page: String,
    asked: Arc<AtomicU64>,
}

fn contender(page: Page) -> Contender {
    let echo = TcpListener::bind("127.0.0.1:0").unwrap();
    let metrics = TcpListener::bind("127.0.0.1:0").unwrap();
    let asked = Arc::new(AtomicU64::new(0));
    let contender = Contender {
        echo: echo.local_addr().unwrap().to_string(),
        page: metrics.local_addr().unwrap().to_string(),
        asked: Arc::clone(&asked),
    };
    std::thread::spawn(move || {
        for stream in echo.incoming().flatten() {
            std::thread::spawn(move || reflect(stream));
        }
    });
    std::thread::spawn(move || {
        let mut silent = Vec::new();
        for mut stream in metrics.incoming().flatten() {
            match page(asked.fetch_add(1, Ordering::SeqCst)) {
                Some(body) => answer(&mut stream, &body),
                None => silent.push(stream),
            }
        }
    });
    contender
}

fn reflect(mut stream: TcpStream) {
    let mut buffer = [0; 4096];
    // The end of a connection, however it comes, ends its thread.
    while let Ok(read @ 1..) = stream.read(&mut buffer) {
        if stream.write_all(&buffer[..read]).is_err() {
            return;
        }
    }
}

fn answer(stream: &mut TcpStream, body: &str) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    while lines
        .next()
        .is_some_and(|line| line.is_ok_and(|line| !line.is_empty()))
    {}
    let length = body.len();
    // Whoever asked may be gone.
    let _ = write!(
        stream,
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    );
}

/// The lab, free of flags that the environment could set.
fn lab(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lab"));
    command.env_clear().current_dir(folder);
    command
}

/// A short run against the contender, called `m`.
fn run(folder: &Path, contender: &Contender, more: &[&str]) -> Output {
    std::fs::write(
        folder.join("short.toml"),
        "connections = 4\npace = \"open\"\nrate = 500\n",
    )
    .unwrap();
    lab(folder)
        .args(["--scenario", "short.toml", "--contenders", "own"])
        .args(["--rounds", "2", "--cycles", "2", "--slice", "50ms", "--contender"])
        .arg(format!(
            "name=m,echo={},metrics=http://{}/metrics",
            contender.echo, contender.page
        ))
        .args(more)
        .output()
        .unwrap()
}

fn result(folder: &Path) -> Run {
    let result = store::load(&folder.join("results/latest/result.json")).unwrap();
    result.run("short", "m").unwrap().clone()
}

#[test]
fn a_figure_that_is_no_number_is_refused_with_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let contender = contender(|_| Some("process_cpu_seconds_total NaN\n".to_owned()));
    let rule = ["--fail-if", "m cpu_micros_per_message > 1"];
    let output = run(folder.path(), &contender, &rule);
    assert_eq!(output.status.code(), Some(5), "{output:?}");
    let run = result(folder.path());
    assert_eq!(run.server.cpu_micros_per_message, None);
    let said = format!(
        "metrics: http://{}/metrics: process_cpu_seconds_total is NaN",
        contender.page
    );
    assert!(
        run.unchecked.iter().any(|why| why.starts_with(&said)),
        "{:?}",
        run.unchecked
    );
    // What the lab writes, the lab reads.
    let again = lab(folder.path())
        .args(["report", "results/latest/result.json"])
        .output()
        .unwrap();
    assert_eq!(again.status.code(), Some(0), "{again:?}");
    assert!(!String::from_utf8(again.stdout).unwrap().contains("NaN ×"));
}

#[test]
fn a_page_that_hangs_is_asked_once() {
    let folder = tempfile::tempdir().unwrap();
    let contender = contender(|_| None);
    let output = run(folder.path(), &contender, &[]);
    let said = format!("http://{}/metrics did not answer within 2 s", contender.page);
    assert!(String::from_utf8(output.stderr).unwrap().contains(&said));
    let run = result(folder.path());
    assert!(
        run.unchecked.iter().any(|why| why.contains(&said)),
        "{:?}",
        run.unchecked
    );
    assert!(run.replies > 0, "the load goes on without it");
    assert_eq!(contender.asked.load(Ordering::SeqCst), 1);
}

#[test]
fn a_counter_that_falls_is_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let contender = contender(|asked| Some(format!("process_cpu_seconds_total {}\n", 1_000 - asked)));
    run(folder.path(), &contender, &[]);
    let run = result(folder.path());
    assert_eq!(run.verdicts, [Verdict::ServerDied], "{run:?}");
    assert!(
        run.reasons[0].contains("its CPU time fell from"),
        "{:?}",
        run.reasons
    );
}

#[test]
fn a_contender_starts_without_blocked_signals() {
    let folder = tempfile::tempdir().unwrap();
    let server = format!(
        "'{}' server --engine epoll --workers 1 --listen 127.0.0.1:{{port}} --metrics none",
        env!("CARGO_BIN_EXE_lab")
    );
    std::fs::write(
        folder.path().join("wrap.sh"),
        format!(
            "grep Sig /proc/self/status > signals\nexec {}\n",
            server.replace("{port}", "$1")
        ),
    )
    .unwrap();
    std::fs::write(
        folder.path().join("short.toml"),
        "connections = 4\npace = \"open\"\nrate = 500\n",
    )
    .unwrap();
    let output = lab(folder.path())
        .env("PATH", std::env::var_os("PATH").unwrap())
        .args(["--scenario", "short.toml", "--contenders", "own"])
        .args(["--rounds", "1", "--cycles", "1", "--slice", "50ms"])
        .args(["--contender", "name=m,command=\"sh wrap.sh {port}\""])
        .output()
        .unwrap();
    let signals = std::fs::read_to_string(folder.path().join("signals"));
    let signals = signals.unwrap_or_else(|error| panic!("{error}: {output:?}"));
    for field in ["SigBlk:", "SigIgn:"] {
        let line = signals.lines().find(|line| line.starts_with(field)).unwrap();
        assert_eq!(
            line.split_whitespace().nth(1),
            Some("0000000000000000"),
            "{signals}"
        );
    }
}
