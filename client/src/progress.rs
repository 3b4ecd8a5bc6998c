//! Live progress: one line that renews itself on a terminal, a plain line a second elsewhere, nothing for the lab.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use telemetry::family::Buckets;

use crate::clock::{self, Nanos, SECOND};
use crate::metrics::Board;

/// How often the line on a terminal is renewed.
const TERMINAL_PERIOD: Nanos = SECOND / 5;

/// Shows how the run is going, on standard error.
pub struct Progress {
    form: Form,
    next: Nanos,
    phase: &'static str,
    /// Start and end of the slice that is under way.
    slice: Option<(Nanos, Nanos)>,
    before: Figures,
}

enum Form {
    None,
    Terminal(ProgressBar),
    Lines,
}

/// What was counted at one moment.
#[derive(Default)]
struct Figures {
    at: Nanos,
    replies: u64,
    response: Buckets,
}

impl Progress {
    /// Shows nothing.
    pub fn none() -> Progress {
        Progress::of(Form::None)
    }

    /// Shows what fits standard error.
    pub fn visible() -> Progress {
        if !std::io::stderr().is_terminal() {
            return Progress::of(Form::Lines);
        }
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
            bar.set_style(style);
        }
        Progress::of(Form::Terminal(bar))
    }

    fn of(form: Form) -> Progress {
        Progress {
            form,
            next: 0,
            phase: "ramp",
            slice: None,
            before: Figures::default(),
        }
    }

    /// Names what comes next.
    pub fn phase(&mut self, phase: &'static str) {
        self.phase = phase;
    }

    /// A slice from `start` to `end` begins.
    pub fn begin(&mut self, start: Nanos, end: Nanos) {
        self.slice = Some((start, end));
    }

    /// Takes the line off the terminal.
    pub fn clear(&mut self) {
        if let Form::Terminal(bar) = &self.form {
            bar.finish_and_clear();
        }
    }

    /// Shows the figures when it is time to. Returns when it is the next time.
    pub fn tick(&mut self, now: Nanos, board: &Board) -> Nanos {
        let period = match self.form {
            Form::None => return Nanos::MAX,
            Form::Terminal(_) => TERMINAL_PERIOD,
            Form::Lines => SECOND,
        };
        if self.next == 0 {
            // Nothing has happened yet.
            self.next = now + period;
        }
        if now >= self.next {
            self.next = now + period;
            let line = self.line(now, board);
            match &self.form {
                Form::Terminal(bar) => {
                    bar.set_message(line);
                    bar.tick();
                }
                Form::Lines => eprintln!("{line}"),
                Form::None => {}
            }
        }
        self.next
    }

    fn line(&mut self, now: Nanos, board: &Board) -> String {
        let figures = Figures {
            at: now,
            replies: board.sum(|block| &block.replies),
            response: board.histogram(|block| &block.response),
        };
        let seconds = clock::seconds(now - self.before.at).max(1e-9);
        let rate = (figures.replies - self.before.replies) as f64 / seconds;
        let p99 = match p99_since(&self.before.response, &figures.response) {
            Some(bound) if bound.is_finite() => {
                format!("p99 up to {}", humantime::format_duration(bound_of(bound)))
            }
            Some(_) => "p99 over 10s".to_owned(),
            None => "no replies".to_owned(),
        };
        let errors: u64 = board.errors().iter().sum();
        let connections = board.sum(|block| &block.established);
        let left = match self.slice {
            Some((_, end)) if now < end => format!("{:.0} s left", clock::seconds(end - now)),
            Some(_) => "last replies".to_owned(),
            None => "connecting".to_owned(),
        };
        self.before = figures;
        format!(
            "{}: {connections} connections, {rate:.0} replies/s, {p99}, {errors} errors, {left}",
            self.phase
        )
    }
}

fn bound_of(seconds: f64) -> Duration {
    Duration::from_micros((seconds * 1e6).round() as u64)
}

/// The bucket's bound, in seconds, below which 99 % of the times since `before` lie; infinite beyond the last bucket.
fn p99_since(before: &Buckets, now: &Buckets) -> Option<f64> {
    let count = now.count - before.count;
    if count == 0 {
        return None;
    }
    let earlier = |index: usize| before.cumulative.get(index).map_or(0, |(_, count)| *count);
    let reached = now
        .cumulative
        .iter()
        .enumerate()
        .find(|(index, (_, cumulative))| (cumulative - earlier(*index)) as f64 >= 0.99 * count as f64);
    Some(reached.map_or(f64::INFINITY, |(_, (bound, _))| *bound))
}

#[cfg(test)]
mod tests {
    use super::*;
    use telemetry::live::LiveHistogram;

    #[test]
    fn p99_is_of_what_came_since() {
        let histogram = LiveHistogram::default();
        histogram.observe(Duration::from_secs(20));
        let before = LiveHistogram::sum([&histogram]);
        assert_eq!(p99_since(&before, &before), None);
        assert_eq!(p99_since(&Buckets::default(), &before), Some(f64::INFINITY));
        for _ in 0..100 {
            histogram.observe(Duration::from_micros(30));
        }
        let now = LiveHistogram::sum([&histogram]);
        assert_eq!(p99_since(&before, &now), Some(0.000_05));
    }
}
