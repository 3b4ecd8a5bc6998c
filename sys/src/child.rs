//! Child processes that never outlive the lab, and signals to them.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::check;

/// Lets the kernel kill the child when the thread that starts it ends (prctl PR_SET_PDEATHSIG), so that not even
/// a SIGKILL of the lab leaves servers behind. Start such children from the main thread.
pub fn die_with_parent(command: &mut Command) {
    let set = || {
        // SAFETY: this prctl takes a number and touches no memory of ours.
        check(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) })?;
        Ok(())
    };
    // SAFETY: the closure runs between fork and exec and makes one async-signal-safe call: prctl.
    unsafe { command.pre_exec(set) };
}

/// Asks process `pid` to end (SIGTERM).
///
/// # Errors
/// What kill(2) reports: ESRCH when it is gone.
pub fn terminate(pid: u32) -> io::Result<()> {
    // SAFETY: no pointers are passed.
    check(unsafe { libc::kill(pid as libc::pid_t, libc::SIGTERM) })?;
    Ok(())
}

/// Starts the child with at most `descriptors` open files, soft and hard limit alike, so that it cannot raise it.
pub fn limit_descriptors(command: &mut Command, descriptors: u64) {
    let limit = libc::rlimit {
        rlim_cur: descriptors,
        rlim_max: descriptors,
    };
    let set = move || {
        // SAFETY: `limit` lives through the call.
        check(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) })?;
        Ok(())
    };
    // SAFETY: the closure runs between fork and exec and makes one async-signal-safe call: setrlimit.
    unsafe { command.pre_exec(set) };
}

/// Asks every process of process group `group` to end (SIGTERM). A child started with `process_group(0)` leads a
/// group that is named by its process number.
///
/// # Errors
/// What kill(2) reports: ESRCH when all are gone.
pub fn terminate_group(group: u32) -> io::Result<()> {
    signal_group(group, libc::SIGTERM)
}

/// Ends every process of process group `group` at once (SIGKILL).
///
/// # Errors
/// What kill(2) reports: ESRCH when all are gone.
pub fn kill_group(group: u32) -> io::Result<()> {
    signal_group(group, libc::SIGKILL)
}

fn signal_group(group: u32, signal: libc::c_int) -> io::Result<()> {
    // Groups 0 and 1 mean "mine" and "everyone" to kill(2), never a child's.
    if group <= 1 {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // SAFETY: no pointers are passed.
    check(unsafe { libc::kill(-(group as libc::pid_t), signal) })?;
    Ok(())
}
