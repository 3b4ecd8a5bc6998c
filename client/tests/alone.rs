//! Runs without a lab, against servers that echo, that lie, and that break.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on has failed"
)]

mod support;

use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use support::{Answer, Outcome, Running, Server, run};
use telemetry::latency::Latency;

fn against(server: &Server, arguments: &str) -> Outcome {
    run(&format!("--target|{}|--json|{arguments}", server.address))
}

#[test]
fn every_byte_is_conserved_at_every_pace_and_size() {
    for arguments in [
        "--think-time|0|--message-bytes|1|--connections|10",
        "--think-time|0|--message-bytes|100",
        "--think-time|0|--message-bytes|300000|--connections|4",
        "--think-time|5ms|--connections|30|--threads|3",
        "--rate|1000|--message-bytes|7",
        "--rate|1000|--arrivals|poisson",
        "--rate|1000|--arrivals|burst 10ms|--sources|3",
        "--rate|300|--ramp|200ms|--connections|20",
    ] {
        let server = Server::echo();
        let outcome = against(&server, &format!("--warm-up|100ms|--duration|400ms|{arguments}"));
        let summary = outcome.summary();
        // A machine that is busy with other tests may make the client late.
        assert!(
            matches!(outcome.code, Some(0 | 3)),
            "{arguments}: {}",
            outcome.stderr
        );
        let (window, totals) = (&summary.window, &summary.totals);
        assert!(totals.errors.is_empty(), "{arguments}: {:?}", totals.errors);
        assert!(window.replies > 0, "{arguments}");
        assert_eq!(
            (window.sent, totals.sent),
            (window.replies, totals.replies),
            "{arguments}"
        );
        assert_eq!(
            totals.sent_bytes,
            totals.sent * summary.message_bytes,
            "{arguments}"
        );
        assert_eq!(
            window.sent_bytes,
            window.sent * summary.message_bytes,
            "{arguments}"
        );
        assert_eq!(
            server.bytes(),
            (totals.sent_bytes, totals.received_bytes),
            "{arguments}"
        );
        assert_eq!(totals.sent_bytes, totals.received_bytes, "{arguments}");
        assert_eq!(server.accepted(), summary.connections, "{arguments}");
        assert_eq!(
            (totals.connections, window.connections),
            (summary.connections, summary.connections)
        );
        let histogram = Latency::from_base64(&window.response_histogram).unwrap();
        assert_eq!(histogram.count(), window.replies, "{arguments}");
    }
}

#[test]
fn an_open_loop_offers_its_rate_exactly_and_a_closed_one_keeps_its_connections() {
    let server = Server::echo();
    let window = against(&server, "--rate|2000|--threads|2|--duration|500ms|--warm-up|0")
        .summary()
        .window;
    assert!((998..=1002).contains(&window.due), "{}", window.due);
    assert!((window.seconds - 0.5).abs() < 1e-9);
    let window = against(
        &server,
        "--connections|20|--think-time|50ms|--duration|500ms|--warm-up|0",
    )
    .summary()
    .window;
    let accounted = window.in_flight_mean + window.thinking_mean;
    assert!(accounted <= 20.001 && accounted > 10.0, "{accounted}");
    assert!(window.thinking_mean > window.in_flight_mean);
    assert_eq!(window.due, window.sent);
}

#[test]
fn the_summary_to_read_says_what_json_says() {
    let server = Server::echo();
    let outcome = run(&format!(
        "--target|{}|--duration|300ms|--warm-up|0",
        server.address
    ));
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    for part in [
        "replies",
        "response",
        "service",
        "send lag",
        "errors        none",
        "µs a message",
        "p99.9",
    ] {
        assert!(outcome.stdout.contains(part), "{part}: {}", outcome.stdout);
    }
}

#[test]
fn wrong_bytes_are_bad_replies_and_exit_code_1() {
    let flip = |_, bytes: &[u8]| {
        let mut bytes = bytes.to_vec();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        Answer::Bytes(bytes)
    };
    let surplus = |_, bytes: &[u8]| Answer::Bytes([bytes, b"!"].concat());
    let inverted = |_, bytes: &[u8]| Answer::Bytes(bytes.iter().map(|byte| !byte).collect());
    for server in [Server::with(flip), Server::with(surplus), Server::with(inverted)] {
        for message_bytes in [1, 100] {
            let begun = Instant::now();
            let arguments =
                format!("--connections|7|--warm-up|0|--duration|30s|--message-bytes|{message_bytes}");
            let outcome = against(&server, &arguments);
            let window = outcome.summary().window;
            assert_eq!(outcome.code, Some(1), "{}", outcome.stderr);
            assert_eq!(window.errors.get("bad_reply"), Some(&7), "{:?}", window.errors);
            assert_eq!((window.connections, window.replies), (0, 0));
            assert!(
                window.seconds < 30.0 && begun.elapsed() < Duration::from_secs(30),
                "it ends when nobody is left"
            );
        }
    }
}

