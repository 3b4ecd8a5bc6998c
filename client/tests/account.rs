//! What the client says of requests that had no reply, were never sent, or that it sent late itself.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on has failed"
)]

mod support;

use std::process::Command;
use std::time::Duration;

use model::protocol::{Account, Summary};
use model::quantiles::{Quantile, Quantiles};
use support::{Answer, Outcome, Running, Server, run};

/// The exit code of a client whose load was not what was asked for.
const NOT_AS_ASKED: Option<i32> = Some(3);

fn against(server: &Server, arguments: &str) -> Outcome {
    run(&format!("--target|{}|{arguments}", server.address))
}

/// The JSON summary, whose counts add up.
fn account(server: &Server, arguments: &str) -> (Summary, Account) {
    let outcome = against(server, &format!("--json|{arguments}"));
    let summary = outcome.summary();
    let account = summary.account;
    assert_eq!(outcome.code, NOT_AS_ASKED, "{account:?} {}", outcome.stderr);
    assert!(!summary.deviations.is_empty());
    assert_eq!(account.due, account.sent + account.never_sent, "{account:?}");
    let answered = account.answered_in_time + account.answered_late;
    assert_eq!(account.sent, answered + account.lost, "{account:?}");
    (summary, account)
}

#[test]
fn what_was_never_sent_counts_with_its_age() {
    let server = Server::with(|_, _| {
        std::thread::sleep(Duration::from_millis(900));
        Answer::Echo
    });
    let load = "--connections|10|--rate|100|--duration|600ms|--warm-up|0";
    let (summary, account) = account(&server, load);
    assert_eq!((account.due, account.sent, account.never_sent), (60, 10, 50));
    assert_eq!(
        (account.answered_in_time, account.answered_late, account.lost),
        (0, 10, 0)
    );
    let response = &summary.window.response_micros;
    let p50 = response.bounded(Quantile::P50).unwrap();
    assert!(
        p50.at_least && (200_000.0..600_000.0).contains(&p50.micros),
        "{p50:?}"
    );
    assert!(response.bounded(Quantile::Max).unwrap().at_least);
    // All that were sent have their reply.
    assert!(summary.window.service_micros.at_least.is_empty());
    let text = against(&server, load).stdout;
    assert!(
        text.starts_with("NOT AS ASKED  the rate was missed: 0 of 60"),
        "{text}"
    );
    let account = "60 due: 10 sent, 50 never sent; of those sent 0 answered in time, 10 late, 0 lost";
    assert!(text.contains(account) && text.contains("p50 > "), "{text}");
}

#[test]
fn without_a_reply_there_is_no_time() {
    let server = Server::with(|_, _| Answer::Nothing);
    let load = "--connections|4|--rate|100|--duration|300ms|--warm-up|0|--timeout|400ms";
    let outcome = against(&server, &format!("--json|{load}"));
    let summary = outcome.summary();
    assert_eq!(outcome.code, Some(1), "no connection is left");
    let account = summary.account;
    assert_eq!((account.due, account.sent, account.lost), (30, 4, 4));
    let none = Quantiles::default();
    assert_eq!(summary.window.response_micros, none);
    assert_eq!(summary.window.service_micros, none);
    let text = against(&server, load).stdout;
    assert!(text.contains("p50 –, p90 –, p99 –, p99.9 –, max –"), "{text}");
}

#[test]
fn lost_connections_are_said_first() {
    // One of a hundred messages is answered by the end of its connection.
    let server = Server::with(|number, _| match number % 100 {
        0 => Answer::Close,
        _ => Answer::Echo,
    });
    let (summary, account) = account(
        &server,
        "--connections|20|--rate|2000|--duration|300ms|--warm-up|0",
    );
    assert!(account.lost > 0 && summary.window.connections < 20, "{account:?}");
    let first = &summary.deviations[0];
    assert!(
        first.contains("of 20 connections did not last to the end"),
        "{first}"
    );
    assert!(summary.window.response_micros.at_least.contains(&Quantile::Max));
}

#[test]
fn a_rate_beyond_reach_is_said_first() {
    let server = Server::echo();
    let (summary, account) = account(
        &server,
        "--connections|4|--rate|3000000|--duration|200ms|--warm-up|0",
    );
    assert!((599_000..=601_000).contains(&account.due), "{account:?}");
    assert!(
        summary.deviations[0].starts_with("the rate was missed"),
        "{:?}",
        summary.deviations
    );
    // Most of them wait at the end, for half the window in the median.
    let p50 = summary.window.response_micros.bounded(Quantile::P50).unwrap();
    assert!(
        p50.at_least && (60_000.0..110_000.0).contains(&p50.micros),
        "{p50:?}"
    );
}

#[test]
fn a_client_that_was_stopped_says_for_how_long() {
    let server = Server::echo();
    let client = Running::start(&format!(
        "--target|{}|--duration|1h|--warm-up|0|--rate|500|--json",
        server.address
    ));
    client.await_error("window:");
    let signal = |name: &str| {
        let pid = client.child.id().to_string();
        assert!(
            Command::new("kill")
                .args([name, &pid])
                .status()
                .unwrap()
                .success()
        );
    };
    signal("-STOP");
    // The time that it loses, not a condition.
    std::thread::sleep(Duration::from_millis(700));
    signal("-CONT");
    client.await_error("window:");
    sys::child::terminate(client.child.id()).unwrap();
    let (status, stdout) = client.end();
    let summary: Summary = serde_json::from_str(&stdout).unwrap();
    assert_eq!(status.code(), NOT_AS_ASKED);
    let longest = summary.window.longest_stall_seconds;
    assert!((0.6..5.0).contains(&longest), "{longest}");
    let said = |text: &String| text.starts_with("the client was stopped or had no CPU for");
    assert!(summary.deviations.iter().any(said), "{:?}", summary.deviations);
}
