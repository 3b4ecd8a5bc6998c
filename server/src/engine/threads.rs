//! A thread per connection: it reads, writes, and sleeps in the kernel in between.
//!
//! One thread for each listening socket accepts. A connection's thread owns its read buffer and its counters; what all
//! threads share is [`Open`], the list of open connections, touched when one opens or closes. `--workers` means nothing
//! here: there are as many threads as connections.

use std::collections::HashMap;
use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::num::NonZeroUsize;
use std::os::fd::AsFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use sys::socket::{receive, send};
use sys::wake::wait_readable;
use telemetry::counters::{AcceptError, Block, ClosedReason, WorkerCounters};

use super::{
    ACCEPT_PAUSE, AfterAccept, Capabilities, Context, Engine, Listeners, Stop, Threads, judge_accept,
    judge_close,
};

/// The engine's row in the table.
pub const ENGINE: Engine = Engine {
    name: "threads",
    summary: "a thread per connection, blocking reads and writes",
    capabilities: Capabilities {
        lingers: false,
        epoll_flags: false,
        threads: Threads::PerConnection,
    },
    probe,
    serve,
};

/// The stack of a connection's thread. The C library's floor is 16 KiB; the deepest thing that can happen here is the
/// message of a panic, which fits into 64 KiB also in a debug build. Resident are only the pages that were touched.
const STACK_BYTES: usize = 64 * 1024;

/// How long threads may take to end after their connections were cut at the end of the grace period.
const CUT_PATIENCE: Duration = Duration::from_millis(200);

fn probe() -> Result<(), String> {
    let started = thread::Builder::new().stack_size(STACK_BYTES).spawn(|| {});
    let refused = |error| {
        format!(
            "no thread can be started here ({error}): raise the limit of processes (ulimit -u, or pids in a container)"
        )
    };
    // The thread does nothing, so joining it cannot bring a panic.
    started.map(|thread| drop(thread.join())).map_err(refused)
}

fn serve(context: Context, listeners: Listeners, stop: Arc<Stop>) -> io::Result<()> {
    let open = Arc::new(Open::new(context.max_connections));
    thread::scope(|scope| {
        let mut outcome = Ok(());
        for (number, listener) in listeners.all().iter().enumerate() {
            let counters = context.counters.claim();
            let (context, open, stop) = (&context, &open, &stop);
            let started = thread::Builder::new()
                .name(format!("acceptor-{number}"))
                .spawn_scoped(scope, move || {
                    accept_all(listener, context, &counters, open, stop)
                });
            if let Err(error) = started {
                stop.raise();
                outcome = Err(error);
            }
        }
        while !stop.is_raised() {
            outcome = outcome.and(wait_readable([stop.as_fd()], None).map(drop));
        }
        let deadline = Instant::now() + context.grace;
        listeners.close();
        // Each thread echoes what has arrived and then sees the end of its stream.
        open.shut_down(Shutdown::Read);
        if !open.wait_until_empty(deadline) {
            // What still waits for its peer to read is cut.
            open.shut_down(Shutdown::Both);
            open.wait_until_empty(Instant::now() + CUT_PATIENCE);
        }
        outcome
    })
}

fn accept_all(listener: &TcpListener, context: &Context, counters: &Block, open: &Arc<Open>, stop: &Stop) {
    while !open.await_room().stopped && !stop.is_raised() {
        match listener.accept() {
            Ok((socket, _)) => start(socket, context, counters, open, stop),
            Err(_) if stop.is_raised() => return,
            Err(error) => {
                let (reason, then) = judge_accept(&error);
                counters.accept_error(reason).add(1);
                if then == AfterAccept::Pause {
                    open.wait_for_close(ACCEPT_PAUSE);
                }
            }
        }
    }
}

/// Starts the thread of one connection. When there can't be one, that connection alone is closed.
fn start(socket: TcpStream, context: &Context, counters: &Block, open: &Arc<Open>, stop: &Stop) {
    let socket = Arc::new(socket);
    let mut connection = Connection {
        number: open.add(&socket),
        open: Arc::clone(open),
        socket,
        counters: context.counters.claim(),
        buffer: vec![0; context.read_buffer_bytes.get()],
    };
    // Whoever stops marks the connections that it finds in the list; one that came in later marks itself.
    if stop.is_raised() {
        let _ = connection.socket.shutdown(Shutdown::Read);
    }
    connection.counters.accepted.add(1);
    // Without a name it would bear the acceptor's, in profiles and in `top -H`.
    let thread = thread::Builder::new()
        .name("connection".to_owned())
        .stack_size(STACK_BYTES);
    let started = thread.spawn(move || {
        let reason = connection.echo();
        connection.end(reason);
    });
    if started.is_err() {
        // The connection went with the closure, uncounted: a thread that did not start has no reason to give.
        counters.closed(ClosedReason::Error).add(1);
        counters.accept_error(AcceptError::Other).add(1);
        open.wait_for_close(ACCEPT_PAUSE);
    }
}

