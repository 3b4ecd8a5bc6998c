//! epoll(7): one instance, the interests registered in it, and the events of one wait.

use std::io;
use std::ops::BitOr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::check;

/// What one wants to hear about a descriptor, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interest(u32);

impl Interest {
    /// Nothing but what epoll always reports: errors and hang-ups.
    pub const NONE: Interest = Interest(0);
    /// Bytes (or connections) can be taken.
    pub const READABLE: Interest = Interest(libc::EPOLLIN as u32);
    /// Bytes can be written.
    pub const WRITABLE: Interest = Interest(libc::EPOLLOUT as u32);
    /// The peer will send no more (EPOLLRDHUP).
    pub const PEER_CLOSED: Interest = Interest(libc::EPOLLRDHUP as u32);
    /// Report a change once, not a state again and again (EPOLLET).
    pub const EDGE: Interest = Interest(libc::EPOLLET as u32);
    /// Wake one of the epolls that share this descriptor, not all (EPOLLEXCLUSIVE; add only).
    pub const EXCLUSIVE: Interest = Interest(libc::EPOLLEXCLUSIVE as u32);
}

impl BitOr for Interest {
    type Output = Interest;
    fn bitor(self, other: Interest) -> Interest {
        Interest(self.0 | other.0)
    }
}

/// One event: the token given at registration, and what happened.
#[derive(Clone, Copy)]
pub struct Event {
    flags: u32,
    /// The token under which the descriptor was registered.
    pub token: u64,
}

impl Event {
    /// Bytes (or connections, or the end of the stream) can be taken.
    pub fn is_readable(self) -> bool {
        self.flags & (libc::EPOLLIN as u32) != 0
    }
    /// Bytes can be written.
    pub fn is_writable(self) -> bool {
        self.flags & (libc::EPOLLOUT as u32) != 0
    }
    /// The peer closed its sending half, or both are closed.
    pub fn is_hangup(self) -> bool {
        self.flags & (libc::EPOLLHUP as u32 | libc::EPOLLRDHUP as u32) != 0
    }
    /// The socket has an error to fetch (a reset, for example).
    pub fn is_error(self) -> bool {
        self.flags & (libc::EPOLLERR as u32) != 0
    }
}

/// Room for the events of one wait.
pub struct Events {
    buffer: Vec<libc::epoll_event>,
    length: usize,
}

impl Events {
    /// Room for up to `capacity` events a wait (at least one).
    pub fn with_capacity(capacity: usize) -> Events {
        Events {
            buffer: vec![libc::epoll_event { events: 0, u64: 0 }; capacity.max(1)],
            length: 0,
        }
    }

    /// How many events the last wait brought.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether the last wait brought nothing.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// The event at `index` of the last wait, or `None` past its end.
    #[inline]
    pub fn get(&self, index: usize) -> Option<Event> {
        self.buffer[..self.length].get(index).map(|event| Event {
            flags: event.events,
            token: event.u64,
        })
    }
}

/// One epoll instance.
pub struct Epoll {
    fd: OwnedFd,
}

impl Epoll {
    /// A new, empty instance.
    ///
    /// # Errors
    /// When descriptors ran out, or the user's limit of epoll instances.
    pub fn new() -> io::Result<Epoll> {
        // SAFETY: no pointers are passed.
        let fd = check(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        // SAFETY: the kernel just made this descriptor for us.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Epoll { fd })
    }

    /// Registers `fd`; its events carry `token`.
    ///
    /// # Errors
    /// What epoll_ctl reports: EEXIST, ENOSPC (the user's limit of watches), ENOMEM.
    pub fn add(&self, fd: BorrowedFd<'_>, interest: Interest, token: u64) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, fd, interest, token)
    }

    /// Changes what is wanted of a registered `fd`.
    ///
    /// # Errors
    /// What epoll_ctl reports: ENOENT when it is not registered.
    pub fn modify(&self, fd: BorrowedFd<'_>, interest: Interest, token: u64) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, fd, interest, token)
    }

    /// Takes `fd` out. Closing the last descriptor of a socket does the same by itself.
    ///
    /// # Errors
    /// What epoll_ctl reports: ENOENT when it is not registered.
    pub fn delete(&self, fd: BorrowedFd<'_>) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_DEL, fd, Interest::NONE, 0)
    }

    fn control(&self, operation: i32, fd: BorrowedFd<'_>, interest: Interest, token: u64) -> io::Result<()> {
        let mut event = libc::epoll_event {
            events: interest.0,
            u64: token,
        };
        // SAFETY: `event` lives through the call; the kernel copies it.
        check(unsafe { libc::epoll_ctl(self.fd.as_raw_fd(), operation, fd.as_raw_fd(), &mut event) })?;
        Ok(())
    }

    /// Waits for events, at most `timeout` (`None`: for ever; zero: only looks). Returns how many came; a signal
    /// counts as none. Timeouts between zero and a millisecond are kept to the nanosecond where the kernel has
    /// epoll_pwait2 (Linux 5.11), else rounded up to whole milliseconds.
    ///
    /// # Errors
    /// What epoll_wait reports; with a valid instance, nothing.
    #[inline]
    pub fn wait(&self, events: &mut Events, timeout: Option<Duration>) -> io::Result<usize> {
        events.length = 0;
        let result = match timeout {
            None => self.wait_milliseconds(events, -1),
            Some(Duration::ZERO) => self.wait_milliseconds(events, 0),
            Some(timeout) => self.wait_precisely(events, timeout),
        };
        match result {
            Ok(length) => events.length = length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        Ok(events.length)
    }

    fn wait_milliseconds(&self, events: &mut Events, milliseconds: i32) -> io::Result<usize> {
        let room = events.buffer.len().min(i32::MAX as usize) as i32;
        // SAFETY: the buffer has room for `room` events and is exclusively borrowed.
        let returned = unsafe {
            libc::epoll_wait(
                self.fd.as_raw_fd(),
                events.buffer.as_mut_ptr(),
                room,
                milliseconds,
            )
        };
        check(returned).map(|length| length as usize)
    }

    fn wait_precisely(&self, events: &mut Events, timeout: Duration) -> io::Result<usize> {
        if !PWAIT2_MISSING.load(Ordering::Relaxed) {
            let limit = libc::timespec {
                tv_sec: timeout.as_secs().min(i64::MAX as u64) as i64,
                tv_nsec: i64::from(timeout.subsec_nanos()),
            };
            // SAFETY: the buffer has room for its length of events, `limit` lives through the call, and a null
            // signal mask leaves the mask alone.
            let returned = unsafe {
                libc::syscall(
                    libc::SYS_epoll_pwait2,
                    self.fd.as_raw_fd(),
                    events.buffer.as_mut_ptr(),
                    events.buffer.len().min(i32::MAX as usize) as libc::c_int,
                    &raw const limit,
                    std::ptr::null::<libc::sigset_t>(),
                    0usize,
                )
            };
            match check_size_of(returned) {
                // Old kernels say ENOSYS, old container seccomp profiles EPERM.
                Err(error) if matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EPERM)) => {
                    PWAIT2_MISSING.store(true, Ordering::Relaxed);
                }
                result => return result,
            }
        }
        let milliseconds = timeout.as_nanos().div_ceil(1_000_000).min(i32::MAX as u128) as i32;
        self.wait_milliseconds(events, milliseconds)
    }
}

/// Set once the kernel has said that it knows no epoll_pwait2.
static PWAIT2_MISSING: AtomicBool = AtomicBool::new(false);

fn check_size_of(returned: libc::c_long) -> io::Result<usize> {
    crate::check_size(returned as isize)
}

impl AsFd for Epoll {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
