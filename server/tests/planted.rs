//! A profile of a planted hot function has that function on top.
//!
//! In a test binary of its own, because a process has one sampler.

// What a test's helpers unwrap fails the test, as it should.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::hint::black_box;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use telemetry::profile::folded::{Threads, folded};
use telemetry::profile::request::Request;

/// Calls nothing, so that nothing inlined into it can be on top instead.
#[inline(never)]
fn planted_hot_function(rounds: u64) -> u64 {
    let (mut state, mut round) = (0x5eed, 0);
    while round < rounds {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        round += 1;
    }
    state
}

#[test]
fn the_planted_function_is_on_top() {
    let extras = server::profile::extras("planted", None).unwrap();
    let profiler = extras.profiler.unwrap();
    let stop = AtomicBool::new(false);
    let request = Request {
        duration: Duration::from_secs(1),
        hertz: NonZeroU32::new(199).unwrap(),
    };
    let profile = std::thread::scope(|scope| {
        let hot = std::thread::Builder::new().name("hot".to_owned());
        let hot = hot.spawn_scoped(scope, || {
            while !stop.load(Ordering::Relaxed) {
                black_box(planted_hot_function(black_box(10_000)));
            }
        });
        let outcome = profiler.record(request).unwrap().blocking_recv();
        stop.store(true, Ordering::Relaxed);
        hot.unwrap().join().unwrap();
        outcome.unwrap().unwrap()
    });
    let (mut all, mut on_top) = (0, 0);
    for stack in profile.stacks() {
        all += stack.samples;
        if stack
            .functions
            .first()
            .is_some_and(|function| function.ends_with("planted_hot_function"))
        {
            assert_eq!(stack.thread, "hot");
            on_top += stack.samples;
        }
    }
    let stacks = folded(&profile, Threads::Apart);
    assert!(all >= 20, "{all} samples came: {:?}", profile.comments());
    assert!(on_top * 10 > all * 8, "{on_top} of {all} samples\n{stacks}");
    let file = profile
        .function
        .iter()
        .find(|function| profile.text(function.name).contains("planted_hot"));
    assert!(
        profile
            .text(file.unwrap().filename)
            .ends_with("server/tests/planted.rs")
    );
}
