//! The contract of an engine, and the table of engines.
//!
//! # The contract
//!
//! Every engine keeps these promises; `tests/contract.rs` tries each of them on every engine, and proves each case
//! by a mutant that it kills.
//!
//! 1. The caller binds the sockets. [`Listeners`] offers one shared listener, or one for each worker.
//! 2. Every byte is echoed, once, in order, also after the peer's half-close; then the connection closes.
//! 3. Memory per connection is bounded: while replies wait to be written, nothing more is read. A quiet connection
//!    owns no buffer in `epoll` and `uring`.
//! 4. On [`Stop`] no new connection is taken, what was read is echoed, and `serve` returns within the grace period.
//! 5. One connection's error is counted and closes that connection alone. Out of file descriptors: existing
//!    connections go on, accepting pauses and resumes by itself, and it is counted; no busy loop.
//! 6. Socket options and buffer sizes come from [`Context`], the same for all. Each engine is written as an expert in
//!    that model would write it: no contender is handicapped.
//! 7. Counting goes through this worker's own counters: one writer, plain loads and stores, summed at scrape time.
//! 8. `probe` says whether this machine allows the engine, and if not, what to change.
//!
//! A new engine is one file and one row in [`ENGINES`]; flags, lab, tests and dashboards follow from the table.
//! An engine's file imports this module, `sys` and `telemetry::counters`: never `cli`, a sibling, or a Prometheus
//! type.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use socket2::SockRef;
use sys::wake::Flag;
use telemetry::counters::{AcceptError, ClosedReason, ServerCounters};

use self::linger::{Linger, precise_sleep};

mod bare;
mod epoll;
mod linger;
mod threads;
mod tokio;
mod uring;

/// One I/O model.
#[derive(Debug)]
pub struct Engine {
    /// Its name, as `--engine` takes it.
    pub name: &'static str,
    /// One line: how it serves.
    pub summary: &'static str,
    /// What it may be asked for.
    pub capabilities: Capabilities,
    /// Whether this machine allows it; if not, why, and what to change.
    pub probe: fn() -> Result<(), String>,
    /// Serves until `Stop` is raised and at most the grace period longer. An error means that it could not start or
    /// not go on at all; what befalls one connection is counted, never returned.
    pub serve: fn(Context, Listeners, Arc<Stop>) -> io::Result<()>,
}

/// What an engine may be asked for beside echoing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities {
    /// It lets events gather (`--linger`).
    pub lingers: bool,
    /// It has epolls of its own, which `--accept`, `--trigger` and `--events` are about.
    pub epoll_flags: bool,
    /// How many threads serve.
    pub threads: Threads,
}

/// How many threads serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Threads {
    /// As many as `--workers` says.
    AsTold,
    /// One per connection.
    PerConnection,
    /// As many as its runtime chooses.
    ItsOwn,
}

impl Capabilities {
    /// Nothing is known of it.
    pub const NONE: Capabilities = Capabilities {
        lingers: false,
        epoll_flags: false,
        threads: Threads::ItsOwn,
    };
}

/// All engines. The first is the default.
pub const ENGINES: &[Engine] = &[epoll::ENGINE, uring::ENGINE, tokio::ENGINE, threads::ENGINE];

/// Servers that only measure what an engine's promises cost. They keep the contract in part, as each one's file says, so
/// its cases are not tried on them; `--engine` takes them, and they export no counters, since they have none.
pub const YARDSTICKS: &[Engine] = &[bare::ENGINE];

/// The engine or yardstick of this name.
pub fn find(name: &str) -> Option<&'static Engine> {
    ENGINES
        .iter()
        .chain(YARDSTICKS)
        .find(|engine| engine.name == name)
}

/// The most workers that are accepted as input: more threads than any machine has CPUs only cost memory.
pub const WORKERS_MAX: usize = 1024;
/// The most events for a wait that are accepted as input: beyond this a wait's room for them is just memory.
pub const EVENTS_MAX: usize = 1 << 16;

/// What every engine is given, the same for all. `TCP_NODELAY` and `SO_SNDBUF` are not here: the caller sets them on
/// the listeners, and on Linux accepted connections inherit both, so no engine spends a call on them.
#[derive(Clone)]
pub struct Context {
    /// Where to count: each worker claims its own block.
    pub counters: Arc<ServerCounters>,
    /// Threads that serve, in engines that have a fixed number of them.
    pub workers: NonZeroUsize,
    /// How epolls share the listening socket.
    pub accept: Accept,
    /// How epolls report readiness.
    pub trigger: Trigger,
    /// Events that one epoll wait may bring.
    pub events_per_wait: NonZeroUsize,
    /// The most bytes that one read takes.
    pub read_buffer_bytes: NonZeroUsize,
    /// The most connections at a time; `None` is as many as the process may have descriptors.
    pub max_connections: Option<NonZeroUsize>,
    /// How long replies may take to leave once stopped.
    pub grace: Duration,
    /// How long `epoll` and `uring` let events gather before the next wait while there are many; zero: not at all.
    pub linger: Duration,
}

