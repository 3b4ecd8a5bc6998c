//! One connection's exchange of requests and replies, without its socket: bytes in, events out. Pure.
//!
//! One request is in flight at most. Every byte of its reply is compared with the byte that was sent, and a byte that
//! nobody asked for is as bad as a wrong one: a server that answers twice, or before it was asked, has not echoed.

use std::fmt;

use crate::message::Message;

/// The state of one exchange.
#[derive(Debug, Clone)]
pub struct Connection {
    message: Message,
    message_bytes: u32,
    sent_bytes: u32,
    received_bytes: u32,
    in_flight: bool,
}

/// What some received bytes mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Received {
    /// They are right so far; the reply is not complete.
    Part,
    /// They are right and complete the reply; the next request may begin.
    Reply,
    /// They are not what was sent; this connection is of no use any more.
    Bad(BadReply),
}

/// What was wrong with a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadReply {
    /// A byte differs from the one that was sent.
    WrongByte {
        /// The offset of the byte in the message.
        at: u32,
        /// The message's place among those of its connection.
        sequence: u64,
    },
    /// Bytes came that nobody had asked for.
    Surplus {
        /// How many at least.
        bytes: u32,
    },
}

impl fmt::Display for BadReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BadReply::WrongByte { at, sequence } => {
                write!(
                    f,
                    "byte {at} of the reply to request {sequence} is not the one that was sent"
                )
            }
            BadReply::Surplus { bytes } => write!(f, "{bytes} bytes came that nobody had asked for"),
        }
    }
}

impl Connection {
    /// A connection that has sent nothing yet. `number` is its own among all of this client's connections.
    pub fn new(number: u64, message_bytes: u32) -> Connection {
        Connection {
            message: Message {
                connection: number,
                sequence: 0,
            },
            message_bytes,
            sent_bytes: 0,
            received_bytes: 0,
            in_flight: false,
        }
    }

    /// Whether a request has begun whose reply is not complete.
    #[inline]
    pub fn in_flight(&self) -> bool {
        self.in_flight
    }

    /// How many requests have begun in its life.
    pub fn begun(&self) -> u64 {
        self.message.sequence + u64::from(self.in_flight)
    }

    /// Begins the next request. Its reply must be awaited before the one after it begins.
    #[inline]
    pub fn begin(&mut self) {
        debug_assert!(!self.in_flight, "one request in flight at a time");
        self.in_flight = true;
    }

