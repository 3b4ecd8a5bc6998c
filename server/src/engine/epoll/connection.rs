//! One connection: reads, echoes, and keeps what the socket did not take.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use sys::socket::{receive, send};
use telemetry::counters::{Block, ClosedReason};

use super::super::judge_close;

/// Reads that one connection gets before others have their turn. A quiet connection needs one; one that floods gives
/// way after this many.
const TURNS: usize = 16;

/// Buffers that a worker keeps for the next replies that have to wait; more are freed.
const SPARE_BUFFERS: usize = 64;

/// One connection. While it is quiet it owns no buffer.
pub struct Connection {
    /// Its socket; closed when dropped.
    pub(super) socket: OwnedFd,
    pending: Option<Box<Pending>>,
    /// The peer's end was announced, so a short read is not the last one.
    pub(super) peer_closed: bool,
    /// It stands in the worker's list of connections to continue.
    pub(super) queued: bool,
    /// Its registration asks for room to write (level trigger).
    pub(super) awaits_room: bool,
}

/// Bytes of a reply that the socket has not taken yet: at most the rest of one read. It stands apart, so that the
/// thousands of connections that have none are small.
#[derive(Default)]
struct Pending {
    bytes: Vec<u8>,
    written: usize,
}

/// The room that a worker's connections share, one at a time.
pub struct Desk {
    buffer: Vec<u8>,
    /// Boxes, because a connection takes them over as they are.
    #[allow(clippy::vec_box)]
    spare: Vec<Box<Pending>>,
}

impl Desk {
    /// With a read buffer of this size.
    pub fn new(read_buffer_bytes: usize) -> Desk {
        Desk {
            buffer: vec![0; read_buffer_bytes],
            spare: Vec::with_capacity(SPARE_BUFFERS),
        }
    }

    fn give_back(&mut self, mut pending: Box<Pending>) {
        if self.spare.len() < SPARE_BUFFERS {
            pending.bytes.clear();
            pending.written = 0;
            self.spare.push(pending);
        }
    }
}

/// Where a connection stands after its turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// All that came was echoed.
    Drained,
    /// A reply waits for room in the socket; until then nothing is read.
    Blocked,
    /// Its turns are used up, and there may be more to read.
    Unfinished,
    /// It is over.
    Ended(ClosedReason),
}

impl Connection {
    /// A new connection on a socket that does not block.
    pub fn new(socket: OwnedFd) -> Connection {
        Connection {
            socket,
            pending: None,
            peer_closed: false,
            queued: false,
            awaits_room: false,
        }
    }

    /// Whether a reply waits for room.
    pub fn is_blocked(&self) -> bool {
        self.pending.is_some()
    }

    /// Sends what waits, then reads and echoes until nothing is left, the socket is full or the turns are used up.
    #[inline]
    pub fn advance(&mut self, desk: &mut Desk, counters: &Block) -> Progress {
        if self.pending.is_some() {
            match self.flush(desk, counters) {
                Ok(true) => {}
                Ok(false) => return Progress::Blocked,
                Err(error) => return Progress::Ended(judge_close(&error)),
            }
        }
        for _ in 0..TURNS {
            let received = match receive(self.socket.as_fd(), &mut desk.buffer) {
                Ok(0) => return Progress::Ended(ClosedReason::Eof),
                Ok(received) => received,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Progress::Drained,
                Err(error) => return Progress::Ended(judge_close(&error)),
            };
            counters.received_bytes.add(received as u64);
            counters.messages.add(1);
            let sent = match send(self.socket.as_fd(), &desk.buffer[..received]) {
                Ok(sent) => sent,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
                Err(error) => return Progress::Ended(judge_close(&error)),
            };
            counters.sent_bytes.add(sent as u64);
            if sent < received {
                counters.partial_writes.add(1);
                let mut pending = desk.spare.pop().unwrap_or_default();
                pending.bytes.extend_from_slice(&desk.buffer[sent..received]);
                self.pending = Some(pending);
                return Progress::Blocked;
            }
            // A short read took all there was: what comes later is a new event. Only an end that was announced
            // before this read brings no further event, so then the reading goes on to see it.
            if received < desk.buffer.len() && !self.peer_closed {
                return Progress::Drained;
            }
        }
        Progress::Unfinished
    }

    /// Sends what waits; true when nothing is left. The buffer then goes back to the worker.
    fn flush(&mut self, desk: &mut Desk, counters: &Block) -> io::Result<bool> {
        let Some(mut pending) = self.pending.take() else {
            return Ok(true);
        };
        let rest = &pending.bytes[pending.written..];
        let sent = match send(self.socket.as_fd(), rest) {
            Ok(sent) => sent,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(error) => return Err(error),
        };
        counters.sent_bytes.add(sent as u64);
        if sent < rest.len() {
            counters.partial_writes.add(1);
            pending.written += sent;
            self.pending = Some(pending);
            return Ok(false);
        }
        desk.give_back(pending);
        Ok(true)
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
