//! An allocator that counts: how often the program asked for memory since it started, and for how many bytes.
//!
//! The counts are exact, which no allocator's own statistics are: jemalloc adds up what a thread took from its cache
//! when that cache is next filled or emptied, so an allocation per message could hide for a long time, and the
//! measurement's own allocations cannot be told from the server's.

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// As many threads count side by side without sharing a cache line.
const SHARDS: usize = 64;

/// jemalloc reads its settings here when the program starts. It gives each thread that allocates a cache of some 11 KiB.
/// A server that allocates nothing for a message gains nothing from the cache, and `threads`, with a thread for each
/// connection, would seem to need 25 KiB for a connection where 14 KiB do. Who allocates for messages leaves the feature
/// off. It stands beside what every counting program links, so that the linker cannot leave it out.
#[cfg(feature = "no-thread-caches")]
// SAFETY: jemalloc declares this symbol for its users to define: a pointer to text that ends with a zero byte.
#[unsafe(export_name = "_rjem_malloc_conf")]
#[used]
static JEMALLOC_SETTINGS: &[u8; 13] = b"tcache:false\0";

#[repr(align(128))]
struct Shard {
    allocations: AtomicU64,
    bytes: AtomicU64,
}

static COUNTS: [Shard; SHARDS] = [const {
    Shard {
        allocations: AtomicU64::new(0),
        bytes: AtomicU64::new(0),
    }
}; SHARDS];
static NEXT_SHARD: AtomicUsize = AtomicUsize::new(0);

/// A thread that has not allocated yet.
const UNKNOWN: usize = usize::MAX;
/// A thread whose allocations do not count.
const EXEMPT: usize = usize::MAX - 1;

thread_local! {
    // Constant and without destructor: reading it never allocates, and works until the thread's very end.
    static SHARD: Cell<usize> = const { Cell::new(UNKNOWN) };
}

/// What was asked for since the program started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Allocations; growing or shrinking one (realloc) counts as one more.
    pub allocations: u64,
    /// Bytes asked for, with the whole new size for a realloc.
    pub bytes: u64,
}

/// The counts of all threads but those that asked to be left out.
pub fn counts() -> Counts {
    let mut sum = Counts::default();
    for shard in &COUNTS {
        sum.allocations += shard.allocations.load(Ordering::Relaxed);
        sum.bytes += shard.bytes.load(Ordering::Relaxed);
    }
    sum
}

/// From now on, what this thread allocates is not counted: for threads that measure, not serve.
pub fn leave_this_thread_out() {
    SHARD.set(EXEMPT);
}

/// Passes every request on to `A`, and counts it.
///
/// A count is one uncontended atomic addition, a few nanoseconds for each allocation; a server that allocates nothing
/// for a message pays nothing for it.
pub struct Counting<A>(A);

impl<A> Counting<A> {
    /// Counts what `inner` is asked for.
    pub const fn new(inner: A) -> Counting<A> {
        Counting(inner)
    }
}

#[inline]
fn count(bytes: usize) {
    let mut shard = SHARD.get();
    if shard >= SHARDS {
        if shard == EXEMPT {
            return;
        }
        shard = NEXT_SHARD.fetch_add(1, Ordering::Relaxed) % SHARDS;
        SHARD.set(shard);
    }
    COUNTS[shard].allocations.fetch_add(1, Ordering::Relaxed);
    COUNTS[shard].bytes.fetch_add(bytes as u64, Ordering::Relaxed);
}

// SAFETY: every request goes to `A` as it came, and what `A` answers is returned; counting allocates nothing and
// cannot unwind.
unsafe impl<A: GlobalAlloc> GlobalAlloc for Counting<A> {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller keeps `alloc`'s contract.
        unsafe { self.0.alloc(layout) }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller keeps `alloc_zeroed`'s contract.
        unsafe { self.0.alloc_zeroed(layout) }
    }

    #[inline]
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count(new_size);
        // SAFETY: the caller keeps `realloc`'s contract.
        unsafe { self.0.realloc(pointer, layout, new_size) }
    }

    #[inline]
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps `dealloc`'s contract.
        unsafe { self.0.dealloc(pointer, layout) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::alloc::System;

    #[global_allocator]
    static ALLOCATOR: Counting<System> = Counting::new(System);

    #[test]
    fn what_is_allocated_is_counted_unless_left_out() {
        // Other tests allocate meanwhile, so: at least this much, and nothing from the thread that is left out.
        let before = counts();
        for _ in 0..100 {
            std::hint::black_box(Vec::<u8>::with_capacity(1 << 20));
        }
        let after = counts();
        assert!(after.allocations >= before.allocations + 100);
        assert!(after.bytes >= before.bytes + (100 << 20));
        std::thread::spawn(|| {
            leave_this_thread_out();
            let before = counts();
            for _ in 0..100 {
                std::hint::black_box(Vec::<u8>::with_capacity(1 << 30));
            }
            assert!(counts().bytes < before.bytes + (50 << 30));
        })
        .join()
        .unwrap();
    }
}
