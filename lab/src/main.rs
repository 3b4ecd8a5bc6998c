//! The `lab` program; it starts itself again as `lab server` and `lab client`.

use std::process::ExitCode;

fn main() -> ExitCode {
    lab::main(std::env::args_os().collect())
}
