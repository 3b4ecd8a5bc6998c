//! A ring of provided buffers: the kernel takes one when bytes arrive, and so a quiet connection owns none.

use std::io;
use std::num::NonZeroU32;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::IoUring;
use io_uring::types::BufRingEntry;

/// Buffers start on cache lines of their own, so that two never share one.
const LINE_BYTES: usize = 64;
/// The only buffer group of a ring.
pub(super) const GROUP: u16 = 0;
/// The kernel's limit of entries.
pub(super) const BUFFERS_MAX: u16 = 1 << 15;

/// A provided buffer that the kernel has filled: nobody else reads or writes it until it is sent or given back.
/// Dropped without either, it is lost to its ring, nothing worse.
#[derive(Debug)]
#[must_use = "a buffer that is neither sent nor given back is lost to its ring"]
pub struct Buffer {
    pub(super) ring: NonZeroU32,
    pub(super) id: u16,
    pub(super) bytes: u32,
}

impl Buffer {
    /// How many bytes were received into it; at least one.
    #[inline]
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.bytes as usize
    }
}

/// The buffers and the ring of entries through which the kernel is offered them. Both are freed only by
/// [`BufferRing::free`]: dropping this leaks them, since the kernel may still write there.
pub(super) struct BufferRing {
    entries: NonNull<BufRingEntry>,
    memory: NonNull<u8>,
    count: u16,
    stride: usize,
    buffer_bytes: u32,
    /// Where the next entry goes; the kernel sees it once published.
    tail: u16,
    /// Buffers put on offer and not yet known to be taken.
    on_offer: usize,
}

impl BufferRing {
    /// `count` buffers (a power of two up to [`BUFFERS_MAX`]) of `buffer_bytes` each, registered and all on offer.
    pub(super) fn new(ring: &IoUring, count: u16, buffer_bytes: u32) -> io::Result<BufferRing> {
        let stride = (buffer_bytes as usize).next_multiple_of(LINE_BYTES);
        let entries = map(usize::from(count) * size_of::<BufRingEntry>())?;
        let memory = map(usize::from(count) * stride).inspect_err(|_| {
            // SAFETY: mapped just above with this length, and nobody else knows of it.
            unsafe {
                libc::munmap(
                    entries.as_ptr().cast(),
                    usize::from(count) * size_of::<BufRingEntry>(),
                )
            };
        })?;
        let mut buffers = BufferRing {
            entries: entries.cast(),
            memory,
            count,
            stride,
            buffer_bytes,
            tail: 0,
            on_offer: 0,
        };
        let address = buffers.entries.as_ptr() as u64;
        // SAFETY: the entries are `count` of them, zeroed, page-aligned, and live until `free`, which is called when
        // the ring of io_uring is gone or none of its operations is left.
        let registered = unsafe {
            ring.submitter()
                .register_buf_ring_with_flags(address, count, GROUP, 0)
        };
        if let Err(error) = registered {
            buffers.free();
            return Err(error);
        }
        for id in 0..count {
            buffers.offer(id);
        }
        buffers.publish();
        Ok(buffers)
    }

    /// How many buffers the kernel can take, as far as the completions read so far tell.
    pub(super) fn on_offer(&self) -> usize {
        self.on_offer
    }

    /// The kernel took a buffer.
    #[inline]
    pub(super) fn taken(&mut self) {
        self.on_offer -= 1;
    }

    /// The bytes that a completion says it put into a buffer; errors are none.
    #[inline]
    pub(super) fn clamp(&self, result: i32) -> u32 {
        u32::try_from(result).unwrap_or(0).min(self.buffer_bytes)
    }

    /// Where buffer `id` starts.
    #[inline]
    pub(super) fn address(&self, id: u16) -> *const u8 {
        debug_assert!(id < self.count);
        // SAFETY: `id` is below `count`, so the offset lies within the allocation.
        unsafe { self.memory.as_ptr().add(usize::from(id) * self.stride) }
    }

    /// The bytes of a filled buffer.
    #[inline]
    pub(super) fn bytes(&self, buffer: &Buffer) -> &[u8] {
        // SAFETY: the kernel filled this many bytes of this buffer and does not touch it again before it is offered
        // anew, which takes the `Buffer` by value; a `Buffer` is made once for each completion, and its ring was
        // compared. All of the memory was initialised to zero.
        unsafe { std::slice::from_raw_parts(self.address(buffer.id), buffer.len()) }
    }

    /// Puts buffer `id` on offer; the kernel sees it after [`BufferRing::publish`].
    #[inline]
    pub(super) fn offer(&mut self, id: u16) {
        let index = usize::from(self.tail & (self.count - 1));
        let address = self.address(id) as u64;
        // SAFETY: the index is below `count`, so the entry lies within the allocation.
        let mut entry = unsafe { self.entries.add(index) };
        // SAFETY: the kernel does not read entries at or past the tail that it was shown, and no more than `count`
        // buffers exist, so this entry is ours alone. It was initialised to zero.
        let entry = unsafe { entry.as_mut() };
        entry.set_addr(address);
        entry.set_len(self.buffer_bytes);
        entry.set_bid(id);
        self.tail = self.tail.wrapping_add(1);
        self.on_offer += 1;
    }

    /// Shows the kernel what was put on offer.
    #[inline]
    pub(super) fn publish(&self) {
        // SAFETY: `entries` points to the first entry of the ring; the tail lies in its reserved field.
        let tail = unsafe { BufRingEntry::tail(self.entries.as_ptr()) };
        // SAFETY: the tail is a naturally aligned u16 that we alone write and the kernel reads; the entries before it
        // must be visible first, hence the release.
        unsafe { AtomicU16::from_ptr(tail.cast_mut()) }.store(self.tail, Ordering::Release);
    }

    /// Gives the memory back. The caller makes sure that no operation of the kernel uses it any more.
    pub(super) fn free(&mut self) {
        let count = usize::from(std::mem::take(&mut self.count));
        if count == 0 {
            return;
        }
        // SAFETY: mapped in `new` with this length; `count` was just set to zero, so this happens once.
        unsafe { libc::munmap(self.entries.as_ptr().cast(), count * size_of::<BufRingEntry>()) };
        // SAFETY: as above.
        unsafe { libc::munmap(self.memory.as_ptr().cast(), count * self.stride) };
    }
}

/// Memory of whole pages, as the kernel wants the entries, full of zeros, and resident only where it was used.
fn map(bytes: usize) -> io::Result<NonNull<u8>> {
    // SAFETY: a new private mapping without a file; no pointers are passed.
    let address = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            bytes,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    match NonNull::new(address.cast::<u8>()) {
        Some(address) if address.as_ptr().cast() != libc::MAP_FAILED => Ok(address),
        _ => Err(io::Error::last_os_error()),
    }
}
