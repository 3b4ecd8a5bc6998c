//! A bar for each contender, from zero; with a dot for each cycle and an interval where there are any.

use super::legend::{self, Sign};
use super::rows::{self, Evidence, Header, PLACES, STRIP};
use super::scale::Scale;
use super::svg::{Anchor, Svg};
use super::text;

/// One contender's bar.
#[derive(Debug, Clone, Default)]
pub struct Bar {
    /// Whose it is.
    pub name: String,
    /// The figure in words; the reason when there is none.
    pub note: String,
    /// What it consists of, from left to right; nothing when there is no figure.
    pub parts: Vec<Part>,
    /// What it is a summary of, when that is shown.
    pub evidence: Option<Evidence>,
    /// The colour of its dots.
    pub colour: String,
    /// Whether the true figure may be larger.
    pub at_least: bool,
    /// Whether its run is not to be believed.
    pub doubtful: bool,
}

/// A stretch of a bar.
#[derive(Debug, Clone, Default)]
pub struct Part {
    /// How long it is.
    pub value: f64,
    /// Its look.
    pub class: String,
    /// What stands on it, where there is room.
    pub letter: String,
}

/// Dots further out than this many times the largest bar are shown at the edge: one stray cycle would squeeze all else.
const BEYOND: f64 = 1.6;

/// Draws the bars, and a legend below them. `None` when nobody has a figure.
pub fn draw(bars: &[Bar], keys: &[(Sign, String)], id: &str, title: &str, caption: &str) -> Option<String> {
    let length = |bar: &Bar| bar.parts.iter().map(|part| sane(part.value)).sum::<f64>();
    let evidence = || bars.iter().filter_map(|bar| bar.evidence.as_ref());
    let highs = evidence().filter_map(|evidence| Some(evidence.interval?.1));
    let largest = bars.iter().map(length).chain(highs).fold(0.0, f64::max);
    let dots = evidence()
        .flat_map(|evidence| &evidence.dots)
        .copied()
        .fold(0.0, f64::max);
    if bars.iter().all(|bar| bar.parts.is_empty()) {
        return None;
    }
    let scale = Scale::from_zero(largest.max(dots.min(largest * BEYOND)), PLACES);
    let headers: Vec<Header> = bars
        .iter()
        .map(|bar| Header {
            name: bar.name.clone(),
            note: bar.note.clone(),
            strip: (!bar.parts.is_empty()).then_some(STRIP),
        })
        .collect();
    let mut frame = rows::frame(&headers, &scale, None);
    for (bar, strip) in bars.iter().zip(&frame.strips) {
        if let Some(top) = strip {
            draw_bar(&mut frame.svg, bar, *top, &scale);
        }
    }
    let bottom = legend::draw(&mut frame.svg, frame.bottom, keys);
    Some(frame.svg.finish(id, bottom, title, caption))
}

fn draw_bar(svg: &mut Svg, bar: &Bar, top: f64, scale: &Scale) {
    let middle = top + STRIP / 2.0;
    let mut until = 0.0;
    for part in &bar.parts {
        let from = scale.place(until);
        until += sane(part.value);
        let to = scale.place(until);
        let doubt = if bar.doubtful { " doubt" } else { "" };
        svg.rect(
            &format!("bar {}{doubt}", part.class),
            (from, top),
            to - from,
            STRIP,
        );
        if !part.letter.is_empty() && to - from > text::width(&part.letter) + 2.0 {
            svg.text(
                "on",
                (from + to) / 2.0,
                middle + 4.0,
                Anchor::Middle,
                &part.letter,
            );
        }
    }
    let end = scale.place(until);
    if bar.at_least {
        for step in [4.0, 9.0] {
            let tip = (end + step + 4.0, middle);
            svg.path(
                "more",
                &[(end + step, top + 2.0), tip, (end + step, top + STRIP - 2.0)],
            );
        }
    }
    if let Some(evidence) = &bar.evidence {
        rows::evidence(svg, evidence, &bar.colour, top, scale);
    }
}

/// What can be drawn of a value.
fn sane(value: f64) -> f64 {
    if value.is_finite() { value.max(0.0) } else { 0.0 }
}
