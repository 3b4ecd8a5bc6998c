//! The client's time: whole nanoseconds since it began, so that instants are one word and arithmetic is plain.

use std::time::{Duration, Instant};

/// An instant (since the clock began) or a span, in nanoseconds. 64 bits last for 584 years.
pub type Nanos = u64;

/// Nanoseconds of a second.
pub const SECOND: Nanos = 1_000_000_000;

/// A monotonic clock; copies of it agree.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    began: Instant,
}

impl Clock {
    /// Begins now.
    pub fn start() -> Clock {
        Clock {
            began: Instant::now(),
        }
    }

    /// Nanoseconds since the clock began.
    #[inline]
    pub fn now(&self) -> Nanos {
        self.began.elapsed().as_nanos() as Nanos
    }
}

/// A span in whole nanoseconds; what is too long for them counts as the longest.
pub fn nanos(span: Duration) -> Nanos {
    Nanos::try_from(span.as_nanos()).unwrap_or(Nanos::MAX)
}

/// A span in seconds.
pub fn seconds(span: Nanos) -> f64 {
    span as f64 / SECOND as f64
}
