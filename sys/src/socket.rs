//! The three calls of an echo server's hot path: accept, receive, send. Set-up of sockets is socket2's job, but for
//! the one option that it does not know.

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

/// Lets `connect` choose the source port of a socket that is bound to an address alone (IP_BIND_ADDRESS_NO_PORT).
/// Without it `bind` reserves a port at once, for all peers, and an address yields far fewer connections.
///
/// # Errors
/// What setsockopt reports; ENOPROTOOPT on kernels before 4.2.
pub fn choose_source_port_late(socket: BorrowedFd<'_>) -> io::Result<()> {
    let on: libc::c_int = 1;
    // SAFETY: the option takes an int, which lives through the call.
    check(unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_IP,
            libc::IP_BIND_ADDRESS_NO_PORT,
            (&raw const on).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    })?;
    Ok(())
}

/// Whether a non-blocking `connect` that returned this error goes on in the background (EINPROGRESS).
pub fn is_in_progress(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EINPROGRESS)
}
