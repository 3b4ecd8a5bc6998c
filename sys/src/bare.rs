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

/// Blocks until the socket takes bytes again, or has an error.
///
/// # Errors
/// What poll(2) reports.
pub fn wait_writable(socket: BorrowedFd<'_>) -> io::Result<()> {
    let mut polled = libc::pollfd {
        fd: socket.as_raw_fd(),
        events: libc::POLLOUT,
        revents: 0,
    };
    // SAFETY: one entry, exclusively borrowed through the call.
    crate::check(unsafe { libc::poll(&raw mut polled, 1, -1) })?;
    Ok(())
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
