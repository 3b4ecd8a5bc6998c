//! The echo on mio: a hand-written, edge-triggered event loop for each worker.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net;
use std::os::fd::AsRawFd;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::event::Event;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use rust_runtimes::connection::{Connection, FULL_READS_MAX, wrote_nothing};
use rust_runtimes::worker::{Next, StopProgress, Worker};
use rust_runtimes::{Contender, Sharing, probe};
use slab::Slab;

const CONTENDER: Contender = Contender {
    name: "mio",
    about: "Echoes every byte of every connection, on an event loop made with mio",
    sharing: Sharing::ListenerPerWorker,
    thread_per_core: false,
    probe: probe::nothing,
    work,
};

/// The listener's token; connections have their key in the table.
const LISTENER: Token = Token(usize::MAX);

fn main() -> ExitCode {
    rust_runtimes::main(&CONTENDER, std::env::args_os())
}

fn work(worker: Arc<Worker>, listener: net::TcpListener) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let mut server = Server::new(worker, TcpListener::from_std(listener))?;
    server.worker.is_up();
    server.run()
}

/// An open connection. The entry comes first, so that it is dropped before the socket.
struct Client {
    entry: Connection,
    stream: TcpStream,
    /// What the socket didn't take yet. Empty, and without memory, nearly always.
    unsent: Vec<u8>,
    /// The peer has closed its half: read until the end of the stream comes.
    read_closed: bool,
}

/// Where a connection stands after its turns.
enum Standing {
    /// It waits for its next event.
    Waits,
    /// It has more to read, after the others.
    More,
    /// It is over.
    Over(io::Result<()>),
}

struct Server {
    worker: Arc<Worker>,
    poll: Poll,
    listener: TcpListener,
    clients: Slab<Client>,
    /// One for all: what it holds is written before the next read.
    buffer: Vec<u8>,
    /// Connections that have more to read. The kernel won't say so again.
    more: VecDeque<usize>,
    /// A connection that was accepted and found the limit reached.
    unseated: Option<TcpStream>,
    /// When to accept again, while there is something to accept and accepting rests.
    accept_again: Option<Instant>,
}

impl Server {
    fn new(worker: Arc<Worker>, mut listener: TcpListener) -> io::Result<Server> {
        let poll = Poll::new()?;
        poll.registry()
            .register(&mut listener, LISTENER, Interest::READABLE)?;
        Ok(Server {
            buffer: vec![0; worker.shared.config.read_buffer_bytes],
            worker,
            poll,
            listener,
            clients: Slab::new(),
            more: VecDeque::new(),
            unseated: None,
            accept_again: None,
        })
    }

    fn run(&mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(self.worker.shared.config.events);
        while self.worker.next() != Next::Stop {
            let timeout = if self.more.is_empty() {
                self.accept_again
                    .map(|then| then.saturating_duration_since(Instant::now()))
            } else {
                Some(Duration::ZERO)
            };
            self.turn(&mut events, timeout)?;
            // Whatever else woke it: resting ends when it was to end.
            if self.accept_again.is_some_and(|then| then <= Instant::now()) {
                self.accept();
            }
        }
        self.unseated = None;
        let mut progress = StopProgress::default();
        while let Some(rest) = self.worker.stop(&mut progress) {
            let timeout = if self.more.is_empty() {
                rest
            } else {
                Duration::ZERO
            };
            self.turn(&mut events, Some(timeout))?;
        }
        Ok(())
    }

    /// Waits for events and serves them, and then those who had more to read before.
    fn turn(&mut self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        match self.poll.poll(events, timeout) {
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        let more_before = self.more.len();
        for event in events.iter() {
            match event.token() {
                // Those who come while it rests are found when that is over.
                LISTENER if self.accept_again.is_some() => {}
                LISTENER => self.accept(),
                Token(key) => self.wake(key, event),
            }
        }
        for _ in 0..more_before {
            if let Some(key) = self.more.pop_front() {
                self.serve(key);
            }
        }
        Ok(())
    }

    /// Accepts all who wait: an edge-triggered listener tells of them once.
    fn accept(&mut self) {
        self.accept_again = None;
        loop {
            match self.worker.next() {
                Next::Accept => {}
                Next::Pause(rest) => {
                    self.accept_again = Some(Instant::now() + rest);
                    return;
                }
                Next::Stop => return,
            }
            let accepted = match self.unseated.take() {
                Some(stream) => Ok(stream),
                None => self.listener.accept().map(|(stream, _)| stream),
            };
            match accepted {
                Ok(stream) => self.admit(stream),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    if let Some(rest) = self.worker.accept_failed(&error) {
                        self.accept_again = Some(Instant::now() + rest);
                        return;
                    }
                }
            }
        }
    }

