//! One worker: reads completions, echoes what came, and submits it all with the next wait.
//!
//! What a batch of completions asks for is done when the batch is read to its end, because only then it is known what
//! the sockets did not take of the batch before: a reply that has to wait must not be overtaken by the next one.

use std::collections::HashMap;
use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use sys::uring::{Buffer, Completion, Descriptor, Prepared, Received, Ring, Setup};
use telemetry::counters::{ClosedReason, WorkerCounters};

use super::super::{Context, Linger, Listeners, Stop, judge_close, precise_sleep};
use super::acceptor::{Acceptor, Budget};
use super::table::Table;

/// Operations that one submission takes.
const SUBMISSIONS: u32 = 128;
/// Completions that the ring holds: one for each buffer, and some hundreds that need none.
const COMPLETIONS: u32 = 512;
/// Buffers that a worker's connections share. Each holds one message for the time of one batch; few of them stay in
/// the processor's cache, and a receive that finds none is armed again.
const BUFFERS_MAX: u16 = 128;
/// The fewest buffers, however large they are.
const BUFFERS_MIN: u16 = 16;
/// What the buffers may take in all, as long as there are more than the fewest.
const BUFFER_MEMORY_BYTES: u32 = 4 << 20;
/// Completions that end a linger early: half as many as there are buffers, so that these do not run out.
const GATHERED_MAX: usize = BUFFERS_MAX as usize / 2;
/// The most connections of one worker: the kernel sets eight bytes aside for each.
const CONNECTIONS_MAX: usize = 1 << 18;

/// One thread's loop with all that it owns.
struct Worker<'a> {
    ring: Ring,
    acceptor: Acceptor<'a>,
    stop: &'a Stop,
    /// The stop flag's place.
    stop_slot: u32,
    table: Table,
    /// What this batch has to echo, in the order in which it came.
    outgoing: Vec<(u32, Buffer)>,
    /// Some connection's buffers do not stand side by side in it.
    scattered: bool,
    /// One connection's part of it, while it is sent.
    gathered: Vec<Buffer>,
    /// What follows, on blocked connections, the bytes that are being sent.
    waiting: HashMap<u32, Vec<u8>>,
    /// Connections that may be over.
    finished: Vec<u32>,
    /// Connections whose receive has ended, but not for good.
    unarmed: Vec<u32>,
    /// Bytes counted as sent that the socket did not take: they are taken off what is counted next.
    overcounted: u64,
    counters: WorkerCounters,
    listeners: &'a Listeners,
    linger: Linger,
    grace: Duration,
    /// Set once stopped: when the last connections are cut.
    deadline: Option<Instant>,
}

/// A ring for one worker.
///
/// # Errors
/// What the kernel reports.
pub fn prepare(context: &Context, budget: &Budget) -> io::Result<Prepared> {
    let buffer_bytes = u32::try_from(context.read_buffer_bytes.get()).unwrap_or(u32::MAX);
    Prepared::new(&Setup {
        submissions: SUBMISSIONS,
        completions: COMPLETIONS,
        connections: budget.limit().min(CONNECTIONS_MAX) as u32,
        buffers: buffers_of(buffer_bytes),
        buffer_bytes,
    })
}

/// Serves on the calling thread until the stop flag is raised and every connection is closed, or the grace period is
/// over.
///
/// # Errors
/// What the ring reports: that it cannot be started, or has lost completions.
pub fn run(
    ring: Prepared,
    number: usize,
    context: &Context,
    listeners: &Listeners,
    budget: &Budget,
    stop: &Stop,
) -> io::Result<()> {
    let linger = Linger::new(context.linger);
    if linger.is_on() {
        precise_sleep();
    }
    let mut ring = ring.start()?;
    let stop_descriptor = ring.adopt(stop.as_fd())?;
    ring.watch(&stop_descriptor)?;
    let listener = ring.adopt(listeners.of_worker(number).as_fd())?;
    let alone = listeners.all().len() >= context.workers.get();
    let worker = Worker {
        acceptor: Acceptor::new(listener, budget, alone, &mut ring)?,
        ring,
        stop,
        stop_slot: stop_descriptor.slot(),
        table: Table::default(),
        outgoing: Vec::with_capacity(BUFFERS_MAX.into()),
        scattered: false,
        gathered: Vec::with_capacity(BUFFERS_MAX.into()),
        waiting: HashMap::new(),
        finished: Vec::new(),
        unarmed: Vec::new(),
        overcounted: 0,
        counters: context.counters.claim(),
        listeners,
        linger,
        grace: context.grace,
        deadline: None,
    };
    worker.serve()
}

