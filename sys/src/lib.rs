//! The only unsafe code of echolab: a thin safe layer over libc (and io-uring).
//!
//! Every function here owns or borrows its descriptors through the standard library's types, checks what the
//! kernel returned, and turns errno into [`std::io::Error`]. Nothing here decides anything: no policy, no
//! retry beyond EINTR, no knowledge of echo servers, metrics or command lines.

pub mod adopt;
pub mod allocator;
pub mod bare;
pub mod child;
pub mod clock;
pub mod cpu;
pub mod epoll;
pub mod errno;
pub mod limits;
pub mod process;
pub mod sampler;
pub mod signal;
pub mod socket;
pub mod timer;
pub mod uring;
pub mod wake;

use std::io;

/// Turns a libc return value into a result: negative means "look at errno".
fn check(returned: libc::c_int) -> io::Result<libc::c_int> {
    if returned < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(returned)
    }
}

/// As [`check`], for calls that return a size.
fn check_size(returned: isize) -> io::Result<usize> {
    usize::try_from(returned).map_err(|_| io::Error::last_os_error())
}
