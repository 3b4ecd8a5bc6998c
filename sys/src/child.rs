//! Child processes that never outlive the lab, and signals to them.

use std::ffi::CString;
use std::io;
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, ExitStatus};

use crate::check;
use crate::process::{Ending, Held};

/// Lets the kernel kill the child when the thread that starts it ends (prctl PR_SET_PDEATHSIG), so that not even
/// a SIGKILL of the lab leaves servers behind. Start such children from the main thread.
pub fn die_with_parent(command: &mut Command) {
    let parent = std::process::id();
    let set = move || {
        // SAFETY: this prctl takes a number and touches no memory of ours.
        check(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) })?;
        // A parent that ended before that call sends nothing any more.
        if std::os::unix::process::parent_id() == parent {
            Ok(())
        } else {
            Err(io::Error::from_raw_os_error(libc::ESRCH))
        }
    };
    // SAFETY: the closure runs between fork and exec and makes async-signal-safe calls only: prctl and getppid.
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
/// ESRCH when it is gone, EINVAL when `pid` is no process number.
pub fn terminate(pid: u32) -> io::Result<()> {
    Held::open(pid)?.signal(Ending::Ask)
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

/// Puts the child into a control group before it becomes its program, by writing 0 to that group's `entrance`
/// (cgroup.procs). A child that may not enter starts outside.
///
/// # Errors
/// `InvalidInput` when the path holds a zero byte.
pub fn enter_group(command: &mut Command, entrance: &Path) -> io::Result<()> {
    let path = CString::new(entrance.as_os_str().as_bytes()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let enter = move || {
        // SAFETY: `path` ends with a zero byte and lives through the call.
        let fd = unsafe { libc::open(path.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC) };
        if fd >= 0 {
            // SAFETY: the descriptor is ours and the buffer holds one byte. What is refused leaves the child where it is.
            unsafe { libc::write(fd, b"0".as_ptr().cast(), 1) };
            // SAFETY: the descriptor is ours, and nobody uses it any more.
            unsafe { libc::close(fd) };
        }
        Ok(())
    };
    // SAFETY: the closure runs between fork and exec and makes async-signal-safe calls only: open, write and close.
    unsafe { command.pre_exec(enter) };
    Ok(())
}