/// One connection, owned by its thread.
struct Connection {
    number: u64,
    socket: Arc<TcpStream>,
    open: Arc<Open>,
    counters: WorkerCounters,
    /// Made by the acceptor: a thread that never allocates gets no cache from the allocator, which would cost 10 KiB.
    buffer: Vec<u8>,
}

impl Connection {
    /// Echoes until the peer is done, the server stops, or an error ends it.
    fn echo(&mut self) -> ClosedReason {
        loop {
            let received = match receive(self.socket.as_fd(), &mut self.buffer) {
                Ok(0) => return ClosedReason::Eof,
                Ok(received) => received,
                Err(error) => return judge_close(&error),
            };
            self.counters.received_bytes.add(received as u64);
            self.counters.messages.add(1);
            let mut rest = &self.buffer[..received];
            // A blocking send takes everything, unless it is interrupted.
            while !rest.is_empty() {
                match send(self.socket.as_fd(), rest) {
                    Ok(sent) => {
                        self.counters.sent_bytes.add(sent as u64);
                        rest = &rest[sent..];
                        if !rest.is_empty() {
                            self.counters.partial_writes.add(1);
                        }
                    }
                    Err(error) => return judge_close(&error),
                }
            }
        }
    }

    fn end(self, reason: ClosedReason) {
        // The end of the stream, or a broken pipe, may be our own doing.
        let stopped = self.open.is_stopped();
        let reason = if stopped { ClosedReason::Shutdown } else { reason };
        self.counters.closed(reason).add(1);
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.open.remove(self.number);
    }
}

/// The open connections, for stopping them, for counting them against the limit, and for waiting until one closes.
struct Open {
    list: Mutex<List>,
    limit: usize,
    /// A connection was closed, or the server stops.
    changed: Condvar,
}

#[derive(Default)]
struct List {
    sockets: HashMap<u64, Arc<TcpStream>>,
    next: u64,
    stopped: bool,
}

impl Open {
    fn new(limit: Option<NonZeroUsize>) -> Open {
        Open {
            list: Mutex::default(),
            limit: limit.map_or(usize::MAX, NonZeroUsize::get),
            changed: Condvar::new(),
        }
    }

    /// A list stays usable when a thread panicked while it held the lock.
    fn lock(&self) -> MutexGuard<'_, List> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for room first: with several acceptors others may have filled it meanwhile.
    fn add(&self, socket: &Arc<TcpStream>) -> u64 {
        let mut list = self.await_room();
        list.next += 1;
        let number = list.next;
        list.sockets.insert(number, Arc::clone(socket));
        number
    }

    fn remove(&self, number: u64) {
        let removed = self.lock().sockets.remove(&number);
        drop(removed);
        self.changed.notify_all();
    }

    fn is_stopped(&self) -> bool {
        self.lock().stopped
    }

    fn shut_down(&self, how: Shutdown) {
        let mut list = self.lock();
        list.stopped = true;
        for socket in list.sockets.values() {
            // It fails for one that its peer has reset, whose thread then sees that by itself.
            let _ = socket.shutdown(how);
        }
        drop(list);
        self.changed.notify_all();
    }

    /// Waits while the limit of connections is reached, unless stopped.
    fn await_room(&self) -> MutexGuard<'_, List> {
        let full = |list: &mut List| list.sockets.len() >= self.limit && !list.stopped;
        let waited = self.changed.wait_while(self.lock(), full);
        waited.unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until something changes, at most `patience`.
    fn wait_for_close(&self, patience: Duration) {
        let list = self.lock();
        if !list.stopped {
            // Whether it changed or took too long, the next accept tells.
            drop(self.changed.wait_timeout(list, patience));
        }
    }

    /// Waits until no connection is open; false when `deadline` came first.
    fn wait_until_empty(&self, deadline: Instant) -> bool {
        let patience = deadline.saturating_duration_since(Instant::now());
        let any = |list: &mut List| !list.sockets.is_empty();
        let waited = self.changed.wait_timeout_while(self.lock(), patience, any);
        waited
            .unwrap_or_else(PoisonError::into_inner)
            .0
            .sockets
            .is_empty()
    }
}
