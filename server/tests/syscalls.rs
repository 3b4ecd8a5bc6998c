//! What a message costs in system calls on `epoll`: one receive, one send, a share of a wait, and nothing else.

// What a test's helpers unwrap fails the test, as it should.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use support::Server;

const CONNECTIONS: u64 = 50;

#[test]
fn epoll_makes_two_calls_a_message_and_its_waits() {
    if Command::new("strace").arg("-V").output().is_err() {
        assert!(
            std::env::var("CI").is_err(),
            "strace is missing; .ci/run installs Debian's package `strace`"
        );
        eprintln!("not run: strace is missing; Debian has it in the package `strace`");
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
    let watched = format!("/proc/{0}/task/{0}/children", server.child.id());
    let watched = Watched(std::fs::read_to_string(watched).unwrap().trim().parse().unwrap());
    let mut peers: Vec<_> = (0..CONNECTIONS)
        .map(|_| {
            let peer = TcpStream::connect(server.echo).unwrap();
            peer.set_nodelay(true).unwrap();
            peer.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            peer
        })
        .collect();
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
