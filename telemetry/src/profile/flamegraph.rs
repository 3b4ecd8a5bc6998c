//! A profile as a flame graph: an SVG that shows itself in any browser.

use std::io;

use inferno::flamegraph::{Options, from_lines};

use super::difference::{Direction, Stack};
use super::folded::{Threads, folded};
use super::pprof::Profile;

/// Where a picture is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In a file of its own: it can be zoomed and searched.
    File,
    /// Within a page that has a heading for it and may hold other pictures: without script, style and identifiers,
    /// which would collide with theirs. Tooltips stay.
    Page,
}

/// What stands around the frames of a picture.
#[derive(Debug, Clone, Copy)]
pub struct Caption<'a> {
    /// The title.
    pub title: &'a str,
    /// The line below it, if any.
    pub subtitle: Option<&'a str>,
    /// What is counted.
    pub unit: &'a str,
    /// Where it is shown.
    pub place: Place,
}

/// Draws the profile, one tower for each thread.
///
/// # Errors
/// `InvalidInput` when there is no sample to draw.
pub fn flamegraph(profile: &Profile, title: &str) -> io::Result<Vec<u8>> {
    let caption = Caption {
        title,
        subtitle: profile.comments().first().copied(),
        unit: "samples",
        place: Place::File,
    };
    draw(&folded(profile, Threads::Apart), caption).map(String::into_bytes)
}

/// Draws folded stacks.
///
/// # Errors
/// `InvalidInput` when there is nothing to draw.
pub fn draw(folded: &str, caption: Caption<'_>) -> io::Result<String> {
    render(options(caption), folded, caption)
}

/// Draws a difference: what takes more in the contender is red, what takes less is blue, what chance explains is white.
/// A frame has its part in the change of its function. [`Direction::Dearer`] has the contender's shape,
/// [`Direction::Cheaper`] the baseline's, where what the contender does no more can be seen. Counts are rounded
/// nanoseconds.
///
/// # Errors
/// `InvalidInput` when there is nothing to draw.
pub fn draw_difference(
    difference: &[Stack],
    direction: Direction,
    caption: Caption<'_>,
) -> io::Result<String> {
    let mut options = options(caption);
    options.negate_differentials = direction == Direction::Cheaper;
    // Two numbers a line: what the frame's width is not made of, then what it is made of.
    let lines = difference.iter().map(|stack| {
        let ratio = stack.ratio.unwrap_or(1.0);
        let (shape, other) = match direction {
            Direction::Dearer => (stack.contender_nanos, stack.contender_nanos / ratio),
            Direction::Cheaper => (stack.baseline_nanos, stack.baseline_nanos * ratio),
        };
        // Nothing times infinity: a function that is new has no place in the baseline's shape.
        let other = if other.is_finite() { other } else { 0.0 };
        format!("{} {} {}\n", stack.frames, other.round(), shape.round())
    });
    render(options, &lines.collect::<String>(), caption)
}

fn options(caption: Caption<'_>) -> Options<'static> {
    let mut options = Options::default();
    options.title = caption.title.to_owned();
    // A page says it in its own words.
    options.subtitle = caption
        .subtitle
        .filter(|_| caption.place == Place::File)
        .map(str::to_owned);
    options.count_name = caption.unit.to_owned();
    options.deterministic = true;
    options
}

fn render(mut options: Options<'_>, folded: &str, caption: Caption<'_>) -> io::Result<String> {
    if folded.lines().all(|line| line.ends_with(" 0")) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "there is no sample to draw",
        ));
    }
    let mut image = Vec::new();
    from_lines(&mut options, folded.lines(), &mut image)
        .map_err(|error| io::Error::other(error.to_string()))?;
    let image = String::from_utf8(image).map_err(io::Error::other)?;
    match caption.place {
        Place::File => Ok(image),
        Place::Page => {
            for_page(&image, &options).ok_or_else(|| io::Error::other("the picture has an unknown form"))
        }
    }
}

/// The frames without what inferno's script reads from them, in a namespace of its own.
fn without_data(frames: &str) -> String {
    let mut parts = frames.split("\" fg:x=\"");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        out.push('"');
        // Two numbers, and what stands between their quotes.
        out.push_str(part.splitn(4, '"').nth(3).unwrap_or_default());
    }
    out
}

