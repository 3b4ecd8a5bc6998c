//! The timer behind the sampler: SIGPROF each time the process has used so much CPU time.
//!
//! There are two. The POSIX timer on the process's CPU clock is precise, but before Linux 6.4 its signal went to the main
//! thread, whoever had used the CPU. setitimer's ITIMER_PROF always signals the thread that is running, but counts CPU
//! time in whole ticks, and a virtual machine misses ticks: a quarter of the samples, on one that was looked at.

use std::io;
use std::time::Duration;

use crate::check_size;

/// A timer on this process's CPU clock; gone when dropped.
#[derive(Debug)]
pub enum CpuTimer {
    /// timer_create(2) with CLOCK_PROCESS_CPUTIME_ID.
    Precise(libc::c_int),
    /// setitimer(2) with ITIMER_PROF.
    Ticks,
}

/// As setitimer has it; the libc crate does not declare it here.
const ITIMER_PROF: libc::c_int = 2;

impl CpuTimer {
    /// Not running yet.
    ///
    /// # Errors
    /// What timer_create reports.
    pub fn new() -> io::Result<CpuTimer> {
        if !kernel_is_at_least(6, 4) {
            return Ok(CpuTimer::Ticks);
        }
        // SAFETY: for a sigevent, all zeroes is a value.
        let mut event: libc::sigevent = unsafe { std::mem::zeroed() };
        event.sigev_notify = libc::SIGEV_SIGNAL;
        event.sigev_signo = libc::SIGPROF;
        let mut id: libc::c_int = 0;
        // The system call itself: the C library's function of this name stands in another library before glibc 2.34.
        // SAFETY: both pointers are to live values; the kernel's timer number is an int.
        let returned = unsafe {
            libc::syscall(
                libc::SYS_timer_create,
                libc::CLOCK_PROCESS_CPUTIME_ID,
                &raw mut event,
                &raw mut id,
            )
        };
        check_size(returned as isize)?;
        Ok(CpuTimer::Precise(id))
    }

    /// Signals each time that `period` of CPU time has been used; zero stops it.
    ///
    /// # Errors
    /// What timer_settime and setitimer report.
    pub fn set(&self, period: Duration) -> io::Result<()> {
        let seconds = period.as_secs() as libc::time_t;
        let returned = match *self {
            CpuTimer::Precise(id) => {
                let period = libc::timespec {
                    tv_sec: seconds,
                    tv_nsec: period.subsec_nanos() as libc::c_long,
                };
                let timer = libc::itimerspec {
                    it_interval: period,
                    it_value: period,
                };
                let old = std::ptr::null_mut::<libc::itimerspec>();
                // SAFETY: `timer` lives through the call; the old value is not wanted.
                unsafe { libc::syscall(libc::SYS_timer_settime, id, 0, &raw const timer, old) }
            }
            CpuTimer::Ticks => {
                let period = libc::timeval {
                    tv_sec: seconds,
                    tv_usec: period.subsec_micros() as libc::suseconds_t,
                };
                // The layout of `struct itimerval`: interval, then first expiry.
                let timer = [period, period];
                let old = std::ptr::null_mut::<libc::timeval>();
                // SAFETY: `timer` lives through the call; the old value is not wanted.
                unsafe { libc::syscall(libc::SYS_setitimer, ITIMER_PROF, timer.as_ptr(), old) }
            }
        };
        check_size(returned as isize).map(drop)
    }
}

impl Drop for CpuTimer {
    fn drop(&mut self) {
        // Stopping a timer that is there cannot fail.
        let _ = self.set(Duration::ZERO);
        if let CpuTimer::Precise(id) = *self {
            // SAFETY: this call takes a number; the timer is ours, and nobody uses it after this.
            unsafe { libc::syscall(libc::SYS_timer_delete, id) };
        }
    }
}

/// Whether the running kernel is this one or a later one; no when it does not say.
fn kernel_is_at_least(major: u32, minor: u32) -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    version(&release).is_some_and(|version| version >= (major, minor))
}

fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_is_read_as_numbers() {
        assert_eq!(version("6.18.44-generic\n"), Some((6, 18)));
        assert_eq!(version("5.4-rc1"), Some((5, 4)));
        assert_eq!(version("unknown"), None);
        assert!(version("6.10") > version("6.4"));
    }
}
