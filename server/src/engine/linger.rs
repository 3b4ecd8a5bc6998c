//! When to let events gather before the next wait (`--linger`).
//!
//! Under load most of what a message costs is the wake-up that it causes, and a server that lets messages gather pays for
//! one wake-up where it paid for several. The price is the span's timer, and time: a message waits for up to the span that
//! it gathers in. So lingering has to earn its price at every step. A span that brings one event or none has delayed a
//! lone message for nothing, and spans that bring fewer than [`WORTHWHILE`] on average cost more than they save; then the
//! next wait does not linger, after another failure the next two, then four, and so on up to [`SKIPPED_MAX`]. Only
//! [`PROVEN`] spans in a row that pay let it begin anew at one. [`WORTHWHILE`] events that come by themselves are worth
//! another try at once.
//!
//! A quiet server therefore answers a lone message at once, and a client that sends one message, waits for the reply
//! and sends the next is held up once in [`SKIPPED_MAX`] messages. No clock is read for any of it.

use std::time::Duration;

/// The most waits that go without lingering after spans that brought nothing.
const SKIPPED_MAX: u32 = 1024;

/// So many events in one wait are worth a timer. Measured at 40,000 messages/s on 50 connections, both engines, as CPU per
/// message with over without lingering: spans that brought 2.5 events cost 1.28 times as much, 4.3 events 1.02, 7 events
/// 0.87, 13 events 0.76.
const WORTHWHILE: usize = 5;

/// So many spans that pay, one after the other, prove that there is load.
const PROVEN: u32 = 16;

/// What the average of events keeps of its past, as one in so many; and its unit, so that it can be a whole number.
const MEMORY: usize = 8;

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
    /// Events that spans brought on average, times [`MEMORY`]; forgotten with every failure.
    average: Option<usize>,
    /// Spans in a row that paid.
    paid: u32,
}

impl Linger {
    /// Lingers for up to this span; zero is never.
    pub fn new(span: Duration) -> Linger {
        Linger {
            span,
            to_skip: 0,
            penalty: 1,
            lingered: false,
            average: None,
            paid: 0,
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
        if !self.lingered {
            if events >= WORTHWHILE {
                self.to_skip = 0;
            }
            return;
        }
        let average = match self.average {
            Some(average) => average - average / MEMORY + events,
            None => events * MEMORY,
        };
        if events < 2 || average < WORTHWHILE * MEMORY {
            self.to_skip = self.penalty;
            self.penalty = (self.penalty * 2).min(SKIPPED_MAX);
            self.average = None;
            self.paid = 0;
        } else {
            self.average = Some(average);
            self.paid += 1;
            if self.paid >= PROVEN {
                self.penalty = 1;
            }
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
    fn spans_that_gather_a_few_are_given_up_although_some_gather_many() {
        let mut linger = Linger::new(SPAN);
        let mut random = 1_u32;
        let mut lingers = 0;
        for _ in 0..20_000 {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            // 1 to 4, and 9 in one of 32; alone they come one by one.
            let gathered = if random >> 27 == 0 {
                9
            } else {
                1 + (random >> 20) as usize % 4
            };
            let lingering = linger.next().is_some();
            linger.brought(if lingering { gathered } else { 1 });
            lingers += u32::from(lingering);
        }
        assert!(lingers < 400, "{lingers} of 20,000 waits");
    }

    #[test]
    fn load_that_comes_back_is_noticed_at_once() {
        let mut linger = Linger::new(SPAN);
        lingered(&mut linger, 10_000, |_| 1);
        linger.next();
        linger.brought(WORTHWHILE);
        assert_eq!(lingered(&mut linger, 1000, |_| WORTHWHILE), 1000);
    }
}
