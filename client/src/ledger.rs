//! What one thread notes in one slice, and how the threads' notes become the slice's result. Pure.

use std::time::Duration;

use telemetry::latency::{Latency, Tally};

use crate::clock::{self, Nanos, SECOND};
use crate::metrics::{self, Errors};
use model::protocol::{Slice, Spread};
use model::quantiles::Quantiles;
use model::threshold::STALL_SECONDS_MIN;

/// A shorter stretch without a CPU is the kernel's.
const STALL_MIN: Nanos = (STALL_SECONDS_MIN * SECOND as f64) as Nanos;

/// One thread's notes of one slice.
#[derive(Debug, Clone)]
pub struct Ledger {
    /// When the first request could be due.
    pub start: Nanos,
    /// When requests stop falling due; moved forward when the slice is cut short.
    pub end: Nanos,
    /// When the last reply was in, or was given up.
    pub drained: Nanos,
    /// Requests that fell due; in a closed loop, those sent.
    pub due: u64,
    /// Requests sent.
    pub sent: u64,
    /// Whole and right replies.
    pub replies: u64,
    /// Those that came before `end`.
    pub replies_in_time: u64,
    /// Errors since the previous slice ended.
    pub errors: Errors,
    /// Connections that stood at the end.
    pub connections: u64,
    /// Time in flight of all replied requests, cut at `end`.
    pub in_flight: Nanos,
    /// Time that connections spent thinking, cut at `end`.
    pub thinking: Nanos,
    /// Time at work before `end`.
    pub busy: Nanos,
    /// Time before `end` that the thread was ready to run and had no CPU; `None` where the kernel does not say.
    pub waited: Option<Nanos>,
    /// Time that the thread did not run although it was to, and the longest stretch of it.
    pub stalled: Nanos,
    /// The longest such stretch.
    pub longest_stall: Nanos,
    /// Message bytes sent.
    pub sent_bytes: u64,
    /// Message bytes received.
    pub received_bytes: u64,
    /// The first bad reply, in words.
    pub complaint: Option<String>,
    /// How the messages of all counted slices so far were spread over the thread's connections.
    pub spread: Option<Spread>,
    /// From due to reply.
    pub response: Tally,
    /// From the actual send to the reply.
    pub service: Tally,
    /// From due and free to the actual send.
    pub send_lag: Tally,
    /// How long requests without a reply had been due.
    pub response_open: Tally,
    /// How long sent requests without a reply had been under way.
    pub service_open: Tally,
}

impl Ledger {
    /// An empty page for a slice from `start` to `end`.
    pub fn new(start: Nanos, end: Nanos) -> Ledger {
        Ledger {
            start,
            end,
            drained: end,
            due: 0,
            sent: 0,
            replies: 0,
            replies_in_time: 0,
            errors: Errors::default(),
            connections: 0,
            in_flight: 0,
            thinking: 0,
            busy: 0,
            waited: None,
            stalled: 0,
            longest_stall: 0,
            sent_bytes: 0,
            received_bytes: 0,
            complaint: None,
            spread: None,
            response: Tally::new(),
            service: Tally::new(),
            send_lag: Tally::new(),
            response_open: Tally::new(),
            service_open: Tally::new(),
        }
    }

    /// Notes that a request, due at `due` and sent at `sent`, was given up at `now`.
    pub fn lost(&mut self, due: Nanos, sent: Nanos, now: Nanos) {
        self.response_open.record(now.saturating_sub(due));
        self.service_open.record(now.saturating_sub(sent));
    }

    /// Notes a stretch in which the thread did not run although it was to. Short ones are the kernel's.
    #[inline]
    pub fn stall(&mut self, stretch: Nanos) {
        if stretch >= STALL_MIN {
            self.stalled += stretch;
            self.longest_stall = self.longest_stall.max(stretch);
        }
    }

