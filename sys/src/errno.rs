//! Names for error numbers that `std::io::ErrorKind` does not tell apart.

use std::io;

/// This process or this machine has no descriptor left (EMFILE, ENFILE).
pub fn is_out_of_descriptors(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
}

/// The kernel has no memory left for this (ENOBUFS, ENOMEM), or a limit on it is reached (ENOSPC: watches of epoll).
pub fn is_out_of_memory(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::ENOBUFS | libc::ENOMEM | libc::ENOSPC)
    )
}
