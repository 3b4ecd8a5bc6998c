//! Termination signals as a descriptor: no handler, nothing asynchronous, no global flag.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::Duration;

use crate::{check, wake};

/// SIGTERM and SIGINT, readable instead of deadly.
pub struct Termination {
    fd: OwnedFd,
}

impl Termination {
    /// Blocks SIGTERM and SIGINT in this thread and all threads it starts later (so: call it first in `main`),
    /// and makes them readable. Children have them blocked, too, but for [`crate::child::reset_signals`].
    ///
    /// # Errors
    /// What pthread_sigmask and signalfd report.
    pub fn block() -> io::Result<Termination> {
        let mut set = MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: sigemptyset initialises the set it is given.
        check(unsafe { libc::sigemptyset(set.as_mut_ptr()) })?;
        // SAFETY: initialised by sigemptyset above.
        let mut set = unsafe { set.assume_init() };
        for signal in [libc::SIGTERM, libc::SIGINT] {
            // SAFETY: `set` is initialised, the signal number valid.
            check(unsafe { libc::sigaddset(&mut set, signal) })?;
        }
        // SAFETY: `set` is initialised; the old mask is not wanted.
        let failed = unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &set, std::ptr::null_mut()) };
        if failed != 0 {
            return Err(io::Error::from_raw_os_error(failed));
        }
        // SAFETY: -1 asks for a new descriptor; `set` is initialised.
        let fd = check(unsafe { libc::signalfd(-1, &set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) })?;
        // SAFETY: the kernel just made this descriptor for us.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Termination { fd })
    }

    /// Waits for a signal, at most `timeout` (`None`: for ever). True when one came; it is taken.
    ///
    /// # Errors
    /// What poll(2) and read(2) report.
    pub fn wait(&self, timeout: Option<Duration>) -> io::Result<bool> {
        if !wake::wait_readable([self.as_fd()], timeout)?[0] {
            return Ok(false);
        }
        let mut info = [0u8; size_of::<libc::signalfd_siginfo>()];
        // SAFETY: the buffer has room for one record and is exclusively borrowed.
        let returned = unsafe { libc::read(self.fd.as_raw_fd(), info.as_mut_ptr().cast(), info.len()) };
        match crate::check_size(returned) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        }
    }
}

impl AsFd for Termination {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
