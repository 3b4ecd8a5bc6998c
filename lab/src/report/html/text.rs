//! Text in a picture: how wide it is at most, cut to fit, and escaped.
//!
//! An SVG cannot wrap or measure text, so its width is estimated from above: by the widest of the usual sans-serif fonts
//! (DejaVu Sans; Helvetica, Roboto and Segoe are narrower).

/// The size of all text in charts, in the charts' own units; the style sheet says the same.
pub const SIZE: f64 = 11.0;

/// The most that a text takes, in units of a chart.
pub fn width(text: &str) -> f64 {
    text.chars().map(em).sum::<f64>() * SIZE
}

/// The most that a character takes, in parts of the size of the font.
fn em(c: char) -> f64 {
    match c {
        ' ' | '.' | ',' | ':' | ';' | '\'' | '|' | '!' | '(' | ')' | '[' | ']' | 'i' | 'j' | 'l' | 'f'
        | 't' | 'r' | '/' | '-' | 'I' => 0.42,
        'm' | 'w' | 'M' | 'W' | '%' | '@' | '≥' | '×' | '⚠' | '–' | '…' | '&' | '+' | '<' | '>' | '='
        | '~' => 1.0,
        'A'..='Z' | 'µ' | '_' => 0.8,
        '\0'..='\u{24f}' => 0.65,
        '\u{250}'..='\u{10ff}' => 0.95,
        '\u{1100}'..='\u{ffff}' => 1.15,
        _ => 1.5,
    }
}

/// The text, or as much of its beginning as fits, with a sign that something is left out.
pub fn fitted(text: &str, width_max: f64) -> String {
    if width(text) <= width_max {
        return text.to_owned();
    }
    let mut room = width_max - width("…");
    let mut kept: String = text
        .chars()
        .take_while(|&c| {
            room -= em(c) * SIZE;
            room >= 0.0
        })
        .collect();
    kept.push('…');
    kept
}

/// The text as XML allows it: without control characters, and with what has a meaning there written out.
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' | '\t' | '\r' => out.push(' '),
            '\u{fffe}' | '\u{ffff}' => {}
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_fits_is_left_alone_and_what_does_not_is_cut() {
        assert_eq!(fitted("epoll", 100.0), "epoll");
        let cut = fitted("a-contender-with-a-very-long-name", 80.0);
        assert!(cut.starts_with("a-con") && cut.ends_with('…'), "{cut}");
        assert_eq!(fitted("epoll", 0.0), "…");
    }

    #[test]
    fn nothing_of_a_name_is_markup() {
        assert_eq!(
            escaped("</text><script>\"a\" & 'b'\u{0}\n"),
            "&lt;/text&gt;&lt;script&gt;&quot;a&quot; &amp; &#39;b&#39; "
        );
    }

    proptest! {
        #[test]
        fn a_cut_text_fits(text in "\\PC{0,80}", room in 12.0..400.0) {
            prop_assert!(width(&fitted(&text, room)) <= room);
        }
    }
}
