//! What a message costs in system calls. On `epoll`: one receive, one send, a share of a wait, and nothing else. On
//! `uring` that lingers: no wait ends for nothing.

// What a test's helpers unwrap fails the test, as it should.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use support::Server;
use sys::uring::{Ring, Setup};

const CONNECTIONS: u64 = 50;

#[test]
fn epoll_makes_two_calls_a_message_and_its_waits() {
    if !has_strace() {
        return;
    }
    for (trigger, accept) in [("edge", "shared"), ("edge", "reuseport"), ("level", "exclusive")] {
        // What start and stop cost stands in both, so that the difference is what the messages cost.
        let few = calls(trigger, accept, 10);
        let many = calls(trigger, accept, 60);
        let messages = CONNECTIONS * 50;
        let mut calls = many.clone();
        for (name, count) in &few {
            *calls.entry(name.clone()).or_default() -= count;
        }
        let of = |name: &str| calls.get(name).copied().unwrap_or(0);
        let (receives, sends) = (of("recvfrom"), of("sendto"));
        let mode = format!("{trigger}, {accept}: {calls:?}");
        assert_eq!((receives, sends), (messages as i64, messages as i64), "{mode}");
        let waits = of("epoll_wait") + of("epoll_pwait");
        assert!(waits <= messages as i64, "{mode}");
        // A handful may differ by chance: a thread that waits for a lock, memory given back.
        let others: i64 =
            calls.values().map(|count| count.abs()).sum::<i64>() - receives - sends - waits.abs();
        assert!(others < messages as i64 / 50, "{mode}");
    }
}

#[test]
fn no_wait_of_a_lingering_uring_ends_before_something_comes() {
    if let Err(why) = (server::engine::find("uring").unwrap().probe)() {
        eprintln!("not run: this machine refuses io_uring: {why}");
        return;
    }
    if !can_gather() {
        eprintln!("not run: this kernel cannot gather");
        return;
    }
    if !has_strace() {
        return;
    }
    let trace = std::env::temp_dir().join(format!("echolab-enters-{}", std::process::id()));
    let mut command = Command::new("strace");
    command
        .args(["-f", "-e", "trace=io_uring_enter", "-o"])
        .arg(&trace)
        .arg(env!("CARGO_BIN_EXE_server"));
    let flags = ["--engine", "uring", "--workers", "1", "--linger", "1ms"];
    let mut server = Server::start(command, &flags);
    let watched = Watched::under(&server);
    let mut peers: Vec<_> = (0..8).map(|_| connect(&server)).collect();
    let message = [3; 100];
    let mut reply = [0; 100];
    // Each comes long after the linger that began with the reply before it.
    let messages = 60;
    for turn in 0..messages {
        std::thread::sleep(Duration::from_millis(10));
        let peer = &mut peers[turn % 8];
        peer.write_all(&message).unwrap();
        peer.read_exact(&mut reply).unwrap();
    }
    // The connections stay open: a wait without end has to hear of the stop.
    let asked = Instant::now();
    drop(watched);
    assert!(server.child.wait().unwrap().success());
    let stopping = asked.elapsed();
    assert!(stopping < Duration::from_secs(5), "it stopped after {stopping:?}");
    let trace = Traced(trace);
    let enters = std::fs::read_to_string(&trace.0).unwrap();
    // It lingers in hope of a message from each of the eight.
    assert!(enters.contains(", 8, IORING_ENTER_GETEVENTS"), "{enters}");
    // What comes is a connection or a message, and the next wait submits what it asks for. One that submits nothing
    // follows a wait that brought nothing.
    let idle = enters.lines().filter(|enter| enter.contains("(0, 0, "));
    assert_eq!(idle.count(), 0, "{enters}");
}

/// Whether this kernel's waits can gather (Linux 6.12).
fn can_gather() -> bool {
    let ring = Ring::new(&Setup {
        submissions: 1,
        completions: 2,
        connections: 1,
        buffers: 1,
        buffer_bytes: 1,
    });
    ring.unwrap().can_gather()
}

/// A file that is removed when dropped.
struct Traced(std::path::PathBuf);

impl Drop for Traced {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Whether strace is there; in CI it has to be.
fn has_strace() -> bool {
    if Command::new("strace").arg("-V").output().is_ok() {
        return true;
    }
    assert!(
        std::env::var("CI").is_err(),
        "strace is missing; .ci/run installs Debian's package `strace`"
    );
    eprintln!("not run: strace is missing; Debian has it in the package `strace`");
    false
}

/// A connection that sends at once and waits for replies, though not for ever.
fn connect(server: &Server) -> TcpStream {
    let peer = TcpStream::connect(server.echo).unwrap();
    peer.set_nodelay(true).unwrap();
    peer.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    peer
}

/// All system calls of a server's life in which each connection had so many messages echoed.
fn calls(trigger: &str, accept: &str, rounds: u64) -> BTreeMap<String, i64> {
    let summary = std::env::temp_dir().join(format!("echolab-strace-{}", std::process::id()));
    let mut command = Command::new("strace");
    command
        .args(["-f", "-c", "-o"])
        .arg(&summary)
        .arg(env!("CARGO_BIN_EXE_server"));
    let flags = [
        "--engine",
        "epoll",
        "--workers",
        "2",
        "--trigger",
        trigger,
        "--accept",
        accept,
    ];
    let mut server = Server::start(command, &flags);
    let watched = Watched::under(&server);
    let mut peers: Vec<_> = (0..CONNECTIONS).map(|_| connect(&server)).collect();
    let message = [3; 100];
    let mut reply = [0; 100];
    for _ in 0..rounds {
        for peer in &mut peers {
            peer.write_all(&message).unwrap();
        }
        for peer in &mut peers {
            peer.read_exact(&mut reply).unwrap();
        }
    }
    drop(peers);
    // The server, not strace, is asked to stop; strace ends with it and writes the summary.
    drop(watched);
    assert!(server.child.wait().unwrap().success());
    let table = std::fs::read_to_string(&summary).unwrap();
    std::fs::remove_file(&summary).unwrap();
    parse(&table)
}

/// The server under strace, which outlives a strace that is killed. Asked to stop when dropped.
struct Watched(u32);

impl Watched {
    /// The one that this strace runs.
    fn under(strace: &Server) -> Watched {
        let children = format!("/proc/{0}/task/{0}/children", strace.child.id());
        Watched(std::fs::read_to_string(children).unwrap().trim().parse().unwrap())
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = sys::child::terminate(self.0);
    }
}

/// Reads lines such as `  3.61    0.000026           2        11         1 openat`; errors may be left out.
fn parse(table: &str) -> BTreeMap<String, i64> {
    let calls = table.lines().filter_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let name = words.last()?;
        let count = words.get(3)?.parse().ok()?;
        words[0].parse::<f64>().ok()?;
        (*name != "total").then(|| ((*name).to_owned(), count))
    });
    calls.collect()
}
