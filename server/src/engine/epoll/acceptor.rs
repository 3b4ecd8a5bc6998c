//! Takes new connections for one worker, and pauses when there is no room for them.

use std::io;
use std::net::TcpListener;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use sys::epoll::{Epoll, Interest};
use telemetry::counters::{Block, EpollBlock};

use super::super::{ACCEPT_PAUSE, Accept, AfterAccept, judge_accept};
use super::table::Token;

/// Connections that one event lets a worker take. What is left is reported again, to whichever worker is free, so that
/// one worker does not take a whole ramp.
const ACCEPTS_PER_EVENT: usize = 4;

/// How many connections all workers together may still open.
pub struct Budget {
    /// `None` when there is no limit; then accepting touches no shared line.
    left: Option<AtomicUsize>,
}

impl Budget {
    /// Room for `limit` connections.
    pub fn new(limit: Option<NonZeroUsize>) -> Budget {
        Budget {
            left: limit.map(|limit| AtomicUsize::new(limit.get())),
        }
    }

    fn take(&self) -> bool {
        let one_less = |left: usize| left.checked_sub(1);
        match &self.left {
            Some(left) => left
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less)
                .is_ok(),
            None => true,
        }
    }

    /// A connection is closed, or was not taken after all.
    pub fn give_back(&self) {
        if let Some(left) = &self.left {
            left.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// What a look at the listening socket brought.
pub enum Taken {
    /// A connection; its place in the budget goes with it.
    Connection(OwnedFd),
    /// None waits.
    Nothing,
    /// None can be taken now; the acceptor has paused.
    Paused,
}

/// One worker's hold on the listening socket.
pub struct Acceptor<'a> {
    listener: &'a TcpListener,
    interest: Interest,
    budget: &'a Budget,
    state: State,
}

enum State {
    Listening,
    Paused { until: Instant },
    Closed,
}

impl<'a> Acceptor<'a> {
    /// Registers `listener` in this worker's epoll, always level-triggered: what this worker leaves, others see.
    ///
    /// # Errors
    /// What epoll_ctl reports.
    pub fn new(
        listener: &'a TcpListener,
        accept: Accept,
        budget: &'a Budget,
        epoll: &Epoll,
    ) -> io::Result<Acceptor<'a>> {
        let interest = match accept {
            Accept::Exclusive => Interest::READABLE | Interest::EXCLUSIVE,
            Accept::Shared | Accept::Reuseport => Interest::READABLE,
        };
        epoll.add(listener.as_fd(), interest, Token::LISTENER.for_event())?;
        Ok(Acceptor {
            listener,
            interest,
            budget,
            state: State::Listening,
        })
    }

    /// The numbers of the tries that one event is good for.
    pub fn tries() -> std::ops::Range<usize> {
        0..ACCEPTS_PER_EVENT
    }

    /// Takes one connection; `tries` were made before on the same event. A first try that finds nothing was lost to
    /// another worker; a later one only found the end.
    pub fn take(&mut self, tries: usize, epoll: &Epoll, counters: &Block, counts: &EpollBlock) -> Taken {
        if !matches!(self.state, State::Listening) {
            return Taken::Paused;
        }
        loop {
            if !self.budget.take() {
                self.pause(epoll);
                return Taken::Paused;
            }
            let error = match sys::socket::accept(self.listener.as_fd()) {
                Ok(socket) => {
                    counts.accepts_won.add(1);
                    return Taken::Connection(socket);
                }
                Err(error) => error,
            };
            self.budget.give_back();
            if error.kind() == io::ErrorKind::WouldBlock {
                if tries == 0 {
                    counts.accepts_lost.add(1);
                }
                return Taken::Nothing;
            }
            let (reason, then) = judge_accept(&error);
            counters.accept_error(reason).add(1);
            if then == AfterAccept::Pause {
                self.pause(epoll);
                return Taken::Paused;
            }
        }
    }

    /// A connection was taken but cannot be kept: its place is free again, and accepting pauses.
    pub fn refuse(&mut self, epoll: &Epoll) {
        self.budget.give_back();
        self.pause(epoll);
    }

    /// A connection was closed: its place is free again, and accepting may go on.
    pub fn released(&mut self, epoll: &Epoll) {
        self.budget.give_back();
        if matches!(self.state, State::Paused { .. }) {
            self.resume(epoll);
        }
    }

    /// When a pause is to end, if there is one.
    pub fn paused_until(&self) -> Option<Instant> {
        match self.state {
            State::Paused { until } => Some(until),
            State::Listening | State::Closed => None,
        }
    }

    /// Ends a pause that has lasted long enough.
    pub fn resume_if_due(&mut self, epoll: &Epoll) {
        if self.paused_until().is_some_and(|until| until <= Instant::now()) {
            self.resume(epoll);
        }
    }

    /// Ends accepting for good.
    pub fn close(&mut self, epoll: &Epoll) {
        // When it is paused, it is not registered: nothing to take out.
        let _ = epoll.delete(self.listener.as_fd());
        self.state = State::Closed;
    }

    fn pause(&mut self, epoll: &Epoll) {
        // Taken out rather than ignored: a level-triggered event that nobody serves would spin. It can't fail for a
        // registered socket, and for another one there is nothing to do.
        let _ = epoll.delete(self.listener.as_fd());
        self.state = State::Paused {
            until: Instant::now() + ACCEPT_PAUSE,
        };
    }

    fn resume(&mut self, epoll: &Epoll) {
        self.state = match epoll.add(self.listener.as_fd(), self.interest, Token::LISTENER.for_event()) {
            Ok(()) => State::Listening,
            // Out of kernel memory, most likely: later again.
            Err(_) => State::Paused {
                until: Instant::now() + ACCEPT_PAUSE,
            },
        };
    }
}
