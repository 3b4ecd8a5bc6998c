//! One connection's entry: its counts, and why it ended.

use std::io;
use std::sync::Arc;

use telemetry::counters::ClosedReason;

use crate::worker::Worker;

/// After so many full reads in a row a connection lets the others go first.
pub const FULL_READS_MAX: u32 = 32;

/// An open connection. Drop it before its socket.
pub struct Connection {
    worker: Arc<Worker>,
    key: usize,
    reason: ClosedReason,
    full_reads: u32,
}

impl Connection {
    pub(crate) fn new(worker: Arc<Worker>, key: usize) -> Connection {
        Connection {
            worker,
            key,
            // Of one that ends without a word: its runtime was torn down at the end of the grace period.
            reason: ClosedReason::Shutdown,
            full_reads: 0,
        }
    }

    /// How many bytes one read may bring.
    pub fn read_buffer_bytes(&self) -> usize {
        self.worker.shared.config.read_buffer_bytes
    }

    /// Counts a read.
    #[inline]
    pub fn received(&self, bytes: usize) {
        self.worker.count(|block| block.received_bytes.add(bytes as u64));
    }

    /// Takes the size of a read; true when it is time to let other connections go first. For runtimes that try a call
    /// at once and neither preempt a task nor give it a budget: on those a peer that never pauses would starve all
    /// others. A read that doesn't fill the buffer means that the socket is drained, and so the next one will wait.
    #[inline]
    pub fn should_yield(&mut self, bytes: usize) -> bool {
        self.full_reads += 1;
        if bytes < self.read_buffer_bytes() {
            self.full_reads = 0;
        }
        let yields = self.full_reads >= FULL_READS_MAX;
        if yields {
            self.full_reads = 0;
        }
        yields
    }

    /// Counts a write that took `bytes` and left `rest`: with the last one the turn is complete.
    #[inline]
    pub fn sent(&self, bytes: usize, rest: usize) {
        self.worker.count(|block| {
            block.sent_bytes.add(bytes as u64);
            if rest == 0 {
                block.messages.add(1);
            } else {
                block.partial_writes.add(1);
            }
        });
    }

    /// Ends the connection: by the peer's end of stream, or by an error.
    pub fn end(mut self, outcome: io::Result<()>) {
        let stopping = self.worker.shared.deadline().is_some();
        self.reason = match outcome {
            // What wakes a stopping connection looks like the end of the stream, or like a peer that is gone.
            _ if stopping => ClosedReason::Shutdown,
            Ok(()) => ClosedReason::Eof,
            Err(error) => match error.kind() {
                io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => ClosedReason::Reset,
                _ => ClosedReason::Error,
            },
        };
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.worker.count(|block| block.closed(self.reason).add(1));
        self.worker.leave(self.key);
    }
}

/// The error of a write that takes nothing, without which a loop over it would never end.
pub fn wrote_nothing() -> io::Error {
    io::Error::new(io::ErrorKind::WriteZero, "the socket takes no bytes")
}
