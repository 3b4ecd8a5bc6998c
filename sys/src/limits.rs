//! Limits of this process: descriptors, and how precisely its sleeps end.

use std::io;
use std::time::Duration;

use crate::check;

/// The limit of open descriptors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DescriptorLimit {
    /// What holds now (`ulimit -Sn`).
    pub soft: u64,
    /// How far this process may raise it by itself (`ulimit -Hn`).
    pub hard: u64,
}

/// The limit of open descriptors as it stands.
///
/// # Errors
/// What getrlimit reports.
pub fn descriptor_limit() -> io::Result<DescriptorLimit> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: `limit` is exclusively borrowed.
    check(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) })?;
    Ok(DescriptorLimit {
        soft: limit.rlim_cur,
        hard: limit.rlim_max,
    })
}

/// Raises the soft limit of descriptors to the hard one, and says what holds now.
///
/// # Errors
/// What getrlimit and setrlimit report.
pub fn raise_descriptor_limit() -> io::Result<DescriptorLimit> {
    let before = descriptor_limit()?;
    let raised = libc::rlimit {
        rlim_cur: before.hard,
        rlim_max: before.hard,
    };
    // SAFETY: `raised` lives through the call.
    check(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raised) })?;
    descriptor_limit()
}

/// How late the kernel may end this thread's sleeps to batch wake-ups (prctl PR_SET_TIMERSLACK; the default is
/// 50 µs). Threads started later inherit it.
///
/// # Errors
/// What prctl reports.
pub fn set_timer_slack(slack: Duration) -> io::Result<()> {
    let nanoseconds = slack.as_nanos().clamp(1, u128::from(u32::MAX)) as libc::c_ulong;
    // SAFETY: this prctl takes a number and touches no memory of ours.
    check(unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, nanoseconds) })?;
    Ok(())
}
