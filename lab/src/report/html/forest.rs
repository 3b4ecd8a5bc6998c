//! Ratios on a logarithmic axis, each with its interval and its pairs, and a line at 1: who is to the right of it costs more.

use super::rows::{self, Evidence, Header, PLACES, STRIP};
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
    /// The ratio, its interval, and the ratio in each cycle.
    pub ratio: Option<Evidence>,
}

/// Pairs further off than this many times what all else spans are shown at the edge.
const BEYOND: f64 = 1.5;

/// Draws the ratios. `None` when nobody has one.
pub fn draw(ratios: &[Ratio], id: &str, title: &str, caption: &str) -> Option<String> {
    let shown = || ratios.iter().filter_map(|ratio| ratio.ratio.as_ref());
    shown().next()?;
    let ends = shown()
        .filter_map(|ratio| ratio.interval)
        .flat_map(|(low, high)| [low, high]);
    let all: Vec<f64> = shown()
        .map(|ratio| ratio.figure)
        .chain(ends)
        .chain([1.0])
        .filter(|value| value.is_finite() && *value > 0.0)
        .collect();
    let low = all.iter().copied().fold(f64::MAX, f64::min) / BEYOND;
    let high = all.iter().copied().fold(0.0, f64::max) * BEYOND;
    let pairs = shown()
        .flat_map(|ratio| &ratio.dots)
        .map(|pair| pair.clamp(low, high));
    let scale = Scale::logarithmic(all.iter().copied().chain(pairs), PLACES);
    let headers: Vec<Header> = ratios
        .iter()
        .map(|ratio| Header {
            name: ratio.name.clone(),
            note: ratio.note.clone(),
            strip: ratio.ratio.as_ref().map(|_| STRIP),
        })
        .collect();
    let mut frame = rows::frame(&headers, &scale, Some(1.0));
    for (ratio, strip) in ratios.iter().zip(&frame.strips) {
        if let Some((evidence, top)) = ratio.ratio.as_ref().zip(*strip) {
            rows::evidence(&mut frame.svg, evidence, &colour(ratio.index), top, &scale);
        }
    }
    Some(frame.svg.finish(id, frame.bottom, title, caption))
}
