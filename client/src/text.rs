//! The summary to read. Pure.

use std::collections::BTreeMap;
use std::fmt::Write;

use model::pace::Pace;
use model::protocol::{Account, Slice, Spread, Summary};
use model::quantiles::{Quantile, Quantiles};
use model::threshold::{BUSY_SHARE_MAX, WAITED_SHARE_MAX};

/// The summary in words. It begins with what was not as asked for, and with what makes it doubtful.
pub fn render(summary: &Summary, complaint: Option<&str>) -> String {
    let (mut text, window) = (String::new(), &summary.window);
    let mut line = |label: &str, value: String| {
        // Writing into a string cannot fail.
        let _ = writeln!(text, "{label:<13} {value}");
    };
    for deviation in &summary.deviations {
        line("NOT AS ASKED", deviation.clone());
    }
    for warning in warnings(summary, complaint) {
        line("WARNING", warning);
    }
    line("target", target(summary));
    line("pace", pace(&summary.pace, summary.message_bytes));
    line("ramp", format!("{:.2} s", summary.ramp_seconds));
    line(
        "window",
        format!(
            "{:.2} s, last replies after {:.1} ms",
            window.seconds,
            window.drain_seconds * 1e3
        ),
    );
    line("replies", replies(window, &summary.pace));
    line("account", account(&summary.account));
    if let Some(spread) = &summary.totals.spread {
        line("spread", spread_of(spread, summary.connections));
    }
    line("response", quantiles(&window.response_micros));
    line("service", quantiles(&window.service_micros));
    line("send lag", quantiles(&window.send_lag_micros));
    line("errors", errors(&window.errors));
    if summary.totals.errors != window.errors {
        line("errors in all", errors(&summary.totals.errors));
    }
    line(
        "bytes",
        format!(
            "{} sent, {} received in all",
            summary.totals.sent_bytes, summary.totals.received_bytes
        ),
    );
    let cpu = match window.replies {
        0 => "no messages".to_owned(),
        replies => format!("{:.2} µs a message", window.cpu_seconds * 1e6 / replies as f64),
    };
    line(
        "own CPU",
        format!("{cpu}, busiest thread {:.0} % busy", window.busy_share * 100.0),
    );
    text
}

fn target(summary: &Summary) -> String {
    let connections = count(summary.window.connections, "connection");
    match summary.address == summary.target || summary.address.is_empty() {
        true => format!("{}, {connections}", summary.target),
        false => format!("{} at {}, {connections}", summary.target, summary.address),
    }
}

fn account(account: &Account) -> String {
    format!(
        "{} due: {} sent, {} never sent; of those sent {} answered in time, {} late, {} lost",
        account.due,
        account.sent,
        account.never_sent,
        account.answered_in_time,
        account.answered_late,
        account.lost
    )
}

fn pace(pace: &Pace, message_bytes: u64) -> String {
    let message = count(message_bytes, "byte");
    match pace {
        Pace::Closed { think_time_micros } => {
            format!(
                "closed, think time {:.1} ms, messages of {message}",
                *think_time_micros as f64 / 1e3
            )
        }
        Pace::Open {
            rate_per_second,
            arrivals,
        } => {
            format!("open, {rate_per_second} messages/s, {arrivals}, messages of {message}")
        }
    }
}

fn replies(window: &Slice, pace: &Pace) -> String {
    let rate = |count: u64| {
        if window.seconds > 0.0 {
            count as f64 / window.seconds
        } else {
            0.0
        }
    };
    let achieved = format!("{}, {:.0}/s", window.replies, rate(window.replies_in_time));
    match pace {
        Pace::Closed { .. } => achieved,
        Pace::Open { .. } => {
            let share = window.replies_in_time as f64 / window.due.max(1) as f64;
            format!(
                "{achieved} of {:.0}/s due ({:.1} %)",
                rate(window.due),
                share * 100.0
            )
        }
    }
}

fn spread_of(spread: &Spread, connections: u64) -> String {
    format!(
        "{} of {} carried messages, {} to {} each",
        spread.connections_used,
        count(connections, "connection"),
        spread.messages_fewest,
        spread.messages_most
    )
}

fn quantiles(of: &Quantiles) -> String {
    let shown = |name: Quantile| match of.bounded(name) {
        Some(bounded) if bounded.at_least => format!("> {}", time(bounded.micros)),
        Some(bounded) => time(bounded.micros),
        None => "–".to_owned(),
    };
    format!(
        "p50 {}, p90 {}, p99 {}, p99.9 {}, max {}",
        shown(Quantile::P50),
        shown(Quantile::P90),
        shown(Quantile::P99),
        shown(Quantile::P999),
        shown(Quantile::Max)
    )
}

/// A time to read.
pub fn time(micros: f64) -> String {
    match micros {
        micros if micros < 10.0 => format!("{micros:.1} µs"),
        micros if micros < 1e3 => format!("{micros:.0} µs"),
        micros if micros < 1e6 => format!("{:.2} ms", micros / 1e3),
        micros => format!("{:.2} s", micros / 1e6),
    }
}

fn errors(errors: &BTreeMap<String, u64>) -> String {
    match errors.is_empty() {
        true => "none".to_owned(),
        false => errors
            .iter()
            .map(|(reason, count)| format!("{count} {reason}"))
            .collect::<Vec<_>>()
            .join(", "),
    }
}

/// A number of things.
pub fn count(number: u64, of: &str) -> String {
    format!("{number} {of}{}", if number == 1 { "" } else { "s" })
}

/// What makes figures doubtful although the load was what was asked for.
fn warnings(summary: &Summary, complaint: Option<&str>) -> Vec<String> {
    let (mut warnings, window) = (Vec::new(), &summary.window);
    if let Some(complaint) = complaint {
        warnings.push(format!("bad replies; the first one: {complaint}"));
    }
    if window.busy_share > BUSY_SHARE_MAX {
        warnings.push(format!(
            "the client was the bottleneck: its busiest thread was {:.0} % busy; give it more CPUs and --threads",
            window.busy_share * 100.0
        ));
    }
    if let Some(share) = window.waited_share.filter(|&share| share > WAITED_SHARE_MAX) {
        warnings.push(format!(
            "the client waited for a CPU {:.0} % of the time, because others had it; give it CPUs of its own, and no more --threads than those",
            share * 100.0
        ));
    }
    warnings
}
