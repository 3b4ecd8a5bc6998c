//! One worker: which connections it has, when it may accept, and how it stops.

use std::cell::OnceCell;
use std::io;
use std::net::Shutdown;
use std::os::fd::RawFd;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use slab::Slab;
use telemetry::counters::{AcceptError, Block, WorkerCounters};

use crate::connection::Connection;
use crate::crew::Event;
use crate::shared::Shared;

/// How long accepting rests after an error, or while the limit of connections is reached. Both are over only when
/// some connection ends; without a pause each would be a busy loop.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// How often a stopping worker looks whether its connections are done.
const STOP_POLL: Duration = Duration::from_millis(2);

/// How long connections may take to notice that the deadline has cut them.
const CUT_PATIENCE: Duration = Duration::from_millis(20);

thread_local! {
    /// This thread's own block: one writer, however tasks move between threads.
    static COUNTERS: OnceCell<WorkerCounters> = const { OnceCell::new() };
}

/// What to do before the next accept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Accept.
    Accept,
    /// Rest this long, then ask again.
    Pause(Duration),
    /// The server stops.
    Stop,
}

/// One worker.
pub struct Worker {
    /// From 0.
    pub index: usize,
    /// What it shares with the others.
    pub shared: Arc<Shared>,
    /// The sockets of its open connections. An entry goes before its socket is closed, so none is ever stale.
    open: Mutex<Slab<RawFd>>,
    events: Sender<Event>,
}

impl Worker {
    pub(crate) fn new(index: usize, shared: Arc<Shared>, events: Sender<Event>) -> Arc<Worker> {
        Arc::new(Worker {
            index,
            shared,
            open: Mutex::default(),
            events,
        })
    }

    /// Says that the runtime is up and the next thing is to accept.
    pub fn is_up(&self) {
        // The receiver is gone only when the process ends.
        let _ = self.events.send(Event::Up);
    }

    /// What to do before the next accept.
    pub fn next(&self) -> Next {
        if self.shared.deadline().is_some() {
            Next::Stop
        } else if self.shared.is_full() {
            Next::Pause(ACCEPT_PAUSE)
        } else {
            Next::Accept
        }
    }

    /// Counts a failed accept, and says whether to rest before the next. A stop makes accepts fail, too.
    pub fn accept_failed(&self, error: &io::Error) -> Option<Duration> {
        if self.shared.deadline().is_some() {
            return None;
        }
        let (reason, pause) = match error.raw_os_error().map(nix::errno::Errno::from_raw) {
            Some(nix::errno::Errno::EMFILE | nix::errno::Errno::ENFILE) => {
                (AcceptError::Descriptors, Some(ACCEPT_PAUSE))
            }
            Some(nix::errno::Errno::ENOBUFS | nix::errno::Errno::ENOMEM) => {
                (AcceptError::Memory, Some(ACCEPT_PAUSE))
            }
            Some(nix::errno::Errno::ECONNABORTED) => (AcceptError::Aborted, None),
            _ => (AcceptError::Other, Some(ACCEPT_PAUSE)),
        };
        self.count(|block| block.accept_error(reason).add(1));
        pause
    }

    /// Enters a connection that was accepted; `None` while the limit is reached, which another worker may have
    /// done meanwhile.
    pub fn enter(self: &Arc<Worker>, socket: RawFd) -> Option<Connection> {
        if !self.shared.take_seat() {
            return None;
        }
        let key = self.sockets().insert(socket);
        self.count(|block| block.accepted.add(1));
        Some(Connection::new(Arc::clone(self), key))
    }

    /// Takes a connection off the list. Its socket must still be open.
    pub(crate) fn leave(&self, key: usize) {
        self.sockets().try_remove(key);
        self.shared.leave_seat();
    }

    /// Stops what is open, step by step: call it until it says `None`, resting as long as it says.
    ///
    /// First every connection is told to read no further than what has arrived (shutdown(2) of the reading side,
    /// which wakes readers of every kind: what is queued is still read, then comes the end of the stream). So they
    /// echo it and close as after a half-close. At the deadline, what is left is cut.
    pub fn stop(&self, progress: &mut StopProgress) -> Option<Duration> {
        let sockets = self.sockets();
        if sockets.is_empty() {
            return None;
        }
        let now = Instant::now();
        let deadline = self.shared.deadline().unwrap_or(now);
        let step = match progress {
            StopProgress::Open => Some((Shutdown::Read, StopProgress::Draining)),
            StopProgress::Draining if now >= deadline => {
                Some((Shutdown::Both, StopProgress::Cut(now + CUT_PATIENCE)))
            }
            StopProgress::Draining => None,
            StopProgress::Cut(until) if now >= *until => return None,
            StopProgress::Cut(_) => None,
        };
        if let Some((how, next)) = step {
            for (_, &socket) in sockets.iter() {
                let how = match how {
                    Shutdown::Read => nix::sys::socket::Shutdown::Read,
                    _ => nix::sys::socket::Shutdown::Both,
                };
                // A peer that is gone already needs no telling.
                let _ = nix::sys::socket::shutdown(socket, how);
            }
            *progress = next;
        }
        Some(STOP_POLL)
    }

    /// Counts on the calling thread's own block.
    #[inline]
    pub(crate) fn count(&self, count: impl FnOnce(&Block)) {
        // A thread that is going away counts no more.
        let _ = COUNTERS.try_with(|own| count(own.get_or_init(|| self.shared.counters.claim())));
    }

    fn sockets(&self) -> MutexGuard<'_, Slab<RawFd>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How far a worker's stop has come.
#[derive(Debug, Clone, Copy, Default)]
pub enum StopProgress {
    /// Nobody has been told.
    #[default]
    Open,
    /// All read and echo what has arrived.
    Draining,
    /// The deadline is over; all were cut, and have until then to notice.
    Cut(Instant),
}
