//! No engine allocates for a message.
//!
//! Each engine serves in this process, under an allocator that counts; the test's own thread is left out.

// What a test's helpers unwrap fails the test, as it should.
#![allow(clippy::unwrap_used)]

use std::alloc::System;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use server::engine::{Accept, Context, ENGINES, Engine, Listeners, Stop, Trigger};
use sys::allocator::{Counting, counts, leave_this_thread_out};
use telemetry::counters::ServerCounters;

#[global_allocator]
static ALLOCATOR: Counting<System> = Counting::new(System);

const CONNECTIONS: usize = 4;
const ROUNDS: usize = 1000;

#[test]
fn a_message_costs_no_allocation() {
    leave_this_thread_out();
    for engine in ENGINES {
        if let Err(why) = (engine.probe)() {
            assert_eq!(engine.name, "uring", "{}: {why}", engine.name);
            eprintln!("uring is left out: {why}");
            continue;
        }
        for trigger in [Trigger::Edge, Trigger::Level] {
            let allocations = allocations_under_load(engine, trigger);
            let messages = CONNECTIONS * ROUNDS;
            // A runtime may grow a queue now and then; one in a hundred is no pattern.
            assert!(
                allocations < messages as u64 / 100,
                "{} allocated {allocations} times for {messages} messages",
                engine.name
            );
        }
    }
}

#[test]
fn an_allocation_in_another_thread_is_counted() {
    let before = counts().allocations;
    std::thread::spawn(|| drop(std::hint::black_box(vec![0u8; 100])))
        .join()
        .unwrap();
    assert!(counts().allocations > before);
}

fn allocations_under_load(engine: &Engine, trigger: Trigger) -> u64 {
    let one = NonZeroUsize::MIN;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let context = Context {
        counters: ServerCounters::new(engine.name, "0"),
        workers: one.saturating_add(1),
        accept: Accept::Shared,
        trigger,
        events_per_wait: one.saturating_add(63),
        read_buffer_bytes: one.saturating_add(199),
        max_connections: None,
        linger: Duration::ZERO,
        grace: Duration::from_secs(1),
    };
    let stop = Stop::new().unwrap();
    let serving = {
        let (stop, serve) = (Arc::clone(&stop), engine.serve);
        std::thread::spawn(move || serve(context, Listeners::shared(listener), stop))
    };
    let mut peers: Vec<_> = (0..CONNECTIONS)
        .map(|_| TcpStream::connect(address).unwrap())
        .collect();
    for peer in &peers {
        peer.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    }
    // Buffers and queues find their size first.
    echo(&mut peers, 100);
    let before = counts().allocations;
    echo(&mut peers, ROUNDS);
    let allocations = counts().allocations - before;
    drop(peers);
    stop.raise();
    serving.join().unwrap().unwrap();
    allocations
}

fn echo(peers: &mut [TcpStream], rounds: usize) {
    let message = [7; 100];
    let mut reply = [0; 100];
    for _ in 0..rounds {
        for peer in &mut *peers {
            peer.write_all(&message).unwrap();
        }
        for peer in &mut *peers {
            peer.read_exact(&mut reply).unwrap();
        }
    }
}