#[test]
fn one_wrong_byte_costs_one_connection() {
    let server = Server::with(|number, bytes| match number {
        100 => Answer::Bytes(vec![0; bytes.len()]),
        _ => Answer::Echo,
    });
    let outcome = against(
        &server,
        "--connections|5|--rate|1000|--warm-up|0|--duration|500ms",
    );
    let window = outcome.summary().window;
    assert_eq!(
        (window.connections, window.errors.get("bad_reply")),
        (4, Some(&1)),
        "{:?}",
        window.errors
    );
    assert!(window.replies > 200, "the others go on: {}", window.replies);
    assert!(
        window.due > window.sent,
        "what the lost connection should have sent still fell due"
    );
}

#[test]
fn a_dropped_reply_is_a_timeout_and_hangs_nothing() {
    let server = Server::with(|number, _| {
        if number % 50 == 0 {
            Answer::Nothing
        } else {
            Answer::Echo
        }
    });
    let outcome = against(
        &server,
        "--connections|20|--think-time|1ms|--timeout|2s|--warm-up|0|--duration|300ms",
    );
    let window = outcome.summary().window;
    let timeouts = window.errors.get("timeout").copied().unwrap_or(0);
    assert!(timeouts > 0, "{:?} {}", window.errors, window.sent);
    assert_eq!(window.connections, 20 - timeouts);
    assert_eq!(window.sent, window.replies + timeouts);
    assert!(
        window.drain_seconds >= 1.5,
        "the drain awaits them: {}",
        window.drain_seconds
    );
}

#[test]
fn a_reply_that_never_comes_is_given_up_within_a_long_window_too() {
    let server = Server::with(|number, _| {
        if number == 5 {
            Answer::Nothing
        } else {
            Answer::Echo
        }
    });
    let outcome = against(
        &server,
        "--connections|4|--think-time|1ms|--timeout|200ms|--warm-up|0|--duration|2s",
    );
    let window = outcome.summary().window;
    assert!(window.errors.contains_key("timeout"));
    assert!(
        window.drain_seconds < 1.0,
        "nothing was left to await: {}",
        window.drain_seconds
    );
}

#[test]
fn closes_and_resets_are_told_apart() {
    for (answer, reason) in [(0, "closed_by_server"), (1, "reset")] {
        let server = Server::with(move |number, _| match (number, answer) {
            (10, 0) => Answer::Close,
            (10, _) => Answer::Reset,
            _ => Answer::Echo,
        });
        let outcome = against(&server, "--connections|5|--rate|500|--warm-up|0|--duration|300ms");
        let window = outcome.summary().window;
        assert_eq!(
            (window.errors.get(reason), window.connections),
            (Some(&1), 4),
            "{:?}",
            window.errors
        );
        assert_eq!(outcome.code, Some(3), "the run goes on, with fewer connections");
    }
}

#[test]
fn a_stall_shows_in_response_time_and_service_time_alone_would_hide_it() {
    let begun = Instant::now();
    let server = Server::with(move |_, _| {
        let into_second = begun.elapsed().subsec_millis();
        if into_second < 300 {
            std::thread::sleep(Duration::from_millis(u64::from(300 - into_second)));
        }
        Answer::Echo
    });
    let arguments = "--connections|1|--rate|1000|--arrivals|poisson|--warm-up|0|--duration|3s";
    let window = against(&server, arguments).summary().window;
    let (response, service) = (window.response_micros, window.service_micros);
    assert!(response.p999.unwrap() > 200_000.0, "{response:?}");
    assert!(response.p90.unwrap() > 50_000.0, "{response:?}");
    // A stall holds up one request that was sent, and three hundred that should have been.
    let (service_p99, response_p99) = (service.p99.unwrap(), response.p99.unwrap());
    assert!(service_p99 < response_p99 / 2.0, "{service:?} {response:?}");
}

