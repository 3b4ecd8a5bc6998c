//! What all workers of a server share.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use telemetry::counters::ServerCounters;

use crate::cli::Config;

/// What a stop leaves of the grace period for the process to end in.
const EXIT_TIME_MAX: Duration = Duration::from_millis(100);

/// What all workers of a server share.
pub struct Shared {
    /// The validated flags.
    pub config: Config,
    /// Where blocks are claimed.
    pub counters: Arc<ServerCounters>,
    /// Until when connections may finish; set by the stop.
    deadline: OnceLock<Instant>,
    /// Connections open in all workers; kept only when there is a limit.
    open: AtomicUsize,
}

impl Shared {
    /// Nobody is connected, and the server is not stopping.
    pub fn new(config: Config, counters: Arc<ServerCounters>) -> Shared {
        Shared {
            config,
            counters,
            deadline: OnceLock::new(),
            open: AtomicUsize::new(0),
        }
    }

    /// Begins the stop: from now on the grace period runs.
    pub fn stop(&self) {
        let grace = self.config.grace;
        let deadline = Instant::now() + grace.saturating_sub(EXIT_TIME_MAX.min(grace / 10));
        // A second stop changes nothing.
        let _ = self.deadline.set(deadline);
    }

    /// Until when connections may finish; `None` while the server is not stopping.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline.get().copied()
    }

    /// Whether the limit of connections is reached.
    pub fn is_full(&self) -> bool {
        self.config
            .max_connections
            .is_some_and(|most| self.open.load(Ordering::Acquire) >= most)
    }

    /// Takes a seat; false when all are taken.
    pub fn take_seat(&self) -> bool {
        let Some(most) = self.config.max_connections else {
            return true;
        };
        let taken = |open| (open < most).then_some(open + 1);
        self.open
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, taken)
            .is_ok()
    }

    /// Gives a seat back.
    pub fn leave_seat(&self) {
        if self.config.max_connections.is_some() {
            self.open.fetch_sub(1, Ordering::AcqRel);
        }
    }
}
