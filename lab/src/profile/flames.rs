//! Flame graphs of records: one contender's, and what one costs more or less than the baseline. Each function makes an
//! SVG of records alone, so that every view can be made again from `result.json`.

use telemetry::profile::difference::{self, Side};
use telemetry::profile::flamegraph::{Caption, draw, draw_difference};

pub use telemetry::profile::difference::Direction;
pub use telemetry::profile::flamegraph::Place;

use super::Language;
use model::profile::ProfileRecord;

/// What a frame's width is.
const UNIT: &str = "ns a message";

/// Why there is no picture.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NoPicture(String);

/// Where a contender's CPU time went.
///
/// # Errors
/// When its profile is missing.
pub fn flame_graph(record: &ProfileRecord, place: Place) -> Result<String, NoPicture> {
    present(record)?;
    // What a message costs instead of what all of them did: so that pictures can be compared.
    let stacks: String = difference::stacks(&side(record), &side(record))
        .iter()
        .map(|stack| format!("{} {}\n", stack.frames, stack.contender_nanos.round()))
        .collect();
    let title = format!(
        "{}, {}: where the CPU time of a message goes",
        record.scenario, record.contender
    );
    let subtitle = format!("{} samples over {} messages", record.samples, record.messages);
    let caption = Caption {
        title: &title,
        subtitle: Some(&subtitle),
        unit: UNIT,
        place,
    };
    draw(&stacks, caption).map_err(|error| NoPicture(error.to_string()))
}

/// What a contender costs more or less than the baseline, frame by frame, for each message.
///
/// # Errors
/// When a profile is missing, or the two cannot be compared by function: says why.
pub fn differential(
    baseline: &ProfileRecord,
    contender: &ProfileRecord,
    direction: Direction,
    place: Place,
) -> Result<String, NoPicture> {
    comparable(baseline, contender)?;
    let (shape, meaning) = match direction {
        Direction::Dearer => (contender, "red: what got dearer"),
        Direction::Cheaper => (baseline, "blue: what got cheaper or is gone"),
    };
    let title = format!(
        "{}: {} against {}, {meaning}",
        contender.scenario, contender.contender, baseline.contender
    );
    let subtitle = format!(
        "The shape is that of {}; what chance explains is white ({} against {} samples)",
        shape.contender, contender.samples, baseline.samples
    );
    let caption = Caption {
        title: &title,
        subtitle: Some(&subtitle),
        unit: UNIT,
        place,
    };
    let stacks = difference::stacks(&side(baseline), &side(contender));
    draw_difference(&stacks, direction, caption).map_err(|error| NoPicture(error.to_string()))
}

/// A picture with what to say beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// Whose it is, and against whom.
    pub title: String,
    /// How to read it; or why it is not there.
    pub caption: String,
    /// The SVG; `None` when there can be none.
    pub svg: Option<String>,
}

/// All pictures of a scenario's records for a page: each flame graph, then its differences to the baseline.
pub fn pictures(records: &[&ProfileRecord], baseline: &str) -> Vec<Picture> {
    let base = records.iter().find(|record| record.contender == baseline);
    let mut pictures = Vec::new();
    for record in records.iter().filter(|record| record.missing.is_none()) {
        let who = &record.contender;
        let mut add = |title: String, caption: &str, drawn: Result<String, NoPicture>| {
            let (caption, svg) = match drawn {
                Ok(svg) => (caption.to_owned(), Some(svg)),
                Err(why) => (format!("There is no picture: {why}."), None),
            };
            pictures.push(Picture { title, caption, svg });
        };
        add(
            who.clone(),
            "A frame is a function, and stands on the one that called it; its width is its part of what a message costs.",
            flame_graph(record, Place::Page),
        );
        let Some(base) = base.filter(|base| base.contender != record.contender) else {
            continue;
        };
        if let Err(why) = comparable(base, record) {
            add(format!("{who} against {baseline}"), "", Err(why));
            continue;
        }
        add(
            format!("{who} against {baseline}: what got dearer"),
            "Red frames cost more than in the baseline, blue ones less; what chance explains is white.",
            differential(base, record, Direction::Dearer, Place::Page),
        );
        add(
            format!("{who} against {baseline}: what got cheaper"),
            "The baseline's shape: blue frames cost less in the contender, or are gone; red ones cost more.",
            differential(base, record, Direction::Cheaper, Place::Page),
        );
    }
    pictures
}

