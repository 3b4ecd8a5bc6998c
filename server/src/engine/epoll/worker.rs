//! One worker: waits for events and gives each connection its turn.

use std::collections::VecDeque;
use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use sys::epoll::{Epoll, Event, Events, Interest};
use telemetry::counters::{AcceptError, ClosedReason, EpollCounters, EventKind, WorkerCounters};

use super::super::{Context, Linger, Listeners, Stop, Trigger, precise_sleep};
use super::acceptor::{Acceptor, Budget, Taken};
use super::connection::{Connection, Desk, Progress};
use super::table::{Table, Token};

/// One thread's loop with all that it owns.
pub struct Worker<'a> {
    epoll: Epoll,
    events: Events,
    trigger: Trigger,
    acceptor: Acceptor<'a>,
    table: Table,
    desk: Desk,
    /// Connections that used up their turns with edge trigger: no event will come for what they left unread.
    unfinished: VecDeque<Token>,
    counters: WorkerCounters,
    epoll_counters: EpollCounters,
    listeners: &'a Listeners,
    stop: &'a Stop,
    linger: Linger,
    grace: Duration,
    /// Set once stopped: when the last connections are cut.
    deadline: Option<Instant>,
}

impl<'a> Worker<'a> {
    /// Makes the epoll and registers the listening socket and the stop flag in it.
    ///
    /// # Errors
    /// When descriptors or watches ran out.
    pub fn new(
        number: usize,
        context: &Context,
        listeners: &'a Listeners,
        budget: &'a Budget,
        stop: &'a Stop,
    ) -> io::Result<Worker<'a>> {
        let epoll = Epoll::new()?;
        epoll.add(stop.as_fd(), Interest::READABLE, Token::STOP.for_event())?;
        let acceptor = Acceptor::new(listeners.of_worker(number), context.accept, budget, &epoll)?;
        Ok(Worker {
            epoll,
            events: Events::with_capacity(context.events_per_wait.get()),
            trigger: context.trigger,
            acceptor,
            table: Table::default(),
            desk: Desk::new(context.read_buffer_bytes.get()),
            unfinished: VecDeque::new(),
            counters: context.counters.claim(),
            epoll_counters: context.counters.claim_epoll(number),
            listeners,
            stop,
            linger: Linger::new(context.linger),
            grace: context.grace,
            deadline: None,
        })
    }

    /// Serves until the stop flag is raised and every connection is closed, or the grace period is over.
    ///
    /// # Errors
    /// What epoll_wait reports, which for a valid epoll is nothing.
    pub fn run(mut self) -> io::Result<()> {
        if self.linger.is_on() {
            precise_sleep();
        }
        loop {
            let timeout = self.timeout();
            if let Some(span) = self.linger.next()
                && self.unfinished.is_empty()
            {
                // Nobody waits meanwhile, so nothing that comes wakes this thread; the wait then finds it all.
                std::thread::sleep(span);
            }
            self.epoll.wait(&mut self.events, timeout)?;
            self.linger.brought(self.events.len());
            self.epoll_counters.waited(self.events.len());
            let mut useful = false;
            let mut stopped = false;
            let mut index = 0;
            while let Some(event) = self.events.get(index) {
                index += 1;
                match Token::from_event(event.token) {
                    Token::LISTENER => useful |= self.accept(),
                    Token::STOP => stopped = true,
                    token => {
                        useful = true;
                        self.on_event(token, event);
                    }
                }
            }
            if stopped {
                self.begin_stop();
            } else if !useful {
                self.epoll_counters.empty_waits.add(1);
            }
            self.continue_unfinished();
            self.acceptor.resume_if_due(&self.epoll);
            if let Some(deadline) = self.deadline
                && (self.table.len() == 0 || deadline <= Instant::now())
            {
                self.close_all();
                return Ok(());
            }
        }
    }

    /// How long to wait for events: not at all while connections are to be continued, else until a pause or the grace
    /// period ends. Without any of them the clock is not read.
    fn timeout(&self) -> Option<Duration> {
        if !self.unfinished.is_empty() {
            return Some(Duration::ZERO);
        }
        let next = [self.acceptor.paused_until(), self.deadline]
            .into_iter()
            .flatten()
            .min()?;
        Some(next.saturating_duration_since(Instant::now()))
    }

    /// Takes new connections; true when there was at least one.
    fn accept(&mut self) -> bool {
        self.epoll_counters.events(EventKind::Accept).add(1);
        // Stopping ends listening for all workers at once, so one that has not heard of it yet may see an event here.
        if self.stop.is_raised() {
            return false;
        }
        let mut any = false;
        for tries in Acceptor::tries() {
            let taken = self
                .acceptor
                .take(tries, &self.epoll, &self.counters, &self.epoll_counters);
            let Taken::Connection(socket) = taken else {
                break;
            };
            any = true;
            let token = self.table.insert(Connection::new(socket));
            let interest = match self.trigger {
                // Registered once for everything: no further epoll_ctl, even when a reply has to wait.
                Trigger::Edge => {
                    Interest::READABLE | Interest::WRITABLE | Interest::PEER_CLOSED | Interest::EDGE
                }
                Trigger::Level => Interest::READABLE,
            };
            if self.register(token, interest).is_err() {
                self.table.remove(token);
                self.counters.accept_error(AcceptError::Memory).add(1);
                self.acceptor.refuse(&self.epoll);
                break;
            }
            self.counters.accepted.add(1);
            self.epoll_counters.connections.add(1);
        }
        any
    }

    fn register(&mut self, token: Token, interest: Interest) -> io::Result<()> {
        match self.table.get_mut(token) {
            Some(connection) => self.epoll.add(connection.as_fd(), interest, token.for_event()),
            None => Ok(()),
        }
    }

    fn on_event(&mut self, token: Token, event: Event) {
        let Some(connection) = self.table.get_mut(token) else {
            return;
        };
        let blocked = connection.is_blocked();
        let hangup = event.is_hangup();
        if event.is_readable() {
            self.epoll_counters.events(EventKind::Readable).add(1);
        }
        if hangup {
            self.epoll_counters.events(EventKind::Hangup).add(1);
        }
        if event.is_error() {
            self.epoll_counters.events(EventKind::Error).add(1);
        }
        // With edge trigger every event says that there is room to write; it is news only to one that waits for it.
        if event.is_writable() && blocked {
            self.epoll_counters.events(EventKind::Writable).add(1);
        }
        connection.peer_closed |= hangup;
        let due = if blocked {
            event.is_writable() || hangup || event.is_error()
        } else {
            event.is_readable() || hangup || event.is_error()
        };
        // A queued connection has its turn after these events.
        if due && !connection.queued {
            self.advance(token);
        }
    }

    /// Gives one connection its turn, and sees to what it needs next.
    #[inline]
    fn advance(&mut self, token: Token) {
        let Some(connection) = self.table.get_mut(token) else {
            return;
        };
        let progress = connection.advance(&mut self.desk, &self.counters);
        match (progress, self.trigger) {
            (Progress::Ended(reason), _) => return self.close(token, reason),
            (Progress::Drained, _) if self.deadline.is_some() => {
                return self.close(token, ClosedReason::Shutdown);
            }
            (Progress::Unfinished, Trigger::Edge) => {
                connection.queued = true;
                self.unfinished.push_back(token);
            }
            (Progress::Unfinished | Progress::Drained | Progress::Blocked, _) => {}
        }
        let blocked = progress == Progress::Blocked;
        if self.trigger == Trigger::Level && connection.awaits_room != blocked {
            connection.awaits_room = blocked;
            // While a reply waits nothing is read, so that what arrives must not be reported again and again.
            let interest = if blocked {
                Interest::WRITABLE
            } else {
                Interest::READABLE
            };
            if self
                .epoll
                .modify(connection.as_fd(), interest, token.for_event())
                .is_err()
            {
                self.close(token, ClosedReason::Error);
            }
        }
    }

    /// Gives each connection that gave way another turn.
    fn continue_unfinished(&mut self) {
        for _ in 0..self.unfinished.len() {
            let Some(token) = self.unfinished.pop_front() else {
                return;
            };
            // It may be closed by now, and its descriptor another connection's: the token tells.
            if let Some(connection) = self.table.get_mut(token) {
                connection.queued = false;
                self.advance(token);
            }
        }
    }

    fn close(&mut self, token: Token, reason: ClosedReason) {
        if let Some(connection) = self.table.remove(token) {
            drop(connection);
            self.counters.closed(reason).add(1);
            self.epoll_counters.connections.subtract(1);
            self.acceptor.released(&self.epoll);
        }
    }

    /// No new connections; what has arrived on the others is still echoed, and each is closed once that is done.
    fn begin_stop(&mut self) {
        self.epoll_counters.events(EventKind::Wakeup).add(1);
        self.deadline = Some(Instant::now() + self.grace);
        self.acceptor.close(&self.epoll);
        self.listeners.close();
        // The flag stays raised: seen once is enough. It is registered, so taking it out cannot fail.
        let _ = self.epoll.delete(self.stop.as_fd());
        for token in self.table.tokens() {
            let waits = |connection: &mut Connection| connection.queued || connection.is_blocked();
            if !self.table.get_mut(token).is_none_or(waits) {
                self.advance(token);
            }
        }
    }

    fn close_all(&mut self) {
        for token in self.table.tokens() {
            self.close(token, ClosedReason::Shutdown);
        }
    }
}
