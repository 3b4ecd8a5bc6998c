//! One slice of load on one thread: the hot loop. Nothing is allocated in it, and two system calls a message plus the
//! waits are made.
//!
//! Where the clock is read, and what that does to the figures:
//! - Once after each wait. That instant stands for the arrival of all replies which the wait brought. They had arrived
//!   by then, so no time is ever too short; it is too long by what the reply waited for this thread.
//! - Once just before each send, as the reply may be there before the call returns. Service time therefore contains our
//!   own call of send, and send lag contains what earlier sends of the same batch took, and counting them.
//! - Once before each wait, for its timeout and for the time at work, and once more when something was counted then.

use std::io;
use std::time::Duration;

use sys::clock::{thread_cpu_time, thread_wait_time};
use sys::epoll::Event;

use super::notes::Reply;
use super::{ALARM, FLAG, Order, Worker};
use crate::clock::{self, Nanos};
use crate::ledger::Ledger;
use crate::metrics::{Outcome, Reason};
use crate::pace::{Schedule, Tick};

/// Sends of one batch. Replies to a larger batch would wait too long to be noticed.
const BATCH: usize = 256;
/// With smooth arrivals the thread spins when the next request is due within this time: sleeps on virtual machines were
/// seen to end 60 to 100 µs late.
const NEAR: Nanos = 200_000;

/// A slice under way.
struct Run<'a> {
    worker: &'a mut Worker,
    schedule: Schedule,
    ledger: Ledger,
    /// The end as it was planned.
    planned_end: Nanos,
    in_flight: usize,
    standing: usize,
    window_over: bool,
    /// When the alarm goes off, or went off.
    alarm_at: Nanos,
    /// CPU time of the thread when the slice began.
    cpu_before: Duration,
    /// What the thread had waited for a CPU by then; `None` where the kernel does not say.
    waited_before: Option<Duration>,
    /// Time spent spinning without finding anything to do.
    idle_spin: Nanos,
}

impl Worker {
    /// Puts the server under load as `schedule` says, from `start` to `end`, and awaits the last replies. When it is
    /// `counted`, so are the messages of each connection.
    pub(super) fn slice(
        &mut self,
        schedule: Schedule,
        (start, end): (Nanos, Nanos),
        counted: bool,
    ) -> io::Result<Ledger> {
        let standing = self.standing();
        let (sent_bytes, received_bytes) = (self.block().sent_bytes.get(), self.block().received_bytes.get());
        let mut run = Run {
            worker: self,
            schedule,
            ledger: Ledger::new(start, end),
            planned_end: end,
            in_flight: 0,
            standing,
            window_over: false,
            alarm_at: 0,
            cpu_before: Duration::ZERO,
            waited_before: None,
            idle_spin: 0,
        };
        run.line_up(counted);
        run.cpu_before = thread_cpu_time()?;
        run.waited_before = thread_wait_time().ok();
        run.turn()?;
        let mut ledger = run.conclude(counted);
        ledger.sent_bytes = self.block().sent_bytes.get() - sent_bytes;
        ledger.received_bytes = self.block().received_bytes.get() - received_bytes;
        let errors = self.block().errors();
        ledger.errors = std::array::from_fn(|index| errors[index] - self.errors_told[index]);
        ledger.complaint = self.complaint.take();
        self.errors_told = errors;
        Ok(ledger)
    }
}

