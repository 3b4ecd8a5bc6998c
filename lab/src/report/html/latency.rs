//! Response time by percentile, from the runs' own histograms.

use telemetry::latency::Latency;

use super::chart::{Chart, Table};
use super::context::{Charts, doubt};
use super::lines::{self, ACROSS, Plot, Point, Series};
use super::scale::{Scale, Tick};
use crate::report::quantile;
use model::quantiles::Quantile;
use model::run::Run;

/// Percentiles that the axis names.
const NAMED: [(f64, &str); 8] = [
    (0.0, "0"),
    (0.5, "50"),
    (0.9, "90"),
    (0.99, "99"),
    (0.999, "99.9"),
    (0.9999, "99.99"),
    (0.99999, "99.999"),
    (0.999999, "99.9999"),
];
/// Points of a line for each nine.
const FINENESS: u32 = 12;

/// The chart; `None` when no run has a reply.
pub fn chart(charts: &Charts<'_>) -> Option<Chart> {
    let replied = || charts.runs().filter(|run| run.replies > 0);
    let series: Vec<Series> = replied()
        .map(|run| Series {
            name: run.contender.clone() + &doubt(run),
            index: charts.index(&run.contender),
            points: points(run),
        })
        .collect();
    let furthest = series
        .iter()
        .filter_map(|series| series.points.last())
        .map(|point| point.x);
    let x = Scale::linear((0.0, furthest.fold(1.0, f64::max)), ACROSS);
    let plot = Plot {
        ticks: NAMED
            .iter()
            .filter(|(quantile, _)| x.holds(nines(*quantile)))
            .map(|(quantile, label)| Tick {
                place: x.place(nines(*quantile)),
                label: (*label).to_owned(),
            })
            .collect(),
        x,
        x_title: "percentile of the messages".to_owned(),
        y_title: "ms".to_owned(),
        y_logarithmic: true,
        series,
    };
    let title = "Response time by percentile, ms";
    let caption = "From when a request was due until its reply was in. Both axes are logarithmic: each step to the right is ten times \
                   rarer. The last point is the slowest message.";
    let rows = replied().map(|run| {
        let figures = [
            Quantile::Mean,
            Quantile::P50,
            Quantile::P90,
            Quantile::P99,
            Quantile::P999,
            Quantile::Max,
        ];
        std::iter::once(run.contender.clone())
            .chain(figures.map(|name| quantile(charts.result, run, name)))
            .chain([run.replies.to_string()])
            .collect()
    });
    let columns = [
        "contender",
        "mean",
        "p50",
        "p90",
        "p99",
        "p99.9",
        "slowest",
        "messages",
    ];
    let table = Table::new(title, &columns, rows.collect());
    let id = charts.chart_id("latency");
    let svg = lines::draw(&plot, &id, title, caption)?;
    Some(Chart {
        id,
        title: title.to_owned(),
        caption: caption.to_owned(),
        svg,
        table,
    })
}

/// How many nines a quantile has: 1 for 0.9, 2 for 0.99.
fn nines(quantile: f64) -> f64 {
    -(1.0 - quantile).max(1e-12).log10()
}

/// The run's times in ms over nines, up to the slowest message. What is only a lower bound is not drawn.
fn points(run: &Run) -> Vec<Point> {
    let open = match run.open_histogram.as_str() {
        "" => Latency::new(),
        // What cannot be read is told nowhere else either.
        text => Latency::from_base64(text).unwrap_or_default(),
    };
    let furthest = ((run.replies + open.count()).max(2) as f64).log10();
    let point = |quantile: f64, micros: f64, marked: bool| Point {
        x: nines(quantile).min(furthest),
        y: micros / 1e3,
        marked,
        ..Point::default()
    };
    let mut points = match Latency::from_base64(&run.histogram) {
        Ok(latency) if latency.count() > 0 => {
            let steps = (furthest * f64::from(FINENESS)) as u32;
            let known = |quantile: f64, marked: bool| {
                let bounded = latency.bounded_quantile(&open, quantile);
                let bounded = bounded.filter(|bounded| !bounded.at_least)?;
                Some(point(quantile, bounded.micros, marked))
            };
            let smooth = (0..=steps).filter_map(|step| {
                let quantile = 1.0 - 10f64.powf(-f64::from(step) / f64::from(FINENESS));
                known(quantile, step > 0 && step % FINENESS == 0)
            });
            smooth.chain(known(0.5, true)).collect::<Vec<_>>()
        }
        // Without its histogram, what is known of a run is joined by straight lines.
        _ => {
            let times = &run.response_micros;
            let known = [
                (0.5, times.p50),
                (0.9, times.p90),
                (0.99, times.p99),
                (0.999, times.p999),
            ];
            known
                .into_iter()
                .filter(|(quantile, _)| nines(*quantile) < furthest)
                .filter_map(|(quantile, micros)| Some(point(quantile, micros?, true)))
                .collect()
        }
    };
    let slowest = run.response_micros.bounded(Quantile::Max);
    let slowest = slowest.filter(|slowest| !slowest.at_least);
    points.extend(slowest.map(|slowest| point(1.0, slowest.micros, true)));
    points.retain(|point| point.y.is_finite() && point.y > 0.0);
    points.sort_by(|a, b| a.x.total_cmp(&b.x));
    points
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_histogram_is_drawn_and_without_one_the_quantiles_are() {
        let mut latency = Latency::new();
        for micros in 1..=10_000 {
            latency.record(Duration::from_micros(micros));
        }
        let mut run = Run {
            replies: 10_000,
            histogram: latency.to_base64(),
            response_micros: (&latency).into(),
            ..Run::default()
        };
        let drawn = points(&run);
        assert!(drawn.len() > 40);
        let rising = drawn
            .windows(2)
            .all(|pair| pair[0].x <= pair[1].x && pair[0].y <= pair[1].y);
        assert!(rising, "{drawn:?}");
        let half = drawn
            .iter()
            .find(|point| (point.x - nines(0.5)).abs() < 1e-9)
            .unwrap();
        assert!((half.y - 5.0).abs() < 0.01, "{half:?}");
        run.histogram = "damaged".to_owned();
        let places: Vec<_> = points(&run)
            .iter()
            .map(|point| (point.x * 10.0).round())
            .collect();
        assert_eq!(places, [3.0, 10.0, 20.0, 30.0, 40.0]);
    }
}
