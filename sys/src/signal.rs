//! Signals as a descriptor: no handler, nothing asynchronous, no global flag.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::Duration;

use crate::{check, wake};

/// A signal that can be waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM or SIGINT: someone wants this process to end.
    Termination,
    /// SIGCHLD: a child has ended, or several have.
    ChildEnded,
}

/// Blocks signals in this thread and all threads it starts later, and makes them readable.
fn block(numbers: &[libc::c_int]) -> io::Result<OwnedFd> {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigemptyset initialises the set it is given.
    check(unsafe { libc::sigemptyset(set.as_mut_ptr()) })?;
    // SAFETY: initialised by sigemptyset above.
    let mut set = unsafe { set.assume_init() };
    for &number in numbers {
        // SAFETY: `set` is initialised, the signal number valid.
        check(unsafe { libc::sigaddset(&mut set, number) })?;
    }
    // SAFETY: `set` is initialised; the old mask is not wanted.
    let failed = unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &set, std::ptr::null_mut()) };
    if failed != 0 {
        return Err(io::Error::from_raw_os_error(failed));
    }
    // SAFETY: -1 asks for a new descriptor; `set` is initialised.
    let fd = check(unsafe { libc::signalfd(-1, &set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) })?;
    // SAFETY: the kernel just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Waits for one of the signals, at most `timeout` (`None`: for ever), and takes it; `None` when none came.
fn wait(fd: &OwnedFd, timeout: Option<Duration>) -> io::Result<Option<Signal>> {
    if !wake::wait_readable([fd.as_fd()], timeout)?[0] {
        return Ok(None);
    }
    let mut info = MaybeUninit::<libc::signalfd_siginfo>::zeroed();
    let bytes = size_of::<libc::signalfd_siginfo>();
    // SAFETY: the record has room for what is asked for and is exclusively borrowed.
    let returned = unsafe { libc::read(fd.as_raw_fd(), info.as_mut_ptr().cast(), bytes) };
    match crate::check_size(returned) {
        Ok(_) => {
            // SAFETY: plain numbers, zeroed above and written by the kernel.
            let info = unsafe { info.assume_init() };
            let is_child = info.ssi_signo == libc::SIGCHLD as u32;
            Ok(Some(if is_child {
                Signal::ChildEnded
            } else {
                Signal::Termination
            }))
        }
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}

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
        let fd = block(&[libc::SIGTERM, libc::SIGINT])?;
        Ok(Termination { fd })
    }

    /// Waits for a signal, at most `timeout` (`None`: for ever). True when one came; it is taken.
    ///
    /// # Errors
    /// What poll(2) and read(2) report.
    pub fn wait(&self, timeout: Option<Duration>) -> io::Result<bool> {
        Ok(wait(&self.fd, timeout)?.is_some())
    }
}

impl AsFd for Termination {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// What a process that looks after others waits for: the end of a child, or the wish that it ends itself.
pub struct Watch {
    fd: OwnedFd,
}

impl Watch {
    /// As [`Termination::block`], with SIGCHLD.
    ///
    /// # Errors
    /// What pthread_sigmask and signalfd report.
    pub fn block() -> io::Result<Watch> {
        let fd = block(&[libc::SIGTERM, libc::SIGINT, libc::SIGCHLD])?;
        Ok(Watch { fd })
    }

    /// Waits for a signal, at most `timeout` (`None`: for ever); it is taken.
    ///
    /// # Errors
    /// What poll(2) and read(2) report.
    pub fn wait(&self, timeout: Option<Duration>) -> io::Result<Option<Signal>> {
        wait(&self.fd, timeout)
    }
}
