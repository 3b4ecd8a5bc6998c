//! Ratios on a logarithmic axis, each with its interval and its pairs, and a line at 1: who is to the right of it costs more.

use super::rows::{self, Header, PLACES, STRIP};
use super::scale::Scale;
use super::svg::colour;

/// One contender's ratio to the baseline.
#[derive(Debug, Clone, Default)]
pub struct Ratio {
    /// Whose it is.
    pub name: String,
    /// The ratio in words; the reason when there is none.
    pub note: String,
    /// The contender's number.
    pub index: usize,
    /// The ratio.
    pub ratio: Option<f64>,
    /// Where it lies with 95 % confidence.
    pub interval: Option<(f64, f64)>,
    /// The ratio in each cycle.
    pub pairs: Vec<f64>,
}

/// Pairs further off than this many times what all else spans are shown at the edge.
const BEYOND: f64 = 1.5;

/// Draws the ratios. `None` when nobody has one.
pub fn draw(ratios: &[Ratio], id: &str, title: &str, caption: &str) -> Option<String> {
    let shown = || {
        ratios
            .iter()
            .filter_map(|ratio| ratio.ratio)
            .filter(|ratio| *ratio > 0.0)
    };
    shown().next()?;
    let ends = || {
        ratios
            .iter()
            .filter_map(|ratio| ratio.interval)
            .flat_map(|(low, high)| [low, high])
    };
    let all = || {
        shown()
            .chain(ends())
            .chain([1.0])
            .filter(|value| value.is_finite() && *value > 0.0)
    };
    let low = all().fold(f64::MAX, f64::min) / BEYOND;
    let high = all().fold(0.0, f64::max) * BEYOND;
    let pairs = ratios
        .iter()
        .flat_map(|ratio| &ratio.pairs)
        .map(|pair| pair.clamp(low, high));
    let scale = Scale::logarithmic(all().chain(pairs), PLACES);
    let headers: Vec<Header> = ratios
        .iter()
        .map(|ratio| Header {
            name: ratio.name.clone(),
            note: ratio.note.clone(),
            strip: ratio.ratio.is_some_and(|ratio| ratio > 0.0),
        })
        .collect();
    let mut frame = rows::frame(&headers, &scale, Some(1.0));
    for (ratio, strip) in ratios.iter().zip(&frame.strips) {
        let (Some(top), Some(value)) = (strip, ratio.ratio) else {
            continue;
        };
        let middle = top + STRIP / 2.0;
        for (index, pair) in ratio.pairs.iter().enumerate() {
            let y = middle + ((index * 3 % 5) as f64 - 2.0) * 2.2;
            let beyond = if *pair > high || *pair < low {
                " beyond"
            } else {
                ""
            };
            let class = format!("dot {}{beyond}", colour(ratio.index));
            frame.svg.dot(&class, (scale.place(*pair), y));
        }
        if let Some((low, high)) = ratio.interval {
            let (low, high) = (scale.place(low), scale.place(high));
            frame.svg.line("interval", (low, middle), (high, middle));
            for end in [low, high] {
                frame
                    .svg
                    .line("interval", (end, middle - 4.0), (end, middle + 4.0));
            }
        }
        frame.svg.marker(ratio.index, (scale.place(value), middle));
    }
    Some(frame.svg.finish(id, frame.bottom, title, caption))
}
