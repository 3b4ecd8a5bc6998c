//! The ramp: a thread's connections are opened, some at a time, none of them blocking.
//!
//! A server that accepts more slowly than we connect lets its queue run full, and the kernel then drops attempts. It
//! tries again after a second by itself; we give up such an attempt earlier and make a new one.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, Type};
use sys::epoll::{Event, Interest};

use super::{FLAG, Link, Order, Worker};
use crate::clock::{Nanos, SECOND};
use crate::connection::Connection;
use crate::metrics::Reason;
use crate::pace::Tick;
use crate::plan;

/// Attempts under way at a time and thread: well below the queue of listeners that know no better (128 by tradition).
const UNDER_WAY: usize = 64;
/// How long an attempt is given on loopback, where an answer comes at once or not at all.
const LOOPBACK_PATIENCE: Nanos = SECOND / 10;
/// How long a connection's first attempt is given elsewhere; each further one has twice as long, as the way may be far.
const FIRST_PATIENCE: Nanos = SECOND / 4;

/// An attempt under way.
#[derive(Clone, Copy)]
struct Attempt {
    slot: usize,
    /// When the connection was first tried.
    first: Nanos,
    /// When this attempt is given up.
    until: Nanos,
    patience: Nanos,
}

/// The first thing that went wrong, for the case that nothing goes right.
type Trouble = Option<(Reason, String)>;

impl Worker {
    /// Opens this thread's connections. What fails is counted and left out. Ends early when nothing has worked yet and
    /// something fails: it would fail ten thousand times more.
    pub(super) fn ramp(&mut self) -> io::Result<Trouble> {
        let began = self.setup.clock.now();
        let count = self.connections.len();
        for number in self.connections.clone() {
            self.links.push(Link {
                socket: None,
                connection: Connection::new(number as u64, self.setup.message_bytes),
                tick: Tick::NEVER,
                sent_at: 0,
            });
        }
        let mut trouble: Trouble = None;
        let mut under_way: VecDeque<Attempt> = VecDeque::with_capacity(UNDER_WAY);
        let mut next = 0;
        let mut cut = false;
        while !cut && (next < count || !under_way.is_empty()) {
            if trouble.is_some() && self.standing_now() == 0 {
                break;
            }
            let now = self.setup.clock.now();
            let mut opening = Nanos::MAX;
            while next < count && under_way.len() < UNDER_WAY {
                let number = self.connections.start + next;
                opening = began + plan::opening(number, self.setup.all_connections, self.setup.ramp);
                if opening > now {
                    break;
                }
                let patience = match self.setup.target.ip().is_loopback() {
                    true => LOOPBACK_PATIENCE,
                    false => FIRST_PATIENCE,
                };
                let attempt = Attempt {
                    slot: next,
                    first: now,
                    until: now + patience.min(self.setup.timeout),
                    patience,
                };
                next += 1;
                opening = Nanos::MAX;
                match self.open(attempt.slot) {
                    Ok(()) => under_way.push_back(attempt),
                    Err(error) => self.fail(&error, &mut trouble),
                }
            }
            self.renew(&mut under_way, now, &mut trouble);
            let until = under_way
                .iter()
                .map(|attempt| attempt.until)
                .min()
                .unwrap_or(Nanos::MAX)
                .min(opening);
            let wait = match until {
                Nanos::MAX => None,
                until => Some(Duration::from_nanos(until.saturating_sub(self.setup.clock.now()))),
            };
            if next == count && under_way.is_empty() {
                break;
            }
            for index in 0..self.epoll.wait(&mut self.events, wait)? {
                let Some(event) = self.events.get(index) else {
                    continue;
                };
                if event.token == FLAG {
                    self.flag.lower();
                    cut = matches!(self.orders.try_recv(), Ok(Order::Cut | Order::Finish));
                    continue;
                }
                let slot = event.token as usize;
                match under_way.iter().position(|attempt| attempt.slot == slot) {
                    Some(index) => {
                        under_way.remove(index);
                        self.arrived(slot, event, &mut trouble);
                    }
                    None => {
                        if let Some(reason) = self.take_in(slot, event.is_hangup() || event.is_error()).lost {
                            self.lose(slot, reason);
                        }
                    }
                }
            }
        }
        for attempt in under_way {
            self.abandon(attempt.slot);
        }
        Ok(trouble)
    }

