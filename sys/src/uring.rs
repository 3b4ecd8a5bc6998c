//! io_uring(7): one ring for one thread, with direct descriptors and provided buffers, behind a safe interface.
//!
//! The ring owns what the kernel works on. Descriptors are places in the ring's own table, and a place is freed only
//! when the last completion of its operations is in. Received bytes lie in the ring's buffers: a [`Buffer`] is the
//! proof that the kernel is done with one, and sending or giving it back takes the proof away. Memory lent to
//! [`Ring::send_all`] stays with the ring until its completion. Dropping the ring cancels what is under way and waits
//! for it; what the kernel would not let go of in time is leaked, never freed under its hands.
//!
//! A message costs two operations and, as a rule, one completion: a multishot receive reports each arrival, and a send
//! goes out with the next submission, straight from the buffer in which the bytes arrived. Sends report only failures.
//! They never wait, so once a submission is over and its completions are read, every send that has not failed is
//! finished, and its buffers go back on offer.

use std::io;
use std::marker::PhantomData;
use std::num::NonZeroU32;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use io_uring::types::{CancelBuilder, Fixed};
use io_uring::{EnterFlags, IoUring, cqueue, opcode, squeue};

mod batch;
mod buffers;
mod completion;
mod enter;
mod probe;
#[cfg(test)]
mod tests;

pub use buffers::Buffer;
pub use completion::{Completion, Descriptor, Received};
pub use probe::{Refusal, probe};

use batch::Batch;
use buffers::{BUFFERS_MAX, BufferRing, GROUP};
use completion::{Identity, Kind};
use enter::{Gate, Waiting};

/// Places at the start of a ring's table for what [`Ring::adopt`] brings in.
pub const ADOPTED_MAX: u32 = 8;
/// The most direct descriptors that a ring can have (IORING_MAX_FIXED_FILES), ours included.
const SLOTS_MAX: u32 = 1 << 20;
/// How long dropping a ring waits for the kernel to let go of its memory.
const DROP_WAIT: Duration = Duration::from_secs(2);
/// The most buffers in one [`Ring::send`] (UIO_MAXIOV).
pub const GATHERED_MAX: usize = 1024;

/// How large a ring is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setup {
    /// Operations that one submission takes; more are submitted in several.
    pub submissions: u32,
    /// Completions that wait in the ring; what exceeds it waits in the kernel, which is slower.
    pub completions: u32,
    /// Accepted connections that can be open at a time; with [`ADOPTED_MAX`], at most the process's limit of
    /// descriptors.
    pub connections: u32,
    /// Provided buffers: a power of two, at most 32,768.
    pub buffers: u16,
    /// The size of each, in bytes; at least one.
    pub buffer_bytes: u32,
}

/// Operations under way on a slot, and whether it closes when the last has ended.
#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    operations: u16,
    closing: bool,
}

/// One ring, used by the thread that made it.
pub struct Ring {
    io: IoUring,
    gate: Gate,
    /// Tells this ring's buffers and descriptors from those of others.
    number: NonZeroU32,
    buffers: BufferRing,
    batch: Batch,
    /// Indexed by place; grows with the highest one in use.
    slots: Vec<Slot>,
    adopted: u32,
    /// Memory lent to the kernel, with the slot it is sent on; free places are kept for reuse.
    lent: Vec<Option<(u32, Vec<u8>)>>,
    lent_free: Vec<u32>,
    /// Operations whose last completion is still to come.
    under_way: usize,
    no_iowait: EnterFlags,
    /// The kernel lets one thread alone submit (IORING_SETUP_SINGLE_ISSUER), so a ring stays where it was made.
    one_thread: PhantomData<*const ()>,
}

