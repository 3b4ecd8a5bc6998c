//! Lines over a common axis: latency by percentile, and figures of a sweep.

use super::legend::{self, Sign};
use super::scale::{Scale, Tick};
use super::svg::{Anchor, Svg, WIDTH, colour, dash};
use super::text;

/// Left and right end of the plot; what names the values stands to the left of it.
pub const ACROSS: (f64, f64) = (46.0, WIDTH - 14.0);
/// Bottom and top of the plot.
const UPWARDS: (f64, f64) = (206.0, 22.0);

/// One contender's line.
#[derive(Debug, Clone, Default)]
pub struct Series {
    /// Whose it is.
    pub name: String,
    /// The contender's number.
    pub index: usize,
    /// From left to right.
    pub points: Vec<Point>,
}

/// A point of a line.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Point {
    /// Where on the axis from left to right.
    pub x: f64,
    /// How high.
    pub y: f64,
    /// Where it lies with 95 % confidence.
    pub interval: Option<(f64, f64)>,
    /// Whether it gets a marker.
    pub marked: bool,
    /// Whether its run is not to be believed: it is marked, and the line passes it by.
    pub doubtful: bool,
}

/// What is drawn.
#[derive(Debug, Clone)]
pub struct Plot {
    /// The axis from left to right, made for [`ACROSS`].
    pub x: Scale,
    /// What it names, from left to right; those that would touch the next one are left out.
    pub ticks: Vec<Tick>,
    /// What it is.
    pub x_title: String,
    /// What the other one is.
    pub y_title: String,
    /// Whether the other one is logarithmic; else it begins at zero.
    pub y_logarithmic: bool,
    /// The lines.
    pub series: Vec<Series>,
}

/// Draws the lines, and a legend below them. `None` when there is no point.
pub fn draw(plot: &Plot, id: &str, title: &str, caption: &str) -> Option<String> {
    let points = || plot.series.iter().flat_map(|series| &series.points);
    points().next()?;
    let heights = points().flat_map(|point| {
        let (low, high) = point.interval.unwrap_or((point.y, point.y));
        [low, point.y, high]
    });
    let y = if plot.y_logarithmic {
        Scale::logarithmic(heights, UPWARDS)
    } else {
        Scale::from_zero(
            heights.filter(|height| height.is_finite()).fold(0.0, f64::max),
            UPWARDS,
        )
    };
    let mut svg = Svg::default();
    axes(&mut svg, plot, &y);
    for series in &plot.series {
        draw_series(&mut svg, series, &plot.x, &y);
    }
    let keys: Vec<_> = plot
        .series
        .iter()
        .filter(|series| !series.points.is_empty())
        .map(|series| (Sign::Line(series.index), series.name.clone()))
        .collect();
    let bottom = legend::draw(&mut svg, UPWARDS.0 + 38.0, &keys);
    Some(svg.finish(id, bottom + 2.0, title, caption))
}

fn axes(svg: &mut Svg, plot: &Plot, y: &Scale) {
    svg.text(
        "tick",
        0.0,
        text::SIZE,
        Anchor::Start,
        &text::fitted(&plot.y_title, WIDTH),
    );
    for tick in y.ticks_upwards() {
        svg.line("grid", (ACROSS.0, tick.place), (ACROSS.1, tick.place));
        let label = text::fitted(&tick.label, ACROSS.0 - 5.0);
        svg.text("tick", ACROSS.0 - 5.0, tick.place + 4.0, Anchor::End, &label);
    }
    svg.line("axis", (ACROSS.0, UPWARDS.0), (ACROSS.1, UPWARDS.0));
    for tick in apart(&plot.ticks) {
        svg.line("grid", (tick.place, UPWARDS.0), (tick.place, UPWARDS.1));
        svg.line("axis", (tick.place, UPWARDS.0), (tick.place, UPWARDS.0 + 4.0));
        let below = UPWARDS.0 + 4.0 + text::SIZE;
        svg.text("tick", centre(tick), below, Anchor::Middle, &tick.label);
    }
    let title = text::fitted(&plot.x_title, WIDTH);
    svg.text(
        "tick",
        ACROSS.1,
        UPWARDS.0 + 19.0 + text::SIZE,
        Anchor::End,
        &title,
    );
}

/// Where a label's centre is: below its tick, or as near as the picture's edge allows.
fn centre(tick: &Tick) -> f64 {
    tick.place.min(WIDTH - text::width(&tick.label) / 2.0)
}

/// The ticks whose labels don't touch; the last one, which says how far the axis goes, before all others.
fn apart(ticks: &[Tick]) -> Vec<&Tick> {
    let mut kept: Vec<&Tick> = Vec::new();
    for tick in ticks.iter().rev() {
        let room = |other: &Tick| (text::width(&tick.label) + text::width(&other.label)) / 2.0 + 5.0;
        if kept
            .last()
            .is_none_or(|other| centre(other) - centre(tick) >= room(other))
        {
            kept.push(tick);
        }
    }
    kept.reverse();
    kept
}

fn draw_series(svg: &mut Svg, series: &Series, x: &Scale, y: &Scale) {
    let place = |point: &Point| (x.place(point.x), y.place(point.y));
    let believed: Vec<_> = series
        .points
        .iter()
        .filter(|point| !point.doubtful)
        .map(place)
        .collect();
    if believed.len() > 1 {
        let class = format!("line {} {}", colour(series.index), dash(series.index));
        svg.path(&class, &believed);
    }
    for point in &series.points {
        let (across, up) = place(point);
        if let Some((low, high)) = point.interval {
            let ends = ((across, y.place(low)), (across, y.place(high)));
            svg.line(&format!("whisker {}", colour(series.index)), ends.0, ends.1);
        }
        if point.doubtful {
            svg.cross(&colour(series.index), (across, up));
        } else if point.marked {
            svg.marker(series.index, (across, up));
        }
    }
}
