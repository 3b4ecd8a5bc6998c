//! The lab's remote control, end to end.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on has failed"
)]

mod support;

use std::time::{Duration, Instant};

use model::pace::{Arrivals, Pace};
use model::protocol::{Command, Event, Slice, Totals};
use model::rate::Rate;
use support::{Running, Server};

fn start(server: &Server, more: &str) -> Running {
    Running::start(&format!(
        "--control|--target|{}|--connections|20{more}",
        server.address
    ))
}

fn hear(client: &Running) -> Event {
    let line = client.hear();
    serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

fn await_ready(client: &Running) {
    match hear(client) {
        Event::Ready {
            connections: 20,
            ramp_seconds,
        } => assert!(ramp_seconds >= 0.0),
        other => panic!("not ready: {other:?}"),
    }
}

fn order(client: &mut Running, pace: Pace, duration_micros: u64) {
    let command = Command::Slice {
        pace,
        duration_micros,
        counted: true,
    };
    client.say(&serde_json::to_string(&command).unwrap());
}

fn hear_slice(client: &Running) -> Slice {
    match hear(client) {
        Event::Slice(slice) => *slice,
        other => panic!("no slice: {other:?}"),
    }
}

fn hear_totals(client: &Running) -> Totals {
    match hear(client) {
        Event::Finished(totals) => totals,
        other => panic!("not finished: {other:?}"),
    }
}

fn open() -> Pace {
    Pace::Open {
        rate_per_second: Rate::new(1000.0).unwrap(),
        arrivals: Arrivals::Burst {
            interval_micros: 1000,
        },
    }
}

#[test]
fn slices_of_any_pace_run_on_the_same_connections_and_the_totals_add_up() {
    let server = Server::echo();
    let mut client = start(&server, "");
    await_ready(&client);
    let poisson = Pace::Open {
        rate_per_second: Rate::new(500.0).unwrap(),
        arrivals: Arrivals::Poisson,
    };
    let (mut sent, mut bytes) = (0, 0);
    for pace in [
        open(),
        Pace::Closed {
            think_time_micros: 1000,
        },
        poisson,
        open(),
    ] {
        order(&mut client, pace, 200_000);
        let slice = hear_slice(&client);
        assert!(slice.errors.is_empty(), "{:?}", slice.errors);
        assert!(slice.replies > 0 && slice.replies == slice.sent);
        assert!((slice.seconds - 0.2).abs() < 1e-9);
        assert_eq!(slice.connections, 20);
        assert_eq!(
            (slice.sent_bytes, slice.received_bytes),
            (slice.sent * 100, slice.sent * 100)
        );
        if pace == open() {
            assert!((198..=202).contains(&slice.due), "{}", slice.due);
        }
        sent += slice.sent;
        bytes += slice.sent_bytes;
    }
    client.say(r#"{"command":"finish"}"#);
    let totals = hear_totals(&client);
    assert_eq!(
        (totals.sent, totals.replies, totals.sent_bytes),
        (sent, sent, bytes)
    );
    assert_eq!(server.bytes(), (totals.sent_bytes, totals.received_bytes));
    assert_eq!((totals.connections, server.accepted()), (20, 20));
    let (status, rest) = client.end();
    assert_eq!((status.code(), rest.as_str()), (Some(0), ""));
}

#[test]
fn between_slices_a_client_costs_nothing() {
    let server = Server::echo();
    let mut client = start(&server, "");
    await_ready(&client);
    let smooth = Pace::Open {
        rate_per_second: Rate::new(1000.0).unwrap(),
        arrivals: Arrivals::Smooth,
    };
    order(&mut client, smooth, 100_000);
    hear_slice(&client);
    let cpu = || sys::clock::process_cpu_time(client.child.id()).unwrap();
    // The slice's answer may still be on its way out of the process: look at the second stretch.
    let spans = [0, 1].map(|_| {
        let before = cpu();
        std::thread::sleep(Duration::from_millis(300));
        cpu() - before
    });
    assert!(spans[1] < Duration::from_millis(3), "{spans:?}");
    drop(client.stdin.take());
    hear_totals(&client);
}

#[test]
fn the_end_of_the_input_finishes_after_what_was_ordered() {
    let server = Server::echo();
    let mut client = start(&server, "");
    order(&mut client, open(), 100_000);
    order(&mut client, open(), 100_000);
    drop(client.stdin.take());
    await_ready(&client);
    let sent = hear_slice(&client).sent + hear_slice(&client).sent;
    assert_eq!(hear_totals(&client).sent, sent);
    assert_eq!(client.end().0.code(), Some(0));
}

#[test]
fn a_signal_cuts_the_slice_short_and_finishes() {
    let server = Server::echo();
    let mut client = start(&server, "");
    await_ready(&client);
    order(&mut client, open(), 3_600_000_000);
    let deadline = Instant::now() + support::DEADLINE;
    while server.bytes().0 == 0 {
        assert!(Instant::now() < deadline, "no load");
        std::thread::yield_now();
    }
    sys::child::terminate(client.child.id()).unwrap();
    let slice = hear_slice(&client);
    assert!(
        slice.seconds > 0.0 && slice.seconds < 3000.0 && slice.sent == slice.replies,
        "{slice:?}"
    );
    let totals = hear_totals(&client);
    assert_eq!(totals.sent, slice.sent);
    assert_eq!(client.end().0.code(), Some(0));
}

#[test]
fn a_server_that_dies_ends_the_slice_and_the_next_one_too() {
    let server = Server::echo();
    let mut client = start(&server, "");
    await_ready(&client);
    order(&mut client, open(), 30_000_000);
    let deadline = Instant::now() + support::DEADLINE;
    while server.bytes().0 == 0 {
        assert!(Instant::now() < deadline, "no load");
        std::thread::yield_now();
    }
    server.die();
    let slice = hear_slice(&client);
    assert_eq!(slice.errors.values().sum::<u64>(), 20, "{:?}", slice.errors);
    assert_eq!(slice.connections, 0);
    assert!(slice.seconds < 29.0, "{}", slice.seconds);
    order(&mut client, open(), 30_000_000);
    let slice = hear_slice(&client);
    assert_eq!((slice.sent, slice.connections), (0, 0));
    assert!(slice.seconds < 29.0 && slice.errors.is_empty(), "{slice:?}");
    client.say(r#"{"command":"finish"}"#);
    assert_eq!(hear_totals(&client).errors.values().sum::<u64>(), 20);
    assert_eq!(client.end().0.code(), Some(0));
}

#[test]
fn a_connection_lost_between_slices_shows_in_the_next_one_and_the_rest_go_on() {
    let server = Server::with(|number, _| {
        if number == 1 {
            support::Answer::Close
        } else {
            support::Answer::Echo
        }
    });
    let mut client = start(&server, "");
    await_ready(&client);
    order(&mut client, open(), 100_000);
    let first = hear_slice(&client);
    assert_eq!(
        (first.connections, first.errors.get("closed_by_server")),
        (19, Some(&1)),
        "{:?}",
        first.errors
    );
    order(&mut client, open(), 200_000);
    let second = hear_slice(&client);
    assert!(second.errors.is_empty() && second.connections == 19);
    assert!(
        (198..=202).contains(&second.due),
        "the rest carry the whole rate: {}",
        second.due
    );
    assert_eq!(second.sent, second.replies);
}

#[test]
fn nonsense_ends_it_with_a_reason() {
    let server = Server::echo();
    let mut client = start(&server, "");
    await_ready(&client);
    client.say(r#"{"command":"dance"}"#);
    match hear(&client) {
        Event::Failed { why } => assert!(why.contains("dance"), "{why}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(client.end().0.code(), Some(2));
}

#[test]
fn a_refused_target_is_an_event_too() {
    let address = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let client = Running::start(&format!("--control|--target|{address}"));
    match hear(&client) {
        Event::Failed { why } => assert!(
            why.contains(&address.to_string()) && why.contains("refused"),
            "{why}"
        ),
        other => panic!("{other:?}"),
    }
    assert_eq!(client.end().0.code(), Some(2));
}

#[test]
fn a_server_that_accepts_slowly_gets_all_its_connections() {
    // Room for two or three that wait: nearly every first attempt is dropped.
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let any = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    socket.bind(&any.into()).unwrap();
    socket.listen(1).unwrap();
    let listener = std::net::TcpListener::from(socket);
    let address = listener.local_addr().unwrap();
    let server = std::thread::spawn(move || {
        // Each is kept until the client is done with all.
        let streams: Vec<_> = (0..30).map(|_| listener.accept().unwrap().0).collect();
        for mut stream in streams {
            std::io::copy(&mut stream, &mut std::io::sink()).unwrap();
        }
    });
    let mut client = Running::start(&format!("--control|--target|{address}|--connections|30"));
    match hear(&client) {
        Event::Ready { connections, .. } => assert_eq!(connections, 30),
        other => panic!("{other:?}"),
    }
    client.say(r#"{"command":"finish"}"#);
    assert_eq!(hear_totals(&client).connections, 30);
    assert_eq!(client.end().0.code(), Some(0));
    server.join().unwrap();
}