impl Ring {
    /// A ring of this size for the calling thread.
    ///
    /// # Errors
    /// `InvalidInput` for sizes that no kernel takes; else what the kernel reports. [`probe`] explains refusals.
    pub fn new(setup: &Setup) -> io::Result<Ring> {
        if !setup.buffers.is_power_of_two() || setup.buffers > BUFFERS_MAX || setup.buffer_bytes == 0 {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!(
                    "{} buffers of {} bytes: the number must be a power of two up to {BUFFERS_MAX}, the size at least 1",
                    setup.buffers, setup.buffer_bytes
                ),
            ));
        }
        let io = build(setup)?;
        let places = setup.connections.clamp(1, SLOTS_MAX - ADOPTED_MAX);
        io.submitter().register_files_sparse(ADOPTED_MAX + places)?;
        enter::set_allocation_range(&io, ADOPTED_MAX, places)?;
        let gate = Gate::new(&io);
        let buffers = BufferRing::new(&io, setup.buffers, setup.buffer_bytes)?;
        let no_iowait = if io.params().is_feature_no_iowait() {
            EnterFlags::NO_IOWAIT
        } else {
            EnterFlags::empty()
        };
        Ok(Ring {
            batch: Batch::new(setup.buffers, io.params().sq_entries()),
            io,
            gate,
            number: next_number(),
            buffers,
            slots: vec![Slot::default(); ADOPTED_MAX as usize],
            adopted: 0,
            lent: Vec::new(),
            lent_free: Vec::new(),
            under_way: 0,
            no_iowait,
            one_thread: PhantomData,
        })
    }

    /// Whether [`Ring::wait`] can gather (Linux 6.12).
    pub fn can_gather(&self) -> bool {
        self.io.params().is_feature_min_timeout()
    }

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
                .file_index(Some(io_uring::types::DestinationSlot::auto_target()))
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

    /// Submits what was asked for, and waits until `want` completions are there (at least one). With `gather`, one is
    /// enough once that much time has passed; where the kernel cannot gather, one is enough at once. Gives up after
    /// `timeout`; a signal ends it too. Microseconds count; zero is no wait at all.
    ///
    /// # Errors
    /// When the kernel lost completions for want of memory: what was under way cannot be known any more.
    pub fn wait(&mut self, want: u32, gather: Duration, timeout: Option<Duration>) -> io::Result<()> {
        let gathers = !gather.is_zero() && want > 1 && self.can_gather();
        let waiting = Waiting {
            want: if gathers { want } else { want.min(1) },
            gather_micros: if gathers {
                gather.as_micros().clamp(1, u128::from(u32::MAX)) as u32
            } else {
                0
            },
            timeout,
            flags: self.no_iowait,
        };
        let queued = self.queued();
        let result = self.gate.enter(queued, Some(waiting));
        self.note_submitted();
        match result {
            Ok(()) => Ok(()),
            Err(error) => match error.raw_os_error() {
                // A signal; the time is over; too much is under way: read completions and try again.
                Some(libc::EINTR | libc::ETIME | libc::EAGAIN | libc::EBUSY) => Ok(()),
                _ => Err(error),
            },
        }
    }

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

    fn close_slot(&mut self, slot: u32) -> io::Result<()> {
        let entry = opcode::Close::new(Fixed(slot)).build();
        self.push(
            &entry
                .flags(squeue::Flags::SKIP_SUCCESS)
                .user_data(Identity::of(Kind::Aside, slot).pack()),
        )
    }

    fn cancel(&mut self, identity: Identity) -> io::Result<()> {
        let entry = opcode::AsyncCancel::new(identity.pack()).build();
        self.push(
            &entry
                .flags(squeue::Flags::SKIP_SUCCESS)
                .user_data(Identity::of(Kind::Aside, identity.slot).pack()),
        )
    }

    /// Queues an operation that ends with a completion.
    #[inline]
    fn start(&mut self, entry: squeue::Entry, identity: Identity) -> io::Result<()> {
        self.slots[identity.slot as usize].operations += 1;
        self.under_way += 1;
        self.push(&entry.user_data(identity.pack()))
    }

    #[inline]
    fn push(&mut self, entry: &squeue::Entry) -> io::Result<()> {
        if self.io.submission().is_full() {
            self.flush()?;
        }
        // SAFETY: what an entry points to outlives its operation: buffers and lent memory belong to this ring until
        // the completion, vectors until submission is over (IORING_FEAT_SUBMIT_STABLE, which `build` demands).
        let pushed = unsafe { self.io.submission().push(entry) };
        pushed.map_err(|_| io::Error::other("the kernel takes no more operations in"))
    }

    /// Submits what is queued, without waiting.
    fn flush(&mut self) -> io::Result<()> {
        let mut patience = 100;
        while self.queued() > 0 {
            match self.gate.enter(self.queued(), None) {
                Ok(()) => {}
                Err(error)
                    if matches!(
                        error.raw_os_error(),
                        Some(libc::EINTR | libc::EAGAIN | libc::EBUSY)
                    ) =>
                {
                    patience -= 1;
                    if patience == 0 {
                        return Err(error);
                    }
                    std::thread::yield_now();
                }
                Err(error) => return Err(error),
            }
        }
        self.note_submitted();
        Ok(())
    }

    #[inline]
    fn queued(&mut self) -> u32 {
        self.io.submission().len() as u32
    }

    #[inline]
    fn note_submitted(&mut self) {
        if self.queued() == 0 {
            self.batch.all_submitted();
        }
    }

    #[inline]
    fn own(&self, descriptor: &Descriptor) {
        assert_eq!(descriptor.ring, self.number, "a descriptor of another ring");
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        let cancel = opcode::AsyncCancel2::new(CancelBuilder::any())
            .build()
            .user_data(Identity::of(Kind::Aside, 0).pack());
        let deadline = Instant::now() + DROP_WAIT;
        while self.under_way > 0 && Instant::now() < deadline {
            if self.push(&cancel).is_err() {
                break;
            }
            if self
                .wait(1, Duration::ZERO, Some(Duration::from_millis(10)))
                .is_err()
            {
                break;
            }
            while let Ok(Some(_)) = self.next_completion() {}
        }
        // What is queued now closes sockets: better here than when the kernel gets round to it.
        let _ = self.flush();
        if self.under_way == 0 && self.io.submitter().unregister_buf_ring(GROUP).is_ok() {
            self.buffers.free();
        } else {
            // The kernel may still read or write there; a leak is the lesser evil.
            std::mem::forget(std::mem::take(&mut self.lent));
        }
        self.gate.release(&self.io);
    }
}

