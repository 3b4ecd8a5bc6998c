//! Bad input: one clear message that names the flag, its value and the remedy; exit code 2; nothing on standard output.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on has failed"
)]

mod support;

use std::net::TcpListener;
use support::{client, run};

#[test]
fn every_wrong_flag_is_named_with_its_value_and_the_remedy() {
    for (arguments, flag, value, remedy) in [
        ("--connections|0", "--connections", "0", "from 1"),
        ("--connections|many", "--connections", "many", "whole number"),
        ("--connections|-5", "--connections", "-5", "from 1"),
        ("--message-bytes|0", "--message-bytes", "0", "from 1"),
        (
            "--message-bytes|2000000000",
            "--message-bytes",
            "2000000000",
            "to 16777216",
        ),
        ("--rate|0", "--rate", "0", "above 0"),
        ("--rate|-1", "--rate", "-1", "above 0"),
        ("--rate|NaN", "--rate", "NaN", "above 0"),
        ("--rate|inf", "--rate", "inf", "above 0"),
        ("--rate|auto", "--rate", "auto", "number"),
        ("--pace|open", "--pace", "open", "--rate N"),
        ("--pace|sometimes", "--pace", "sometimes", "closed or open"),
        ("--pace|closed|--rate|10", "--rate", "10", "--pace open"),
        ("--rate|10|--arrivals|bursty", "--arrivals", "bursty", "smooth"),
        (
            "--rate|10|--arrivals|burst 0ms",
            "--arrivals",
            "burst 0ms",
            "burst 1ms",
        ),
        ("--think-time|soon", "--think-time", "soon", "10ms"),
        ("--duration|0s", "--duration", "0s", "at least"),
        ("--duration|-1", "--duration", "-1", "10ms"),
        ("--warm-up|10", "--warm-up", "10", "10ms"),
        ("--ramp|99999999days", "--ramp", "99999999days", "at most"),
        ("--timeout|0", "--timeout", "0", "at least"),
        ("--threads|0", "--threads", "0", "from 1"),
        ("--seed|x", "--seed", "x", "whole number"),
        ("--sources|0", "--sources", "0", "1 to 254"),
        ("--sources|255", "--sources", "255", "1 to 254"),
        (
            "--sources|127.0.0.1,elsewhere",
            "--sources",
            "elsewhere",
            "127.0.0.1,127.0.0.2",
        ),
        ("--sources|::1", "--sources", "::1", "IP version"),
        (
            "--sources|192.0.2.77",
            "--sources",
            "192.0.2.77",
            "this machine has",
        ),
        ("--cpus|99", "--cpus", "99", "choose among"),
        ("--cpus|a-b", "--cpus", "a-b", "0-3,6"),
        ("--metrics|here", "--metrics", "here", "none"),
        (
            "--metrics|192.0.2.77:1",
            "--metrics",
            "192.0.2.77:1",
            "free address",
        ),
        ("--nodelay|maybe", "--nodelay", "maybe", "true"),
        ("--speed|9", "--speed", "--speed", "--help"),
        ("--connections|9000000", "--connections", "9000000", "ulimit"),
    ] {
        let outcome = run(&format!("--target|127.0.0.1:9|{arguments}"));
        assert_eq!(outcome.code, Some(2), "{arguments}: {}", outcome.stderr);
        assert_eq!(outcome.stdout, "", "{arguments}");
        for part in [flag, value, remedy] {
            assert!(
                outcome.stderr.contains(part),
                "{arguments}: `{part}` is not in {}",
                outcome.stderr
            );
        }
        assert!(!outcome.stderr.contains("panicked"), "{}", outcome.stderr);
    }
}

#[test]
fn every_wrong_target_is_named_with_the_remedy() {
    let closed = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .to_string();
    for (target, remedy) in [
        ("127.0.0.1", "HOST:PORT"),
        (":80", "HOST:PORT"),
        ("127.0.0.1:0", "HOST:PORT"),
        ("127.0.0.1:99999", "HOST:PORT"),
        ("no-such-host.invalid:80", "cannot be resolved"),
        (closed.as_str(), "start the server"),
    ] {
        let outcome = run(&format!("--target|{target}"));
        assert_eq!(outcome.code, Some(2), "{target}: {}", outcome.stderr);
        assert_eq!(outcome.stdout, "", "{target}");
        for part in ["--target", target, remedy] {
            assert!(
                outcome.stderr.contains(part),
                "{target}: `{part}` is not in {}",
                outcome.stderr
            );
        }
        assert_eq!(outcome.stderr.trim_end().lines().count(), 1, "{}", outcome.stderr);
    }
    assert_eq!(run("--connections|5").code, Some(2), "a target is needed");
}

#[test]
fn the_environment_stands_for_flags_and_flags_win() {
    let stderr = |arguments: &[&str]| {
        let output = client()
            .env("CONNECTIONS", "none")
            .args(arguments)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2));
        String::from_utf8(output.stderr).unwrap()
    };
    let from_environment = stderr(&["--target", "127.0.0.1:9"]);
    assert!(
        from_environment.contains("CONNECTIONS in the environment"),
        "{from_environment}"
    );
    let from_flag = stderr(&["--target", "127.0.0.1:9", "--connections", "0"]);
    assert!(from_flag.contains("--connections 0"), "{from_flag}");
}

#[test]
fn in_control_mode_the_pace_of_the_environment_does_not_matter() {
    let server = support::Server::echo();
    let target = server.address.to_string();
    let output = client()
        .env("RATE", "auto")
        .env("ARRIVALS", "whatever")
        .args(["--control", "--target", &target])
        .output()
        .unwrap();
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn help_and_version_are_no_errors() {
    for flag in ["--help", "--version"] {
        let outcome = run(flag);
        assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(0), ""));
        assert!(outcome.stdout.contains("client"));
    }
    assert!(run("--help").stdout.contains("Exit codes"));
}
