//! What a sweep shows: how cost grows with the parameter that was varied, a line for each family of contenders.

use super::chart::{Chart, Table};
use super::lines::{self, ACROSS, Plot, Point, Series};
use super::scale::{Scale, Tick};
use crate::report::figures::{count, decimal, mebibytes, missing, or_missing, significant};
use crate::report::sweep::find;
use model::comparison;
use model::config::{Sweep, SweepPoint};
use model::figure::Figure;
use model::result::LabResult;
use model::run::Run;
use model::statistics::Estimate;

/// A figure that is shown over the parameter.
struct Curve {
    id: &'static str,
    title: &'static str,
    unit: &'static str,
    of: fn(&Run) -> Option<f64>,
    /// The figure with the interval of its rounds, when it has one.
    interval: fn(&Run) -> Option<Estimate>,
    text: fn(f64) -> String,
}

/// The figure of which a lower bound alone may be known.
const CAPACITY: &str = "capacity";

const FIGURES: [Curve; 6] = [
    Curve {
        id: "cpu",
        title: "Server CPU per message, µs",
        unit: "µs",
        of: |run| run.server.cpu_micros_per_message,
        interval: |run| comparison::over_rounds(run, Figure::Cpu),
        text: |micros| decimal(micros, 2),
    },
    Curve {
        id: "p50",
        title: "Response time p50, ms",
        unit: "ms",
        of: |run| run.response_micros.p50.map(|micros| micros / 1e3),
        interval: |_| None,
        text: significant,
    },
    Curve {
        id: "p99",
        title: "Response time p99, ms",
        unit: "ms",
        of: |run| run.response_micros.p99.map(|micros| micros / 1e3),
        interval: |_| None,
        text: significant,
    },
    Curve {
        id: "memory",
        title: "Resident memory under load, MiB",
        unit: "MiB",
        of: |run| {
            run.server
                .resident_bytes
                .map(|bytes| bytes as f64 / f64::from(1 << 20))
        },
        interval: |_| None,
        text: |mib| mebibytes(mib * f64::from(1 << 20)),
    },
    Curve {
        id: "wakeups",
        title: "Server wake-ups per message",
        unit: "context switches per message",
        of: |run| run.server.context_switches_per_message,
        interval: |_| None,
        text: |switches| decimal(switches, 2),
    },
    Curve {
        id: CAPACITY,
        title: "Capacity, messages per second",
        unit: "messages/s",
        of: |run| run.capacity_per_second,
        interval: |_| None,
        text: count,
    },
];

/// An axis is logarithmic when its values span more than this factor.
const DECADE: f64 = 10.0;

/// The charts of the sweep, one a figure; none for a figure that no run has.
pub fn charts(result: &LabResult, sweep: &Sweep) -> Vec<Chart> {
    FIGURES
        .iter()
        .filter_map(|figure| chart(result, sweep, figure))
        .collect()
}

fn chart(result: &LabResult, sweep: &Sweep, figure: &Curve) -> Option<Chart> {
    let series: Vec<Series> = sweep
        .families
        .iter()
        .enumerate()
        .map(|(index, family)| Series {
            name: family.clone(),
            index,
            points: sweep
                .points
                .iter()
                .filter_map(|point| mark(find(result, family, point)?, point, figure))
                .collect(),
        })
        .collect();
    let heights = || {
        series
            .iter()
            .flat_map(|series| &series.points)
            .map(|point| point.y)
    };
    let x = across(&sweep.points);
    let plot = Plot {
        ticks: sweep
            .points
            .iter()
            .map(|point| Tick {
                place: x.place(point.value),
                label: point.label.clone(),
            })
            .collect(),
        x,
        x_title: sweep.parameter.clone(),
        y_title: figure.unit.to_owned(),
        y_logarithmic: spans_decades(heights()),
        series,
    };
    let title = format!("{} over {}", figure.title, sweep.parameter);
    let bounds = figure.id == CAPACITY && result.runs.iter().any(|run| run.capacity_is_at_least);
    let caption = [
        "A line for each contender; whiskers are 95 % intervals where each cycle was measured. A cross is a run that is not to be \
         believed: the line passes it by.",
        if bounds {
            " ≥ among the figures: the client was the bottleneck, the server's capacity is at least this."
        } else {
            ""
        },
    ]
    .concat();
    let rows = sweep.points.iter().map(|point| {
        let cells = sweep.families.iter().map(|family| {
            find(result, family, point).map_or_else(missing, |run| {
                let bound = if figure.id == CAPACITY && run.capacity_is_at_least {
                    "≥ "
                } else {
                    ""
                };
                let text = or_missing((figure.of)(run), |value| {
                    format!("{bound}{}", (figure.text)(value))
                });
                if run.is_ok() {
                    text
                } else {
                    format!("{text} ({})", run.verdict_text())
                }
            })
        });
        std::iter::once(point.label.clone()).chain(cells).collect()
    });
    let columns: Vec<&str> = std::iter::once(sweep.parameter.as_str())
        .chain(sweep.families.iter().map(String::as_str))
        .collect();
    let id = format!("sweep-{}", figure.id);
    Some(Chart {
        svg: lines::draw(&plot, &id, &title, &caption)?,
        id,
        caption,
        table: Table::new(&title, &columns, rows.collect()),
        title,
    })
}

fn mark(run: &Run, point: &SweepPoint, figure: &Curve) -> Option<Point> {
    let y = (figure.of)(run).filter(|value| value.is_finite())?;
    Some(Point {
        x: point.value,
        y,
        interval: (figure.interval)(run).and_then(|estimate| estimate.interval),
        marked: true,
        doubtful: !run.is_ok(),
    })
}

/// The axis of the parameter, with some room at both ends; one value alone stands in the middle.
fn across(points: &[SweepPoint]) -> Scale {
    let values = || points.iter().map(|point| point.value);
    if values().all(|value| value > 0.0) && spans_decades(values()) {
        return Scale::logarithmic(values(), ACROSS);
    }
    let (low, high) = values().fold((f64::MAX, f64::MIN), |(low, high), value| {
        (low.min(value), high.max(value))
    });
    let room = if high > low { (high - low) * 0.05 } else { 1.0 };
    Scale::linear((low - room, high + room), ACROSS)
}

/// Whether the values above 0 span more than a decade.
fn spans_decades(values: impl Iterator<Item = f64>) -> bool {
    let (low, high) = values
        .filter(|value| *value > 0.0)
        .fold((f64::MAX, 0.0f64), |(low, high), value| {
            (low.min(value), high.max(value))
        });
    high > DECADE * low
}
