//! A picture as text: the few shapes that the charts are made of.
//!
//! By hand rather than with a plotting library: every shape carries a class, so that the style sheet gives light and
//! dark, and print, their colours; text is text, in the reader's own font; and nothing needs a font to be measured.

use std::fmt::Write;

use super::text;

/// The width of every chart: that of a phone, so that its text is as large there as the page's. On wider screens charts
/// stand side by side.
pub const WIDTH: f64 = 360.0;
/// Colours of the palette; who comes after that starts again, with another marker.
pub const COLOURS: usize = 8;

/// A picture in the making. The origin is its top left corner.
#[derive(Debug, Default)]
pub struct Svg {
    body: String,
}

/// Which end of a text its position is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Anchor {
    /// The left one.
    Start,
    /// The centre.
    Middle,
    /// The right one.
    End,
}

/// Shapes that are told apart without their colours.
const MARKERS: [&str; 7] = [
    "M-3,0a3,3 0 1,0 6,0a3,3 0 1,0 -6,0z",
    "M-2.7,-2.7h5.4v5.4h-5.4z",
    "M0,-3.6L3.3,2.6H-3.3z",
    "M0,-3.8L3.8,0L0,3.8L-3.8,0z",
    "M0,3.6L3.3,-2.6H-3.3z",
    "M-3.4,-1h2.4v-2.4h2v2.4h2.4v2h-2.4v2.4h-2v-2.4h-2.4z",
    "M-3.8,-1.8h7.6v3.6h-7.6z",
];

/// The class that gives the contender with this number its colour.
pub fn colour(index: usize) -> String {
    format!("c{}", index % COLOURS)
}

/// The class that gives the contender with this number its kind of line.
pub fn dash(index: usize) -> String {
    format!("d{}", index % 4)
}

/// A figure as short as a coordinate needs it. What is not finite cannot be shown: it is put at the origin.
fn at(value: f64) -> String {
    let value = if value.is_finite() { value } else { 0.0 };
    let text = format!("{value:.1}");
    let text = text.strip_suffix(".0").unwrap_or(&text);
    if text == "-0" { "0" } else { text }.to_owned()
}

impl Svg {
    /// A text on the line `y`.
    pub fn text(&mut self, class: &str, x: f64, y: f64, anchor: Anchor, content: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let content = text::escaped(content);
        let _ = write!(
            self.body,
            r#"<text class="{class}" x="{}" y="{}" text-anchor="{anchor}">{content}</text>"#,
            at(x),
            at(y)
        );
    }

    /// A straight line.
    pub fn line(&mut self, class: &str, (x1, y1): (f64, f64), (x2, y2): (f64, f64)) {
        let _ = write!(
            self.body,
            r#"<path class="{class}" d="M{},{}L{},{}"/>"#,
            at(x1),
            at(y1),
            at(x2),
            at(y2)
        );
    }

    /// A line through points.
    pub fn path(&mut self, class: &str, points: &[(f64, f64)]) {
        let mut d = String::new();
        for (index, (x, y)) in points.iter().enumerate() {
            let command = if index == 0 { 'M' } else { 'L' };
            let _ = write!(d, "{command}{},{}", at(*x), at(*y));
        }
        let _ = write!(self.body, r#"<path class="{class}" d="{d}"/>"#);
    }

    /// A rectangle.
    pub fn rect(&mut self, class: &str, (x, y): (f64, f64), width: f64, height: f64) {
        let _ = write!(
            self.body,
            r#"<rect class="{class}" x="{}" y="{}" width="{}" height="{}"/>"#,
            at(x),
            at(y),
            at(width.max(0.0)),
            at(height.max(0.0))
        );
    }

    /// A dot.
    pub fn dot(&mut self, class: &str, (x, y): (f64, f64)) {
        let _ = write!(
            self.body,
            r#"<circle class="{class}" cx="{}" cy="{}" r="2"/>"#,
            at(x),
            at(y)
        );
    }

    /// The sign of the contender with this number.
    pub fn marker(&mut self, index: usize, place: (f64, f64)) {
        let class = format!("mark {}", colour(index));
        self.placed(&class, place, MARKERS[index % MARKERS.len()]);
    }

    /// The sign of a figure among its measurements.
    pub fn diamond(&mut self, class: &str, place: (f64, f64)) {
        self.placed(class, place, "M0,-4.2L4.2,0L0,4.2L-4.2,0z");
    }

    /// The sign of a point that is not to be believed.
    pub fn cross(&mut self, class: &str, place: (f64, f64)) {
        self.placed(&format!("cross {class}"), place, "M-3,-3L3,3M-3,3L3,-3");
    }

    /// A shape around a place.
    fn placed(&mut self, class: &str, (x, y): (f64, f64), shape: &str) {
        let _ = write!(
            self.body,
            r#"<path class="{class}" transform="translate({},{})" d="{shape}"/>"#,
            at(x),
            at(y)
        );
    }

    /// The whole element. `id` is unique on the page; title and description are what is read aloud.
    pub fn finish(self, id: &str, height: f64, title: &str, description: &str) -> String {
        let (title, description) = (text::escaped(title), text::escaped(description));
        format!(
            r#"<svg xmlns="http://www.w3.org/2000/svg" class="chart" role="img" viewBox="0 0 {} {}" aria-labelledby="{id}-title {id}-desc"><title id="{id}-title">{title}</title><desc id="{id}-desc">{description}</desc>{}</svg>"#,
            at(WIDTH),
            at(height),
            self.body
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coordinates_are_short_and_always_numbers() {
        assert_eq!([1.0, 1.26, -0.01, f64::NAN].map(at), ["1", "1.3", "0", "0"]);
    }

    #[test]
    fn sixteen_contenders_differ_in_marker_or_colour() {
        let signs: std::collections::BTreeSet<_> = (0..16)
            .map(|index| (colour(index), MARKERS[index % MARKERS.len()]))
            .collect();
        assert_eq!(signs.len(), 16);
    }
}
