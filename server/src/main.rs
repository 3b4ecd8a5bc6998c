//! The server's binary: all of it is in the library.

use std::process::ExitCode;

use sys::allocator::Counting;
use telemetry::allocator::Jemalloc;

#[global_allocator]
static ALLOCATOR: Counting<Jemalloc> = Counting::new(Jemalloc);

fn main() -> ExitCode {
    server::main(std::env::args_os().collect())
}
