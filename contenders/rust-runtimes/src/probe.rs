//! Whether this machine allows a runtime, and if not, what to change.

use std::fs;
use std::io;

use io_uring::{IoUring, opcode};
use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit};

/// Needs nothing but epoll.
///
/// # Errors
/// Never.
pub fn nothing() -> Result<(), String> {
    Ok(())
}

/// Needs io_uring, with accept, receive and send.
///
/// # Errors
/// What forbids it, and what to change.
pub fn io_uring() -> Result<(), String> {
    let ring = IoUring::new(8).map_err(|error| why_no_ring(&error))?;
    let mut probe = io_uring::Probe::new();
    let known = ring.submitter().register_probe(&mut probe);
    let codes = [
        opcode::Accept::CODE,
        opcode::Recv::CODE,
        opcode::Send::CODE,
        opcode::PollAdd::CODE,
    ];
    match known {
        Ok(()) if codes.iter().all(|&code| probe.is_supported(code)) => Ok(()),
        _ => Err("this kernel's io_uring is too old for sockets: it takes Linux 5.6 or later".to_owned()),
    }
}

/// How the rings of monoio, compio and tokio-uring are set up: each is used by one thread alone, which needs no
/// interrupt to hear of completions, as it enters the kernel often enough by itself (io_uring_setup(2),
/// IORING_SETUP_COOP_TASKRUN and IORING_SETUP_TASKRUN_FLAG). With IORING_SETUP_DEFER_TASKRUN tokio-uring, which waits
/// for its ring by epoll, hears of nothing. Before Linux 5.19 there is no such thing.
pub fn ring() -> io_uring::Builder {
    let mut ring = IoUring::builder();
    if has_cooperative_ring() {
        ring.setup_coop_taskrun().setup_taskrun_flag();
    }
    ring
}

/// Whether the kernel has what [`ring`] asks for.
pub fn has_cooperative_ring() -> bool {
    let mut ring: io_uring::Builder = IoUring::builder();
    ring.setup_coop_taskrun().setup_taskrun_flag().build(8).is_ok()
}

/// glommio refuses to start below 512 KiB of lockable memory (its documentation, "Memlock").
const GLOMMIO_MEMLOCK_BYTES: u64 = 512 * 1024;

/// As [`io_uring()`], and glommio's own condition.
///
/// # Errors
/// What forbids it, and what to change.
pub fn glommio() -> Result<(), String> {
    io_uring()?;
    match getrlimit(Resource::RLIMIT_MEMLOCK) {
        Ok((soft, _)) if soft < GLOMMIO_MEMLOCK_BYTES => Err(format!(
            "glommio wants {GLOMMIO_MEMLOCK_BYTES} bytes of lockable memory and this process may lock {soft}: raise it \
             (`ulimit -l 512`, or `--ulimit memlock=524288` for a container)"
        )),
        _ => Ok(()),
    }
}

fn why_no_ring(error: &io::Error) -> String {
    let disabled = fs::read_to_string("/proc/sys/kernel/io_uring_disabled").unwrap_or_default();
    match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::ENOSYS) => {
            "this kernel has no io_uring (ENOSYS): it takes Linux 5.6 or later, built with \
             CONFIG_IO_URING; in a container that denies it, start it with --security-opt \
             seccomp=seccomp/io-uring.json"
                .to_owned()
        }
        Some(Errno::EPERM | Errno::EACCES) if matches!(disabled.trim(), "1" | "2") => format!(
            "io_uring is disabled on this machine (kernel.io_uring_disabled = {}): allow it with `sysctl -w \
             kernel.io_uring_disabled=0`",
            disabled.trim()
        ),
        Some(Errno::EPERM | Errno::EACCES) => "io_uring is denied, in a container by seccomp: start it with \
             --security-opt seccomp=seccomp/io-uring.json"
            .to_owned(),
        Some(Errno::ENOMEM) => {
            "no memory may be locked for io_uring: raise the limit (`ulimit -l`, or --ulimit \
             memlock=-1 for a container)"
                .to_owned()
        }
        _ => format!("io_uring does not start: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_says_what_to_change() {
        for (errno, remedy) in [
            (Errno::ENOSYS, "Linux 5.6"),
            (Errno::ENOMEM, "ulimit -l"),
            (Errno::EPERM, "io_uring"),
        ] {
            let why = why_no_ring(&io::Error::from(errno));
            assert!(why.contains(remedy), "{why}");
        }
    }
}