/// Whether two records can be compared function by function.
///
/// # Errors
/// Why not.
pub fn comparable(baseline: &ProfileRecord, contender: &ProfileRecord) -> Result<(), NoPicture> {
    present(baseline)?;
    present(contender)?;
    let languages = [baseline, contender].map(|record| Language::of(&record.folded));
    if languages[0] == languages[1] {
        return Ok(());
    }
    Err(NoPicture(format!(
        "{} is written in {} and {} in {}, whose functions have no names in common: compare them by category",
        contender.contender,
        languages[1].name(),
        baseline.contender,
        languages[0].name()
    )))
}

fn present(record: &ProfileRecord) -> Result<(), NoPicture> {
    match &record.missing {
        Some(why) => Err(NoPicture(format!("{} has no profile: {why}", record.contender))),
        None => Ok(()),
    }
}

/// The record as something to compare.
pub(super) fn side(record: &ProfileRecord) -> Side<'_> {
    Side {
        folded: &record.folded,
        functions: &record.functions,
        left_out_nanos: record.left_out_nanos,
        cost_error: record.cost_relative_error.unwrap_or(0.0),
        samples: record.samples,
        messages: record.messages,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::record::missing;

    fn record(contender: &str, folded: &str) -> ProfileRecord {
        ProfileRecord {
            scenario: "few".to_owned(),
            contender: contender.to_owned(),
            messages: 1_000,
            samples: 1_000,
            folded: folded.to_owned(),
            ..ProfileRecord::default()
        }
    }

    #[test]
    fn a_picture_is_in_nanoseconds_for_each_message() {
        let picture = flame_graph(
            &record(
                "epoll",
                "std::rt::main;send 3000000\nstd::rt::main;recv 1000000\n",
            ),
            Place::File,
        );
        let picture = picture.unwrap();
        assert!(picture.contains("send (3,000 ns a message, 75.00%)"), "{picture}");
        assert!(
            picture.contains("few, epoll: where the CPU time of a message goes"),
            "{picture}"
        );
    }

    #[test]
    fn a_difference_has_the_shape_of_its_direction() {
        let (old, new) = (
            record(
                "epoll",
                "std::rt::main;send 3000000\nstd::rt::main;gone 1000000\n",
            ),
            record("slow", "std::rt::main;send 3000000\nstd::rt::main;new 2000000\n"),
        );
        let dearer = differential(&old, &new, Direction::Dearer, Place::File).unwrap();
        assert!(
            dearer.contains("new (2,000 ns a message, 40.00%; +40.00%)"),
            "{dearer}"
        );
        assert!(!dearer.contains("<title>gone"));
        let cheaper = differential(&old, &new, Direction::Cheaper, Place::File).unwrap();
        assert!(
            cheaper.contains("gone (1,000 ns a message, 25.00%; -25.00%)"),
            "{cheaper}"
        );
        assert!(!cheaper.contains("<title>new"));
    }

    #[test]
    fn a_page_has_every_picture_or_the_reason() {
        let result = crate::report::fixture::result_with_profiles();
        let records: Vec<_> = result.profiles.iter().collect();
        let pictures = pictures(&records, "epoll");
        let titles: Vec<_> = pictures
            .iter()
            .map(|picture| (picture.title.as_str(), picture.svg.is_some()))
            .collect();
        assert_eq!(
            titles,
            [
                ("epoll", true),
                ("tokio", true),
                ("tokio against epoll: what got dearer", true),
                ("tokio against epoll: what got cheaper", true),
                ("go-net", true),
                ("go-net against epoll", false),
            ]
        );
        assert!(
            pictures[5].caption.contains("written in Go"),
            "{}",
            pictures[5].caption
        );
        let page: String = pictures.into_iter().filter_map(|picture| picture.svg).collect();
        assert!(!page.contains("<script") && !page.contains(" id="));
    }

    #[test]
    fn what_cannot_be_drawn_says_why() {
        let rust = record("epoll", "std::rt::main 1\n");
        let go = record("go-net", "runtime.goexit;main.serve 1\n");
        let gone = missing("few", "mine", "it answered 404".to_owned());
        let why = |a, b| {
            differential(a, b, Direction::Dearer, Place::File)
                .unwrap_err()
                .to_string()
        };
        assert!(why(&rust, &go).contains("go-net is written in Go and epoll in Rust"));
        assert!(why(&rust, &gone).contains("mine has no profile: it answered 404"));
        assert!(flame_graph(&gone, Place::File).is_err());
        assert!(flame_graph(&record("idle", ""), Place::File).is_err());
    }
}
