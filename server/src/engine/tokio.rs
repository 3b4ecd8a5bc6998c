//! A task per connection on tokio's multi-threaded runtime.
//!
//! A message costs one receive and one send: `poll_read` knows from a short read that the socket is drained and goes
//! back to sleep without trying again. The usual way to let a connection hear of a shutdown, `select!` over the read
//! and a notification, takes a lock that all workers share once a message; here a task registers with the notification
//! once and then only looks at a flag.

use std::cell::OnceCell;
use std::future::{Future, poll_fn};
use std::io;
use std::net::TcpListener as StdListener;
use std::os::fd::AsFd;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use sys::socket::receive;
use sys::wake::wait_readable;
use telemetry::counters::{Block, ClosedReason, WorkerCounters};
use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::{Notify, Semaphore, mpsc};

use super::{
    ACCEPT_PAUSE, AfterAccept, Capabilities, Context, Engine, Listeners, Stop, Threads, judge_accept,
    judge_close,
};

/// The engine's row in the table.
pub const ENGINE: Engine = Engine {
    name: "tokio",
    summary: "a task per connection on tokio's multi-threaded runtime",
    capabilities: Capabilities {
        lingers: false,
        epoll_flags: false,
        threads: Threads::AsTold,
    },
    probe,
    serve,
};

/// How long the runtime's threads may take to end after their tasks were cut at the end of the grace period.
const CUT_PATIENCE: Duration = Duration::from_millis(200);

thread_local! {
    /// The counters of this runtime thread. A task may move between threads at every await, so it asks for them anew
    /// after each and never holds them across one.
    static COUNTERS: OnceCell<WorkerCounters> = const { OnceCell::new() };
}

fn count(count: impl FnOnce(&Block)) {
    COUNTERS.with(|counters| {
        if let Some(counters) = counters.get() {
            count(counters);
        }
    });
}

fn probe() -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map(drop).map_err(|error| {
        format!("tokio's runtime can't be made here ({error}): raise the limit of open files (ulimit -n)")
    })
}

fn serve(context: Context, listeners: Listeners, stop: Arc<Stop>) -> io::Result<()> {
    let counters = Arc::clone(&context.counters);
    let started = AtomicUsize::new(0);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(context.workers.get())
        .thread_name_fn(move || format!("tokio-{}", started.fetch_add(1, Ordering::Relaxed)))
        .on_thread_start(move || {
            COUNTERS.with(|own| {
                // A new thread has none yet.
                let _ = own.set(counters.claim());
            });
        })
        .enable_all()
        .build()?;
    let served = run(&runtime, &context, &listeners, &stop);
    // What is left now was cut; its tasks are dropped, and count themselves, on the runtime's threads.
    runtime.shutdown_timeout(CUT_PATIENCE);
    served
}

/// Starts to accept, sleeps until the server stops, and waits until every connection is closed or the grace period is
/// over. The calling thread is none of the runtime's: those serve.
fn run(runtime: &Runtime, context: &Context, listeners: &Listeners, stop: &Stop) -> io::Result<()> {
    // Every task holds a clone of `open`; the channel ends when the last one is gone.
    let (open, mut all_closed) = mpsc::channel::<()>(1);
    let limit = context.max_connections.map_or(Semaphore::MAX_PERMITS, |limit| {
        limit.get().min(Semaphore::MAX_PERMITS)
    });
    let shared = Arc::new(Shared {
        read_buffer_bytes: context.read_buffer_bytes.get(),
        room: Arc::new(Semaphore::new(limit)),
        stopping: Stopping::default(),
    });
    let own = listeners
        .all()
        .iter()
        .map(|listener| own(runtime, listener))
        .collect::<io::Result<_>>()?;
    let acceptor = runtime.spawn(accept_all(own, Arc::clone(&shared), open));
    while !stop.is_raised() {
        wait_readable([stop.as_fd()], None)?;
    }
    acceptor.abort();
    listeners.close();
    shared.stopping.begin();
    runtime.block_on(async {
        // Either way there is nothing left to wait for.
        let _ = tokio::time::timeout(context.grace, all_closed.recv()).await;
    });
    Ok(())
}

