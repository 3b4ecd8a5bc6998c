//! What the client counts: one cache-padded block per thread with that thread as its only writer. The same counts
//! serve the metrics, the live progress, and the slices and totals of the result.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_utils::CachePadded;
use telemetry::counters::Counter;
use telemetry::family::{Buckets, Family, Source};
use telemetry::live::LiveHistogram;
use telemetry::names;

use crate::clock::{self, Nanos};

/// What can go wrong with a connection; each costs that connection alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// A byte came that was not sent, or that nobody had asked for.
    BadReply,
    /// The server reset the connection.
    Reset,
    /// The server closed the connection.
    ClosedByServer,
    /// A reply was not in within `--timeout`.
    Timeout,
    /// Nobody listens at the target.
    ConnectRefused,
    /// No answer to the attempt to connect within `--timeout`.
    ConnectTimeout,
    /// Any other error of a socket.
    Other,
}

impl Reason {
    /// All reasons with the texts that stand in metrics and results.
    pub const ALL: [(Reason, &str); 7] = [
        (Reason::BadReply, "bad_reply"),
        (Reason::Reset, "reset"),
        (Reason::ClosedByServer, "closed_by_server"),
        (Reason::Timeout, "timeout"),
        (Reason::ConnectRefused, "connect_refused"),
        (Reason::ConnectTimeout, "connect_timeout"),
        (Reason::Other, "other"),
    ];

    /// Why a connection that stood failed with this error.
    pub fn of_connection(error: &std::io::Error) -> Reason {
        use std::io::ErrorKind;
        match error.kind() {
            ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted | ErrorKind::BrokenPipe => {
                Reason::Reset
            }
            ErrorKind::TimedOut => Reason::Timeout,
            _ => Reason::Other,
        }
    }

    /// Why an attempt to connect failed with this error.
    pub fn of_attempt(error: &std::io::Error) -> Reason {
        use std::io::ErrorKind;
        match error.kind() {
            ErrorKind::ConnectionRefused => Reason::ConnectRefused,
            ErrorKind::TimedOut => Reason::ConnectTimeout,
            ErrorKind::ConnectionReset => Reason::Reset,
            _ => Reason::Other,
        }
    }
}

/// What became of a request that fell due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// A right reply came before the end of the slice.
    AnsweredInTime,
    /// A right reply came after it.
    AnsweredLate,
    /// It was sent and got no right reply.
    Lost,
    /// It was not sent before the end of the slice.
    NeverSent,
}

impl Outcome {
    /// All outcomes with the texts that stand in metrics.
    pub const ALL: [(Outcome, &str); 4] = [
        (Outcome::AnsweredInTime, "answered_in_time"),
        (Outcome::AnsweredLate, "answered_late"),
        (Outcome::Lost, "lost"),
        (Outcome::NeverSent, "never_sent"),
    ];
}

/// Errors by reason.
pub type Errors = [u64; Reason::ALL.len()];

/// The reasons that occurred, with their texts.
pub fn named(errors: &Errors) -> BTreeMap<String, u64> {
    let occurred = Reason::ALL.iter().zip(errors).filter(|(_, count)| **count > 0);
    occurred
        .map(|((_, text), count)| ((*text).to_owned(), *count))
        .collect()
}

/// What one thread counts, over its whole life. Only that thread may add.
#[derive(Debug, Default)]
pub struct Block {
    /// Requests sent.
    pub requests: Counter,
    /// Replies that came back whole and right.
    pub replies: Counter,
    /// Message bytes sent.
    pub sent_bytes: Counter,
    /// Message bytes received.
    pub received_bytes: Counter,
    /// Connections that are being established (a gauge).
    pub connecting: Counter,
    /// Connections that stand (a gauge).
    pub established: Counter,
    /// Connections that stood and do no more.
    pub closed: Counter,
    /// Requests of ended slices by outcome, as [`Outcome`] orders them.
    pub outcomes: [Counter; Outcome::ALL.len()],
    /// Nanoseconds in which the thread did not run although it was to.
    pub stalled_nanos: Counter,
    /// Nanoseconds at work.
    pub busy_nanos: Counter,
    /// From due to reply.
    pub response: LiveHistogram,
    /// From the actual send to the reply.
    pub service: LiveHistogram,
    /// From due and free to the actual send.
    pub send_lag: LiveHistogram,
    errors: [Counter; Reason::ALL.len()],
}

impl Block {
    /// Counts an error.
    pub fn error(&self, reason: Reason) {
        self.errors[reason as usize].add(1);
    }