impl Run<'_> {
    /// Gives every connection that stands its first due time, in the order of their turns.
    fn line_up(&mut self, counted: bool) {
        let Worker { rota, links, .. } = &mut *self.worker;
        rota.begin(|slot| {
            links[slot].tick = Tick::NEVER;
            links[slot].socket.is_some()
        });
        for place in 0..self.worker.rota.len() {
            let slot = self.worker.rota.at(place);
            if counted {
                let begun = self.worker.links[slot].connection.begun();
                self.worker.carried.begin(slot, begun);
            }
            let tick = self.schedule.first(place);
            self.await_due(slot, tick, self.ledger.start);
        }
    }

    /// The loop: due requests go out, then events are taken in, until the last reply is in.
    fn turn(&mut self) -> io::Result<()> {
        let clock = self.worker.setup.clock;
        let mut woke = clock.now();
        let mut events = 0;
        loop {
            let mut now = clock.now();
            let sends = self.send_due(now);
            if sends > 0 {
                now = clock.now();
            }
            self.account(events + sends, now - woke);
            // A batch takes microseconds; longer, and the thread had no CPU.
            self.ledger.stall(now - woke);
            if !self.window_over && (now >= self.ledger.end || self.standing == 0) {
                self.close_window(now)?;
            }
            if self.window_over && self.in_flight == 0 {
                self.settle();
                return Ok(());
            }
            let patience = self.patience(now)?;
            // Nobody should see old counts while this thread sleeps, and a thread that spins for nothing has the time.
            if (patience.is_none() || events + sends == 0) && !self.worker.notes.are_empty() {
                self.settle();
                let settled = clock.now();
                self.account(1, settled - now);
                now = settled;
            }
            events = self.worker.epoll.wait(&mut self.worker.events, patience)?;
            woke = clock.now();
            if patience == Some(Duration::ZERO) {
                self.account(events, woke - now);
            }
            self.ledger.stall(self.overslept(now, woke, patience));
            for index in 0..events {
                if let Some(event) = self.worker.events.get(index) {
                    self.event(event, woke);
                    self.settle_when_full();
                }
            }
        }
    }

    /// Sends what is due, a batch at most; says how many requests that were.
    #[inline]
    fn send_due(&mut self, now: Nanos) -> usize {
        let mut sends = 0;
        while now < self.ledger.end && sends < BATCH {
            let Some((due, slot)) = self.worker.queue.pop_due(now) else {
                break;
            };
            // A connection that was lost while it waited is still in the queue.
            if self.worker.links[slot as usize].socket.is_some() {
                self.request(slot as usize, due);
                self.settle_when_full();
                sends += 1;
            }
        }
        sends
    }

    /// Sends the connection's next request, which could have gone out at `eligible`: due, and the connection free.
    #[inline]
    fn request(&mut self, slot: usize, eligible: Nanos) {
        let now = self.worker.setup.clock.now();
        let link = &mut self.worker.links[slot];
        link.sent_at = now;
        link.connection.begin();
        self.in_flight += 1;
        self.worker.notes.request(now.saturating_sub(eligible));
        if let Err(reason) = self.worker.push_out(slot) {
            self.lose(slot, reason, now);
        }
    }

    #[inline]
    fn event(&mut self, event: Event, now: Nanos) {
        if event.token == FLAG {
            self.worker.flag.lower();
            return self.heed(now);
        }
        if event.token == ALARM {
            return;
        }
        let slot = event.token as usize;
        if event.is_writable()
            && self.worker.links[slot].connection.has_outgoing()
            && let Err(reason) = self.worker.push_out(slot)
        {
            return self.lose(slot, reason, now);
        }
        let closing = event.is_hangup() || event.is_error();
        if !event.is_readable() && !closing {
            return;
        }
        let taken = self.worker.take_in(slot, closing);
        if taken.reply {
            self.note_reply(slot, now);
        }
        match taken.lost {
            Some(reason) => self.lose(slot, reason, now),
            None if taken.reply && now < self.ledger.end => self.go_on(slot, now),
            None => {}
        }
    }

    /// Notes the reply to the connection's request, and what its next one is.
    #[inline]
    fn note_reply(&mut self, slot: usize, now: Nanos) {
        self.in_flight -= 1;
        let link = &mut self.worker.links[slot];
        let reply = Reply {
            due: link.tick.due,
            sent: link.sent_at,
            arrived: now,
        };
        link.tick = self.schedule.next(link.tick, now);
        self.worker.notes.reply(reply);
        self.ledger.drained = self.ledger.drained.max(now);
    }

    /// Makes room for the notes of one more event or request. Never between the reading of a clock and the send that it
    /// stands for.
    #[inline]
    fn settle_when_full(&mut self) {
        if self.worker.notes.are_full() {
            self.settle();
        }
    }

    /// Counts what was noted.
    fn settle(&mut self) {
        let block = self.worker.setup.board.block(self.worker.thread);
        self.worker.notes.settle(&mut self.ledger, block);
    }

    /// Sends the next request if its due time has passed, else lets the connection wait for it.
    #[inline]
    fn go_on(&mut self, slot: usize, now: Nanos) {
        let tick = self.worker.links[slot].tick;
        match tick.due <= now {
            true => self.request(slot, now),
            false => self.await_due(slot, tick, now),
        }
    }

    #[inline]
    fn await_due(&mut self, slot: usize, tick: Tick, now: Nanos) {
        self.worker.links[slot].tick = tick;
        if self.schedule.is_closed() {
            self.ledger.thinking += tick.due.min(self.planned_end).saturating_sub(now);
        }
        self.worker.queue.push(tick.due, slot as u32);
    }

    /// How long to wait for events: not at all when a request is due, or must be met by spinning; else until something
    /// happens. The alarm is set for the next due time then; for the end, and from time to time, the flag is raised.
    #[inline]
    fn patience(&mut self, now: Nanos) -> io::Result<Option<Duration>> {
        let end = self.ledger.end;
        let Some(due) = self.worker.queue.next_due().filter(|&due| due < end) else {
            return Ok(None);
        };
        let wake = match self.schedule.spins() {
            true => due.saturating_sub(NEAR),
            false => due,
        };
        if wake <= now {
            return Ok(Some(Duration::ZERO));
        }
        // An alarm that goes off before is good enough: it is set anew then.
        let armed = now < self.alarm_at && self.alarm_at <= wake;
        if !armed {
            self.worker.alarm.set(Duration::from_nanos(wake - now))?;
            self.alarm_at = wake;
        }
        Ok(None)
    }

    /// How much later than it should the thread came back from a wait that began at `now`. Without an alarm ahead it waits
    /// for events only, and cannot be late.
    #[inline]
    fn overslept(&self, now: Nanos, woke: Nanos, patience: Option<Duration>) -> Nanos {
        let wanted = match patience {
            Some(_) => now,
            None if self.window_over || self.alarm_at <= now => woke,
            None => self.alarm_at,
        };
        woke.saturating_sub(wanted)
    }

    /// Books the time of a stretch that found `work` things to do, or spun for nothing.
    #[inline]
    fn account(&mut self, work: usize, stretch: Nanos) {
        if work == 0 {
            self.idle_spin += stretch;
            return;
        }
        self.worker.block().busy_nanos.add(stretch);
        if !self.window_over {
            self.ledger.busy += stretch;
        }
    }

    /// The flag was raised: for an order, for the end, or to look for replies that are overdue.
    fn heed(&mut self, now: Nanos) {
        // What was in time stays in time when the end moves.
        self.settle();
        match self.worker.orders.try_recv() {
            Ok(Order::Slice { .. }) | Err(std::sync::mpsc::TryRecvError::Empty) => {}
            // Whoever gave the orders has no more use for the slice.
            Ok(Order::Cut | Order::Finish) | Err(std::sync::mpsc::TryRecvError::Disconnected) => {
                self.ledger.end = now.clamp(self.ledger.start, self.ledger.end);
            }
        }
        let timeout = self.worker.setup.timeout;
        for slot in 0..self.worker.links.len() {
            let link = &self.worker.links[slot];
            let overdue = now.saturating_sub(link.sent_at) >= timeout;
            if overdue && link.socket.is_some() && link.connection.in_flight() {
                self.lose(slot, Reason::Timeout, now);
                self.ledger.drained = self.ledger.drained.max(now);
            }
        }
    }

    fn lose(&mut self, slot: usize, reason: Reason, now: Nanos) {
        let link = &self.worker.links[slot];
        if link.socket.is_some() {
            self.standing -= 1;
            if link.connection.in_flight() {
                self.in_flight -= 1;
                self.ledger.lost(link.tick.due, link.sent_at, now);
            }
            self.worker.lose(slot, reason);
        }
    }

    /// From now on nothing is sent. Without connections the window ends early.
    fn close_window(&mut self, now: Nanos) -> io::Result<()> {
        self.settle();
        self.window_over = true;
        self.ledger.end = now.clamp(self.ledger.start, self.ledger.end);
        self.ledger.drained = self.ledger.end.max(self.ledger.drained.min(now));
        while let Some((due, _)) = self.worker.queue.pop() {
            if self.schedule.is_closed() {
                let beyond = due.min(self.planned_end).saturating_sub(self.ledger.end);
                self.ledger.thinking = self.ledger.thinking.saturating_sub(beyond);
            }
        }
        // Two views of the time at work. Seen from the loop, the waits that found events at once are missing; seen from
        // the CPU clock, the time that the thread was put aside while it had work to do. The larger one counts.
        let cpu = clock::nanos(thread_cpu_time()?.saturating_sub(self.cpu_before));
        self.ledger.busy = self.ledger.busy.max(cpu.saturating_sub(self.idle_spin));
        let waited = thread_wait_time().ok().zip(self.waited_before);
        self.ledger.waited = waited.map(|(after, before)| clock::nanos(after.saturating_sub(before)));
        Ok(())
    }

    /// Counts what fell due without being sent, and notes where the turns ended.
    fn conclude(mut self, counted: bool) -> Ledger {
        let mut unsent = 0;
        for link in &self.worker.links {
            let next = match link.connection.in_flight() {
                true if link.tick != Tick::NEVER => self.schedule.next(link.tick, 0),
                _ => link.tick,
            };
            unsent += self
                .schedule
                .open(next, self.ledger.end, &mut self.ledger.response_open);
        }
        self.ledger.due = self.ledger.sent + unsent;
        let block = self.worker.setup.board.block(self.worker.thread);
        let ledger = &self.ledger;
        block.outcome(Outcome::AnsweredInTime, ledger.replies_in_time);
        block.outcome(Outcome::AnsweredLate, ledger.replies - ledger.replies_in_time);
        block.outcome(Outcome::Lost, ledger.sent - ledger.replies);
        block.outcome(Outcome::NeverSent, unsent);
        block.stalled_nanos.add(ledger.stalled);
        self.ledger.connections = self.standing as u64;
        let Worker {
            rota, carried, links, ..
        } = &mut *self.worker;
        if self.schedule.takes_turns() {
            // Not those due: whom a stall at the end left without a message comes first in the next slice.
            rota.end(self.ledger.sent);
        }
        if counted {
            for slot in (0..rota.len()).map(|place| rota.at(place)) {
                carried.end(slot, links[slot].connection.begun());
            }
        }
        self.ledger.spread = carried.spread();
        self.ledger
    }
}
