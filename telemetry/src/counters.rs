//! What a server counts: one cache-padded block per worker with a single writer, summed at scrape time.
//!
//! A block is claimed by one thread at a time. When the thread ends, the block goes back and the next thread
//! counts on in it, so sums never fall, however many threads come and go.

use std::cell::Cell;
use std::marker::PhantomData;
use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crossbeam_utils::CachePadded;

use crate::family::{Buckets, Family, Source};
use crate::names;

/// A count with one writer: an addition is a plain load and a plain store, no lock prefix.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `n`. Only the thread that owns the block may call this; two writers would lose counts.
    #[inline]
    pub fn add(&self, n: u64) {
        if cfg!(feature = "uncounted") {
            return;
        }
        self.0
            .store(self.0.load(Ordering::Relaxed).wrapping_add(n), Ordering::Relaxed);
    }

    /// Takes `n` off, for counts that are gauges. The same rule holds.
    #[inline]
    pub fn subtract(&self, n: u64) {
        if cfg!(feature = "uncounted") {
            return;
        }
        self.0
            .store(self.0.load(Ordering::Relaxed).wrapping_sub(n), Ordering::Relaxed);
    }

    /// The count as last stored.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Declares an enumeration of label values with their texts.
macro_rules! label {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name { $($(#[$variant_doc])* $variant,)* }

        impl $name {
            /// All values with the texts that stand in the metric's label.
            pub const ALL: &[($name, &str)] = &[$(($name::$variant, $text)),*];
        }
    };
}

label! {
    /// Why a connection was closed.
    ClosedReason {
        /// The peer had closed its half and every byte was echoed.
        Eof = "eof",
        /// The peer reset the connection, or was gone when we wrote.
        Reset = "reset",
        /// Any other error of this connection.
        Error = "error",
        /// The server stopped.
        Shutdown = "shutdown",
    }
}

label! {
    /// Why an accept failed.
    AcceptError {
        /// Out of file descriptors (EMFILE, ENFILE).
        Descriptors = "descriptors",
        /// Out of memory (ENOBUFS, ENOMEM).
        Memory = "memory",
        /// The peer gave up before we took the connection (ECONNABORTED).
        Aborted = "aborted",
        /// Anything else.
        Other = "other",
    }
}

label! {
    /// What an epoll event was about; one event may be about several things.
    EventKind {
        /// A listening socket has connections.
        Accept = "accept",
        /// A connection has bytes.
        Readable = "readable",
        /// A connection takes bytes again.
        Writable = "writable",
        /// The peer closed.
        Hangup = "hangup",
        /// The connection has an error.
        Error = "error",
        /// The engine was woken for itself (to stop).
        Wakeup = "wakeup",
    }
}

/// What one worker counts about its connections.
#[derive(Debug, Default)]
pub struct Block {
    /// Echo turns: one read and its write.
    pub messages: Counter,
    /// Bytes read.
    pub received_bytes: Counter,
    /// Bytes written.
    pub sent_bytes: Counter,
    /// Connections accepted.
    pub accepted: Counter,
    /// Writes that the socket took only a part of (or nothing).
    pub partial_writes: Counter,
    closed: [Counter; ClosedReason::ALL.len()],
    accept_errors: [Counter; AcceptError::ALL.len()],
}

impl Block {
    /// Connections closed for this reason.
    #[inline]
    pub fn closed(&self, reason: ClosedReason) -> &Counter {
        &self.closed[reason as usize]
    }

    /// Accepts that failed for this reason.
    #[inline]
    pub fn accept_error(&self, reason: AcceptError) -> &Counter {
        &self.accept_errors[reason as usize]
    }
}

/// Buckets of events per wait: up to 0, 1, 2, 4, … 2^(n-2), and more.
const EVENTS_PER_WAIT_BUCKETS: usize = 14;

/// What one worker counts about its epoll.
#[derive(Debug, Default)]
pub struct EpollBlock {
    /// Waits that returned.
    pub waits: Counter,
    /// Waits that brought nothing useful.
    pub empty_waits: Counter,
    /// Accepts that brought a connection.
    pub accepts_won: Counter,
    /// Accepts that found the connection gone.
    pub accepts_lost: Counter,
    /// Connections watched now (a gauge).
    pub connections: Counter,
    events: [Counter; EventKind::ALL.len()],
    per_wait: [Counter; EVENTS_PER_WAIT_BUCKETS],
    per_wait_sum: Counter,
}

impl EpollBlock {
    /// Events of this kind.
    #[inline]
    pub fn events(&self, kind: EventKind) -> &Counter {
        &self.events[kind as usize]
    }

    /// Counts a wait that returned with this many events.
    #[inline]
    pub fn waited(&self, events: usize) {
        self.waits.add(1);
        // 0 → 0, 1 → 1, 2 → 2, 3..=4 → 3, 5..=8 → 4, …
        let bucket = match events {
            0 => 0,
            n => 1 + (usize::BITS - (n - 1).leading_zeros()) as usize,
        };
        self.per_wait[bucket.min(EVENTS_PER_WAIT_BUCKETS - 1)].add(1);
        self.per_wait_sum.add(events as u64);
    }

    fn buckets(&self) -> Buckets {
        let mut cumulative = Vec::with_capacity(EVENTS_PER_WAIT_BUCKETS - 1);
        let mut count = 0;
        for (index, bucket) in self.per_wait.iter().enumerate() {
            count += bucket.get();
            if index < EVENTS_PER_WAIT_BUCKETS - 1 {
                let upper = if index == 0 {
                    0.0
                } else {
                    (1u64 << (index - 1)) as f64
                };
                cumulative.push((upper, count));
            }
        }
        Buckets {
            cumulative,
            count,
            sum: self.per_wait_sum.get() as f64,
        }
    }
}

/// A block claimed by one thread: it may be sent to another thread, never shared. Given back on drop.
pub struct Claimed<B: Default> {
    slot: Arc<CachePadded<B>>,
    pool: Arc<Pool<B>>,
    one_writer: PhantomData<Cell<()>>,
}

impl<B: Default> Deref for Claimed<B> {
    type Target = B;
    #[inline]
    fn deref(&self) -> &B {
        &self.slot
    }
}

impl<B: Default> Drop for Claimed<B> {
    fn drop(&mut self) {
        lock(&self.pool.free).push(Arc::clone(&self.slot));
    }
}

/// A worker's own counters.
pub type WorkerCounters = Claimed<Block>;
/// An epoll's own counters.
pub type EpollCounters = Claimed<EpollBlock>;

#[derive(Default)]
struct Pool<B> {
    all: Mutex<Vec<Arc<CachePadded<B>>>>,
    free: Mutex<Vec<Arc<CachePadded<B>>>>,
}

impl<B: Default> Pool<B> {
    fn claim(self: &Arc<Self>) -> Claimed<B> {
        let free = lock(&self.free).pop();
        let slot = free.unwrap_or_else(|| {
            let slot = Arc::new(CachePadded::new(B::default()));
            lock(&self.all).push(Arc::clone(&slot));
            slot
        });
        Claimed {
            slot,
            pool: Arc::clone(self),
            one_writer: PhantomData,
        }
    }

    fn sum(&self, count: impl Fn(&B) -> u64) -> u64 {
        lock(&self.all)
            .iter()
            .map(|block| count(block))
            .fold(0, u64::wrapping_add)
    }
}

/// A list of counters stays usable when a thread panicked while it held the lock.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// All counters of one server.
pub struct ServerCounters {
    engine: String,
    version: &'static str,
    workers: Arc<Pool<Block>>,
    epolls: Mutex<Vec<(String, Arc<CachePadded<EpollBlock>>)>>,
}

impl ServerCounters {
    /// No workers yet. Engine and version stand in `echolab_build_info`.
    pub fn new(engine: &str, version: &'static str) -> Arc<ServerCounters> {
        Arc::new(ServerCounters {
            engine: engine.to_owned(),
            version,
            workers: Arc::default(),
            epolls: Mutex::default(),
        })
    }

    /// A block for the calling worker.
    pub fn claim(&self) -> WorkerCounters {
        self.workers.claim()
    }

    /// A block for the epoll with this number. Each number is claimed once in a process's life.
    pub fn claim_epoll(&self, epoll: usize) -> EpollCounters {
        let claimed = Arc::new(Pool::default()).claim();
        lock(&self.epolls).push((epoll.to_string(), Arc::clone(&claimed.slot)));
        claimed
    }

    /// Connections open now.
    pub fn connections(&self) -> u64 {
        // Closed before accepted: what is accepted in between shows as open, never as less than none.
        let closed = self
            .workers
            .sum(|block| block.closed.iter().map(Counter::get).sum());
        self.workers
            .sum(|block| block.accepted.get())
            .wrapping_sub(closed)
    }
}

impl Source for ServerCounters {
    fn families(&self) -> Vec<Family> {
        let connections = self.connections() as f64;
        let total = |count: fn(&Block) -> u64| self.workers.sum(count) as f64;
        let mut closed = Family::new(&names::CONNECTIONS_CLOSED);
        for &(reason, text) in ClosedReason::ALL {
            closed = closed.with(
                &[text],
                self.workers.sum(|block| block.closed(reason).get()) as f64,
            );
        }
        let mut accept_errors = Family::new(&names::ACCEPT_ERRORS);
        for &(reason, text) in AcceptError::ALL {
            accept_errors = accept_errors.with(
                &[text],
                self.workers.sum(|block| block.accept_error(reason).get()) as f64,
            );
        }
        let mut families = vec![
            Family::of(&names::MESSAGES, total(|block| block.messages.get())),
            Family::of(&names::RECEIVED_BYTES, total(|block| block.received_bytes.get())),
            Family::of(&names::SENT_BYTES, total(|block| block.sent_bytes.get())),
            Family::of(&names::CONNECTIONS, connections),
            Family::of(&names::CONNECTIONS_ACCEPTED, total(|block| block.accepted.get())),
            Family::of(&names::PARTIAL_WRITES, total(|block| block.partial_writes.get())),
            closed,
            accept_errors,
            Family::new(&names::BUILD_INFO).with(&[self.version, &self.engine], 1.0),
        ];
        families.extend(self.epoll_families());
        families
    }
}

impl ServerCounters {
    fn epoll_families(&self) -> Vec<Family> {
        let mut waits = Family::new(&names::EPOLL_WAITS);
        let mut empty_waits = Family::new(&names::EPOLL_EMPTY_WAITS);
        let mut connections = Family::new(&names::EPOLL_CONNECTIONS);
        let mut events = Family::new(&names::EPOLL_EVENTS);
        let mut accepts = Family::new(&names::EPOLL_ACCEPTS);
        let mut per_wait = Family::new(&names::EPOLL_EVENTS_PER_WAIT);
        for (epoll, block) in lock(&self.epolls).iter() {
            waits = waits.with(&[epoll], block.waits.get() as f64);
            empty_waits = empty_waits.with(&[epoll], block.empty_waits.get() as f64);
            connections = connections.with(&[epoll], block.connections.get() as f64);
            for &(kind, text) in EventKind::ALL {
                events = events.with(&[epoll, text], block.events(kind).get() as f64);
            }
            accepts = accepts.with(&[epoll, "won"], block.accepts_won.get() as f64);
            accepts = accepts.with(&[epoll, "lost"], block.accepts_lost.get() as f64);
            per_wait = per_wait.with_buckets(&[epoll], &block.buckets());
        }
        vec![waits, empty_waits, connections, events, accepts, per_wait]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_that_comes_back_is_counted_on() {
        let counters = ServerCounters::new("test", "0");
        for _ in 0..3 {
            let worker = counters.claim();
            worker.messages.add(2);
            worker.accepted.add(1);
        }
        assert_eq!(lock(&counters.workers.all).len(), 1, "one block served all three");
        assert_eq!(counters.workers.sum(|block| block.messages.get()), 6);
        assert_eq!(counters.connections(), 3);
        counters.claim().closed(ClosedReason::Reset).add(1);
        assert_eq!(counters.connections(), 2);
    }

    #[test]
    fn events_per_wait_fall_into_powers_of_two() {
        let block = EpollBlock::default();
        for events in [0, 1, 2, 3, 4, 5, 64, 1 << 20] {
            block.waited(events);
        }
        let buckets = block.buckets();
        let up_to = |bound: f64| {
            buckets
                .cumulative
                .iter()
                .find(|(upper, _)| *upper == bound)
                .unwrap()
                .1
        };
        assert_eq!(
            (up_to(0.0), up_to(1.0), up_to(2.0), up_to(4.0), up_to(8.0)),
            (1, 2, 3, 5, 6)
        );
        assert_eq!((up_to(32.0), up_to(64.0), buckets.count), (6, 7, 8));
        assert_eq!(buckets.sum, (1 + 2 + 3 + 4 + 5 + 64 + (1 << 20)) as f64);
    }
}
