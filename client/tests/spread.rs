//! An open loop reaches all connections, however short its slices are; counted in a real server.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on has failed"
)]

mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use model::pace::{Arrivals, Pace};
use model::protocol::{Command, Event, Spread, Totals};
use model::rate::Rate;
use support::Running;

const CONNECTIONS: u64 = 200;
const MESSAGE_BYTES: u64 = 100;
const SLICE_MICROS: u64 = 100_000;

/// An echo server that counts the bytes of each connection.
struct Counter {
    address: SocketAddr,
    bytes: Arc<Mutex<Vec<Arc<AtomicU64>>>>,
}

impl Counter {
    fn start() -> Counter {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let bytes = Arc::<Mutex<Vec<Arc<AtomicU64>>>>::default();
        let all = Arc::clone(&bytes);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                stream.set_nodelay(true).unwrap();
                let own = Arc::<AtomicU64>::default();
                all.lock().unwrap().push(Arc::clone(&own));
                std::thread::spawn(move || {
                    let mut buffer = [0; 4096];
                    while let Ok(length @ 1..) = stream.read(&mut buffer) {
                        own.fetch_add(length as u64, Ordering::SeqCst);
                        if stream.write_all(&buffer[..length]).is_err() {
                            return;
                        }
                    }
                });
            }
        });
        Counter { address, bytes }
    }

    /// Messages that each connection has carried so far.
    fn messages(&self) -> Vec<u64> {
        let bytes = self.bytes.lock().unwrap();
        let messages = |bytes: &Arc<AtomicU64>| bytes.load(Ordering::SeqCst) / MESSAGE_BYTES;
        bytes.iter().map(messages).collect()
    }
}

fn spread(messages: &[u64]) -> Spread {
    Spread {
        connections_used: messages.iter().filter(|&&messages| messages > 0).count() as u64,
        messages_fewest: *messages.iter().min().unwrap(),
        messages_most: *messages.iter().max().unwrap(),
    }
}

fn hear(client: &Running) -> Event {
    let line = client.hear();
    serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

fn start(server: &Counter, threads: u32) -> Running {
    let client = Running::start(&format!(
        "--control|--target|{}|--connections|{CONNECTIONS}|--message-bytes|{MESSAGE_BYTES}|--threads|{threads}",
        server.address
    ));
    match hear(&client) {
        Event::Ready { connections, .. } => assert_eq!(connections, CONNECTIONS),
        other => panic!("not ready: {other:?}"),
    }
    client
}

/// One slice; says how many messages it sent.
fn slice(client: &mut Running, pace: Pace, counted: bool) -> u64 {
    let command = Command::Slice {
        pace,
        duration_micros: SLICE_MICROS,
        counted,
    };
    client.say(&serde_json::to_string(&command).unwrap());
    match hear(client) {
        Event::Slice(slice) => {
            assert!(slice.errors.is_empty(), "{:?}", slice.errors);
            slice.sent
        }
        other => panic!("no slice: {other:?}"),
    }
}

fn finish(client: &mut Running) -> Totals {
    client.say(r#"{"command":"finish"}"#);
    match hear(client) {
        Event::Finished(totals) => totals,
        other => panic!("not finished: {other:?}"),
    }
}

/// 800 a second, so that a slice has 80 messages for 200 connections.
fn open(arrivals: Arrivals) -> Pace {
    Pace::Open {
        rate_per_second: Rate::new(800.0).unwrap(),
        arrivals,
    }
}

#[test]
fn short_slices_reach_all_connections_equally() {
    let burst = Arrivals::Burst {
        interval_micros: 10_000,
    };
    for (arrivals, threads) in [(Arrivals::Smooth, 1), (Arrivals::Smooth, 2), (burst, 2)] {
        let server = Counter::start();
        let mut client = start(&server, threads);
        let mut sent_in_all = 0;
        for number in 1..=7 {
            let sent = slice(&mut client, open(arrivals), true);
            assert!(sent < CONNECTIONS, "{sent} messages could reach all connections");
            sent_in_all += sent;
            // Two slices end before any thread's first pass does, so no connection has had a second message.
            if number <= 2 {
                assert_eq!(spread(&server.messages()).connections_used, sent_in_all);
            }
        }
        let messages = server.messages();
        let seen = spread(&messages);
        let totals = finish(&mut client);
        assert_eq!(totals.spread, Some(seen));
        assert_eq!(seen.connections_used, CONNECTIONS);
        assert_eq!(totals.sent, messages.iter().sum::<u64>());
        assert!(seen.messages_most - seen.messages_fewest <= 1, "{seen:?}");
    }
}

#[test]
fn slices_that_are_not_counted_do_not_show_in_the_spread() {
    let server = Counter::start();
    let mut client = start(&server, 2);
    let flat_out = Pace::Closed { think_time_micros: 0 };
    slice(&mut client, flat_out, false);
    let before = server.messages();
    assert_eq!(spread(&before).connections_used, CONNECTIONS);
    slice(&mut client, open(Arrivals::Smooth), true);
    let since: Vec<u64> = server
        .messages()
        .iter()
        .zip(&before)
        .map(|(after, before)| after - before)
        .collect();
    slice(&mut client, flat_out, false);
    let seen = spread(&since);
    assert!(seen.connections_used < CONNECTIONS, "{seen:?}");
    assert_eq!(finish(&mut client).spread, Some(seen));
}

#[test]
fn without_a_counted_slice_there_is_no_spread() {
    let server = Counter::start();
    let mut client = start(&server, 1);
    slice(&mut client, open(Arrivals::Smooth), false);
    assert_eq!(finish(&mut client).spread, None);
}

#[test]
fn a_client_on_its_own_says_the_spread_of_its_window() {
    let arguments = |server: &Counter| {
        format!(
            "--target|{}|--connections|20|--rate|300|--warm-up|100ms|--duration|100ms",
            server.address
        )
    };
    let server = Counter::start();
    let outcome = support::run(&format!("{}|--json", arguments(&server)));
    let expected = Spread {
        connections_used: 20,
        messages_fewest: 1,
        messages_most: 2,
    };
    assert_eq!(
        outcome.summary().totals.spread,
        Some(expected),
        "{}",
        outcome.stderr
    );
    let text = support::run(&arguments(&server)).stdout;
    assert!(
        text.contains("20 of 20 connections carried messages, 1 to 2 each"),
        "{text}"
    );
}
