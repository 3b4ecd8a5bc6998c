//! Whether this machine allows io_uring as [`super::Ring`] needs it; if not, what forbids it and what to change.

use std::fmt;
use std::fs;
use std::io;
use std::time::Duration;

use io_uring::Parameters;

use super::{Ring, Setup};

/// Why io_uring cannot be used here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The sysctl kernel.io_uring_disabled has this value (1 or 2).
    SwitchedOff(u8),
    /// A seccomp filter denies it, as Docker's default profile does from version 25 on.
    Seccomp,
    /// It is denied, but neither by the sysctl nor by seccomp: a security module, such as SELinux.
    Denied,
    /// The kernel has no io_uring at all.
    Absent,
    /// The kernel's io_uring lacks what is needed.
    Lacks(String),
    /// Anything else that went wrong while trying.
    Failed(String),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::SwitchedOff(1) => f.write_str(
                "io_uring is kept for privileged processes (kernel.io_uring_disabled is 1): set it to 0 with `sysctl \
                 -w kernel.io_uring_disabled=0`, or run in the group that kernel.io_uring_group names",
            ),
            Refusal::SwitchedOff(value) => write!(
                f,
                "io_uring is switched off (kernel.io_uring_disabled is {value}): set it to 0 with `sysctl -w \
                 kernel.io_uring_disabled=0`"
            ),
            Refusal::Seccomp => f.write_str(
                "io_uring is denied by seccomp: start the container with seccomp/io-uring.json (docker run \
                 --security-opt seccomp=seccomp/io-uring.json)",
            ),
            Refusal::Denied => f.write_str(
                "io_uring is denied, but not by seccomp or kernel.io_uring_disabled: look into the audit log for the \
                 security module that does it (SELinux, AppArmor)",
            ),
            Refusal::Absent => f.write_str(
                "this kernel (or sandbox) has no io_uring: use Linux 6.1 or newer, built with CONFIG_IO_URING",
            ),
            Refusal::Lacks(what) => write!(f, "this kernel's io_uring lacks {what}: use Linux 6.1 or newer"),
            Refusal::Failed(why) => write!(f, "io_uring does not work here: {why}"),
        }
    }
}

/// Makes a small ring and lets it do something, as a server would.
///
/// # Errors
/// What forbids it.
pub fn probe() -> Result<(), Refusal> {
    try_out().map_err(|error| {
        let disabled = fs::read_to_string("/proc/sys/kernel/io_uring_disabled").ok();
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        explain(&error, disabled.as_deref(), is_filtered(&status))
    })
}

fn try_out() -> io::Result<()> {
    let mut ring = Ring::new(&Setup {
        submissions: 4,
        completions: 8,
        connections: 1,
        buffers: 1,
        buffer_bytes: 64,
    })?;
    let flag = crate::wake::Flag::new()?;
    flag.raise();
    let watched = ring.adopt(std::os::fd::AsFd::as_fd(&flag))?;
    ring.watch(&watched)?;
    ring.wait(1, Duration::ZERO, Some(Duration::from_secs(5)))?;
    match ring.next_completion()? {
        Some(_) => Ok(()),
        None => Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "an operation did not complete",
        )),
    }
}

/// What an error of the attempt means, given the sysctl's text and whether seccomp filters this process.
fn explain(error: &io::Error, disabled: Option<&str>, filtered: bool) -> Refusal {
    let disabled = disabled.and_then(|text| text.trim().parse::<u8>().ok());
    match (error.raw_os_error(), disabled) {
        (Some(libc::EPERM | libc::EACCES), Some(value)) if value > 0 => Refusal::SwitchedOff(value),
        (Some(libc::EPERM | libc::EACCES | libc::ENOSYS), _) if filtered => Refusal::Seccomp,
        (Some(libc::EPERM | libc::EACCES), _) => Refusal::Denied,
        (Some(libc::ENOSYS), _) => Refusal::Absent,
        (Some(libc::EINVAL), _) => {
            Refusal::Lacks("deferred task running, multishot receive or rings of provided buffers".to_owned())
        }
        (Some(libc::ENOMEM), _) => Refusal::Failed(
            "out of memory that may be locked: raise the limit (`ulimit -l unlimited`, or --ulimit memlock=-1)".to_owned(),
        ),
        _ => Refusal::Failed(error.to_string()),
    }
}

/// Whether `Seccomp:` in /proc/self/status says 2: a filter.
fn is_filtered(status: &str) -> bool {
    let line = status.lines().find_map(|line| line.strip_prefix("Seccomp:"));
    line.is_some_and(|mode| mode.trim() == "2")
}

/// The features that a ring needs and this kernel lacks, by the kernel's names.
pub(super) fn missing(parameters: &Parameters) -> Vec<&'static str> {
    let needed = [
        (parameters.is_feature_nodrop(), "IORING_FEAT_NODROP (Linux 5.5)"),
        (
            parameters.is_feature_submit_stable(),
            "IORING_FEAT_SUBMIT_STABLE (Linux 5.5)",
        ),
        (
            parameters.is_feature_fast_poll(),
            "IORING_FEAT_FAST_POLL (Linux 5.7)",
        ),
        (
            parameters.is_feature_ext_arg(),
            "IORING_FEAT_EXT_ARG (Linux 5.11)",
        ),
        (
            parameters.is_feature_skip_cqe_on_success(),
            "IORING_FEAT_CQE_SKIP (Linux 5.17)",
        ),
    ];
    let lacking = needed.iter().filter(|(has, _)| !has);
    lacking.map(|(_, name)| *name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explained(errno: i32, disabled: Option<&str>, filtered: bool) -> Refusal {
        explain(&io::Error::from_raw_os_error(errno), disabled, filtered)
    }

    #[test]
    fn each_refusal_names_what_forbids_it_and_what_to_change() {
        let cases = [
            (
                explained(libc::EPERM, Some("2\n"), true),
                "kernel.io_uring_disabled=0",
            ),
            (
                explained(libc::EPERM, Some("1\n"), false),
                "kernel.io_uring_group",
            ),
            (explained(libc::EPERM, Some("0\n"), true), "seccomp/io-uring.json"),
            (explained(libc::ENOSYS, None, true), "seccomp/io-uring.json"),
            (explained(libc::EPERM, None, false), "audit log"),
            (explained(libc::ENOSYS, None, false), "CONFIG_IO_URING"),
            (explained(libc::EINVAL, Some("0\n"), false), "6.1 or newer"),
            (explained(libc::ENOMEM, None, false), "memlock"),
        ];
        for (refusal, remedy) in cases {
            let text = refusal.to_string();
            assert!(text.contains(remedy), "{refusal:?}: {text}");
            assert!(!text.contains("  "), "{text}");
        }
    }

    #[test]
    fn seccomp_is_read_from_the_status() {
        assert!(is_filtered("Name:\tx\nSeccomp:\t2\nSeccomp_filters:\t1\n"));
        assert!(!is_filtered("Name:\tx\nSeccomp:\t0\nSeccomp_filters:\t0\n"));
        assert!(!is_filtered(""));
    }
}
