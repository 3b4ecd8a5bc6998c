//! Processes that this one looks after: all that descend from it, however they were started.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use crate::check;

/// Makes this process the new parent of every descendant whose own parent ends (prctl PR_SET_CHILD_SUBREAPER): a daemon
/// then cannot leave it.
///
/// # Errors
/// What prctl(2) reports.
pub fn adopt_orphans() -> io::Result<()> {
    // SAFETY: this prctl takes a number and touches no memory of ours.
    check(unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1) })?;
    Ok(())
}

/// Lets the kernel send SIGTERM to this process when the thread that started it ends.
///
/// # Errors
/// What prctl(2) reports.
pub fn hear_of_parents_end() -> io::Result<()> {
    // SAFETY: this prctl takes a number and touches no memory of ours.
    check(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM) })?;
    Ok(())
}

/// A child that was waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reaped {
    /// This child ended so.
    Child(u32, ExitStatus),
    /// There are children, and all of them run.
    NoneYet,
    /// There is no child.
    NoneLeft,
}

/// Waits for any child that has ended, without blocking.
///
/// # Errors
/// What waitpid(2) reports, but for ECHILD.
pub fn reap() -> io::Result<Reaped> {
    let mut status = 0;
    // SAFETY: `status` is exclusively borrowed.
    match check(unsafe { libc::waitpid(-1, &mut status, libc::WNOHANG) }) {
        Ok(0) => Ok(Reaped::NoneYet),
        Ok(pid) => Ok(Reaped::Child(pid as u32, ExitStatus::from_raw(status))),
        Err(error) if error.raw_os_error() == Some(libc::ECHILD) => Ok(Reaped::NoneLeft),
        Err(error) => Err(error),
    }
}

/// A signal that asks a process to end, or makes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// SIGTERM.
    Ask,
    /// SIGKILL.
    Make,
}

/// A process, held by a descriptor: a number may become another's, this never does (pidfd_open(2)).
#[derive(Debug)]
pub struct Held(OwnedFd);

impl Held {
    /// Takes hold of process `pid`.
    ///
    /// # Errors
    /// ESRCH when there is none, EINVAL when `pid` is no process number.
    pub fn open(pid: u32) -> io::Result<Held> {
        let pid = libc::pid_t::try_from(pid).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))?;
        // SAFETY: no pointers are passed; the flags are none.
        let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
        let fd = check(fd as libc::c_int)?;
        // SAFETY: the kernel just made this descriptor for us.
        Ok(Held(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// ESRCH when it has ended and was waited for.
    pub fn signal(&self, ending: Ending) -> io::Result<()> {
        let signal = match ending {
            Ending::Ask => libc::SIGTERM,
            Ending::Make => libc::SIGKILL,
        };
        let info = std::ptr::null::<libc::siginfo_t>();
        // SAFETY: the descriptor is ours; without a record the kernel makes its own.
        let returned =
            unsafe { libc::syscall(libc::SYS_pidfd_send_signal, self.0.as_raw_fd(), signal, info, 0) };
        check(returned as libc::c_int)?;
        Ok(())
    }
}

/// Ends this process by the signal that ended another one, without a core dump. Returns when no signal did.
pub fn end_by_signal_of(status: ExitStatus) {
    if let Some(signal) = status.signal() {
        // SAFETY: this prctl takes numbers and touches no memory of ours.
        unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0) };
        let mut set = MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: sigfillset initialises the set it is given.
        unsafe { libc::sigfillset(set.as_mut_ptr()) };
        // SAFETY: the default disposition needs no handler.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
        // SAFETY: `set` was initialised above; the old mask is not wanted.
        unsafe { libc::pthread_sigmask(libc::SIG_UNBLOCK, set.as_ptr(), std::ptr::null_mut()) };
        // SAFETY: no pointers are passed.
        unsafe { libc::raise(signal) };
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_held_process_is_signalled_until_it_was_waited_for() {
        let mut child = Command::new("sleep").arg("100").spawn().unwrap();
        let held = Held::open(child.id()).unwrap();
        held.signal(Ending::Ask).unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(libc::SIGTERM));
        let gone = held.signal(Ending::Make).unwrap_err();
        assert_eq!(gone.raw_os_error(), Some(libc::ESRCH));
    }

    #[test]
    fn numbers_of_no_process_are_refused() {
        for pid in [0, u32::MAX, 1 << 31] {
            let error = Held::open(pid).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(libc::EINVAL), "{pid}");
        }
        assert_eq!(Held::open(1 << 30).unwrap_err().raw_os_error(), Some(libc::ESRCH));
    }
}
