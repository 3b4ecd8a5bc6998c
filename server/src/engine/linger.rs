//! When to let events gather before the next wait (`--linger`).
//!
//! Under load most of what a message costs is the wake-up that it causes, and a server that lets a few messages gather
//! pays for one wake-up where it paid for several. The price is time: a message waits for up to the span that it
//! gathers in. So lingering has to earn its price at every step. A span that brings one event or none has delayed a
//! lone message for nothing; then the next wait does not linger, after another failure the next two, then four, and so
//! on up to [`SKIPPED_MAX`]. [`WORTHWHILE`] events that come at once, in a span or by themselves, end that at once. Fewer
//! say nothing: what they save is about what the span's own timer costs, as measured with spans as long as the time
//! between two messages.
//!
//! A quiet server therefore answers a lone message at once, and a client that sends one message, waits for the reply
//! and sends the next is held up once in [`SKIPPED_MAX`] messages. No clock is read for any of it.

use std::time::Duration;

/// The most waits that go without lingering after spans that brought nothing.
const SKIPPED_MAX: u32 = 1024;

/// So many events in one wait are worth a timer.
const WORTHWHILE: usize = 3;

/// Lets this thread's waits end when they should: by default the kernel adds up to 50 µs to save wake-ups, about as much
/// as a linger is long. Where it refuses, lingering is a little longer.
pub fn precise_sleep() {
    let _ = sys::limits::set_timer_slack(Duration::from_nanos(1));
}

/// The decision, wait after wait.
#[derive(Debug)]
pub struct Linger {
    span: Duration,
    /// Waits to go before the next try.
    to_skip: u32,
    /// Waits to skip after the next failure.
    penalty: u32,
    lingered: bool,
}

impl Linger {
    /// Lingers for up to this span; zero is never.
    pub fn new(span: Duration) -> Linger {
        Linger {
            span,
            to_skip: 0,
            penalty: 1,
            lingered: false,
        }
    }

    /// Whether it lingers ever.
    pub fn is_on(&self) -> bool {
        !self.span.is_zero()
    }

    /// How long the next wait is to let events gather; `None` is not at all.
    #[inline]
    pub fn next(&mut self) -> Option<Duration> {
        if self.span.is_zero() {
            return None;
        }
        self.lingered = self.to_skip == 0;
        self.to_skip = self.to_skip.saturating_sub(1);
        self.lingered.then_some(self.span)
    }

    /// Says how many events the wait then brought.
    #[inline]
    pub fn brought(&mut self, events: usize) {
        if events >= WORTHWHILE {
            self.to_skip = 0;
            self.penalty = 1;
        } else if self.lingered && events < 2 {
            self.to_skip = self.penalty;
            self.penalty = (self.penalty * 2).min(SKIPPED_MAX);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPAN: Duration = Duration::from_micros(100);

    /// How many of `waits` waits linger when each brings what `events` says, given whether it lingered.
    fn lingered(linger: &mut Linger, waits: u32, events: impl Fn(bool) -> usize) -> u32 {
        (0..waits)
            .map(|_| {
                let lingers = linger.next().is_some();
                linger.brought(events(lingers));
                u32::from(lingers)
            })
            .sum()
    }

    #[test]
    fn without_a_span_nothing_lingers() {
        assert_eq!(lingered(&mut Linger::new(Duration::ZERO), 1000, |_| 50), 0);
    }

    #[test]
    fn a_busy_server_lingers_every_time() {
        assert_eq!(lingered(&mut Linger::new(SPAN), 1000, |_| 8), 1000);
        // Also when events come one by one unless they are let gather.
        assert_eq!(
            lingered(&mut Linger::new(SPAN), 1000, |lingers| if lingers {
                8
            } else {
                1
            }),
            1000
        );
    }

    #[test]
    fn lone_messages_are_hardly_ever_held_up() {
        let mut linger = Linger::new(SPAN);
        let first = lingered(&mut linger, 2048, |_| 1);
        assert!(first <= 12, "{first} while it learns");
        let later = lingered(&mut linger, 100 * SKIPPED_MAX, |_| 1);
        assert!(
            (90..=101).contains(&later),
            "{later} in {} messages",
            100 * SKIPPED_MAX
        );
    }

    #[test]
    fn spans_too_short_to_gather_anything_are_given_up() {
        // One or two in turn, as when a span is as long as the time between messages.
        let mut linger = Linger::new(SPAN);
        let turn = std::cell::Cell::new(0);
        let events = |_| {
            turn.set(turn.get() + 1);
            1 + turn.get() % 2
        };
        let lingers = lingered(&mut linger, 20_000, events);
        assert!(lingers < 200, "{lingers} of 20,000 waits");
    }

    #[test]
    fn load_that_comes_back_is_noticed_at_once() {
        let mut linger = Linger::new(SPAN);
        lingered(&mut linger, 10_000, |_| 1);
        linger.next();
        linger.brought(WORTHWHILE);
        assert_eq!(lingered(&mut linger, 1000, |_| 2), 1000);
    }
}