/// How several epolls share the listening socket. Engines without epolls of their own know one socket (`shared`,
/// `exclusive`) or one for each worker (`reuseport`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Accept {
    /// One socket registered in every epoll; a new connection wakes all that wait, one wins
    Shared,
    /// One socket in every epoll, added with EPOLLEXCLUSIVE: a new connection wakes one (or a few)
    Exclusive,
    /// A socket for each worker (SO_REUSEPORT); the kernel spreads connections by hash
    Reuseport,
}

/// How an epoll reports readiness.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Trigger {
    /// A change is reported once; the worker remembers what it left unread
    Edge,
    /// A state is reported for as long as it lasts
    Level,
}

/// How long accepting pauses after it failed for want of descriptors or memory, unless a connection closes sooner.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The listening sockets, bound by the caller: one for all workers, or one for each.
pub struct Listeners {
    sockets: Vec<TcpListener>,
}

impl Listeners {
    /// One socket that all workers share.
    pub fn shared(socket: TcpListener) -> Listeners {
        Listeners {
            sockets: vec![socket],
        }
    }

    /// A socket for each worker, all bound to one address with SO_REUSEPORT; `None` when there are none.
    pub fn per_worker(sockets: Vec<TcpListener>) -> Option<Listeners> {
        (!sockets.is_empty()).then_some(Listeners { sockets })
    }

    /// The socket from which worker number `worker` accepts.
    pub fn of_worker(&self, worker: usize) -> &TcpListener {
        &self.sockets[worker % self.sockets.len()]
    }

    /// All sockets: at least one.
    pub fn all(&self) -> &[TcpListener] {
        &self.sockets
    }

    /// Where they listen.
    ///
    /// # Errors
    /// What getsockname reports.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.sockets[0].local_addr()
    }

    /// Ends listening at once, whoever else holds the sockets: an accept that waits returns an error, a peer that
    /// connects now is refused. Doing it again changes nothing.
    pub fn close(&self) {
        for socket in &self.sockets {
            // The only failure is that it listens no more.
            let _ = SockRef::from(socket).shutdown(std::net::Shutdown::Both);
        }
    }
}

/// Raised once, by a signal or a test, to end `serve`. An engine may look ([`Stop::is_raised`]) or wait for its
/// descriptor to become readable, level-triggered; it is never lowered.
pub struct Stop {
    flag: Flag,
    raised: AtomicBool,
}

impl Stop {
    /// Not raised.
    ///
    /// # Errors
    /// When descriptors ran out.
    pub fn new() -> io::Result<Arc<Stop>> {
        Ok(Arc::new(Stop {
            flag: Flag::new()?,
            raised: AtomicBool::new(false),
        }))
    }

    /// Asks the engine to end.
    pub fn raise(&self) {
        self.raised.store(true, Ordering::SeqCst);
        self.flag.raise();
    }

    /// Whether it was raised.
    pub fn is_raised(&self) -> bool {
        self.raised.load(Ordering::SeqCst)
    }
}

impl AsFd for Stop {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.flag.as_fd()
    }
}

/// What to do after an accept failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AfterAccept {
    /// That connection is lost; the next may be fine.
    Next,
    /// Trying again at once would fail again.
    Pause,
}

/// Sorts a failed accept (never `WouldBlock`) for the counters, and says how to go on.
fn judge_accept(error: &io::Error) -> (AcceptError, AfterAccept) {
    if sys::errno::is_out_of_descriptors(error) {
        (AcceptError::Descriptors, AfterAccept::Pause)
    } else if sys::errno::is_out_of_memory(error) {
        (AcceptError::Memory, AfterAccept::Pause)
    } else if error.kind() == io::ErrorKind::ConnectionAborted {
        (AcceptError::Aborted, AfterAccept::Next)
    } else {
        // Errors of the network that accept(2) passes on would allow the next try; a socket that listens no more
        // would not. Pausing is right for both: it costs the former a moment, and the latter must not spin.
        (AcceptError::Other, AfterAccept::Pause)
    }
}

/// Sorts the error that ended a connection for the counters.
fn judge_close(error: &io::Error) -> ClosedReason {
    match error.kind() {
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => ClosedReason::Reset,
        _ => ClosedReason::Error,
    }
}
