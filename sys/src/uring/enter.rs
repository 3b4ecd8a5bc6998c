//! io_uring_enter(2) by the ring's registered descriptor, and the two registrations that the io-uring crate lacks.

use std::io;
use std::os::fd::AsRawFd;
use std::time::Duration;

use io_uring::types::{SubmitArgs, Timespec};
use io_uring::{EnterFlags, IoUring};

/// IORING_REGISTER_RING_FDS of linux/io_uring.h.
const REGISTER_RING_FDS: libc::c_uint = 20;
/// IORING_UNREGISTER_RING_FDS of linux/io_uring.h.
const UNREGISTER_RING_FDS: libc::c_uint = 21;
/// IORING_REGISTER_FILE_ALLOC_RANGE of linux/io_uring.h.
const REGISTER_FILE_ALLOC_RANGE: libc::c_uint = 25;

/// The timeout of a wait that gathers and has none of its own. Without one the kernel ends the wait with the gathering
/// time, even when nothing came; with one that is longer it waits on for the first completion, without a wake-up.
const UNTIL_THE_FIRST: Duration = Duration::from_secs(24 * 60 * 60);

/// io_uring_rsrc_update of linux/io_uring.h.
#[repr(C)]
struct Update {
    offset: u32,
    reserved: u32,
    data: u64,
}

/// How the kernel is told which ring is meant: by its descriptor, or by the index under which the descriptor is
/// registered with this thread, which spares a look-up and two atomic operations in each call.
#[derive(Debug, Clone, Copy)]
pub(super) struct Gate {
    number: libc::c_int,
    flags: EnterFlags,
}

impl Gate {
    /// By the ring's descriptor.
    pub(super) fn new(ring: &IoUring) -> Gate {
        Gate {
            number: ring.as_raw_fd(),
            flags: EnterFlags::empty(),
        }
    }

    /// Registers the ring's descriptor with this thread; where the kernel cannot, the descriptor itself serves.
    pub(super) fn registered(ring: &IoUring) -> Gate {
        let descriptor = ring.as_raw_fd();
        let mut update = Update {
            offset: u32::MAX,
            reserved: 0,
            data: descriptor as u64,
        };
        // SAFETY: `update` is one io_uring_rsrc_update, exclusively borrowed through the call.
        let registered = unsafe {
            libc::syscall(
                libc::SYS_io_uring_register,
                descriptor,
                REGISTER_RING_FDS,
                &raw mut update,
                1,
            )
        };
        if registered == 1 {
            Gate {
                number: update.offset as libc::c_int,
                flags: EnterFlags::REGISTERED_RING,
            }
        } else {
            Gate::new(ring)
        }
    }

    /// Takes the registration back, which would otherwise keep the ring alive as long as this thread.
    pub(super) fn release(&mut self, ring: &IoUring) {
        if !self.flags.contains(EnterFlags::REGISTERED_RING) {
            return;
        }
        let update = Update {
            offset: self.number as u32,
            reserved: 0,
            data: 0,
        };
        // SAFETY: `update` is one io_uring_rsrc_update that lives through the call.
        unsafe {
            libc::syscall(
                libc::SYS_io_uring_register,
                ring.as_raw_fd(),
                UNREGISTER_RING_FDS,
                &raw const update,
                1,
            )
        };
        *self = Gate::new(ring);
    }

    /// Submits `submissions` entries, and with `waiting` also waits as it says.
    #[inline]
    pub(super) fn enter(self, submissions: u32, waiting: Option<Waiting>) -> io::Result<()> {
        let Some(waiting) = waiting else {
            return self.call(submissions, 0, EnterFlags::empty(), None);
        };
        let flags = waiting.flags | EnterFlags::GETEVENTS;
        let gathers = waiting.gather_micros > 0;
        let Some(timeout) = waiting.timeout.or(gathers.then_some(UNTIL_THE_FIRST)) else {
            return self.call(submissions, waiting.want, flags, None);
        };
        let timeout = Timespec::from(timeout);
        let args = SubmitArgs::new()
            .min_wait_usec(waiting.gather_micros)
            .timespec(&timeout);
        self.call(
            submissions,
            waiting.want,
            flags | EnterFlags::EXT_ARG,
            Some(&args),
        )
    }

    #[inline]
    fn call(
        self,
        submissions: u32,
        want: u32,
        flags: EnterFlags,
        args: Option<&SubmitArgs<'_, '_>>,
    ) -> io::Result<()> {
        let (pointer, bytes) = args.map_or((std::ptr::null(), 0), |args| {
            (std::ptr::from_ref(args), size_of::<SubmitArgs<'_, '_>>())
        });
        // SAFETY: the arguments are null or an io_uring_getevents_arg (SubmitArgs is one, transparently) that lives
        // through the call, as does the time to which it points. What the submitted entries point to is for those to
        // answer who queued them.
        let returned = unsafe {
            libc::syscall(
                libc::SYS_io_uring_enter,
                self.number,
                submissions,
                want,
                (flags | self.flags).bits(),
                pointer,
                bytes,
            )
        };
        crate::check_size(returned as isize).map(drop)
    }
}

/// What an enter waits for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Waiting {
    /// Completions to wait for.
    pub(super) want: u32,
    /// After this many microseconds one completion is enough, the first one if none is there; 0: never mind.
    pub(super) gather_micros: u32,
    /// Give up after this; none: never, or after [`UNTIL_THE_FIRST`] when it gathers.
    pub(super) timeout: Option<Duration>,
    /// NO_IOWAIT where the kernel has it: a server that waits for its peers does not wait for I/O, and a CPU that is
    /// idle meanwhile shall count as idle.
    pub(super) flags: EnterFlags,
}

/// Lets the kernel hand out direct descriptors from `first` on, so that those below stay for [`super::Ring::adopt`].
pub(super) fn set_allocation_range(ring: &IoUring, first: u32, length: u32) -> io::Result<()> {
    #[repr(C)]
    struct Range {
        offset: u32,
        length: u32,
        reserved: u64,
    }
    let range = Range {
        offset: first,
        length,
        reserved: 0,
    };
    // SAFETY: `range` is one io_uring_file_index_range that lives through the call.
    let returned = unsafe {
        libc::syscall(
            libc::SYS_io_uring_register,
            ring.as_raw_fd(),
            REGISTER_FILE_ALLOC_RANGE,
            &raw const range,
            0,
        )
    };
    crate::check_size(returned as isize).map(drop)
}