/// A ring of the kernel with the flags that suit one thread: nobody else submits, completions are worked off when
/// this thread waits for them (and so never interrupt it), and one bad entry does not hold up those behind it.
fn build(setup: &Setup) -> io::Result<IoUring> {
    let mut builder = IoUring::builder();
    builder
        .setup_single_issuer()
        .setup_defer_taskrun()
        .setup_coop_taskrun()
        .setup_submit_all()
        .setup_clamp()
        .setup_cqsize(setup.completions.max(setup.submissions).max(2))
        .dontfork();
    // Linux 6.6 can do without the array between queue and entries.
    let mut lean = builder.clone();
    lean.setup_no_sqarray();
    let entries = setup.submissions.max(1);
    let io = match lean.build(entries) {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => builder.build(entries)?,
        result => result?,
    };
    let missing = probe::missing(io.params());
    if missing.is_empty() {
        Ok(io)
    } else {
        Err(io::Error::new(
            io::ErrorKind::Unsupported,
            format!("this kernel's io_uring lacks {}", missing.join(", ")),
        ))
    }
}

fn next_number() -> NonZeroU32 {
    static LAST: AtomicU32 = AtomicU32::new(0);
    let number = LAST.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
    NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN)
}

fn to_result(result: i32) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::from_raw_os_error(result.wrapping_neg()))
}
