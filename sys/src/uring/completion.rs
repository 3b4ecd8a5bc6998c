//! What a completion says, and how an operation's identity travels through the kernel.

use std::io;
use std::num::NonZeroU32;

use super::Buffer;

/// A direct descriptor: an open file in a ring's own table, not in the process's. Only [`super::Ring::close`], which
/// takes it by value, frees its place; until then the place is not used again.
#[derive(Debug)]
#[must_use = "a descriptor that is not closed keeps its place until the ring is dropped"]
pub struct Descriptor {
    pub(super) ring: NonZeroU32,
    pub(super) slot: u32,
}

impl Descriptor {
    /// Its place in the ring's table; completions name it.
    #[inline]
    pub fn slot(&self) -> u32 {
        self.slot
    }
}

/// One completion. `more` says whether the operation goes on; when it is false, this is its last completion.
#[derive(Debug)]
pub enum Completion {
    /// An accept brought a connection, or failed.
    Accepted {
        /// The listening socket's place.
        listener: u32,
        /// The connection, or why there is none.
        result: io::Result<Descriptor>,
        /// Whether it goes on accepting.
        more: bool,
    },
    /// A receive brought something.
    Received {
        /// The connection's place.
        slot: u32,
        /// What it brought.
        received: Received,
        /// Whether it goes on receiving.
        more: bool,
    },
    /// The socket did not take all of a [`super::Ring::send`]. Sends that it took wholly are not reported.
    Unsent {
        /// The connection's place.
        slot: u32,
        /// What it did not take; its buffers are back in the ring.
        rest: Vec<u8>,
        /// Why: `WouldBlock` when the send buffer is full, else what befell the connection.
        error: io::Error,
    },
    /// A [`super::Ring::send_all`] ended.
    Sent {
        /// The connection's place.
        slot: u32,
        /// The memory that was lent.
        memory: Vec<u8>,
        /// How much of it was sent. Less than all means that an error follows at the next send.
        result: io::Result<usize>,
    },
    /// A watched descriptor is readable.
    Readable {
        /// Its place.
        slot: u32,
    },
}

/// What a receive brought.
#[derive(Debug)]
pub enum Received {
    /// Bytes.
    Bytes(Buffer),
    /// The peer will send no more.
    End,
    /// No buffer was on offer: try again when some were given back.
    NoBuffers,
    /// It was told to stop.
    Stopped,
    /// The connection has an error.
    Failed(io::Error),
}

/// What kind of operation a completion belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    Accept,
    Receive,
    Send,
    SendAll,
    Watch,
    /// Cancellations and closes: they report only what changes nothing.
    Aside,
}

/// An operation's identity in its 64 bits of user data: 4 bits of kind, 28 of slot, 32 of number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) kind: Kind,
    pub(super) slot: u32,
    pub(super) number: u32,
}

/// Slots fit into 28 bits; the kernel allows 2^20.
const SLOT_MASK: u64 = (1 << 28) - 1;

impl Identity {
    /// The only operation of its kind on a slot.
    #[inline]
    pub(super) fn of(kind: Kind, slot: u32) -> Identity {
        Identity {
            kind,
            slot,
            number: 0,
        }
    }

    #[inline]
    pub(super) fn pack(self) -> u64 {
        (self.kind as u64) << 60 | (u64::from(self.slot) & SLOT_MASK) << 32 | u64::from(self.number)
    }

    #[inline]
    pub(super) fn unpack(bits: u64) -> Identity {
        let kind = match bits >> 60 {
            0 => Kind::Accept,
            1 => Kind::Receive,
            2 => Kind::Send,
            3 => Kind::SendAll,
            4 => Kind::Watch,
            _ => Kind::Aside,
        };
        Identity {
            kind,
            slot: (bits >> 32 & SLOT_MASK) as u32,
            number: bits as u32,
        }
    }
}