/// How many buffers of this size: [`BUFFERS_MAX`], but fewer when they would take much memory.
fn buffers_of(buffer_bytes: u32) -> u16 {
    let affordable = BUFFER_MEMORY_BYTES / buffer_bytes.max(1);
    let count = affordable.clamp(BUFFERS_MIN.into(), BUFFERS_MAX.into());
    // Rounded down to the power of two that the kernel wants; it lies between the bounds, which are such.
    1 << count.ilog2()
}

impl Worker<'_> {
    fn serve(mut self) -> io::Result<()> {
        loop {
            self.wait()?;
            let mut completions = 0;
            while let Some(completion) = self.ring.next_completion()? {
                completions += 1;
                self.on_completion(completion)?;
            }
            self.linger.brought(completions);
            self.echo()?;
            self.finish()?;
            self.rearm()?;
            self.acceptor.resume_if_due(&mut self.ring)?;
            if let Some(deadline) = self.deadline
                && (self.table.len() == 0 || deadline <= Instant::now())
            {
                return self.close_all();
            }
        }
    }

    /// Submits the replies, and waits for what comes next.
    #[inline]
    fn wait(&mut self) -> io::Result<()> {
        let timeout = self.timeout();
        let Some(span) = self.linger.next() else {
            return self.ring.wait(1, Duration::ZERO, timeout);
        };
        if self.ring.can_gather() {
            // Each connection may have one message under way, so there is no use in waiting for more.
            let want = self.table.len().clamp(1, GATHERED_MAX) as u32;
            return self.ring.wait(want, span, timeout);
        }
        // An older kernel: what is to be sent goes out, and then both sleep.
        self.ring.wait(0, Duration::ZERO, Some(Duration::ZERO))?;
        std::thread::sleep(span);
        self.ring.wait(1, Duration::ZERO, timeout)
    }

    /// How long to wait for completions: not at all while receives are to be armed, else until a pause or the grace
    /// period ends. Without any of them the clock is not read.
    fn timeout(&self) -> Option<Duration> {
        if !self.unarmed.is_empty() {
            return Some(Duration::ZERO);
        }
        let next = [self.acceptor.paused_until(), self.deadline]
            .into_iter()
            .flatten()
            .min()?;
        Some(next.saturating_duration_since(Instant::now()))
    }

    #[inline]
    fn on_completion(&mut self, completion: Completion) -> io::Result<()> {
        match completion {
            Completion::Received { slot, received, more } => self.on_received(slot, received, more),
            Completion::Unsent { slot, rest, error } => self.on_unsent(slot, rest, &error),
            Completion::Sent { slot, memory, result } => self.on_sent(slot, memory, result),
            Completion::Accepted { result, more, .. } => self.on_accepted(result, more),
            Completion::Readable { slot } => {
                if slot == self.stop_slot {
                    self.begin_stop()
                } else {
                    self.acceptor.seen_waiting(&mut self.ring, &self.counters)
                }
            }
        }
    }

    fn on_accepted(&mut self, mut result: io::Result<Descriptor>, more: bool) -> io::Result<()> {
        if result.is_err() && self.stop.is_raised() {
            // Another worker has heard of it first and has ended listening for all.
            result = Err(io::ErrorKind::Interrupted.into());
        }
        let accepted = self
            .acceptor
            .accepted(result, more, &mut self.ring, &self.counters)?;
        let Some(socket) = accepted else {
            return Ok(());
        };
        let slot = socket.slot();
        self.counters.accepted.add(1);
        if self.deadline.is_none() {
            self.ring.receive(&socket)?;
        } else {
            // It came while the accept was being stopped.
            self.finished.push(slot);
        }
        self.table.insert(socket);
        if let Some(connection) = self.table.get_mut(slot) {
            connection.receiving = self.deadline.is_none();
        }
        Ok(())
    }

    #[inline]
    fn on_received(&mut self, slot: u32, received: Received, more: bool) -> io::Result<()> {
        let Some(connection) = self.table.get_mut(slot) else {
            if let Received::Bytes(buffer) = received {
                self.ring.give_back(buffer);
            }
            return Ok(());
        };
        if !more {
            connection.receiving = false;
            connection.told_to_stop = false;
        }
        match received {
            Received::Bytes(buffer) => {
                self.counters.received_bytes.add(buffer.len() as u64);
                self.counters.messages.add(1);
                let beside = self.outgoing.last().is_some_and(|(last, _)| *last == slot);
                self.scattered |= connection.in_batch && !beside;
                connection.in_batch = true;
                self.outgoing.push((slot, buffer));
                if !more {
                    self.unarmed.push(slot);
                }
            }
            Received::End => {
                connection.ended = true;
                self.finished.push(slot);
            }
            Received::NoBuffers | Received::Stopped => {
                self.unarmed.push(slot);
                self.finished.push(slot);
            }
            Received::Failed(error) => self.close(slot, judge_close(&error))?,
        }
        Ok(())
    }

    /// The socket did not take all of a reply: the rest gets memory of its own, and nothing more is read until it is
    /// sent.
    fn on_unsent(&mut self, slot: u32, rest: Vec<u8>, error: &io::Error) -> io::Result<()> {
        self.overcounted += rest.len() as u64;
        if error.kind() != io::ErrorKind::WouldBlock {
            return self.close(slot, judge_close(error));
        }
        self.counters.partial_writes.add(1);
        self.send_all(slot, rest)
    }

    fn send_all(&mut self, slot: u32, memory: Vec<u8>) -> io::Result<()> {
        let Some(connection) = self.table.get_mut(slot) else {
            return Ok(());
        };
        let Some(socket) = &connection.socket else {
            return Ok(());
        };
        self.ring.send_all(socket, memory)?;
        connection.blocked = true;
        if connection.receiving && !connection.told_to_stop {
            self.ring.stop_receiving(socket)?;
            connection.told_to_stop = true;
        }
        Ok(())
    }

    fn on_sent(&mut self, slot: u32, mut memory: Vec<u8>, result: io::Result<usize>) -> io::Result<()> {
        let sent = match result {
            Ok(sent) => sent,
            Err(error) => return self.close(slot, judge_close(&error)),
        };
        self.count_sent(sent);
        if sent < memory.len() {
            // Something ended it early; the next try says what.
            return self.send_all(slot, memory.split_off(sent));
        }
        if let Some(next) = self.waiting.remove(&slot) {
            return self.send_all(slot, next);
        }
        if let Some(connection) = self.table.get_mut(slot) {
            connection.blocked = false;
            self.unarmed.push(slot);
            self.finished.push(slot);
        }
        Ok(())
    }

    #[inline]
    fn count_sent(&mut self, bytes: usize) {
        let bytes = bytes as u64;
        let settled = self.overcounted.min(bytes);
        self.overcounted -= settled;
        self.counters.sent_bytes.add(bytes - settled);
    }

    /// Queues the replies of this batch, one send for each connection.
    fn echo(&mut self) -> io::Result<()> {
        let mut outgoing = std::mem::take(&mut self.outgoing);
        if std::mem::take(&mut self.scattered) {
            // Stable: each connection's bytes stay in order.
            outgoing.sort_by_key(|(slot, _)| *slot);
        }
        let mut rest = outgoing.drain(..).peekable();
        while let Some((slot, buffer)) = rest.next() {
            self.gathered.push(buffer);
            while let Some((_, buffer)) = rest.next_if(|(next, _)| *next == slot) {
                self.gathered.push(buffer);
            }
            self.reply(slot)?;
        }
        drop(rest);
        self.outgoing = outgoing;
        Ok(())
    }

    /// Sends what was gathered for this connection, in the way that its state allows.
    #[inline]
    fn reply(&mut self, slot: u32) -> io::Result<()> {
        let stopping = self.deadline.is_some();
        let Some(connection) = self.table.get_mut(slot) else {
            let _ = self.copy_gathered(Vec::new());
            return Ok(());
        };
        connection.in_batch = false;
        if connection.blocked {
            let before = self.waiting.remove(&slot).unwrap_or_default();
            let bytes = self.copy_gathered(before);
            self.waiting.insert(slot, bytes);
        } else if connection.ended || stopping {
            // The last reply before the close: it must be known when it is sent.
            let bytes = self.copy_gathered(Vec::new());
            self.send_all(slot, bytes)?;
        } else if let Some(socket) = &connection.socket {
            let bytes = self.gathered.iter().map(Buffer::len).sum();
            self.ring.send(socket, &mut self.gathered)?;
            // Counted now, although it goes out with the next submission: that may be the last one for long.
            self.count_sent(bytes);
        }
        Ok(())
    }

    /// Appends the gathered buffers' bytes to `bytes` and gives the buffers back.
    fn copy_gathered(&mut self, mut bytes: Vec<u8>) -> Vec<u8> {
        for buffer in self.gathered.drain(..) {
            bytes.extend_from_slice(self.ring.bytes(&buffer));
            self.ring.give_back(buffer);
        }
        bytes
    }

    /// Closes the connections that are over: the peer has ended its half, or the server stops, and nothing is left to
    /// send.
    fn finish(&mut self) -> io::Result<()> {
        while let Some(slot) = self.finished.pop() {
            let stopping = self.deadline.is_some();
            let Some(connection) = self.table.get_mut(slot) else {
                continue;
            };
            if connection.blocked || connection.receiving {
                continue;
            }
            if connection.ended {
                self.close(slot, ClosedReason::Eof)?;
            } else if stopping {
                self.close(slot, ClosedReason::Shutdown)?;
            }
        }
        Ok(())
    }

    /// Arms the receives that have ended, as far as there are buffers for them.
    fn rearm(&mut self) -> io::Result<()> {
        if self.unarmed.is_empty() {
            return Ok(());
        }
        let stopping = self.deadline.is_some();
        // The buffers of the replies just queued come back with the next batch.
        let available = self.ring.buffers_on_offer();
        let now = self.unarmed.len().min(available);
        let mut due = std::mem::take(&mut self.unarmed);
        for slot in due.drain(..now) {
            let Some(connection) = self.table.get_mut(slot) else {
                continue;
            };
            if connection.receiving || connection.blocked || connection.ended || stopping {
                continue;
            }
            if let Some(socket) = &connection.socket {
                self.ring.receive(socket)?;
                connection.receiving = true;
            }
        }
        self.unarmed = due;
        Ok(())
    }

    /// No new connections, nothing more is read; what was read is still echoed.
    fn begin_stop(&mut self) -> io::Result<()> {
        if self.deadline.is_some() {
            return Ok(());
        }
        self.deadline = Some(Instant::now() + self.grace);
        self.acceptor.close(&mut self.ring)?;
        self.listeners.close();
        for slot in self.table.places() {
            let Some(connection) = self.table.get_mut(slot) else {
                continue;
            };
            if let Some(socket) = &connection.socket
                && connection.receiving
                && !connection.told_to_stop
            {
                self.ring.stop_receiving(socket)?;
                connection.told_to_stop = true;
            }
            self.finished.push(slot);
        }
        Ok(())
    }

    fn close(&mut self, slot: u32, reason: ClosedReason) -> io::Result<()> {
        let Some(socket) = self.table.remove(slot) else {
            return Ok(());
        };
        self.waiting.remove(&slot);
        self.ring.close(socket)?;
        self.counters.closed(reason).add(1);
        self.acceptor.released(&mut self.ring)
    }

    fn close_all(&mut self) -> io::Result<()> {
        for slot in self.table.places() {
            self.close(slot, ClosedReason::Shutdown)?;
        }
        Ok(())
    }
}
