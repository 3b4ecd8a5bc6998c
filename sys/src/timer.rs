//! An alarm that an epoll can watch: timerfd_create(2).
//!
//! A wait with a timeout costs the kernel a timer of its own each time, and on a virtual machine each timer an exit to
//! the host. One that stays set while waits come and go costs that once. Nor is it subject to the thread's timer slack.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::Duration;

use crate::check;

/// An alarm, on the monotonic clock. Watch it edge-triggered, and it need not be read after it has gone off.
#[derive(Debug)]
pub struct Timer {
    fd: OwnedFd,
}

impl Timer {
    /// An alarm that is not set.
    ///
    /// # Errors
    /// When descriptors ran out.
    pub fn new() -> io::Result<Timer> {
        let flags = libc::TFD_CLOEXEC | libc::TFD_NONBLOCK;
        // SAFETY: no pointers are passed.
        let fd = check(unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, flags) })?;
        // SAFETY: the kernel just made this descriptor for us.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Timer { fd })
    }

    /// Lets the alarm go off once, `after` this time from now (a nanosecond at least); an earlier setting is forgotten.
    ///
    /// # Errors
    /// What timerfd_settime reports; for a valid descriptor, nothing.
    #[inline]
    pub fn set(&self, after: Duration) -> io::Result<()> {
        let after = after.max(Duration::from_nanos(1));
        let setting = libc::itimerspec {
            it_interval: libc::timespec {
                tv_sec: 0,
                tv_nsec: 0,
            },
            it_value: libc::timespec {
                tv_sec: after.as_secs().min(i64::MAX as u64) as i64,
                tv_nsec: i64::from(after.subsec_nanos()),
            },
        };
        // SAFETY: `setting` lives through the call; the old setting is not wanted.
        check(unsafe { libc::timerfd_settime(self.fd.as_raw_fd(), 0, &setting, std::ptr::null_mut()) })?;
        Ok(())
    }
}

impl AsFd for Timer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::epoll::{Epoll, Events, Interest};

    #[test]
    fn an_alarm_wakes_an_epoll_once_each_time_it_is_set() {
        let (epoll, timer, mut events) = (
            Epoll::new().unwrap(),
            Timer::new().unwrap(),
            Events::with_capacity(4),
        );
        epoll
            .add(timer.as_fd(), Interest::READABLE | Interest::EDGE, 7)
            .unwrap();
        for _ in 0..3 {
            let before = std::time::Instant::now();
            timer.set(Duration::from_millis(3)).unwrap();
            assert_eq!(epoll.wait(&mut events, None).unwrap(), 1);
            assert!(before.elapsed() >= Duration::from_millis(3));
            assert_eq!(events.get(0).unwrap().token, 7);
            assert_eq!(epoll.wait(&mut events, Some(Duration::ZERO)).unwrap(), 0);
        }
    }
}
