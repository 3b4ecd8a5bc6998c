//! Child processes that never outlive the lab, and signals to them.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::check;

/// Lets the kernel kill the child when the thread that starts it ends (prctl PR_SET_PDEATHSIG), so that not even
/// a SIGKILL of the lab leaves servers behind. Start such children from the main thread.
pub fn die_with_parent(command: &mut Command) {
    // SAFETY: the closure runs between fork and exec and makes async-signal-safe calls only: prctl, getppid.
    unsafe {
        command.pre_exec(|| {
            check(libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL))?;
            Ok(())
        });
    }
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
