//! The allocator, and what it holds: the figures that `runtime.MemStats` showed for Go.
//!
//! jemalloc as it comes: no background threads, dirty pages given back after 10 s. A binary that wants it says
//! `#[global_allocator] static ALLOCATOR: …` in its `main.rs`, so that libraries and tests keep the system's. Our server
//! turns the thread caches off (`sys`, feature `no-thread-caches`); who allocates for messages keeps them.

use tikv_jemalloc_ctl::{epoch, stats};

pub use tikv_jemallocator::Jemalloc;

use crate::family::{Family, Source};
use crate::names;

/// What was asked of the allocator since the program started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Requests {
    /// How many allocations.
    pub allocations: u64,
    /// Of how many bytes in all.
    pub bytes: u64,
}

/// jemalloc's statistics, for the exporter.
pub struct AllocatorStatistics {
    requests: fn() -> Requests,
}

impl AllocatorStatistics {
    /// `requests` is who counts what was asked for. jemalloc itself does not know exactly: it learns what a thread took
    /// from its cache when that is filled or emptied.
    pub fn new(requests: fn() -> Requests) -> AllocatorStatistics {
        AllocatorStatistics { requests }
    }
}

impl Source for AllocatorStatistics {
    /// What cannot be read now is left out of this scrape. All of it is where nobody counts: no program starts without
    /// an allocation, so another allocator is in use (in tests), and jemalloc's figures would speak of nothing.
    fn families(&self) -> Vec<Family> {
        let Requests { allocations, bytes } = (self.requests)();
        if allocations == 0 {
            return vec![];
        }
        let mut families = vec![
            Family::of(&names::ALLOCATIONS, allocations as f64),
            Family::of(&names::ALLOCATION_BYTES, bytes as f64),
        ];
        // The statistics are a snapshot, taken when the epoch advances.
        if epoch::advance().is_err() {
            return families;
        }
        let figures = [
            (&names::ALLOCATOR_ALLOCATED, stats::allocated::read()),
            (&names::ALLOCATOR_ACTIVE, stats::active::read()),
            (&names::ALLOCATOR_RESIDENT, stats::resident::read()),
            (&names::ALLOCATOR_RETAINED, stats::retained::read()),
            (&names::ALLOCATOR_METADATA, stats::metadata::read()),
        ];
        for (metric, bytes) in figures {
            families.extend(bytes.ok().map(|bytes| Family::of(metric, bytes as f64)));
        }
        families
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_come_only_where_requests_are_counted() {
        let nobody_counts = AllocatorStatistics::new(Requests::default);
        assert_eq!(nobody_counts.families().len(), 0);
        let counted = AllocatorStatistics::new(|| Requests {
            allocations: 3,
            bytes: 4,
        });
        assert_eq!(counted.families().len(), 7);
    }
}
