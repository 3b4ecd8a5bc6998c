//! Child processes that never outlive the lab, and signals to them.

use std::io;
use std::mem::MaybeUninit;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitStatus};

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

/// Starts the child with no signal blocked and every disposition at its default, as a shell would. What this process has
/// blocked or ignores would else be so in the child, too.
pub fn reset_signals(command: &mut Command) {
    let reset = || {
        for signal in 1..=libc::SIGRTMAX() {
            set_default(signal);
        }
        let mut none = MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: sigemptyset initialises the set it is given.
        check(unsafe { libc::sigemptyset(none.as_mut_ptr()) })?;
        // SAFETY: `none` was initialised by sigemptyset; the old mask is not wanted.
        let failed = unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, none.as_ptr(), std::ptr::null_mut()) };
        match failed {
            0 => Ok(()),
            error => Err(io::Error::from_raw_os_error(error)),
        }
    };
    // SAFETY: the closure runs between fork and exec and makes async-signal-safe calls only: rt_sigaction,
    // sigemptyset and pthread_sigmask.
    unsafe { command.pre_exec(reset) };
}

/// Gives a signal its default disposition, by the system call itself: the C library refuses the numbers that it uses for
/// its own threads, which a parent may have ignored all the same.
fn set_default(signal: libc::c_int) {
    // What the kernel takes: handler, flags, restorer where there is one, and a mask. All zero means SIG_DFL.
    let action = [0_u64; 4];
    let mask_bytes = size_of::<u64>();
    let old: *mut u64 = std::ptr::null_mut();
    // SAFETY: `action` is as long as the kernel's longest record, and the old one is not wanted. The kernel refuses
    // numbers whose disposition cannot change, which is no harm.
    unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, action.as_ptr(), old, mask_bytes) };
}

/// How child `pid` ended; `None` while it lives. It stays a zombie, so that neither its number nor that of its group can
/// become another's before it is waited for.
///
/// # Errors
/// What waitid(2) reports: ECHILD when it is no child of this process, or was waited for.
pub fn ended(pid: u32) -> io::Result<Option<ExitStatus>> {
    let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
    let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: `info` has room for what the kernel writes.
    check(unsafe { libc::waitid(libc::P_PID, pid, info.as_mut_ptr(), flags) })?;
    // SAFETY: zeroed above, which is valid for these plain numbers, and maybe written by the kernel.
    let info = unsafe { info.assume_init() };
    // SAFETY: waitid fills in this part of the record; it is 0 when no child has ended.
    if unsafe { info.si_pid() } == 0 {
        return Ok(None);
    }
    // SAFETY: the same part of the record.
    let status = unsafe { info.si_status() };
    // As wait(2) has it: the exit code in the second byte, a signal in the first, with a bit for a core dump.
    let raw = match info.si_code {
        libc::CLD_EXITED => (status & 0xff) << 8,
        libc::CLD_DUMPED => status | 0x80,
        _ => status,
    };
    Ok(Some(ExitStatus::from_raw(raw)))
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
