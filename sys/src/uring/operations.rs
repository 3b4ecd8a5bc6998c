//! What a ring can be asked to do. Each call queues an operation; [`Ring::wait`] submits them.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use io_uring::opcode;
use io_uring::types::{DestinationSlot, Fixed};

use super::buffers::GROUP;
use super::completion::{Identity, Kind};
use super::{ADOPTED_MAX, Buffer, Descriptor, Ring};
#[cfg(doc)]
use super::{Completion, Received};

/// The most buffers in one [`Ring::send`] (UIO_MAXIOV).
pub const GATHERED_MAX: usize = 1024;

impl Ring {
    /// Puts an open file of the process into the ring's table; the ring holds it on its own from then on.
    ///
    /// # Errors
    /// `StorageFull` when [`ADOPTED_MAX`] were adopted already; else what the kernel reports.
    pub fn adopt(&mut self, fd: BorrowedFd<'_>) -> io::Result<Descriptor> {
        if self.adopted == ADOPTED_MAX {
            return Err(io::Error::new(
                io::ErrorKind::StorageFull,
                format!("a ring adopts at most {ADOPTED_MAX} descriptors"),
            ));
        }
        let slot = self.adopted;
        self.io
            .submitter()
            .register_files_update(slot, &[fd.as_raw_fd()])?;
        self.adopted += 1;
        Ok(Descriptor {
            ring: self.number,
            slot,
        })
    }

    /// Tells once when the descriptor is readable ([`Completion::Readable`]).
    ///
    /// # Errors
    /// As [`Ring::send`].
    pub fn watch(&mut self, descriptor: &Descriptor) -> io::Result<()> {
        self.own(descriptor);
        let slot = descriptor.slot;
        let entry = opcode::PollAdd::new(Fixed(slot), libc::POLLIN as u32).build();
        self.start(entry, Identity::of(Kind::Watch, slot))
    }

    /// Accepts one connection from a listening socket, or, with `many`, one after the other until told to stop
    /// ([`Completion::Accepted`]). Of several rings that wait for one socket, the one that has waited longest gets the
    /// connection; an accept of `many` never gives its turn away.
    ///
    /// # Errors
    /// As [`Ring::send`].
    pub fn accept(&mut self, listener: &Descriptor, many: bool) -> io::Result<()> {
        self.own(listener);
        let slot = listener.slot;
        let entry = if many {
            opcode::AcceptMulti::new(Fixed(slot))
                .allocate_file_index(true)
                .build()
        } else {
            opcode::Accept::new(Fixed(slot), std::ptr::null_mut(), std::ptr::null_mut())
                .file_index(Some(DestinationSlot::auto_target()))
                .build()
        };
        self.start(entry, Identity::of(Kind::Accept, slot))
    }

    /// Ends an accept; its last completion says so (`Interrupted`).
    ///
    /// # Errors
    /// As [`Ring::send`].
    pub fn stop_accepting(&mut self, listener: &Descriptor) -> io::Result<()> {
        self.own(listener);
        self.cancel(Identity::of(Kind::Accept, listener.slot))
    }

    /// Receives until the end, an error, or [`Ring::stop_receiving`] ([`Completion::Received`]). One at a time: of two
    /// on one connection nobody could say whose bytes came first.
    ///
    /// # Errors
    /// As [`Ring::send`].
    #[inline]
    pub fn receive(&mut self, socket: &Descriptor) -> io::Result<()> {
        self.own(socket);
        let entry = opcode::RecvMulti::new(Fixed(socket.slot), GROUP).build();
        self.start(entry, Identity::of(Kind::Receive, socket.slot))
    }

    /// Ends a receive. What it had received before still comes; its last completion says [`Received::Stopped`], unless
    /// something else ended it first.
    ///
    /// # Errors
    /// As [`Ring::send`].
    pub fn stop_receiving(&mut self, socket: &Descriptor) -> io::Result<()> {
        self.own(socket);
        self.cancel(Identity::of(Kind::Receive, socket.slot))
    }

