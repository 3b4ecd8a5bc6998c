//! Takes new connections for one worker, and pauses when there is no room for them.

use std::io;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use sys::uring::{ADOPTED_MAX, Descriptor, Ring};
use telemetry::counters::{AcceptError, Block};

use super::super::{ACCEPT_PAUSE, AfterAccept, judge_accept};

/// While fewer places are left, each connection's place is taken before it is accepted: an accept that goes on by itself
/// may bring some hundreds before it can be stopped.
const PLACES_KEPT: usize = 1024;

/// How many connections all workers together may still open.
pub struct Budget {
    left: AtomicUsize,
    /// The limit of descriptors is what binds, not the limit that the user set.
    by_descriptors: bool,
    limit: usize,
}

impl Budget {
    /// Room for what the user allows, but for no more than the process may have descriptors: direct descriptors count
    /// in no limit of the kernel, and this engine shall not pass as thrifty by evading what binds the others.
    pub fn new(connections: Option<NonZeroUsize>, descriptors: u64) -> Budget {
        // The kernel holds a ring's table to the same limit, what is not a connection included.
        let connectable = descriptors.saturating_sub(ADOPTED_MAX.into());
        let descriptors = usize::try_from(connectable).unwrap_or(usize::MAX);
        let asked = connections.map_or(usize::MAX, NonZeroUsize::get);
        let limit = asked.min(descriptors);
        Budget {
            left: AtomicUsize::new(limit),
            by_descriptors: descriptors < asked,
            limit,
        }
    }

    /// The most connections that there can be.
    pub fn limit(&self) -> usize {
        self.limit
    }

    fn left(&self) -> usize {
        self.left.load(Ordering::Relaxed)
    }

    fn take(&self) -> bool {
        let one_less = |left: usize| left.checked_sub(1);
        self.left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less)
            .is_ok()
    }

    fn give_back(&self) {
        self.left.fetch_add(1, Ordering::Relaxed);
    }
}

/// One worker's hold on the listening socket.
pub struct Acceptor<'a> {
    listener: Descriptor,
    budget: &'a Budget,
    /// No other ring waits on this socket.
    alone: bool,
    /// An accept is under way.
    armed: Option<Armed>,
    paused_until: Option<Instant>,
    /// The listening socket is watched for a connection that cannot be taken.
    watching: bool,
    closed: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Armed {
    /// For one connection, whose place is taken already.
    One,
    /// For one after the other.
    Many,
    /// The same, and told to stop.
    Stopping,
}

impl<'a> Acceptor<'a> {
    /// Starts accepting.
    ///
    /// # Errors
    /// What the ring reports.
    pub fn new(
        listener: Descriptor,
        budget: &'a Budget,
        alone: bool,
        ring: &mut Ring,
    ) -> io::Result<Acceptor<'a>> {
        let mut acceptor = Acceptor {
            listener,
            budget,
            alone,
            armed: None,
            paused_until: None,
            watching: false,
            closed: false,
        };
        acceptor.arm(ring)?;
        Ok(acceptor)
    }

    /// An accept brought something: the connection to serve, if it is one. Its place in the budget goes with it.
    ///
    /// # Errors
    /// What the ring reports.
    pub fn accepted(
        &mut self,
        result: io::Result<Descriptor>,
        more: bool,
        ring: &mut Ring,
        counters: &Block,
    ) -> io::Result<Option<Descriptor>> {
        let armed = self.armed;
        if !more {
            self.armed = None;
        }
        let mut connection = None;
        match result {
            Ok(descriptor) if armed == Some(Armed::One) || self.budget.take() => {
                connection = Some(descriptor)
            }
            Ok(descriptor) => {
                // More came before it was stopped than the places kept for that.
                counters.accept_error(AcceptError::Descriptors).add(1);
                ring.close(descriptor)?;
            }
            Err(error) => {
                if armed == Some(Armed::One) {
                    self.budget.give_back();
                }
                if error.kind() != io::ErrorKind::Interrupted {
                    let (reason, then) = judge_accept(&error);
                    counters.accept_error(reason).add(1);
                    if then == AfterAccept::Pause {
                        self.pause();
                    }
                }
            }
        }
        if self.armed == Some(Armed::Many) && self.budget.left() <= PLACES_KEPT {
            ring.stop_accepting(&self.listener)?;
            self.armed = Some(Armed::Stopping);
        }
        self.arm(ring)?;
        Ok(connection)
    }

    /// A connection was closed: its place is free again, and accepting may go on.
    ///
    /// # Errors
    /// What the ring reports.
    pub fn released(&mut self, ring: &mut Ring) -> io::Result<()> {
        self.budget.give_back();
        if self.paused_until.take().is_some() {
            self.arm(ring)?;
        }
        Ok(())
    }

    /// The watched listening socket has a connection: takes it, if there is a place, else pauses.
    ///
    /// # Errors
    /// What the ring reports.
    pub fn seen_waiting(&mut self, ring: &mut Ring, counters: &Block) -> io::Result<()> {
        self.watching = false;
        if self.closed || self.armed.is_some() {
            return Ok(());
        }
        if self.paused_until.is_none() {
            if self.budget.take() {
                return self.accept_one(ring);
            }
            self.pause();
        }
        if self.budget.by_descriptors {
            counters.accept_error(AcceptError::Descriptors).add(1);
        }
        Ok(())
    }

    /// When a pause is to end, if there is one.
    pub fn paused_until(&self) -> Option<Instant> {
        self.paused_until
    }

    /// Ends a pause that has lasted long enough.
    ///
    /// # Errors
    /// What the ring reports.
    pub fn resume_if_due(&mut self, ring: &mut Ring) -> io::Result<()> {
        if self.paused_until.is_some_and(|until| until <= Instant::now()) {
            self.paused_until = None;
            self.arm(ring)?;
        }
        Ok(())
    }

    /// Ends accepting for good.
    ///
    /// # Errors
    /// What the ring reports.
    pub fn close(&mut self, ring: &mut Ring) -> io::Result<()> {
        self.closed = true;
        self.paused_until = None;
        if self.armed.is_some() {
            ring.stop_accepting(&self.listener)?;
        }
        Ok(())
    }

    fn arm(&mut self, ring: &mut Ring) -> io::Result<()> {
        if self.closed || self.armed.is_some() || self.paused_until.is_some() {
            return Ok(());
        }
        if self.alone && self.budget.left() > PLACES_KEPT {
            self.armed = Some(Armed::Many);
            return ring.accept(&self.listener, true);
        }
        if self.alone {
            // A place taken before a connection is there would be missing where others wait on sockets of their own.
            return self.watch(ring);
        }
        if self.budget.take() {
            return self.accept_one(ring);
        }
        self.pause();
        if self.budget.by_descriptors {
            self.watch(ring)?;
        }
        Ok(())
    }

    /// The place in the budget is taken.
    fn accept_one(&mut self, ring: &mut Ring) -> io::Result<()> {
        self.armed = Some(Armed::One);
        ring.accept(&self.listener, false)
    }

    fn watch(&mut self, ring: &mut Ring) -> io::Result<()> {
        if std::mem::replace(&mut self.watching, true) {
            return Ok(());
        }
        ring.watch(&self.listener)
    }

    fn pause(&mut self) {
        self.paused_until = Some(Instant::now() + ACCEPT_PAUSE);
    }
}
