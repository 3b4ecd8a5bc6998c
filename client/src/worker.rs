//! One thread with one epoll: its connections, its orders, and the two calls that move bytes.
//!
//! A worker opens its connections (`ramp.rs`), sleeps until it is told what to do, puts the server under load for
//! a slice at a time (`slice.rs`, which counts by `notes.rs`), and closes its connections in the end (`finish.rs`). Sockets are registered once,
//! edge-triggered, and never again; buffers belong to the thread, none to a connection.

mod finish;
mod notes;
mod ramp;
mod slice;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError};

use sys::epoll::{Epoll, Events, Interest};
use sys::socket;
use sys::timer::Timer;
use sys::wake::Flag;

use crate::carried::Carried;
use crate::clock::{Clock, Nanos};
use crate::connection::{Connection, Received};
use crate::ledger::Ledger;
use crate::metrics::{Block, Board, Errors, Reason};
use crate::pace::{Schedule, Tick};
use crate::queue::DueQueue;
use crate::random::mix;
use crate::rota::Rota;

use notes::Notes;

/// The token of the flag in the epoll; connections have theirs from 0 up.
const FLAG: u64 = u64::MAX;
/// The token of the alarm.
const ALARM: u64 = u64::MAX - 1;
/// Events of one wait. Plenty, as the clock is read once for all of them: see `slice.rs`.
const EVENTS: usize = 512;
/// The thread's buffers; a longer message passes through them in parts.
const BUFFER_BYTES: usize = 64 * 1024;

/// What every worker is told once.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The echo server.
    pub target: SocketAddr,
    /// Connections of all workers.
    pub all_connections: usize,
    /// Bytes of a message.
    pub message_bytes: u32,
    /// Source addresses, taken in turn; empty for the system's choice.
    pub sources: Vec<IpAddr>,
    /// The time over which all connections are opened.
    pub ramp: Nanos,
    /// How long a reply or a connection is awaited.
    pub timeout: Nanos,
    /// Whether TCP_NODELAY is set.
    pub nodelay: bool,
    /// What the order of connections and random arrivals follow from.
    pub seed: u64,
    /// The clock of all.
    pub clock: Clock,
    /// The counters of all.
    pub board: Arc<Board>,
}

/// What a worker is told. The flag is raised after each order.
#[derive(Debug)]
pub enum Order {
    /// Put the server under load.
    Slice {
        /// When requests are due.
        schedule: Schedule,
        /// From when.
        start: Nanos,
        /// Until when.
        end: Nanos,
        /// Whether the messages of each connection are counted.
        counted: bool,
    },
    /// End the slice (or the ramp) that is under way.
    Cut,
    /// Close all connections and end.
    Finish,
}

/// What a worker answers.
#[derive(Debug)]
pub enum Answer {
    /// Its ramp is over, well or not: the counters say how many connections stand; this is the first error.
    Ramped(Option<(Reason, String)>),
    /// A slice is over.
    Slice(Box<Ledger>),
    /// It cannot go on.
    Failed(String),
    /// Its thread has ended, after `Order::Finish` or by a bug.
    Ended,
}

/// One connection and its socket. One cache line.
struct Link {
    socket: Option<OwnedFd>,
    connection: Connection,
    /// The request in flight, or the next one.
    tick: Tick,
    /// When the request in flight was sent.
    sent_at: Nanos,
}

/// What came in on one event.
struct Taken {
    /// A reply was completed.
    reply: bool,
    /// The connection is lost, and why.
    lost: Option<Reason>,
}

/// A worker's thread.
pub struct Worker {
    setup: Setup,
    thread: usize,
    connections: Range<usize>,
    flag: Arc<Flag>,
    orders: Receiver<Order>,
    epoll: Epoll,
    /// Goes off when a request is due.
    alarm: Timer,
    events: Events,
    links: Vec<Link>,
    queue: DueQueue,
    /// Who takes the next turn in an open loop.
    rota: Rota,
    carried: Carried,
    notes: Notes,
    buffer: Box<[u8]>,
    scratch: Box<[u8]>,
    /// Errors up to the end of the previous slice.
    errors_told: Errors,
    /// The first bad reply since the previous slice, in words.
    complaint: Option<String>,
}

impl Worker {
    /// The worker with number `thread`, which gets the connections with these numbers.
    ///
    /// # Errors
    /// When descriptors ran out.
    pub fn new(
        setup: Setup,
        thread: usize,
        connections: Range<usize>,
        flag: Arc<Flag>,
        orders: Receiver<Order>,
    ) -> io::Result<Worker> {
        let epoll = Epoll::new()?;
        epoll.add(flag.as_fd(), Interest::READABLE, FLAG)?;
        let alarm = Timer::new()?;
        epoll.add(alarm.as_fd(), Interest::READABLE | Interest::EDGE, ALARM)?;
        let count = connections.len();
        let order = mix(setup.seed).wrapping_add(thread as u64);
        Ok(Worker {
            setup,
            thread,
            connections,
            flag,
            orders,
            epoll,
            alarm,
            events: Events::with_capacity(EVENTS),
            links: Vec::with_capacity(count),
            queue: DueQueue::with_capacity(count),
            rota: Rota::new(count, mix(order)),
            carried: Carried::new(count),
            notes: Notes::new(),
            buffer: vec![0; BUFFER_BYTES].into(),
            scratch: vec![0; BUFFER_BYTES].into(),
            errors_told: Errors::default(),
            complaint: None,
        })
    }

