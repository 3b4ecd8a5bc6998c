//! The server as a user meets it: wrong input, the ready line, health, signals.

// What a test's helpers unwrap fails the test, as it should.
#![allow(clippy::unwrap_used)]

mod support;

use std::net::{TcpListener, TcpStream};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use support::Server;

fn server() -> Command {
    Command::new(env!("CARGO_BIN_EXE_server"))
}

fn run(flags: &[&str]) -> Output {
    server().args(flags).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Flags that are wrong, and what the message must name: the flag, the value, and what to do.
const WRONG: &[(&[&str], &[&str])] = &[
    (&["--engine", "select"], &["--engine", "select", "epoll, "]),
    (
        &["--listen", "localhost"],
        &["--listen", "localhost", "127.0.0.1:8888"],
    ),
    (&["--listen", "127.0.0.1:99999"], &["--listen", "99999"]),
    (
        &["--listen", "203.0.113.1:0"],
        &["--listen", "203.0.113.1", "choose"],
    ),
    (&["--metrics", "off"], &["--metrics", "off", "`none`"]),
    (&["--workers", "0"], &["--workers", "'0'", "from 1 to"]),
    (&["--workers", "-1"], &["-1"]),
    (&["--workers", "2000"], &["--workers", "2000", "1024"]),
    (&["--workers", "two"], &["--workers", "two", "whole number"]),
    (
        &["--accept", "all"],
        &["--accept", "all", "shared, exclusive, reuseport"],
    ),
    (&["--trigger", "both"], &["--trigger", "both", "edge, level"]),
    (&["--events", "0"], &["--events", "'0'", "from 1 to"]),
    (&["--read-buffer", "0"], &["--read-buffer", "'0'", "from 1 to"]),
    (
        &["--read-buffer", "99999999999999999999"],
        &["--read-buffer", "from 1 to"],
    ),
    (&["--send-buffer", "-5"], &["-5"]),
    (
        &["--nodelay", "perhaps"],
        &["--nodelay", "perhaps", "true, false"],
    ),
    (&["--backlog", "0"], &["--backlog", "'0'", "from 1 to"]),
    (
        &["--max-connections", "many"],
        &["--max-connections", "many", "from 0 to"],
    ),
    (&["--grace", "5"], &["--grace", "'5'", "5s"]),
    (&["--grace", "2days"], &["--grace", "2days", "1h"]),
    (&["--cpus", "99"], &["--cpus", "99", "choose"]),
    (&["--cpus", "1-0"], &["--cpus", "1-0", "backwards"]),
    (&["--cpus", "x"], &["--cpus", "x", "0-3,6"]),
    (&["--colour", "red"], &["--colour", "--help"]),
    (&["healthcheck", "--metrics", "none"], &["--metrics", "none"]),
];

#[test]
fn wrong_input_is_named_with_a_remedy() {
    for (flags, named) in WRONG {
        let output = run(flags);
        let said = said(&output);
        assert_eq!(output.status.code(), Some(2), "{flags:?}: {said}");
        assert!(output.stdout.is_empty(), "{flags:?} printed to standard output");
        assert!(
            said.starts_with("error: ") && !said.contains("panic"),
            "{flags:?}: {said}"
        );
        assert_eq!(said.matches("error: ").count(), 1, "{flags:?}: {said}");
        for part in *named {
            assert!(said.contains(part), "{flags:?}: `{part}` is not in: {said}");
        }
    }
}

#[test]
fn a_port_in_use_is_wrong_input() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for (flag, flags) in [
        ("--listen", vec!["--listen", &address, "--metrics", "none"]),
        (
            "--listen",
            vec!["--listen", &address, "--metrics", "none", "--accept", "reuseport"],
        ),
        (
            "--metrics",
            vec!["--listen", "127.0.0.1:0", "--metrics", &address],
        ),
    ] {
        let output = run(&flags);
        let said = said(&output);
        assert_eq!(output.status.code(), Some(2), "{flags:?}: {said}");
        assert!(output.stdout.is_empty());
        let message = format!("error: {flag} {address}: the port is in use");
        assert!(said.starts_with(&message), "{said}");
    }
}

#[test]
fn the_environment_stands_for_flags_and_flags_win() {
    let output = server().env("READ_BUFFER", "0").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(
        said(&output).contains("'0' for '--read-buffer"),
        "{}",
        said(&output)
    );
    let output = server()
        .env("WORKERS", "0")
        .args(["--workers", "nine"])
        .output()
        .unwrap();
    assert!(
        said(&output).contains("'nine' for '--workers"),
        "{}",
        said(&output)
    );
}

#[test]
fn help_goes_to_standard_output() {
    let output = run(&["--help"]);
    assert!(output.status.success() && output.stderr.is_empty());
    assert!(String::from_utf8_lossy(&output.stdout).contains("--max-connections"));
}

#[test]
fn engines_are_listed_with_what_this_machine_says() {
    let output = run(&["engines"]);
    assert!(output.status.success());
    let listed = String::from_utf8(output.stdout).unwrap();
    let names: Vec<_> = listed
        .lines()
        .filter_map(|line| line.split('\t').next())
        .collect();
    let known: Vec<_> = server::engine::ENGINES.iter().map(|engine| engine.name).collect();
    assert_eq!(names, known);
    assert!(
        listed.lines().all(|line| line.split('\t').count() == 3),
        "{listed}"
    );
    assert!(listed.starts_with("epoll\tok\t"), "{listed}");
}

#[test]
fn a_health_check_tells_a_server_from_none() {
    let running = Server::start(server(), &[]);
    let metrics = running.metrics.to_string();
    let check = || run(&["healthcheck", "--metrics", &metrics]);
    assert!(check().status.success());
    drop(running);
    let output = check();
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains(&metrics), "{}", said(&output));
}

#[test]
fn a_second_signal_ends_it_at_once() {
    // A peer that reads nothing holds the stop for far longer than this test waits.
    let mut running = Server::start(server(), &["--grace", "1h", "--send-buffer", "1"]);
    let stuck = TcpStream::connect(running.echo).unwrap();
    stuck.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
    while std::io::Write::write(&mut &stuck, &[0; 65536]).is_ok() {}
    let deadline = Instant::now() + Duration::from_secs(20);
    sys::child::terminate(running.child.id()).unwrap();
    // Listening ends when the first signal was taken.
    while TcpStream::connect(running.echo).is_ok() {
        assert!(Instant::now() < deadline, "it still listens");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(
        running.child.try_wait().unwrap().is_none(),
        "it did not wait for its peer"
    );
    sys::child::terminate(running.child.id()).unwrap();
    while running.child.try_wait().unwrap().is_none() {
        assert!(Instant::now() < deadline, "it still runs");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(running.child.wait().unwrap().code(), Some(1));
}

#[test]
fn no_thread_has_an_allocation_cache_unless_the_user_asks_for_it() {
    for (settings, stands) in [
        ("stats_print:true", "opt.tcache: false"),
        ("stats_print:true,tcache:true", "opt.tcache: true"),
    ] {
        let mut help = server();
        help.arg("--help").env("_RJEM_MALLOC_CONF", settings);
        let output = help.output().unwrap();
        assert!(said(&output).contains(stands), "{settings}: {}", said(&output));
    }
}
