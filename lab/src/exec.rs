//! `lab exec CPUS PROGRAM…`: pins itself and becomes the program. Used by the lab to start a user's contender.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use sys::cpu::CpuSet;

/// The word that starts it.
pub const NAME: &str = "exec";
/// In place of CPUs: pin to nothing.
pub const ANYWHERE: &str = "anywhere";

/// Pins this process to the CPUs that the first argument names, and becomes the program that the others name.
/// Returns only when that cannot be.
pub fn main(args: &[OsString]) -> ExitCode {
    let [cpus, program, rest @ ..] = args else {
        eprintln!("lab {NAME}: CPUs and a program are missing");
        return ExitCode::from(2);
    };
    let cpus = cpus.to_string_lossy();
    if cpus != ANYWHERE {
        let pinned = cpus
            .parse::<CpuSet>()
            .map_err(|error| error.to_string())
            .and_then(|set| set.pin_current_thread().map_err(|error| error.to_string()));
        if let Err(why) = pinned {
            eprintln!("cannot pin to CPUs {cpus}: {why}");
            return ExitCode::from(2);
        }
    }
    let error = Command::new(program).args(rest).exec();
    eprintln!("cannot start {}: {error}", program.display());
    ExitCode::from(127)
}
