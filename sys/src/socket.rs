//! The three calls of an echo server's hot path: accept, receive, send. Set-up of sockets is socket2's job.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use crate::{check, check_size};

/// Accepts one connection, non-blocking and close-on-exec from birth (accept4(2)).
///
/// # Errors
/// What accept4 reports: `WouldBlock` when no connection waits (or another worker took it), EMFILE and ENFILE
/// when descriptors ran out, ECONNABORTED when the peer gave up meanwhile.
pub fn accept(listener: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    loop {
        // SAFETY: null address and length are allowed: the peer's address is not wanted.
        let returned = unsafe {
            libc::accept4(
                listener.as_raw_fd(),
                std::ptr::null_mut(),
                std::ptr::null_mut(),
                flags,
            )
        };
        match check(returned) {
            // SAFETY: the kernel just made this descriptor for us, and nobody else knows of it.
            Ok(fd) => return Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Reads what has arrived, up to the buffer's length (recv(2)). `Ok(0)` is the peer's end of stream.
///
/// # Errors
/// What recv reports; `WouldBlock` when nothing is there.
#[inline]
pub fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        // SAFETY: pointer and length describe a live, exclusively borrowed buffer.
        let returned = unsafe { libc::recv(socket.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len(), 0) };
        match check_size(returned) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// Writes what fits into the socket's send buffer (send(2)); a closed peer is an error, never a signal.
///
/// # Errors
/// What send reports; `WouldBlock` when nothing fits.
#[inline]
pub fn send(socket: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    loop {
        // SAFETY: pointer and length describe a live borrowed buffer.
        let returned = unsafe {
            libc::send(
                socket.as_raw_fd(),
                bytes.as_ptr().cast(),
                bytes.len(),
                libc::MSG_NOSIGNAL,
            )
        };
        match check_size(returned) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}
