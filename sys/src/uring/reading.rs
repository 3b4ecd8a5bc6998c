//! Reading completions: what each one means, and what the ring does by itself when it comes.

use std::io;

use io_uring::{EnterFlags, cqueue};

use super::completion::{Identity, Kind};
use super::enter::Waiting;
use super::{Buffer, Completion, Descriptor, Received, Ring, Slot};

impl Ring {
    /// The next completion, or `None` when all have been read.
    ///
    /// # Errors
    /// When the kernel cannot hand over completions that it had put aside.
    #[inline]
    pub fn next_completion(&mut self) -> io::Result<Option<Completion>> {
        loop {
            let entry = self.io.completion().next();
            if let Some(entry) = entry {
                if let Some(completion) = self.read(&entry)? {
                    return Ok(Some(completion));
                }
            } else if self.io.submission().cq_overflow() {
                // The queue was too short; the kernel moves the rest in when it is asked to.
                let waiting = Waiting {
                    want: 0,
                    gather_micros: 0,
                    timeout: None,
                    flags: EnterFlags::empty(),
                };
                self.gate.enter(0, Some(waiting))?;
            } else {
                self.settle()?;
                return Ok(None);
            }
        }
    }

    #[inline]
    fn read(&mut self, entry: &cqueue::Entry) -> io::Result<Option<Completion>> {
        let Identity { kind, slot, number } = Identity::unpack(entry.user_data());
        let result = entry.result();
        let more = cqueue::more(entry.flags());
        if !more && !matches!(kind, Kind::Send | Kind::Aside) {
            self.under_way -= 1;
            self.end_operation(slot)?;
        }
        let closing = self.slots.get(slot as usize).is_some_and(|slot| slot.closing);
        Ok(match kind {
            Kind::Receive => {
                let received = self.read_received(entry, result);
                match received {
                    Received::Bytes(buffer) if closing => {
                        self.give_back(buffer);
                        None
                    }
                    _ if closing => None,
                    received => Some(Completion::Received { slot, received, more }),
                }
            }
            Kind::Accept => {
                let result = self.read_accepted(result);
                match result {
                    Ok(descriptor) if closing => {
                        self.close(descriptor)?;
                        None
                    }
                    _ if closing => None,
                    result => Some(Completion::Accepted {
                        listener: slot,
                        result,
                        more,
                    }),
                }
            }
            Kind::Send => (!closing).then(|| self.read_unsent(slot, number, result)),
            Kind::SendAll => {
                let lent = self.lent.get_mut(number as usize).and_then(Option::take);
                self.lent_free.push(number);
                let memory = lent.map(|(_, memory)| memory).unwrap_or_default();
                (!closing).then(|| Completion::Sent {
                    slot,
                    memory,
                    result: to_result(result),
                })
            }
            Kind::Watch => (!closing && result > 0).then_some(Completion::Readable { slot }),
            Kind::Aside => None,
        })
    }

    #[inline]
    fn read_received(&mut self, entry: &cqueue::Entry, result: i32) -> Received {
        if let Some(id) = cqueue::buffer_select(entry.flags()) {
            self.buffers.taken();
            let buffer = Buffer {
                ring: self.number,
                id,
                bytes: self.buffers.clamp(result),
            };
            if buffer.bytes > 0 {
                return Received::Bytes(buffer);
            }
            self.give_back(buffer);
        }
        match result.wrapping_neg() {
            0 => Received::End,
            libc::ENOBUFS => Received::NoBuffers,
            libc::ECANCELED => Received::Stopped,
            errno => Received::Failed(io::Error::from_raw_os_error(errno)),
        }
    }

    fn read_accepted(&mut self, result: i32) -> io::Result<Descriptor> {
        match to_result(result) {
            Ok(slot) => {
                if slot >= self.slots.len() {
                    self.slots.resize(slot + 1, Slot::default());
                }
                self.slots[slot] = Slot::default();
                Ok(Descriptor {
                    ring: self.number,
                    slot: slot as u32,
                })
            }
            Err(error) if error.raw_os_error() == Some(libc::ECANCELED) => {
                Err(io::ErrorKind::Interrupted.into())
            }
            Err(error) => Err(error),
        }
    }

    fn read_unsent(&mut self, slot: u32, number: u32, result: i32) -> Completion {
        let (mut skip, error) = match to_result(result) {
            Ok(sent) => (sent, io::ErrorKind::WouldBlock.into()),
            Err(error) => (0, error),
        };
        let mut rest = Vec::new();
        for part in self.batch.parts_of(number) {
            let buffer = Buffer {
                ring: self.number,
                id: part.id,
                bytes: part.bytes,
            };
            // The send has ended and its buffers are not yet on offer: nobody else touches them.
            let bytes = self.buffers.bytes(&buffer);
            let from = skip.min(bytes.len());
            skip -= from;
            rest.extend_from_slice(&bytes[from..]);
        }
        Completion::Unsent { slot, rest, error }
    }

    /// Every completion of what was submitted has been read: the sends among it are over.
    #[inline]
    fn settle(&mut self) -> io::Result<()> {
        let Ring {
            batch,
            buffers,
            slots,
            ..
        } = self;
        let mut closing = Vec::new();
        batch.settle(
            |id| buffers.offer(id),
            |slot| {
                let state = &mut slots[slot as usize];
                state.operations -= 1;
                if state.closing && state.operations == 0 {
                    closing.push(slot);
                }
            },
        );
        buffers.publish();
        for slot in closing {
            self.close_slot(slot)?;
        }
        Ok(())
    }

    fn end_operation(&mut self, slot: u32) -> io::Result<()> {
        let state = &mut self.slots[slot as usize];
        state.operations -= 1;
        if state.closing && state.operations == 0 {
            self.close_slot(slot)?;
        }
        Ok(())
    }
}

fn to_result(result: i32) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::from_raw_os_error(result.wrapping_neg()))
}
