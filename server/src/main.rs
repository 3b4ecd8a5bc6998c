//! The server's binary: all of it is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    server::main(std::env::args_os().collect())
}
