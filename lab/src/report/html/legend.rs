//! What the signs of a chart mean, in as many lines as that takes.

use super::svg::{Anchor, Svg, WIDTH, colour, dash};
use super::text;

/// What an entry shows before its name.
#[derive(Debug, Clone)]
pub enum Sign {
    /// A line with the marker of the contender with this number.
    Line(usize),
    /// A field of this class, with a letter or digit in it.
    Field(String, String),
}

/// What a sign takes.
const SIGN: f64 = 26.0;
/// A line's height.
const LINE: f64 = 17.0;

/// Draws the entries from `top` on and returns where the next thing may be drawn.
pub fn draw(svg: &mut Svg, top: f64, entries: &[(Sign, String)]) -> f64 {
    let (mut x, mut y) = (0.0, top);
    for (sign, name) in entries {
        let name = text::fitted(name, WIDTH - SIGN - 6.0);
        let takes = SIGN + text::width(&name) + 10.0;
        if x > 0.0 && x + takes > WIDTH {
            x = 0.0;
            y += LINE;
        }
        let middle = y + LINE / 2.0;
        match sign {
            Sign::Line(index) => {
                let class = format!("line {} {}", colour(*index), dash(*index));
                svg.line(&class, (x + 1.0, middle), (x + 21.0, middle));
                svg.marker(*index, (x + 11.0, middle));
            }
            Sign::Field(class, letter) => {
                svg.rect(class, (x + 3.0, middle - 6.5), 16.0, 13.0);
                svg.text("on", x + 11.0, middle + 4.0, Anchor::Middle, letter);
            }
        }
        svg.text("key", x + SIGN, middle + 4.0, Anchor::Start, &name);
        x += takes;
    }
    if entries.is_empty() { top } else { y + LINE }
}