    /// Writes the request's bytes that are still to be sent into `scratch`, as many as fit there, and returns them;
    /// empty when nothing is left to send.
    #[inline]
    pub fn outgoing<'a>(&self, scratch: &'a mut [u8]) -> &'a [u8] {
        let left = match self.in_flight {
            true => (self.message_bytes - self.sent_bytes) as usize,
            false => 0,
        };
        let length = left.min(scratch.len());
        let out = &mut scratch[..length];
        self.message.write(self.sent_bytes as usize, out);
        out
    }

    /// Whether bytes of the request are still to be sent.
    #[inline]
    pub fn has_outgoing(&self) -> bool {
        self.in_flight && self.sent_bytes < self.message_bytes
    }

    /// Notes that the socket took the next `bytes` bytes of the request.
    #[inline]
    pub fn sent(&mut self, bytes: usize) {
        debug_assert!(bytes <= (self.message_bytes - self.sent_bytes) as usize);
        self.sent_bytes += bytes as u32;
    }

    /// Takes in what the socket brought.
    #[inline]
    pub fn receive(&mut self, bytes: &[u8]) -> Received {
        // Only what was sent can have been echoed.
        let awaited = (self.sent_bytes - self.received_bytes) as usize;
        let (expected, surplus) = bytes.split_at(awaited.min(bytes.len()));
        if let Some(at) = self
            .message
            .first_difference(self.received_bytes as usize, expected)
        {
            return Received::Bad(BadReply::WrongByte {
                at: at as u32,
                sequence: self.message.sequence,
            });
        }
        if !surplus.is_empty() {
            return Received::Bad(BadReply::Surplus {
                bytes: surplus.len() as u32,
            });
        }
        self.received_bytes += expected.len() as u32;
        if !self.in_flight || self.received_bytes < self.message_bytes {
            return Received::Part;
        }
        self.message.sequence += 1;
        self.sent_bytes = 0;
        self.received_bytes = 0;
        self.in_flight = false;
        Received::Reply
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Sends the next request in steps of `step` bytes and returns its bytes.
    fn request(connection: &mut Connection, step: usize) -> Vec<u8> {
        connection.begin();
        let (mut request, mut scratch) = (Vec::new(), vec![0; step]);
        while connection.has_outgoing() {
            let sent = connection.outgoing(&mut scratch).to_vec();
            connection.sent(sent.len());
            request.extend(sent);
        }
        assert!(connection.outgoing(&mut scratch).is_empty());
        request
    }

    proptest! {
        #[test]
        fn a_true_echo_passes_however_it_is_cut(
            number: u64, length in 1u32..500, send_step in 1usize..600, cuts in prop::collection::vec(1usize..200, 1..40),
        ) {
            let mut connection = Connection::new(number, length);
            for _ in 0..3 {
                let request = request(&mut connection, send_step);
                prop_assert_eq!(request.len(), length as usize);
                let (mut rest, mut cuts) = (request.as_slice(), cuts.iter().cycle());
                while !rest.is_empty() {
                    let (part, after) = rest.split_at((*cuts.next().unwrap()).min(rest.len()));
                    rest = after;
                    let expected = if rest.is_empty() { Received::Reply } else { Received::Part };
                    prop_assert_eq!(connection.receive(part), expected);
                }
                prop_assert!(!connection.in_flight());
            }
        }

        #[test]
        fn a_wrong_byte_never_passes(length in 1u32..500, at in 0u32..500, cut in 0usize..500, flip in 1u8..) {
            let at = at % length;
            let mut connection = Connection::new(3, length);
            let mut reply = request(&mut connection, 1000);
            reply[at as usize] ^= flip;
            let (first, second) = reply.split_at(cut.min(reply.len()));
            let events = [connection.receive(first), connection.receive(second)];
            let bad = Received::Bad(BadReply::WrongByte { at, sequence: 0 });
            prop_assert!(events.contains(&bad));
        }

        #[test]
        fn a_surplus_byte_never_passes(length in 1u32..500, surplus in 1usize..300, together: bool) {
            let mut connection = Connection::new(3, length);
            let mut reply = request(&mut connection, 1000);
            let bad = Received::Bad(BadReply::Surplus { bytes: surplus as u32 });
            if together {
                reply.extend(vec![0; surplus]);
                prop_assert_eq!(connection.receive(&reply), bad);
            } else {
                prop_assert_eq!(connection.receive(&reply), Received::Reply);
                prop_assert_eq!(connection.receive(&vec![0; surplus]), bad);
            }
        }

        #[test]
        fn a_reply_given_twice_never_passes(length in 1u32..500) {
            let mut connection = Connection::new(3, length);
            let reply = request(&mut connection, 1000);
            prop_assert_eq!(connection.receive(&reply), Received::Reply);
            request(&mut connection, 1000);
            prop_assert!(matches!(connection.receive(&reply), Received::Bad(_)));
        }
    }

    #[test]
    fn bytes_that_were_not_sent_yet_cannot_be_echoed() {
        let mut connection = Connection::new(1, 10);
        connection.begin();
        let mut scratch = [0; 10];
        connection.outgoing(&mut scratch);
        connection.sent(4);
        assert_eq!(connection.receive(&scratch[..4]), Received::Part);
        assert!(matches!(
            connection.receive(&scratch[4..5]),
            Received::Bad(BadReply::Surplus { bytes: 1 })
        ));
    }

    #[test]
    fn nothing_received_means_nothing() {
        assert_eq!(Connection::new(1, 10).receive(&[]), Received::Part);
    }
}
