//! The frame of a chart with a row for each contender: its name and figure in words, and below them a strip on a common
//! axis. Names stand above their strip, so that long ones have room on a phone too.

use super::scale::Scale;
use super::svg::{Anchor, Svg, WIDTH};
use super::text;

/// Where the axis begins and ends; beside it is room for half a label.
pub const PLACES: (f64, f64) = (14.0, WIDTH - 20.0);
/// How high a strip with one bar is.
pub const STRIP: f64 = 14.0;
/// From the top of a row to its strip.
const HEADER: f64 = 17.0;
/// Between rows.
const GAP: f64 = 9.0;
/// What is left to a name at least, when its figure in words is long.
const NAME_MIN: f64 = 110.0;

/// What stands above a strip.
#[derive(Debug, Clone, Default)]
pub struct Header {
    /// Whose row it is.
    pub name: String,
    /// Its figure in words.
    pub note: String,
    /// How high the strip below it is; `None` when there is nothing to draw.
    pub strip: Option<f64>,
}

/// The frame: the picture so far, the top of each row's strip, and where the next thing may be drawn.
#[derive(Debug)]
pub struct Frame {
    /// The picture.
    pub svg: Svg,
    /// The top of each row's strip; `None` for a row without one.
    pub strips: Vec<Option<f64>>,
    /// What is below this is free.
    pub bottom: f64,
}

/// Draws names, figures, grid and axis. `reference` is a value with a line of its own.
pub fn frame(headers: &[Header], scale: &Scale, reference: Option<f64>) -> Frame {
    let mut svg = Svg::default();
    let ticks = scale.ticks_across();
    let mut strips = Vec::new();
    let mut top = 2.0;
    for header in headers {
        let name_least = text::width(&header.name).min(NAME_MIN);
        let note = text::fitted(&header.note, WIDTH - name_least - 10.0);
        let name = text::fitted(&header.name, WIDTH - text::width(&note) - 10.0);
        svg.text("name", 0.0, top + text::SIZE, Anchor::Start, &name);
        svg.text("note", WIDTH, top + text::SIZE, Anchor::End, &note);
        let Some(height) = header.strip else {
            strips.push(None);
            top += HEADER + GAP;
            continue;
        };
        let strip = top + HEADER;
        let through = |x: f64| ((x, strip - 1.5), (x, strip + height + 1.5));
        for tick in &ticks {
            let (from, to) = through(tick.place);
            svg.line("grid", from, to);
        }
        if let Some(value) = reference {
            let (from, to) = through(scale.place(value));
            svg.line("reference", from, to);
        }
        strips.push(Some(strip));
        top = strip + height + GAP;
    }
    svg.line("axis", (PLACES.0, top - 4.0), (PLACES.1, top - 4.0));
    let mut free_from = f64::MIN;
    for tick in &ticks {
        svg.line("axis", (tick.place, top - 4.0), (tick.place, top));
        let half = text::width(&tick.label) / 2.0;
        let place = tick
            .place
            .clamp(half.min(WIDTH / 2.0), (WIDTH - half).max(WIDTH / 2.0));
        // A label at the edge was moved inwards, so its neighbour may have no room.
        if place - half >= free_from {
            svg.text("tick", place, top + text::SIZE, Anchor::Middle, &tick.label);
            free_from = place + half;
        }
    }
    Frame {
        svg,
        strips,
        bottom: top + text::SIZE + 5.0,
    }
}

/// What is known of a figure besides itself.
#[derive(Debug, Clone, Default)]
pub struct Evidence {
    /// The figure.
    pub figure: f64,
    /// Where it lies with 95 % confidence.
    pub interval: Option<(f64, f64)>,
    /// Single measurements.
    pub dots: Vec<f64>,
}

/// Draws measurements as dots, the interval as a whisker, and the figure as a sign on it.
pub fn evidence(svg: &mut Svg, evidence: &Evidence, colour: &str, top: f64, scale: &Scale) {
    let middle = top + STRIP / 2.0;
    for (index, dot) in evidence.dots.iter().enumerate() {
        // Scattered up and down, always alike, so that dots of the same value are seen.
        let y = middle + ((index * 3 % 5) as f64 - 2.0) * 2.2;
        let beyond = if scale.holds(*dot) { "" } else { " beyond" };
        svg.dot(&format!("dot {colour}{beyond}"), (scale.place(*dot), y));
    }
    if let Some((low, high)) = evidence.interval {
        let (low, high) = (scale.place(low), scale.place(high));
        svg.line("interval", (low, middle), (high, middle));
        for end in [low, high] {
            svg.line("interval", (end, middle - 4.0), (end, middle + 4.0));
        }
    }
    svg.diamond("figure", (scale.place(evidence.figure), middle));
}
