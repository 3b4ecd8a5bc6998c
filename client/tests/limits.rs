//! Limits are checked before the first connection, and the message says on which side and what to change. A test binary
//! of its own, as it lowers the limits of its process, which is the server here.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on has failed"
)]

mod support;

use std::process::Command;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use support::{Server, run};

/// Starts the client behind a `ulimit`.
fn limited(ulimit: &str, target: &str, arguments: &str) -> (Option<i32>, String, String) {
    let script = format!("ulimit {ulimit} && exec \"$0\" --target {target} {arguments}");
    let output = Command::new("sh")
        .args(["-c", &script, env!("CARGO_BIN_EXE_client")])
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn a_client_raises_its_soft_limit_and_names_a_hard_one() {
    let server = Server::echo();
    let target = server.address.to_string();
    let load = "--connections 150 --rate 1000 --warm-up 0 --duration 100ms";
    let (code, _, stderr) = limited("-Sn 100", &target, load);
    assert_eq!((code, server.accepted()), (Some(0), 150), "{stderr}");

    let (code, stdout, stderr) = limited("-n 100", &target, load);
    assert_eq!(
        (code, stdout.as_str(), server.accepted()),
        (Some(2), "", 150),
        "{stderr}"
    );
    for part in ["--connections 150", "this client may open 100", "ulimit -Hn"] {
        assert!(stderr.contains(part), "`{part}` is not in {stderr}");
    }
}

#[test]
fn a_server_with_too_little_room_is_named() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let target = listener.local_addr().unwrap();
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    // Room for the other test; the client asks for more.
    setrlimit(Resource::RLIMIT_NOFILE, hard.min(900), hard).unwrap();
    let outcome = run(&format!("--target|{target}|--connections|1000"));
    assert_eq!(
        (outcome.code, outcome.stdout.as_str()),
        (Some(2), ""),
        "{}",
        outcome.stderr
    );
    let process = format!("process {}", std::process::id());
    for part in [
        "--connections 1000",
        "at the server",
        &process,
        "may open 900",
        "LimitNOFILE",
    ] {
        assert!(
            outcome.stderr.contains(part),
            "`{part}` is not in {}",
            outcome.stderr
        );
    }
    listener.set_nonblocking(true).unwrap();
    assert!(listener.accept().is_err(), "not one connection was tried");
}
