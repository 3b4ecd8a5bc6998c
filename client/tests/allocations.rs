//! The client allocates nothing for a message: twice as many messages cost no more allocations.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on has failed"
)]

use std::alloc::System;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};

use sys::allocator::{Counting, counts, leave_this_thread_out};

#[global_allocator]
static ALLOCATOR: Counting<System> = Counting::new(System);

/// One thread echoes for each connection; what they allocate is not the client's.
fn echo_server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        leave_this_thread_out();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            std::thread::spawn(move || {
                leave_this_thread_out();
                let mut buffer = [0; 4096];
                while let Ok(read @ 1..) = stream.read(&mut buffer) {
                    stream.write_all(&buffer[..read]).unwrap();
                }
            });
        }
    });
    address
}

/// Allocations of a whole run of the client in this process.
fn allocations(server: SocketAddr, pace: &[&str], duration: &str) -> u64 {
    let target = server.to_string();
    let mut words = vec!["client", "--target", &target, "--connections", "8"];
    words.extend(["--warm-up", "100ms", "--duration", duration]);
    words.extend(pace);
    let before = counts().allocations;
    let code = client::main(words.into_iter().map(Into::into).collect());
    assert_eq!(
        format!("{code:?}"),
        format!("{:?}", std::process::ExitCode::SUCCESS)
    );
    counts().allocations - before
}

/// One test, because allocations of others would count.
#[test]
fn a_message_costs_no_allocation() {
    let server = echo_server();
    for pace in [
        &["--rate", "4000", "--arrivals", "smooth"][..],
        &["--rate", "4000", "--arrivals", "poisson"],
        &["--rate", "4000", "--arrivals", "burst 1ms"],
        &["--think-time", "1ms"],
    ] {
        let short = allocations(server, pace, "300ms");
        let long = allocations(server, pace, "1300ms");
        let messages = 4000;
        // A second of progress lines allocates; a message in a hundred would be a pattern.
        assert!(
            long < short + messages / 100,
            "{pace:?}: {short} allocations in 0.3 s, {long} in 1.3 s"
        );
        eprintln!("{pace:?}: {short} allocations in 0.3 s, {long} in 1.3 s");
    }
}
