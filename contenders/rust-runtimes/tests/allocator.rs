//! The runtimes have jemalloc as it comes: the settings of the house's own server are not theirs.

// What a test unwraps fails the test, as it should.
#![allow(clippy::unwrap_used)]

use std::process::Command;

#[test]
fn threads_have_their_allocation_caches() {
    let mut help = Command::new(env!("CARGO_BIN_EXE_mio"));
    help.arg("--help").env("_RJEM_MALLOC_CONF", "stats_print:true");
    let output = help.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("opt.tcache: true"), "{said}");
}
