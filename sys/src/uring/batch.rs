//! The sends of one submission: which buffers each one holds until it is known that the socket took them.

use io_uring::{opcode, squeue, types::Fixed};

use super::completion::{Identity, Kind};
use super::{Buffer, BufferRing};

/// Try once, without waiting for room; all of it or tell; a closed peer is an error, never a signal.
///
/// MSG_WAITALL makes a short send a failure, so that it posts a completion although successes are skipped;
/// MSG_DONTWAIT makes the kernel end the send during submission, so that a send without a completion is a finished
/// one as soon as the submission is over.
const AT_ONCE: i32 = libc::MSG_DONTWAIT | libc::MSG_WAITALL | libc::MSG_NOSIGNAL;

/// One send.
struct Sending {
    slot: u32,
    /// How many of the parts are its own.
    parts: u32,
}

/// The bytes of one buffer within a send.
#[derive(Clone, Copy)]
pub(super) struct Part {
    pub(super) id: u16,
    pub(super) bytes: u32,
}

/// Sends in the order of submission, with their parts, and the vectors that the kernel reads while it takes them in.
pub(super) struct Batch {
    sendings: Vec<Sending>,
    parts: Vec<Part>,
    /// The number of `sendings[0]`; wraps.
    base: u32,
    /// How many of `sendings` the kernel has taken in.
    submitted: usize,
    /// Never grows past its capacity, so that the kernel's pointers into it stay right.
    vectors: Vec<libc::iovec>,
    /// Likewise.
    headers: Vec<libc::msghdr>,
}

impl Batch {
    /// Room for gathered sends of `buffers` buffers in all, in up to `submissions` sends.
    pub(super) fn new(buffers: u16, submissions: u32) -> Batch {
        Batch {
            sendings: Vec::with_capacity(submissions as usize),
            parts: Vec::with_capacity(buffers.into()),
            base: 0,
            submitted: 0,
            vectors: Vec::with_capacity(buffers.into()),
            headers: Vec::with_capacity(submissions as usize),
        }
    }

    /// Adds a send of one buffer, and builds its entry.
    #[inline]
    pub(super) fn single(&mut self, slot: u32, buffer: &Buffer, buffers: &BufferRing) -> squeue::Entry {
        let entry = opcode::Send::new(Fixed(slot), buffers.address(buffer.id), buffer.bytes).flags(AT_ONCE);
        self.parts.push(Part {
            id: buffer.id,
            bytes: buffer.bytes,
        });
        self.finish(slot, 1, entry.build())
    }

    /// Whether a send of `count` buffers can be gathered before the next submission.
    pub(super) fn has_room(&self, count: usize) -> bool {
        self.headers.len() < self.headers.capacity() && self.vectors.len() + count <= self.vectors.capacity()
    }

    /// Adds a send of several buffers, and builds its entry. The caller has seen that there is room.
    pub(super) fn gathered(&mut self, slot: u32, gathered: &[Buffer], buffers: &BufferRing) -> squeue::Entry {
        debug_assert!(self.has_room(gathered.len()));
        let first = self.vectors.len();
        for buffer in gathered {
            self.vectors.push(libc::iovec {
                iov_base: buffers.address(buffer.id).cast_mut().cast(),
                iov_len: buffer.len(),
            });
            self.parts.push(Part {
                id: buffer.id,
                bytes: buffer.bytes,
            });
        }
        // SAFETY: all fields of msghdr are integers and pointers, for which zero is a value.
        let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
        header.msg_iov = self.vectors[first..].as_mut_ptr();
        header.msg_iovlen = gathered.len() as _;
        self.headers.push(header);
        let header = &raw const self.headers[self.headers.len() - 1];
        let entry = opcode::SendMsg::new(Fixed(slot), header).flags(AT_ONCE as u32);
        self.finish(slot, gathered.len() as u32, entry.build())
    }

    fn finish(&mut self, slot: u32, parts: u32, entry: squeue::Entry) -> squeue::Entry {
        let identity = Identity {
            kind: Kind::Send,
            slot,
            number: self.base.wrapping_add(self.sendings.len() as u32),
        };
        self.sendings.push(Sending { slot, parts });
        entry
            .flags(squeue::Flags::SKIP_SUCCESS)
            .user_data(identity.pack())
    }

    /// The kernel has taken in all that was added, and needs the vectors no more.
    #[inline]
    pub(super) fn all_submitted(&mut self) {
        self.submitted = self.sendings.len();
        self.vectors.clear();
        self.headers.clear();
    }

    /// The parts of the send with this number, in order; they come back at the next settling, failed or not.
    pub(super) fn parts_of(&self, number: u32) -> &[Part] {
        let index = number.wrapping_sub(self.base) as usize;
        let Some(sending) = self.sendings.get(index) else {
            return &[];
        };
        let first: u32 = self.sendings[..index].iter().map(|sending| sending.parts).sum();
        &self.parts[first as usize..(first + sending.parts) as usize]
    }

    /// All completions of what was submitted have been seen: takes those sends out, telling `release` each part's
    /// buffer and `ended` each send's slot.
    #[inline]
    pub(super) fn settle(&mut self, mut release: impl FnMut(u16), mut ended: impl FnMut(u32)) {
        if self.submitted == 0 {
            return;
        }
        let mut parts = 0;
        for sending in self.sendings.drain(..self.submitted) {
            parts += sending.parts as usize;
            ended(sending.slot);
        }
        for part in self.parts.drain(..parts) {
            release(part.id);
        }
        self.base = self.base.wrapping_add(self.submitted as u32);
        self.submitted = 0;
    }
}