    /// Notes a whole, right reply at `now` to a request that was due at `due` and sent at `sent`. Returns its response
    /// and service time.
    #[inline]
    pub fn reply(&mut self, due: Nanos, sent: Nanos, now: Nanos) -> (Nanos, Nanos) {
        self.replies += 1;
        self.replies_in_time += u64::from(now < self.end);
        self.in_flight += now.min(self.end).saturating_sub(sent);
        let (response, service) = (now.saturating_sub(due), now.saturating_sub(sent));
        self.response.record(response);
        self.service.record(service);
        (response, service)
    }
}

/// The result of a slice from its threads' notes and the CPU time that the process used for it.
pub fn merge(ledgers: &[Ledger], cpu: Duration) -> Slice {
    let mut all = Ledger::new(0, 0);
    let (mut response, mut service, mut send_lag) = (Latency::new(), Latency::new(), Latency::new());
    let (mut response_open, mut service_open) = (Latency::new(), Latency::new());
    let (mut stalled, mut longest_stall) = (0, 0);
    let mut span = 0;
    let mut drain = 0;
    let mut busy_share = 0.0f64;
    let mut waited_share = None::<f64>;
    for ledger in ledgers {
        let own_span = ledger.end.saturating_sub(ledger.start);
        span = span.max(own_span);
        drain = drain.max(ledger.drained.saturating_sub(ledger.end));
        if own_span > 0 {
            busy_share = busy_share.max(ledger.busy as f64 / own_span as f64);
            if let Some(waited) = ledger.waited {
                let share = (waited as f64 / own_span as f64).min(1.0);
                waited_share = Some(waited_share.unwrap_or(0.0).max(share));
            }
        }
        stalled = stalled.max(ledger.stalled);
        longest_stall = longest_stall.max(ledger.longest_stall);
        all.due += ledger.due;
        all.sent += ledger.sent;
        all.replies += ledger.replies;
        all.replies_in_time += ledger.replies_in_time;
        all.connections += ledger.connections;
        all.in_flight += ledger.in_flight;
        all.thinking += ledger.thinking;
        all.sent_bytes += ledger.sent_bytes;
        all.received_bytes += ledger.received_bytes;
        for (sum, count) in all.errors.iter_mut().zip(&ledger.errors) {
            *sum += count;
        }
        ledger.response.add_to(&mut response);
        ledger.service.add_to(&mut service);
        ledger.send_lag.add_to(&mut send_lag);
        ledger.response_open.add_to(&mut response_open);
        ledger.service_open.add_to(&mut service_open);
    }
    let text = |open: &Latency| match open.count() {
        0 => String::new(),
        _ => open.to_base64(),
    };
    let mean = |time: Nanos| if span == 0 { 0.0 } else { time as f64 / span as f64 };
    Slice {
        seconds: clock::seconds(span),
        drain_seconds: clock::seconds(drain),
        due: all.due,
        sent: all.sent,
        replies: all.replies,
        replies_in_time: all.replies_in_time,
        errors: metrics::named(&all.errors),
        connections: all.connections,
        in_flight_mean: mean(all.in_flight),
        thinking_mean: mean(all.thinking),
        cpu_seconds: cpu.as_secs_f64(),
        busy_share: busy_share.min(1.0),
        waited_share,
        stalled_seconds: clock::seconds(stalled),
        longest_stall_seconds: clock::seconds(longest_stall),
        sent_bytes: all.sent_bytes,
        received_bytes: all.received_bytes,
        response_micros: Quantiles::of(&response, &response_open),
        service_micros: Quantiles::of(&service, &service_open),
        send_lag_micros: Quantiles::from(&send_lag),
        response_histogram: response.to_base64(),
        service_histogram: service.to_base64(),
        response_open_histogram: text(&response_open),
        service_open_histogram: text(&service_open),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::quantiles::Quantile;

    #[test]
    fn a_reply_in_the_drain_counts_but_not_in_time_and_its_flight_is_cut() {
        let mut ledger = Ledger::new(1_000, 11_000);
        ledger.reply(2_000, 3_000, 6_000);
        ledger.reply(9_000, 10_000, 15_000);
        ledger.drained = 15_000;
        assert_eq!((ledger.replies, ledger.replies_in_time), (2, 1));
        assert_eq!(ledger.in_flight, 3_000 + 1_000);
        let slice = merge(&[ledger], Duration::from_millis(3));
        assert!((slice.seconds - 1e-5).abs() < 1e-12);
        assert!((slice.drain_seconds - 4e-6).abs() < 1e-12);
        assert!((slice.in_flight_mean - 0.4).abs() < 1e-9);
        assert!(
            (slice.response_micros.max.unwrap() - 6.0).abs() < 0.01,
            "{:?}",
            slice.response_micros
        );
        assert!(
            (slice.service_micros.max.unwrap() - 5.0).abs() < 0.01,
            "{:?}",
            slice.service_micros
        );
    }

    #[test]
    fn threads_add_up_and_the_busiest_one_speaks_for_busy() {
        let ledger = |replies, busy| {
            let mut ledger = Ledger::new(0, 1000);
            (ledger.replies, ledger.busy, ledger.errors[0]) = (replies, busy, 1);
            ledger
        };
        let slice = merge(&[ledger(3, 900), ledger(4, 100)], Duration::ZERO);
        assert_eq!((slice.replies, slice.errors["bad_reply"]), (7, 2));
        assert!((slice.busy_share - 0.9).abs() < 1e-9);
        assert_eq!(slice.waited_share, None);
    }

    #[test]
    fn the_thread_that_waited_most_for_a_cpu_speaks_for_all() {
        let ledger = |waited| Ledger {
            waited,
            ..Ledger::new(0, 1000)
        };
        let slice = merge(
            &[ledger(Some(250)), ledger(None), ledger(Some(10))],
            Duration::ZERO,
        );
        assert_eq!(slice.waited_share, Some(0.25));
    }

    #[test]
    fn what_was_lost_makes_a_quantile_a_lower_bound() {
        let mut ledger = Ledger::new(0, 10_000);
        (ledger.due, ledger.sent) = (3, 2);
        ledger.reply(0, 1_000, 5_000);
        ledger.lost(1_000, 2_000, 9_000);
        ledger.response_open.record(6_000);
        let slice = merge(&[ledger], Duration::ZERO);
        let account = slice.account();
        assert_eq!(
            (account.never_sent, account.lost, account.answered_in_time),
            (1, 1, 1)
        );
        let max = slice.response_micros.bounded(Quantile::Max).unwrap();
        assert!(max.at_least && (max.micros - 8.0).abs() < 0.01, "{max:?}");
        let max = slice.service_micros.bounded(Quantile::Max).unwrap();
        assert!(max.at_least && (max.micros - 7.0).abs() < 0.01, "{max:?}");
        assert!(!slice.response_open_histogram.is_empty());
    }

    #[test]
    fn short_pauses_are_no_stalls() {
        let mut ledger = Ledger::new(0, SECOND);
        for stretch in [1_000, STALL_MIN - 1, 2 * STALL_MIN, STALL_MIN] {
            ledger.stall(stretch);
        }
        let slice = merge(&[ledger, Ledger::new(0, SECOND)], Duration::ZERO);
        let seconds = (slice.stalled_seconds, slice.longest_stall_seconds);
        assert_eq!(seconds, (3.0 * STALL_SECONDS_MIN, 2.0 * STALL_SECONDS_MIN));
    }

    #[test]
    fn a_slice_of_nothing_is_all_zeroes() {
        let slice = merge(&[], Duration::ZERO);
        assert_eq!(
            (slice.seconds, slice.in_flight_mean, slice.busy_share),
            (0.0, 0.0, 0.0)
        );
    }
}
