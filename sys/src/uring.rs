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
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use io_uring::types::{CancelBuilder, Fixed};
use io_uring::{EnterFlags, IoUring, opcode, squeue};

mod batch;
mod buffers;
mod completion;
mod enter;
mod operations;
mod probe;
mod reading;
#[cfg(test)]
mod tests;

pub use buffers::Buffer;
pub use completion::{Completion, Descriptor, Received};
pub use operations::GATHERED_MAX;
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

/// A ring that no thread uses yet, so that what can fail is over before threads are started.
pub struct Prepared(Ring);

// SAFETY: the kernel binds a ring to the thread that enables it, which `start` does, and until then nobody can queue
// anything. The pointers within lead to memory that the ring alone owns.
unsafe impl Send for Prepared {}

impl Prepared {
    /// A ring of this size.
    ///
    /// # Errors
    /// `InvalidInput` for sizes that no kernel takes; else what the kernel reports. [`probe`] explains refusals.
    pub fn new(setup: &Setup) -> io::Result<Prepared> {
        Ring::prepare(setup).map(Prepared)
    }

    /// Gives the ring to the calling thread for good.
    ///
    /// # Errors
    /// What the kernel reports.
    pub fn start(mut self) -> io::Result<Ring> {
        self.0.io.submitter().register_enable_rings()?;
        self.0.gate = Gate::registered(&self.0.io);
        Ok(self.0)
    }
}

impl Ring {
    /// A ring of this size for the calling thread.
    ///
    /// # Errors
    /// As [`Prepared::new`].
    pub fn new(setup: &Setup) -> io::Result<Ring> {
        Prepared::new(setup)?.start()
    }

    fn prepare(setup: &Setup) -> io::Result<Ring> {
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
        let buffers = BufferRing::new(&io, setup.buffers, setup.buffer_bytes)?;
        let no_iowait = if io.params().is_feature_no_iowait() {
            EnterFlags::NO_IOWAIT
        } else {
            EnterFlags::empty()
        };
        Ok(Ring {
            batch: Batch::new(setup.buffers, io.params().sq_entries()),
            gate: Gate::new(&io),
            io,
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

    /// Submits what was asked for, and waits until `want` completions are there (at least one). With `gather`, one is
    /// enough once that much time has passed, and when none is there then, the wait goes on to the first one. Where the
    /// kernel cannot gather, one is enough at once. Gives up after `timeout`; a signal ends it too. Microseconds count;
    /// zero is no wait at all.
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
        .setup_r_disabled()
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
