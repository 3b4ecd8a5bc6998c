//! An epoll that owns the sockets registered in it, with no table beside it: the kernel's list is the only one.
//!
//! What a server pays for its own table of connections can only be told by one that has none, and turning an event's
//! number back into a descriptor is nothing that safe code may do.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd};

use crate::epoll::{Epoll, Events, Interest};

/// An epoll and all that is registered in it. Dropped, it leaves its sockets open: it cannot tell which they are.
pub struct Owning {
    epoll: Epoll,
    events: Events,
}

/// Blocks until the socket takes bytes again, or has an error. A signal does not end it: poll(2) is one of the calls that
/// SA_RESTART does not restart, and a server that is being profiled gets hundreds of them a second.
///
/// # Errors
/// What poll(2) reports.
pub fn wait_writable(socket: BorrowedFd<'_>) -> io::Result<()> {
    let mut polled = libc::pollfd {
        fd: socket.as_raw_fd(),
        events: libc::POLLOUT,
        revents: 0,
    };
    loop {
        // SAFETY: one entry, exclusively borrowed through the call.
        match crate::check(unsafe { libc::poll(&raw mut polled, 1, -1) }) {
            Ok(_) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// What becomes of a socket after its event.
pub enum Then {
    /// It stays.
    Keep,
    /// It is closed.
    Close,
    /// It stays, and this one comes in, watched for bytes.
    Add(OwnedFd),
}

impl Owning {
    /// Owns nothing yet; a wait brings up to `events_per_wait` events.
    ///
    /// # Errors
    /// As [`Epoll::new`].
    pub fn new(events_per_wait: usize) -> io::Result<Owning> {
        Ok(Owning {
            epoll: Epoll::new()?,
            events: Events::with_capacity(events_per_wait),
        })
    }

    /// Takes a socket in, watched level-triggered for what can be read.
    ///
    /// # Errors
    /// As [`Epoll::add`]; the socket is closed then.
    pub fn add(&self, socket: OwnedFd) -> io::Result<()> {
        let token = socket.as_raw_fd() as u64;
        self.epoll.add(socket.as_fd(), Interest::READABLE, token)?;
        // From here on the epoll's list is what knows of it.
        let _ = socket.into_raw_fd();
        Ok(())
    }

    /// Waits for events, and asks `act` about each socket that has one.
    ///
    /// # Errors
    /// What epoll_wait reports, and [`Owning::add`] for what `act` adds.
    #[inline]
    pub fn wait(&mut self, mut act: impl FnMut(BorrowedFd<'_>) -> Then) -> io::Result<()> {
        self.epoll.wait(&mut self.events, None)?;
        let mut index = 0;
        while let Some(event) = self.events.get(index) {
            index += 1;
            let number = event.token as i32;
            // SAFETY: `add` gave up the owner of this descriptor, so it is open until the close below, which takes it
            // out of the epoll first. A wait reports each registration once, so what is closed here, and whatever gets
            // its number within this loop, has no event left in it.
            let socket = unsafe { BorrowedFd::borrow_raw(number) };
            match act(socket) {
                Then::Keep => {}
                Then::Add(socket) => self.add(socket)?,
                Then::Close => {
                    self.epoll.delete(socket)?;
                    // SAFETY: as above: nobody else owns it.
                    drop(unsafe { OwnedFd::from_raw_fd(number) });
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;
    use std::os::unix::thread::JoinHandleExt;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};
    use std::time::{Duration, Instant};

    static SIGNALS: AtomicU32 = AtomicU32::new(0);

    extern "C" fn count(_: libc::c_int) {
        SIGNALS.fetch_add(1, Ordering::Relaxed);
    }

    #[test]
    fn a_signal_does_not_end_the_wait_for_a_socket() {
        // SAFETY: for a sigaction, all zeroes is a value.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        action.sa_sigaction = count as *const () as libc::sighandler_t;
        action.sa_flags = libc::SA_RESTART;
        // SAFETY: the handler has the signature that is wanted without SA_SIGINFO; the old action is not asked for.
        crate::check(unsafe { libc::sigaction(libc::SIGUSR1, &action, std::ptr::null_mut()) }).unwrap();

        let (mut full, mut peer) = UnixStream::pair().unwrap();
        full.set_nonblocking(true).unwrap();
        while full.write(&[0; 4096]).is_ok() {}
        let id = Arc::new(AtomicI32::new(0));
        let waiting = std::thread::spawn({
            let id = Arc::clone(&id);
            move || {
                // SAFETY: takes nothing and cannot fail.
                id.store(unsafe { libc::gettid() }, Ordering::Release);
                wait_writable(full.as_fd())
            }
        });
        let deadline = Instant::now() + Duration::from_secs(60);
        let until = |met: &dyn Fn() -> bool| {
            while !met() {
                assert!(Instant::now() < deadline, "waited too long");
                std::thread::sleep(Duration::from_millis(1));
            }
        };
        let asleep = || {
            let status =
                std::fs::read_to_string(format!("/proc/self/task/{}/status", id.load(Ordering::Acquire)));
            status.is_ok_and(|status| status.contains("State:\tS"))
        };
        for signal in 1..=3 {
            // From its number's publication on it sleeps nowhere but in the wait.
            until(&|| waiting.is_finished() || asleep());
            assert!(!waiting.is_finished(), "a signal has ended the wait");
            // SAFETY: the thread has not been joined, so its handle is valid.
            unsafe { libc::pthread_kill(waiting.as_pthread_t(), libc::SIGUSR1) };
            until(&|| SIGNALS.load(Ordering::Relaxed) == signal);
        }
        until(&|| waiting.is_finished() || asleep());
        assert!(!waiting.is_finished(), "a signal has ended the wait");
        peer.set_nonblocking(true).unwrap();
        // The end of the stream is no error: the thread may be gone, and its socket with it.
        while peer.read(&mut [0; 4096]).is_ok_and(|read| read > 0) {}
        waiting.join().unwrap().unwrap();
    }
}