#[test]
fn ctrl_c_stops_offering_and_the_summary_is_of_what_there_is() {
    let server = Server::echo();
    let client = Running::start(&format!(
        "--target|{}|--duration|1h|--warm-up|0|--rate|200|--json",
        server.address
    ));
    let line = client.await_error("window:");
    for part in ["50 connections", "replies/s", "0 errors", "s left"] {
        assert!(line.contains(part), "{part}: {line}");
    }
    sys::child::terminate(client.child.id()).unwrap();
    let (status, stdout) = client.end();
    let summary: model::protocol::Summary = serde_json::from_str(&stdout).unwrap();
    let expected = if summary.deviations.is_empty() { 0 } else { 3 };
    assert_eq!(status.code(), Some(expected), "{:?}", summary.deviations);
    assert!(
        summary.window.seconds > 0.5 && summary.window.seconds < 3000.0,
        "{}",
        summary.window.seconds
    );
    assert_eq!(summary.window.sent, summary.window.replies);
    assert!((summary.window.due as f64 / summary.window.seconds / 200.0 - 1.0).abs() < 0.05);
    assert_eq!(
        server.bytes(),
        (summary.totals.sent_bytes, summary.totals.received_bytes)
    );
}

#[test]
fn metrics_say_what_goes_on() {
    static PEAK: AtomicU64 = AtomicU64::new(0);
    let server = Server::echo();
    let client = Running::start(&format!(
        "--target|{}|--duration|1h|--warm-up|0|--rate|500|--json|--metrics|127.0.0.1:0",
        server.address
    ));
    let url = client.await_error("metrics at http://");
    let address = url.split("http://").nth(1).unwrap().trim_end_matches("/metrics");
    let deadline = Instant::now() + support::DEADLINE;
    let text = loop {
        let text = fetch(address);
        let replies = value(&text, "echolab_client_replies_total").unwrap();
        assert!(
            replies >= PEAK.swap(replies, Ordering::SeqCst),
            "a counter only grows"
        );
        if replies > 100 {
            break text;
        }
        assert!(Instant::now() < deadline, "no replies:\n{text}");
    };
    assert_eq!(
        value(&text, "echolab_client_offered_messages_per_second"),
        Some(500)
    );
    assert_eq!(
        value(&text, "echolab_client_connections{state=\"established\"}"),
        Some(50)
    );
    assert_eq!(
        value(&text, "echolab_client_errors_total{reason=\"bad_reply\"}"),
        Some(0)
    );
    for part in [
        "response_seconds_count",
        "service_seconds_bucket",
        "send_lag_seconds_sum",
        "due_requests_total{outcome=\"never_sent\"}",
        "stalled_seconds_total",
        "busy_seconds_total",
    ] {
        assert!(text.contains(&format!("echolab_client_{part}")), "{part}");
    }
    assert!(text.contains("process_cpu_seconds_total"));
    check_with_promtool(&text);
    sys::child::terminate(client.child.id()).unwrap();
    // A machine that is busy with other tests may make the client late.
    assert!(matches!(client.end().0.code(), Some(0 | 3)));
}

fn fetch(address: &str) -> String {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    write!(
        stream,
        "GET /metrics HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split_once("\r\n\r\n").unwrap().1.to_owned()
}

fn value(text: &str, sample: &str) -> Option<u64> {
    let line = text
        .lines()
        .find(|line| line.starts_with(&format!("{sample} ")))?;
    line.rsplit_once(' ')?.1.parse().ok()
}

/// promtool comes with Debian's prometheus package; `.ci/run` installs it, and there it must be.
fn check_with_promtool(text: &str) {
    use std::io::Write;
    let started = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn();
    let Ok(mut promtool) = started else {
        assert!(
            std::env::var("CI").as_deref() != Ok("true"),
            "promtool is missing"
        );
        eprintln!("promtool is not installed: the metrics' form was not checked");
        return;
    };
    promtool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
}

#[test]
fn a_thousand_connections_stand_at_once() {
    // More than this would need a server that is not made of threads; the lab's scenarios go further.
    let server = Server::echo();
    let outcome = against(
        &server,
        "--connections|1000|--rate|2000|--warm-up|0|--duration|500ms",
    );
    let summary = outcome.summary();
    assert_eq!(
        (outcome.code, summary.window.connections),
        (Some(0), 1000),
        "{}",
        outcome.stderr
    );
    assert!(summary.totals.errors.is_empty(), "{:?}", summary.totals.errors);
}
