//! What the hot loop has seen and not counted yet. Counting is done for several messages in a row, because each count
//! touches memory that the system calls between two messages have pushed out of the nearest cache: one after the other,
//! each waits for its own; in a row, the processor fetches the next while it waits.

use std::time::Duration;

use crate::clock::Nanos;
use crate::ledger::Ledger;
use crate::metrics::Block;

/// Notes that are kept at most, of each kind. Sixteen lines of the cache: many more would push out what the loop needs.
const ROOM: usize = 32;

/// A whole and right reply.
#[derive(Debug, Clone, Copy)]
pub struct Reply {
    /// When its request was due.
    pub due: Nanos,
    /// When its request was sent.
    pub sent: Nanos,
    /// When it was in.
    pub arrived: Nanos,
}

/// Requests and replies that are to be counted. Settled when they are full, they never allocate.
#[derive(Debug)]
pub struct Notes {
    send_lags: Vec<Nanos>,
    replies: Vec<Reply>,
}

impl Notes {
    /// None yet.
    pub fn new() -> Notes {
        Notes {
            send_lags: Vec::with_capacity(ROOM),
            replies: Vec::with_capacity(ROOM),
        }
    }

    /// Notes a request that goes out this long after it could have.
    #[inline]
    pub fn request(&mut self, send_lag: Nanos) {
        self.send_lags.push(send_lag);
    }

    /// Notes a reply.
    #[inline]
    pub fn reply(&mut self, reply: Reply) {
        self.replies.push(reply);
    }

    /// Whether nothing is to be counted.
    #[inline]
    pub fn are_empty(&self) -> bool {
        self.send_lags.is_empty() && self.replies.is_empty()
    }

    /// Whether there is no room for one more of each kind.
    #[inline]
    pub fn are_full(&self) -> bool {
        self.send_lags.len() == ROOM || self.replies.len() == ROOM
    }

    /// Counts all notes, in the slice's ledger and in the thread's block.
    pub fn settle(&mut self, ledger: &mut Ledger, block: &Block) {
        block.requests.add(self.send_lags.len() as u64);
        block.replies.add(self.replies.len() as u64);
        ledger.sent += self.send_lags.len() as u64;
        for lag in self.send_lags.drain(..) {
            ledger.send_lag.record(lag);
            block.send_lag.observe(Duration::from_nanos(lag));
        }
        for reply in self.replies.drain(..) {
            let (response, service) = ledger.reply(reply.due, reply.sent, reply.arrived);
            block.response.observe(Duration::from_nanos(response));
            block.service.observe(Duration::from_nanos(service));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Board;
    use telemetry::latency::Latency;
    use telemetry::live::LiveHistogram;

    #[test]
    fn all_that_was_noted_is_counted_once() {
        let (board, mut ledger) = (Board::new(1), Ledger::new(0, 10_000));
        let mut notes = Notes::new();
        for number in 0..3 {
            notes.request(number * 1_000);
            notes.reply(Reply {
                due: 0,
                sent: 1_000,
                arrived: 4_000 + number * 4_000,
            });
        }
        let block = board.block(0);
        assert_eq!((block.requests.get(), ledger.sent), (0, 0));
        assert!(!notes.are_empty());
        for _ in 0..2 {
            notes.settle(&mut ledger, block);
            assert_eq!((block.requests.get(), block.replies.get()), (3, 3));
            assert_eq!((ledger.sent, ledger.replies, ledger.replies_in_time), (3, 3, 2));
            let times = [&ledger.send_lag, &ledger.response, &ledger.service].map(|tally| {
                let mut times = Latency::new();
                tally.add_to(&mut times);
                (times.count(), times.max_micros().round())
            });
            assert_eq!(times, [(3, 2.0), (3, 12.0), (3, 11.0)]);
        }
        assert!(notes.are_empty());
        let live = |times: &LiveHistogram| LiveHistogram::sum([times]).count;
        assert_eq!(
            [&block.send_lag, &block.response, &block.service].map(live),
            [3; 3]
        );
    }

    #[test]
    fn the_notes_say_when_they_are_full() {
        let reply = Reply {
            due: 0,
            sent: 0,
            arrived: 1,
        };
        let kinds: [fn(&mut Notes, Reply); 2] =
            [|notes, _| notes.request(1), |notes, reply| notes.reply(reply)];
        for note in kinds {
            let mut notes = Notes::new();
            for _ in 0..ROOM {
                assert!(!notes.are_full());
                note(&mut notes, reply);
            }
            assert!(notes.are_full());
            assert_eq!(
                (notes.send_lags.capacity(), notes.replies.capacity()),
                (ROOM, ROOM)
            );
        }
    }
}
