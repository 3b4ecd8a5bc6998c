//! The `lab` program; it starts itself again as `lab server` and `lab client`.

use std::process::ExitCode;

use sys::allocator::Counting;
use telemetry::allocator::Jemalloc;

/// What its `lab server` runs on, as the plain `server` does.
#[global_allocator]
static ALLOCATOR: Counting<Jemalloc> = Counting::new(Jemalloc);

fn main() -> ExitCode {
    lab::main(std::env::args_os().collect())
}