    /// Gives up the attempts whose patience is over, and makes new ones while there is time.
    fn renew(&mut self, under_way: &mut VecDeque<Attempt>, now: Nanos, trouble: &mut Trouble) {
        for _ in 0..under_way.len() {
            let Some(mut attempt) = under_way.pop_front() else {
                return;
            };
            if attempt.until > now {
                under_way.push_back(attempt);
                continue;
            }
            self.abandon(attempt.slot);
            let limit = attempt.first + self.setup.timeout;
            let opened = match now >= limit {
                true => Err(io::Error::new(io::ErrorKind::TimedOut, "no answer")),
                false => self.open(attempt.slot),
            };
            match opened {
                Ok(()) => {
                    if !self.setup.target.ip().is_loopback() {
                        attempt.patience *= 2;
                    }
                    attempt.until = (now + attempt.patience).min(limit);
                    under_way.push_back(attempt);
                }
                Err(error) => self.fail(&error, trouble),
            }
        }
    }

    /// Begins to connect.
    fn open(&mut self, slot: usize) -> io::Result<()> {
        let number = self.connections.start + slot;
        let target = self.setup.target;
        let socket = Socket::new(
            Domain::for_address(target),
            Type::STREAM.nonblocking(),
            Some(Protocol::TCP),
        )?;
        socket.set_tcp_nodelay(self.setup.nodelay)?;
        if !self.setup.sources.is_empty() {
            let source = self.setup.sources[number % self.setup.sources.len()];
            // Old kernels lack the option; the address is then good for fewer connections, but good.
            let _ = sys::socket::choose_source_port_late(socket.as_fd());
            socket.bind(&SockAddr::from(SocketAddr::new(source, 0)))?;
        }
        match socket.connect(&SockAddr::from(target)) {
            Ok(()) => {}
            Err(error) if sys::socket::is_in_progress(&error) => {}
            Err(error) => return Err(error),
        }
        let socket = OwnedFd::from(socket);
        let interest = Interest::READABLE | Interest::WRITABLE | Interest::PEER_CLOSED | Interest::EDGE;
        self.epoll.add(socket.as_fd(), interest, slot as u64)?;
        self.links[slot].socket = Some(socket);
        self.block().connecting.add(1);
        Ok(())
    }

    /// An attempt has come to an end: the connection stands, or there is an error to fetch.
    fn arrived(&mut self, slot: usize, event: Event, trouble: &mut Trouble) {
        let troubled = event.is_error() || event.is_hangup();
        let error = match &self.links[slot].socket {
            Some(socket) if troubled => SockRef::from(&socket.as_fd()).take_error().unwrap_or_else(Some),
            _ => None,
        };
        match error {
            Some(error) => {
                self.abandon(slot);
                self.fail(&error, trouble);
            }
            None => {
                self.block().connecting.subtract(1);
                self.block().established.add(1);
                // Nobody was asked anything yet; what is there to be read can only be trouble.
                if (troubled || event.is_readable())
                    && let Some(reason) = self.take_in(slot, troubled).lost
                {
                    self.lose(slot, reason);
                }
            }
        }
    }

    fn abandon(&mut self, slot: usize) {
        if self.links[slot].socket.take().is_some() {
            self.block().connecting.subtract(1);
        }
    }

    fn fail(&mut self, error: &io::Error, trouble: &mut Trouble) {
        let reason = Reason::of_attempt(error);
        self.block().error(reason);
        trouble.get_or_insert_with(|| (reason, error.to_string()));
    }

    fn standing_now(&self) -> u64 {
        self.block().established.get()
    }
}
