//! The yardstick: the smallest correct epoll loop, so that what our safety and counting cost is a number.
//!
//! Each worker waits, reads, writes. It has no table of connections, no limits, no turns and no counters. Of the
//! contract it keeps the first two promises, and the last one. It breaks the others: a peer that does not read holds up
//! its whole worker, since a reply that does not fit is waited for on the spot; a stop waits for nothing, and leaves closing to the end of the process; an
//! error of accept ends the server; nothing is counted. So it stands in [`super::YARDSTICKS`], not in
//! [`super::ENGINES`], and the contract's cases do not run on it. No server should be built like this.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::Arc;

use sys::bare::{Owning, Then, wait_writable};
use sys::socket::{accept, receive, send};

use super::{Capabilities, Context, Engine, Listeners, Stop, Threads};

/// The engine's row in the table.
pub const ENGINE: Engine = Engine {
    name: "bare",
    summary: "for benchmarks alone: wait, read, write; no counters, no table, no limits",
    capabilities: Capabilities {
        lingers: false,
        epoll_flags: true,
        threads: Threads::AsTold,
    },
    probe: || Ok(()),
    serve,
};

fn serve(context: Context, listeners: Listeners, stop: Arc<Stop>) -> io::Result<()> {
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..context.workers.get())
            .map(|number| {
                let (context, listeners, stop) = (&context, &listeners, &*stop);
                scope.spawn(move || {
                    let ended = work(number, context, listeners, stop);
                    stop.raise();
                    ended
                })
            })
            .collect();
        let outcomes = workers.into_iter().map(|worker| {
            worker
                .join()
                .unwrap_or_else(|_| Err(io::Error::other("a worker panicked")))
        });
        outcomes.collect()
    })
}

fn work(number: usize, context: &Context, listeners: &Listeners, stop: &Stop) -> io::Result<()> {
    let listener = listeners.of_worker(number);
    listener.set_nonblocking(true)?;
    let listener = listener.as_fd().try_clone_to_owned()?;
    let stop = stop.as_fd().try_clone_to_owned()?;
    let (listener_number, stop_number) = (listener.as_raw_fd(), stop.as_raw_fd());
    let mut sockets = Owning::new(context.events_per_wait.get())?;
    sockets.add(listener)?;
    sockets.add(stop)?;
    let mut buffer = vec![0; context.read_buffer_bytes.get()];
    let mut stopped = false;
    let mut failed = None;
    while !stopped {
        sockets.wait(|socket| {
            let number = socket.as_raw_fd();
            if number == listener_number {
                match accept(socket) {
                    Ok(connection) => return Then::Add(connection),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) => failed = Some(error),
                }
                return Then::Keep;
            }
            if number == stop_number {
                stopped = true;
                return Then::Keep;
            }
            match receive(socket, &mut buffer) {
                Ok(received @ 1..) if send_all(socket, &buffer[..received]).is_ok() => Then::Keep,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Then::Keep,
                _ => Then::Close,
            }
        })?;
        if let Some(error) = failed {
            return Err(error);
        }
    }
    Ok(())
}

/// Sends all of it, whatever the time.
#[inline]
fn send_all(socket: BorrowedFd<'_>, mut bytes: &[u8]) -> io::Result<()> {
    loop {
        match send(socket, bytes) {
            Ok(sent) if sent == bytes.len() => return Ok(()),
            Ok(sent) => bytes = &bytes[sent..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => wait_writable(socket)?,
            Err(error) => return Err(error),
        }
    }
}