    fn admit(&mut self, mut stream: TcpStream) {
        let Some(entry) = self.worker.enter(stream.as_raw_fd()) else {
            self.unseated = Some(stream);
            return;
        };
        let slot = self.clients.vacant_entry();
        // Both at once: being told of writability costs nothing while nothing waits to be written.
        let interest = Interest::READABLE | Interest::WRITABLE;
        if let Err(error) = self
            .poll
            .registry()
            .register(&mut stream, Token(slot.key()), interest)
        {
            entry.end(Err(error));
            return;
        }
        slot.insert(Client {
            entry,
            stream,
            unsent: Vec::new(),
            read_closed: false,
        });
    }

    fn wake(&mut self, key: usize, event: &Event) {
        let Some(client) = self.clients.get_mut(key) else {
            return;
        };
        client.read_closed |= event.is_read_closed() || event.is_error();
        // The first event of a connection says that it is writable, and no more.
        if event.is_readable() || client.read_closed || !client.unsent.is_empty() {
            self.serve(key);
        }
    }

    fn serve(&mut self, key: usize) {
        let Some(client) = self.clients.get_mut(key) else {
            return;
        };
        match client.turns(&mut self.buffer) {
            Standing::Waits => {}
            Standing::More => self.more.push_back(key),
            Standing::Over(outcome) => {
                // Closing the socket takes it out of the epoll set, too.
                let Client { entry, stream, .. } = self.clients.remove(key);
                entry.end(outcome);
                drop(stream);
            }
        }
    }
}

impl Client {
    /// Echoes what has arrived, until the socket is drained, full, or others have waited long enough.
    fn turns(&mut self, buffer: &mut [u8]) -> Standing {
        match self.flush() {
            Ok(true) => {}
            Ok(false) => return Standing::Waits,
            Err(error) => return Standing::Over(Err(error)),
        }
        for _ in 0..FULL_READS_MAX {
            let bytes = match self.stream.read(buffer) {
                Ok(0) => return Standing::Over(Ok(())),
                Ok(bytes) => bytes,
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock => return Standing::Waits,
                    ErrorKind::Interrupted => continue,
                    _ => return Standing::Over(Err(error)),
                },
            };
            self.entry.received(bytes);
            match self.send(&buffer[..bytes]) {
                Ok(true) => {}
                Ok(false) => return Standing::Waits,
                Err(error) => return Standing::Over(Err(error)),
            }
            // On epoll a short read means that the socket is drained and that what comes later is a new event. Only
            // the end of the stream may have come before.
            if bytes < buffer.len() && !self.read_closed {
                return Standing::Waits;
            }
        }
        Standing::More
    }

    /// Writes; what the socket doesn't take is kept. True when nothing is left.
    fn send(&mut self, bytes: &[u8]) -> io::Result<bool> {
        let done = self.write(bytes)?;
        self.unsent.extend_from_slice(&bytes[done..]);
        Ok(done == bytes.len())
    }

    /// Writes what was kept. True when nothing is left.
    fn flush(&mut self) -> io::Result<bool> {
        if self.unsent.is_empty() {
            return Ok(true);
        }
        let unsent = std::mem::take(&mut self.unsent);
        let done = self.write(&unsent)?;
        if done < unsent.len() {
            self.unsent = unsent;
            self.unsent.drain(..done);
        }
        Ok(self.unsent.is_empty())
    }

    /// Writes until all is taken or the socket is full; says how much it took.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut done = 0;
        while done < bytes.len() {
            match self.stream.write(&bytes[done..]) {
                Ok(0) => return Err(wrote_nothing()),
                Ok(wrote) => {
                    done += wrote;
                    self.entry.sent(wrote, bytes.len() - done);
                }
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock => {
                        self.entry.sent(0, bytes.len() - done);
                        break;
                    }
                    ErrorKind::Interrupted => {}
                    _ => return Err(error),
                },
            }
        }
        Ok(done)
    }
}