    /// The thread's whole life.
    pub fn run(mut self, tell: impl Fn(Answer)) {
        if let Err(error) = self.obey(&tell) {
            tell(Answer::Failed(format!("waiting for events failed: {error}")));
        }
    }

    fn obey(&mut self, tell: &impl Fn(Answer)) -> io::Result<()> {
        tell(Answer::Ramped(self.ramp()?));
        loop {
            match self.next_order()? {
                Order::Slice {
                    schedule,
                    start,
                    end,
                    counted,
                } => {
                    let ledger = self.slice(schedule, (start, end), counted)?;
                    tell(Answer::Slice(Box::new(ledger)));
                }
                Order::Cut => {}
                Order::Finish => return self.finish(),
            }
        }
    }

    /// Sleeps until there is an order. What servers do to their clients meanwhile is counted: it shows in the next
    /// slice.
    fn next_order(&mut self) -> io::Result<Order> {
        loop {
            match self.orders.try_recv() {
                Ok(order) => return Ok(order),
                Err(TryRecvError::Disconnected) => return Ok(Order::Finish),
                Err(TryRecvError::Empty) => {}
            }
            for index in 0..self.epoll.wait(&mut self.events, None)? {
                match self.events.get(index) {
                    Some(event) if event.token == FLAG => self.flag.lower(),
                    Some(event) if event.token == ALARM => {}
                    Some(event) => {
                        let slot = event.token as usize;
                        if let Some(reason) = self.take_in(slot, true).lost {
                            self.lose(slot, reason);
                        }
                    }
                    None => {}
                }
            }
        }
    }

    /// This thread's counters.
    #[inline]
    fn block(&self) -> &Block {
        self.setup.board.block(self.thread)
    }

    /// Connections that stand.
    fn standing(&self) -> usize {
        self.links.iter().filter(|link| link.socket.is_some()).count()
    }

    /// Sends what is left of the request, as far as the socket takes it. The rest goes out when it is writable again.
    #[inline]
    fn push_out(&mut self, slot: usize) -> Result<(), Reason> {
        let link = &mut self.links[slot];
        let Some(socket) = &link.socket else {
            return Ok(());
        };
        loop {
            let bytes = link.connection.outgoing(&mut self.scratch);
            if bytes.is_empty() {
                return Ok(());
            }
            match socket::send(socket.as_fd(), bytes) {
                Ok(sent) => {
                    link.connection.sent(sent);
                    self.setup.board.block(self.thread).sent_bytes.add(sent as u64);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(Reason::of_connection(&error)),
            }
        }
    }

    /// Takes in and checks what has arrived. A read that does not fill the buffer has emptied the socket, so that one
    /// read is enough unless the peer is `closing`: then the end of the stream is still to be read.
    #[inline]
    fn take_in(&mut self, slot: usize, closing: bool) -> Taken {
        let mut taken = Taken {
            reply: false,
            lost: None,
        };
        let link = &mut self.links[slot];
        let Some(socket) = &link.socket else {
            return taken;
        };
        loop {
            match socket::receive(socket.as_fd(), &mut self.buffer) {
                Ok(0) => {
                    taken.lost = Some(Reason::ClosedByServer);
                    return taken;
                }
                Ok(length) => {
                    self.setup
                        .board
                        .block(self.thread)
                        .received_bytes
                        .add(length as u64);
                    match link.connection.receive(&self.buffer[..length]) {
                        Received::Part => {}
                        Received::Reply => taken.reply = true,
                        Received::Bad(bad) => {
                            let number = self.connections.start + slot;
                            self.complaint
                                .get_or_insert_with(|| format!("connection {number}: {bad}"));
                            taken.lost = Some(Reason::BadReply);
                            return taken;
                        }
                    }
                    if length < self.buffer.len() && !closing {
                        return taken;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return taken,
                Err(error) => {
                    taken.lost = Some(Reason::of_connection(&error));
                    return taken;
                }
            }
        }
    }

    /// Counts an error and closes the connection that it happened to.
    fn lose(&mut self, slot: usize, reason: Reason) {
        if self.links[slot].socket.take().is_some() {
            let block = self.block();
            block.error(reason);
            block.established.subtract(1);
            block.closed.add(1);
        }
    }
}