/// The runtime's own handle on a listening socket.
fn own(runtime: &Runtime, listener: &StdListener) -> io::Result<TcpListener> {
    let _inside = runtime.enter();
    let listener = listener.try_clone()?;
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

/// What all tasks share.
struct Shared {
    read_buffer_bytes: usize,
    room: Arc<Semaphore>,
    stopping: Stopping,
}

/// One task for all listening sockets: it holds one place for the next connection, whichever socket that comes on,
/// where a task for each would keep places from one another.
async fn accept_all(listeners: Vec<TcpListener>, shared: Arc<Shared>, open: mpsc::Sender<()>) {
    let mut first = 0;
    loop {
        // The semaphore is never closed.
        let Ok(room) = Arc::clone(&shared.room).acquire_owned().await else {
            return;
        };
        first = (first + 1) % listeners.len();
        let (before, after) = listeners.split_at(first);
        let accept = poll_fn(|task| {
            let mut ready = after
                .iter()
                .chain(before)
                .map(|listener| listener.poll_accept(task));
            ready.find(Poll::is_ready).unwrap_or(Poll::Pending)
        });
        match accept.await {
            Ok((socket, _)) => {
                count(|counters| counters.accepted.add(1));
                let (shared, open) = (Arc::clone(&shared), open.clone());
                tokio::spawn(async move {
                    Connection::new(socket).serve(&shared).await;
                    drop((room, open));
                });
            }
            Err(error) => {
                let (reason, then) = judge_accept(&error);
                count(|counters| counters.accept_error(reason).add(1));
                if then == AfterAccept::Pause {
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

/// One connection, owned by its task.
struct Connection {
    socket: TcpStream,
    /// Why it ends; counted when it is dropped, also when the runtime drops it.
    reason: ClosedReason,
}

impl Connection {
    fn new(socket: TcpStream) -> Connection {
        Connection {
            socket,
            reason: ClosedReason::Shutdown,
        }
    }

    async fn serve(mut self, shared: &Shared) {
        let mut buffer = vec![0; shared.read_buffer_bytes];
        self.reason = match self.echo(&mut buffer, &shared.stopping).await {
            Ok(reason) => reason,
            Err(error) => judge_close(&error),
        };
    }

    async fn echo(&mut self, buffer: &mut [u8], stopping: &Stopping) -> io::Result<ClosedReason> {
        let mut stopped = pin!(stopping.notify.notified());
        let mut registered = false;
        loop {
            let read = poll_fn(|task| {
                // A task's waker stays the same, so that one registration holds for good.
                if !registered {
                    registered = true;
                    let _ = stopped.as_mut().poll(task);
                }
                if stopping.begun() {
                    return Poll::Ready(None);
                }
                self.poll_receive(task, buffer).map(Some)
            });
            match read.await {
                Some(Ok(0)) => return Ok(ClosedReason::Eof),
                Some(Ok(received)) => self.reply(&buffer[..received]).await?,
                Some(Err(error)) => return Err(error),
                None => return self.finish(buffer).await,
            }
        }
    }

    fn poll_receive(&mut self, task: &mut TaskContext<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(buffer);
        Pin::new(&mut self.socket)
            .poll_read(task, &mut buffer)
            .map_ok(|()| buffer.filled().len())
    }

    /// Stopped: echoes what has arrived. It asks the kernel, not the runtime, which may not have heard of it yet.
    async fn finish(&mut self, buffer: &mut [u8]) -> io::Result<ClosedReason> {
        loop {
            match receive(self.socket.as_fd(), buffer) {
                Ok(0) => return Ok(ClosedReason::Eof),
                Ok(received) => self.reply(&buffer[..received]).await?,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(ClosedReason::Shutdown),
                Err(error) => return Err(error),
            }
        }
    }

    /// Sends what was just read. Nothing is read until the socket has taken all of it.
    async fn reply(&mut self, bytes: &[u8]) -> io::Result<()> {
        count(|counters| {
            counters.received_bytes.add(bytes.len() as u64);
            counters.messages.add(1);
        });
        // At once, without a detour over the runtime; only a rest has to wait.
        let mut sent = match self.socket.try_write(bytes) {
            Ok(sent) => sent,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(error) => return Err(error),
        };
        count(|counters| counters.sent_bytes.add(sent as u64));
        while sent < bytes.len() {
            count(|counters| counters.partial_writes.add(1));
            let more = self.socket.write(&bytes[sent..]).await?;
            count(|counters| counters.sent_bytes.add(more as u64));
            sent += more;
        }
        Ok(())
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        count(|counters| counters.closed(self.reason).add(1));
    }
}

/// The word that the server stops, for any number of tasks.
#[derive(Default)]
struct Stopping {
    begun: AtomicBool,
    notify: Notify,
}

impl Stopping {
    fn begin(&self) {
        self.begun.store(true, Ordering::SeqCst);
        self.notify.notify_waiters();
    }

    fn begun(&self) -> bool {
        self.begun.load(Ordering::SeqCst)
    }
}
