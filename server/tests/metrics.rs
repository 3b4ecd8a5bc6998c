//! A live scrape of every engine is what Prometheus expects.

// What a test's helpers unwrap fails the test, as it should.
#![allow(clippy::unwrap_used)]

mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};

use server::engine::ENGINES;
use support::Server;

#[test]
fn promtool_finds_nothing_to_say() {
    if Command::new("promtool").arg("--version").output().is_err() {
        assert!(
            std::env::var("CI").is_err(),
            "promtool is missing; .ci/run installs Debian's package `prometheus`"
        );
        eprintln!("not run: promtool is missing; Debian has it in the package `prometheus`");
        return;
    }
    for engine in ENGINES.iter().filter(|engine| (engine.probe)().is_ok()) {
        let (server, _peer) = serving(engine.name);
        let metrics = scrape(server.metrics);
        assert!(metrics.contains("echolab_messages_total 1\n"), "{metrics}");
        let mut promtool = Command::new("promtool")
            .args(["check", "metrics"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        promtool
            .stdin
            .take()
            .unwrap()
            .write_all(metrics.as_bytes())
            .unwrap();
        let output = promtool.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success() && said.is_empty(),
            "{}: {said}",
            engine.name
        );
    }
}

#[test]
fn an_epoll_is_counted_by_itself() {
    let (server, _peer) = serving("epoll");
    let metrics = scrape(server.metrics);
    let sum = |name: &str| -> f64 {
        let samples = metrics.lines().filter(|line| line.starts_with(name));
        samples
            .filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok())
            .sum()
    };
    assert_eq!(
        sum("echolab_epoll_accepts_total{epoll=\"0\",outcome=\"won\"}"),
        1.0,
        "{metrics}"
    );
    assert_eq!(sum("echolab_epoll_connections{"), 1.0, "{metrics}");
    assert!(sum("echolab_epoll_waits_total{") >= 1.0, "{metrics}");
    assert!(
        sum("echolab_epoll_events_total{epoll=\"0\",kind=\"readable\"}") >= 1.0,
        "{metrics}"
    );
    assert!(
        sum("echolab_epoll_events_total{epoll=\"0\",kind=\"accept\"}") >= 1.0,
        "{metrics}"
    );
}

/// A server of one worker with one message echoed, and the connection that it came on.
fn serving(engine: &str) -> (Server, TcpStream) {
    let command = Command::new(env!("CARGO_BIN_EXE_server"));
    let server = Server::start(command, &["--engine", engine, "--workers", "1"]);
    let mut peer = TcpStream::connect(server.echo).unwrap();
    peer.write_all(b"hello").unwrap();
    let mut reply = [0; 5];
    peer.read_exact(&mut reply).unwrap();
    (server, peer)
}

fn scrape(address: SocketAddr) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(
        stream,
        "GET /metrics HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    body.to_owned()
}
