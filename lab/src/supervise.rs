//! `lab supervise CPUS GROUP PROGRAM…`: starts a contender's program and stays its parent. Used by the lab, once per server.
//!
//! A program may start others, leave them behind, or become a daemon. All of them stay below this process in the table of
//! processes, so that the lab can find what they use. The supervisor ends when the last of them has ended. It ends them
//! when it is asked to end, and when the lab itself has ended, however that happened.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use sys::cpu::CpuSet;
use sys::process::{Ending, Held, Reaped};
use sys::signal::{Signal, Watch};

use crate::processes;

/// The word that starts it.
pub const NAME: &str = "supervise";
/// In place of CPUs: pin to nothing.
pub const ANYWHERE: &str = "anywhere";
/// In place of a control group: enter none.
pub const NO_GROUP: &str = "none";
/// How long processes may take to end by themselves. Our server's own grace period is 5 s.
pub const GRACE: Duration = Duration::from_secs(6);
/// The same when the lab itself has ended.
const ORPHANED_GRACE: Duration = Duration::from_secs(1);
/// How often what does not end is made to end again: something may start processes faster than they are found.
const KILL_PAUSE: Duration = Duration::from_millis(20);

/// Starts the program that the third argument names, pinned to the CPUs of the first, in the control group whose entrance
/// is the second. Stays until all processes that come of it have ended. Ends as the program did: with its exit code, or by the same signal.
pub fn main(args: &[OsString]) -> ExitCode {
    let [cpus, group, program, rest @ ..] = args else {
        eprintln!("lab {NAME}: CPUs, a group and a program are missing");
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
    let watch = match prepare() {
        Ok(watch) => watch,
        Err(error) => {
            eprintln!("cannot look after {}: {error}", program.display());
            return ExitCode::FAILURE;
        }
    };
    let mut command = Command::new(program);
    command.args(rest).stdin(Stdio::null()).process_group(0);
    sys::child::reset_signals(&mut command);
    sys::child::die_with_parent(&mut command);
    if group.to_str() != Some(NO_GROUP)
        && let Err(error) = sys::child::enter_group(&mut command, Path::new(group))
    {
        eprintln!("cannot enter {}: {error}", group.display());
        return ExitCode::from(2);
    }
    let child = match command.spawn() {
        Ok(child) => child.id(),
        Err(error) => {
            eprintln!("cannot start {}: {error}", program.display());
            return ExitCode::from(127);
        }
    };
    match look_after(&watch, child) {
        Ok(Some(status)) => {
            sys::process::end_by_signal_of(status);
            ExitCode::from(status.code().unwrap_or(1) as u8)
        }
        Ok(None) => ExitCode::FAILURE,
        Err(error) => {
            end_all(Ending::Make);
            eprintln!("cannot look after {}: {error}", program.display());
            ExitCode::FAILURE
        }
    }
}

fn prepare() -> std::io::Result<Watch> {
    let watch = Watch::block()?;
    sys::process::adopt_orphans()?;
    sys::process::hear_of_parents_end()?;
    Ok(watch)
}

/// Waits until no process is left, and says how the program ended.
fn look_after(watch: &Watch, child: u32) -> std::io::Result<Option<ExitStatus>> {
    let lab = std::os::unix::process::parent_id();
    let mut status = None;
    let mut deadline: Option<Instant> = None;
    loop {
        loop {
            match sys::process::reap()? {
                Reaped::Child(pid, how) if pid == child => status = Some(how),
                Reaped::Child(..) => {}
                Reaped::NoneYet => break,
                Reaped::NoneLeft => return Ok(status),
            }
        }
        let now = Instant::now();
        let overdue = deadline.is_some_and(|deadline| now >= deadline);
        if overdue {
            end_all(Ending::Make);
        }
        let timeout = match deadline {
            None => None,
            Some(_) if overdue => Some(KILL_PAUSE),
            Some(deadline) => Some(deadline - now),
        };
        if watch.wait(timeout)? == Some(Signal::Termination) && deadline.is_none() {
            let alone = std::os::unix::process::parent_id() != lab;
            deadline = Some(now + if alone { ORPHANED_GRACE } else { GRACE });
            end_all(Ending::Ask);
        }
    }
}

/// Signals every process that descends from this one.
fn end_all(ending: Ending) {
    let own = std::process::id() as i32;
    for pid in processes::descendants(&processes::table(), own) {
        let Some(held) = u32::try_from(pid).ok().and_then(|pid| Held::open(pid).ok()) else {
            continue;
        };
        // Its number may have become another's between the table and the hold. What descends now is ours.
        if processes::descends(&processes::line_of(pid), pid, own) {
            // It may have ended meanwhile.
            let _ = held.signal(ending);
        }
    }
}
