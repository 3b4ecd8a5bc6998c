//! A flag that a thread can raise and any number of epolls can watch: eventfd(2).

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use crate::check;

/// Raised once, it stays readable until lowered, so that everyone who watches it level-triggered sees it.
#[derive(Debug)]
pub struct Flag {
    fd: OwnedFd,
}

impl Flag {
    /// A lowered flag.
    ///
    /// # Errors
    /// When descriptors ran out.
    pub fn new() -> io::Result<Flag> {
        // SAFETY: no pointers are passed.
        let fd = check(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) })?;
        // SAFETY: the kernel just made this descriptor for us.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Flag { fd })
    }

    /// Raises the flag; raising it again changes nothing.
    pub fn raise(&self) {
        let one = 1u64.to_ne_bytes();
        // SAFETY: the eight bytes live through the call. A full counter (EAGAIN) means that it is raised already.
        unsafe { libc::write(self.fd.as_raw_fd(), one.as_ptr().cast(), one.len()) };
    }

    /// Lowers the flag.
    pub fn lower(&self) {
        let mut count = [0u8; 8];
        // SAFETY: the eight bytes are exclusively borrowed. EAGAIN means that it was lowered already.
        unsafe { libc::read(self.fd.as_raw_fd(), count.as_mut_ptr().cast(), count.len()) };
    }
}

impl AsFd for Flag {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Waits until one of `fds` is readable or `timeout` has passed (`None`: for ever); says which are. A signal
/// counts as none.
///
/// # Errors
/// What poll(2) reports.
pub fn wait_readable<const N: usize>(
    fds: [BorrowedFd<'_>; N],
    timeout: Option<std::time::Duration>,
) -> io::Result<[bool; N]> {
    let mut polled = fds.map(|fd| libc::pollfd {
        fd: fd.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    });
    let milliseconds = timeout.map_or(-1, |timeout| {
        timeout.as_nanos().div_ceil(1_000_000).min(i32::MAX as u128) as i32
    });
    // SAFETY: `polled` holds N entries and is exclusively borrowed.
    match check(unsafe { libc::poll(polled.as_mut_ptr(), N as libc::nfds_t, milliseconds) }) {
        Ok(_) => Ok(polled.map(|entry| entry.revents != 0)),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok([false; N]),
        Err(error) => Err(error),
    }
}