/// The frames alone, in an image that takes the width that it is given. `None` when the picture is not built as
/// inferno builds it.
fn for_page(image: &str, options: &Options<'_>) -> Option<String> {
    let start = image.find("<svg id=\"frames\"")?;
    let frames = image[start..].split_once('>')?.1.strip_suffix("</svg></svg>")?;
    let attribute = |name: &str| {
        let value = image.split_once(&format!(" {name}=\""))?.1;
        value.split('"').next()?.parse::<usize>().ok()
    };
    let (width, height) = (attribute("width")?, attribute("height")?);
    // Title and search stand above the frames, the details of the frame under the pointer below.
    let (above, below) = (options.font_size * 3, options.font_size * 2);
    let visible = height.checked_sub(above + below)?;
    let escaped = |text: &str| {
        text.replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('"', "&quot;")
    };
    Some(format!(
        "<svg class=\"flames\" role=\"img\" aria-label=\"{}\" viewBox=\"0 {above} {width} {visible}\" width=\"100%\" \
         font-family=\"monospace\" font-size=\"{}\">{}</svg>",
        escaped(&options.title),
        options.font_size,
        without_data(frames),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAPTION: Caption<'_> = Caption {
        title: "few: <epoll>",
        subtitle: Some("5 samples"),
        unit: "ns a message",
        place: Place::File,
    };

    fn stack(frames: &str, baseline_nanos: f64, contender_nanos: f64, ratio: Option<f64>) -> Stack {
        Stack {
            frames: frames.to_owned(),
            baseline_nanos,
            contender_nanos,
            ratio,
        }
    }

    /// The tooltip of a frame.
    fn tooltip<'a>(image: &'a str, function: &str) -> Option<&'a str> {
        let start = image.find(&format!("<title>{function} ("))? + "<title>".len();
        image[start..].split("</title>").next()
    }

    #[test]
    fn a_picture_of_its_own_has_caption_and_script() {
        let image = draw("main;a 30\nmain;b 70\n", CAPTION).unwrap();
        assert!(
            image.contains("few: &lt;epoll&gt;") && image.contains("5 samples"),
            "{image}"
        );
        assert_eq!(tooltip(&image, "b"), Some("b (70 ns a message, 70.00%)"));
        assert!(image.contains("<script"));
        for nothing in ["", "main 0\n"] {
            assert_eq!(
                draw(nothing, CAPTION).unwrap_err().kind(),
                io::ErrorKind::InvalidInput
            );
        }
    }

    #[test]
    fn a_picture_within_a_page_brings_nothing_that_could_collide() {
        let caption = Caption {
            place: Place::Page,
            ..CAPTION
        };
        let image = draw("main;a 30\nmain;b 70\n", caption).unwrap();
        assert_eq!(tooltip(&image, "b"), Some("b (70 ns a message, 70.00%)"));
        for collides in [
            "<script", "<style", " id=", "onload", "url(#", "<!", "<?", "xlink",
        ] {
            assert!(!image.contains(collides), "{collides} is in\n{image}");
        }
        assert!(
            image.starts_with("<svg ") && image.contains("aria-label=\"few: &lt;epoll>\""),
            "{image}"
        );
        let (opened, closed) = (image.matches("<svg").count(), image.matches("</svg>").count());
        assert_eq!((opened, closed), (1, 1), "{image}");
    }

    #[test]
    fn a_difference_shows_both_directions_and_leaves_noise_white() {
        let difference = [
            stack("main;new", 0.0, 50.0, Some(f64::INFINITY)),
            stack("main;gone", 20.0, 0.0, Some(0.0)),
            stack("main;noise", 100.0, 110.0, None),
        ];
        let dearer = draw_difference(&difference, Direction::Dearer, CAPTION).unwrap();
        assert_eq!(
            tooltip(&dearer, "new"),
            Some("new (50 ns a message, 31.25%; +31.25%)")
        );
        assert_eq!(
            tooltip(&dearer, "noise"),
            Some("noise (110 ns a message, 68.75%; 0.00%)")
        );
        assert_eq!(tooltip(&dearer, "gone"), None);
        let cheaper = draw_difference(&difference, Direction::Cheaper, CAPTION).unwrap();
        assert_eq!(
            tooltip(&cheaper, "gone"),
            Some("gone (20 ns a message, 16.67%; -16.67%)")
        );
        assert_eq!(tooltip(&cheaper, "new"), None);
        assert!(draw_difference(&[], Direction::Dearer, CAPTION).is_err());
    }
}