    /// The bytes of a buffer.
    #[inline]
    pub fn bytes(&self, buffer: &Buffer) -> &[u8] {
        assert_eq!(buffer.ring, self.number, "a buffer of another ring");
        self.buffers.bytes(buffer)
    }

    /// How many buffers are on offer now. Those of sends that were not submitted yet, or not settled, are not.
    pub fn buffers_on_offer(&self) -> usize {
        self.buffers.on_offer()
    }

    /// Puts a buffer back on offer.
    #[inline]
    pub fn give_back(&mut self, buffer: Buffer) {
        assert_eq!(buffer.ring, self.number, "a buffer of another ring");
        self.buffers.offer(buffer.id);
        self.buffers.publish();
    }

    /// Sends what the buffers hold, in order, as far as the socket takes it at once; the buffers go back on offer by
    /// themselves. Only what was not sent is reported ([`Completion::Unsent`]), and before the [`Ring::next_completion`] after
    /// the next [`Ring::wait`] says `None`: do not send on the same socket again before that, or bytes may overtake
    /// others. At most [`GATHERED_MAX`] buffers.
    ///
    /// # Errors
    /// When the kernel takes no more operations in, for want of memory. The buffers are lost to the ring then.
    #[inline]
    pub fn send(&mut self, socket: &Descriptor, buffers: &mut Vec<Buffer>) -> io::Result<()> {
        self.own(socket);
        for buffer in buffers.iter() {
            assert_eq!(buffer.ring, self.number, "a buffer of another ring");
        }
        // Room first: once in the batch, an entry must be in the queue before the next submission.
        if self.io.submission().is_full() || !self.batch.has_room(buffers.len()) {
            self.flush()?;
        }
        let entry = match buffers.as_slice() {
            [] => return Ok(()),
            [buffer] => self.batch.single(socket.slot, buffer, &self.buffers),
            gathered => self.batch.gathered(socket.slot, gathered, &self.buffers),
        };
        buffers.clear();
        self.slots[socket.slot as usize].operations += 1;
        self.push(&entry)
    }

    /// Sends all of `memory`, waiting for room as long as it takes ([`Completion::Sent`] gives the
    /// memory back).
    ///
    /// # Errors
    /// As [`Ring::send`].
    pub fn send_all(&mut self, socket: &Descriptor, memory: Vec<u8>) -> io::Result<()> {
        self.own(socket);
        let length = u32::try_from(memory.len()).unwrap_or(u32::MAX);
        let pointer = memory.as_ptr();
        let place = match self.lent_free.pop() {
            Some(place) => place,
            None => {
                self.lent.push(None);
                self.lent.len() as u32 - 1
            }
        };
        // The vector's memory does not move when the vector does, and nobody reaches it here until the completion.
        self.lent[place as usize] = Some((socket.slot, memory));
        let entry = opcode::Send::new(Fixed(socket.slot), pointer, length)
            .flags(libc::MSG_WAITALL | libc::MSG_NOSIGNAL)
            .build();
        let identity = Identity {
            kind: Kind::SendAll,
            slot: socket.slot,
            number: place,
        };
        self.start(entry, identity)
    }

    /// Closes a descriptor. What is under way on it is ended first, and its completions are swallowed; when the last
    /// one was read, the next submission closes the socket and frees its place.
    ///
    /// # Errors
    /// As [`Ring::send`].
    pub fn close(&mut self, descriptor: Descriptor) -> io::Result<()> {
        self.own(&descriptor);
        let slot = descriptor.slot;
        let state = &mut self.slots[slot as usize];
        state.closing = true;
        if state.operations == 0 {
            return self.close_slot(slot);
        }
        for kind in [Kind::Accept, Kind::Receive, Kind::Watch] {
            let adopted = slot < ADOPTED_MAX;
            if adopted || kind == Kind::Receive {
                self.cancel(Identity::of(kind, slot))?;
            }
        }
        for place in 0..self.lent.len() {
            if matches!(&self.lent[place], Some((owner, _)) if *owner == slot) {
                self.cancel(Identity {
                    kind: Kind::SendAll,
                    slot,
                    number: place as u32,
                })?;
            }
        }
        Ok(())
    }
}