    /// Counts the requests of a slice that has ended.
    pub fn outcome(&self, outcome: Outcome, requests: u64) {
        self.outcomes[outcome as usize].add(requests);
    }

    /// Errors so far.
    pub fn errors(&self) -> Errors {
        std::array::from_fn(|index| self.errors[index].get())
    }
}

/// The blocks of all threads, and what is offered.
#[derive(Debug)]
pub struct Board {
    blocks: Vec<CachePadded<Block>>,
    /// Bits of an f64: messages per second.
    offered: AtomicU64,
}

impl Board {
    /// Empty blocks for `threads` threads.
    pub fn new(threads: usize) -> Arc<Board> {
        Arc::new(Board {
            blocks: (0..threads).map(|_| CachePadded::default()).collect(),
            offered: AtomicU64::new(0.0f64.to_bits()),
        })
    }

    /// The block of one thread.
    pub fn block(&self, thread: usize) -> &Block {
        &self.blocks[thread]
    }

    /// Says what an open loop offers now, in messages per second; 0 for nothing.
    pub fn set_offered(&self, rate_per_second: f64) {
        self.offered.store(rate_per_second.to_bits(), Ordering::Relaxed);
    }

    /// A count, summed over all threads.
    pub fn sum(&self, count: impl Fn(&Block) -> &Counter) -> u64 {
        self.blocks.iter().map(|block| count(block).get()).sum()
    }

    /// Errors so far, over all threads.
    pub fn errors(&self) -> Errors {
        let mut sum = Errors::default();
        for block in &self.blocks {
            for (sum, count) in sum.iter_mut().zip(block.errors()) {
                *sum += count;
            }
        }
        sum
    }

    /// A live histogram, summed over all threads, in seconds.
    pub fn histogram(&self, histogram: impl Fn(&Block) -> &LiveHistogram) -> Buckets {
        LiveHistogram::sum(self.blocks.iter().map(|block| histogram(block)))
    }
}

impl Source for Board {
    fn families(&self) -> Vec<Family> {
        let total = |count: fn(&Block) -> &Counter| self.sum(count) as f64;
        let mut errors = Family::new(&names::CLIENT_ERRORS);
        for ((_, text), count) in Reason::ALL.iter().zip(self.errors()) {
            errors = errors.with(&[text], count as f64);
        }
        let connections = Family::new(&names::CLIENT_CONNECTIONS)
            .with(&["connecting"], total(|block| &block.connecting))
            .with(&["established"], total(|block| &block.established))
            .with(&["closed"], total(|block| &block.closed));
        let busy_nanos: Nanos = self.sum(|block| &block.busy_nanos);
        let stalled_nanos: Nanos = self.sum(|block| &block.stalled_nanos);
        let mut due = Family::new(&names::CLIENT_DUE);
        for (outcome, text) in Outcome::ALL {
            due = due.with(
                &[text],
                self.sum(|block| &block.outcomes[outcome as usize]) as f64,
            );
        }
        vec![
            Family::of(&names::CLIENT_REQUESTS, total(|block| &block.requests)),
            Family::of(&names::CLIENT_REPLIES, total(|block| &block.replies)),
            errors,
            connections,
            Family::of(
                &names::CLIENT_OFFERED_RATE,
                f64::from_bits(self.offered.load(Ordering::Relaxed)),
            ),
            due,
            Family::of(&names::CLIENT_STALLED_SECONDS, clock::seconds(stalled_nanos)),
            Family::of(&names::CLIENT_BUSY_SECONDS, clock::seconds(busy_nanos)),
            Family::new(&names::CLIENT_RESPONSE).with_buckets(&[], &self.histogram(|block| &block.response)),
            Family::new(&names::CLIENT_SERVICE).with_buckets(&[], &self.histogram(|block| &block.service)),
            Family::new(&names::CLIENT_SEND_LAG).with_buckets(&[], &self.histogram(|block| &block.send_lag)),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_stand_under_their_own_names() {
        let board = Board::new(2);
        board.block(0).error(Reason::BadReply);
        board.block(1).error(Reason::BadReply);
        board.block(1).error(Reason::Other);
        let named = named(&board.errors());
        assert_eq!(
            named,
            BTreeMap::from([("bad_reply".to_owned(), 2), ("other".to_owned(), 1)])
        );
        for (index, (reason, _)) in Reason::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, index);
        }
        for (index, (outcome, _)) in Outcome::ALL.iter().enumerate() {
            assert_eq!(*outcome as usize, index);
        }
    }
}
