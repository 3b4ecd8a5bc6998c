//! The page of results that are hard to draw: its structure, and that every picture is sound.

use std::collections::BTreeSet;

use proptest::prelude::*;
use roxmltree::{Document, Node};

use super::samples::{self, HOSTILE};
use super::svg::WIDTH;
use super::text;
use super::*;
use model::verdict::Verdict;

/// The page's pictures, parsed.
fn pictures(page: &str) -> Vec<&str> {
    page.split("<svg ")
        .skip(1)
        .map(|rest| {
            let end = rest.find("</svg>").unwrap();
            let begin = rest.as_ptr() as usize - page.as_ptr() as usize - "<svg ".len();
            &page[begin..begin + "<svg ".len() + end + "</svg>".len()]
        })
        .collect()
}

fn number(node: Node<'_, '_>, name: &str) -> f64 {
    let text = node
        .attribute(name)
        .unwrap_or_else(|| panic!("{node:?} has no {name}"));
    text.parse()
        .unwrap_or_else(|_| panic!("{name} = {text} of {node:?}"))
}

/// What a text covers at most: left, top, right, bottom.
fn covered(node: Node<'_, '_>) -> [f64; 4] {
    let (x, y) = (number(node, "x"), number(node, "y"));
    let width = text::width(node.text().unwrap_or_default());
    let left = match node.attribute("text-anchor") {
        Some("start") => x,
        Some("middle") => x - width / 2.0,
        _ => x - width,
    };
    [left, y - 0.8 * text::SIZE, left + width, y + 0.2 * text::SIZE]
}

#[test]
fn every_picture_is_sound() {
    for (name, result) in samples::all() {
        let page = render(&result);
        for picture in pictures(&page) {
            let document =
                Document::parse(picture).unwrap_or_else(|error| panic!("{name}: {error}\n{picture}"));
            let root = document.root_element();
            // A flame graph has a shape of its own.
            if root.attribute("class") == Some("flames") {
                assert_eq!(root.attribute("role"), Some("img"), "{name}");
                continue;
            }
            check(name, root);
        }
    }
}

/// A figure as results have them: none, nothing, tiny, usual, huge.
fn figure() -> impl Strategy<Value = Option<f64>> {
    prop_oneof![
        Just(None),
        Just(Some(0.0)),
        (1e-9..1e-3f64).prop_map(Some),
        (0.1..1e4f64).prop_map(Some),
        (1e6..1e15f64).prop_map(Some)
    ]
}

/// One contender: its name, three figures, how many cycles were kept, events of each epoll, whether its run is ok.
fn contender() -> impl Strategy<Value = (String, [Option<f64>; 3], usize, Vec<u64>, bool)> {
    (
        "\\PC{0,60}",
        [figure(), figure(), figure()],
        0..9usize,
        proptest::collection::vec(any::<u64>(), 0..12),
        any::<bool>(),
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn pictures_of_whatever_was_measured_are_sound(contenders in proptest::collection::vec(contender(), 1..13)) {
        let mut result = samples::crowd(contenders.len(), 8);
        for (run, (name, [cpu, capacity, bytes], cycles, events, ok)) in result.runs.iter_mut().zip(contenders) {
            // The first one stays the baseline.
            if run.contender != result.config.baseline {
                run.contender = name;
            }
            run.rounds.truncate(cycles.div_ceil(2));
            run.server.epolls = samples::epolls(&events.iter().map(|&events| (events, events / 7)).collect::<Vec<_>>());
            run.server.cpu_micros_per_message = cpu;
            run.capacity_per_second = capacity;
            run.client.cpu_micros_per_message = capacity;
            run.server.resident_bytes = bytes.map(|bytes| bytes as u64);
            run.response_micros.max = bytes;
            for cycle in run.cycles_mut() {
                cycle.server_cpu_seconds = cpu.map(|micros| micros * cycle.replies as f64 / 1e6);
            }
            if !ok {
                run.verdicts = vec![Verdict::RateMissed, Verdict::Unstable];
            }
        }
        model::fixture::compare(&mut result);
        for picture in pictures(&render(&result)) {
            check("whatever", Document::parse(picture).unwrap().root_element());
        }
    }
}

/// A picture has words, no figure that is none, nothing outside, and no text on another.
fn check(name: &str, svg: Node<'_, '_>) {
    let size: Vec<f64> = svg
        .attribute("viewBox")
        .unwrap()
        .split(' ')
        .map(|part| part.parse().unwrap())
        .collect();
    let (width, height) = (size[2], size[3]);
    assert_eq!(width, WIDTH);
    let words: Vec<_> = svg
        .children()
        .take(2)
        .map(|node| node.tag_name().name())
        .collect();
    assert_eq!(words, ["title", "desc"], "{name}");
    let mut texts: Vec<([f64; 4], &str)> = Vec::new();
    for node in svg.descendants().filter(Node::is_element) {
        for attribute in node.attributes() {
            let value = attribute.value();
            assert!(
                !value.contains("NaN") && !value.contains("inf"),
                "{name}: {node:?}"
            );
        }
        let (horizontal, vertical) = match node.tag_name().name() {
            "text" => {
                let [left, top, right, bottom] = covered(node);
                texts.push(([left, top, right, bottom], node.text().unwrap_or_default()));
                (vec![left, right], vec![top, bottom])
            }
            "rect" => {
                let (x, y) = (number(node, "x"), number(node, "y"));
                (
                    vec![x, x + number(node, "width")],
                    vec![y, y + number(node, "height")],
                )
            }
            "circle" => (vec![number(node, "cx")], vec![number(node, "cy")]),
            "path" => places(node),
            _ => continue,
        };
        let inside = |places: &[f64], end: f64| places.iter().all(|place| (-0.1..=end + 0.1).contains(place));
        assert!(
            inside(&horizontal, width) && inside(&vertical, height),
            "{name}: outside of {width} × {height}: {node:?} {:?} {horizontal:?} {vertical:?}",
            node.text()
        );
    }
    for (index, (a, first)) in texts.iter().enumerate() {
        for (b, second) in &texts[index + 1..] {
            let apart = a[2] <= b[0] || b[2] <= a[0] || a[3] <= b[1] || b[3] <= a[1];
            assert!(apart, "{name}: `{first}` {a:?} and `{second}` {b:?} overlap");
        }
    }
    // Beside its frame it shows something, be it one figure without an interval.
    let frame = ["grid", "axis", "reference"];
    let shown = svg
        .descendants()
        .filter(|node| ["rect", "path", "circle"].contains(&node.tag_name().name()))
        .any(|node| {
            node.attribute("class")
                .is_some_and(|class| !frame.contains(&class))
        });
    assert!(shown, "{name}: a blank picture");
}

/// Where a path goes: the place of a marker, or the corners of a line.
fn places(node: Node<'_, '_>) -> (Vec<f64>, Vec<f64>) {
    let text = match node.attribute("transform") {
        Some(moved) => moved.trim_start_matches("translate(").trim_end_matches(')'),
        None => node.attribute("d").unwrap(),
    };
    let numbers: Vec<f64> = text
        .split(|c: char| !(c.is_ascii_digit() || c == '.' || c == '-'))
        .filter(|part| !part.is_empty())
        .map(|part| part.parse().unwrap())
        .collect();
    (
        numbers.iter().copied().step_by(2).collect(),
        numbers.iter().copied().skip(1).step_by(2).collect(),
    )
}

#[test]
fn the_page_loads_and_runs_nothing_and_its_ids_are_unique() {
    for (name, result) in samples::all() {
        let page = render(&result);
        let tags: Vec<&str> = page
            .split('<')
            .skip(1)
            .map(|rest| rest.split('>').next().unwrap())
            .collect();
        for tag in tags {
            let what = tag.split([' ', '\n']).next().unwrap();
            assert!(
                !["script", "iframe", "object", "embed", "img", "base", "form"].contains(&what),
                "{name}: {tag}"
            );
            for attribute in [" src=", " on", " srcset=", " style=", " action="] {
                assert!(!tag.contains(attribute), "{name}: {tag}");
            }
            for target in tag.split("href=\"").skip(1) {
                assert!(
                    target.starts_with('#') || target.starts_with("data:,"),
                    "{name}: {tag}"
                );
            }
        }
        assert!(!page.contains("url(") && !page.contains("@import"), "{name}");
        let ids: Vec<&str> = page
            .split(" id=\"")
            .skip(1)
            .map(|rest| rest.split('"').next().unwrap())
            .collect();
        let unique: BTreeSet<_> = ids.iter().collect();
        assert_eq!(ids.len(), unique.len(), "{name}: {ids:?}");
        for (attribute, apart) in [("href=\"#", '"'), ("aria-labelledby=\"", '"')] {
            for rest in page.split(attribute).skip(1) {
                for id in rest.split(apart).next().unwrap().split(' ') {
                    assert!(unique.contains(&id), "{name}: {attribute}{id} leads nowhere");
                }
            }
        }
    }
}

#[test]
fn names_are_never_markup() {
    for result in [samples::crowd(3, 4), samples::nobody(), samples::hostile()] {
        let page = render(&result);
        // Apostrophes matter within attributes alone, and ours have quotation marks.
        assert!(!page.contains(HOSTILE) && !page.contains("<script") && !page.contains("alert('x')</"));
        assert!(page.contains("&#60;script&#62;alert") || page.contains("&lt;script&gt;alert"));
    }
}

#[test]
fn names_are_never_markup_in_profiles() {
    let page = render(&samples::hostile());
    let escaped = |text: &str| {
        let start = page.find(text).unwrap_or_else(|| panic!("no {text}"));
        page[start..].contains("&lt;script&gt;alert") || page[start..].contains("&#60;script&#62;alert")
    };
    for place in [
        "Flame graph: ",
        "functions with most CPU time",
        "has no profile: ",
    ] {
        assert!(escaped(place), "{place}");
    }
    // A name with angle brackets is shown whole.
    assert!(page.contains("&lt;A as B&gt;::c") || page.contains("&#60;A as B&#62;::c"));
}

#[test]
fn names_are_never_markup_in_markdown() {
    use crate::report::markdown;
    for result in [samples::crowd(3, 4), samples::nobody(), samples::hostile()] {
        let text = markdown::render(&result);
        // The configuration stands in a block of code, in which nothing is markup.
        let prose = text.split("```json").next().unwrap();
        assert!(
            !prose.contains('<'),
            "{:?}",
            prose.lines().find(|line| line.contains('<'))
        );
        assert!(prose.contains("&lt;script>alert"), "{prose}");
    }
    assert_eq!(
        markdown::escaped("<A as B>::c & d|e\nf"),
        "&lt;A as B>::c &amp; d\\|e f"
    );
    let (result, hostile) = (samples::usual(), samples::hostile());
    let text = crate::compare::markdown(&crate::compare::compare(&result, &hostile));
    assert!(!text.contains('<') && text.contains("&lt;script>alert"), "{text}");
}

#[test]
fn headings_follow_one_another() {
    for (name, result) in samples::all() {
        let page = render(&result);
        let mut before = 0;
        for (index, _) in page.match_indices("<h") {
            let Some(level) = page[index + 2..].chars().next().and_then(|c| c.to_digit(10)) else {
                continue;
            };
            assert!(level <= before + 1, "{name}: h{level} after h{before}");
            assert!(level > 1 || before == 0, "{name}: a second h1");
            before = level;
        }
    }
}

#[test]
fn charts_are_left_out_rather_than_blank() {
    let charts = |result: &LabResult| {
        let scenario = &result.config.scenarios[0];
        let id = "s1".to_owned();
        let charts = context::Charts { result, scenario, id };
        charts.all().into_iter().map(|chart| chart.id).collect::<Vec<_>>()
    };
    assert_eq!(charts(&samples::nobody()), [""; 0]);
    assert_eq!(charts(&samples::silent()), [""; 0]);
    let alone = charts(&samples::crowd(1, 1));
    assert!(
        alone.contains(&"s1-cpu".to_owned()) && !alone.contains(&"s1-ratio-cpu".to_owned()),
        "{alone:?}"
    );
}

#[test]
fn balance_is_shown_of_several_epolls_alone() {
    let chart = |result: &LabResult| {
        let scenario = &result.config.scenarios[0];
        let id = "s1".to_owned();
        balance::chart(&context::Charts { result, scenario, id })
    };
    let mut result = samples::usual();
    let shown = chart(&result).unwrap();
    assert_eq!(shown.table.rows.len(), 5);
    assert_eq!(
        shown.table.rows[3][..5],
        ["epoll", "3", "13,800", "34.5 %", "1.73"]
    );
    assert!(
        shown.svg.contains("5 epolls, 0.40 to 1.73 × fair"),
        "{}",
        shown.svg
    );
    assert!(
        shown.caption.ends_with("several epolls: tokio, threads."),
        "{}",
        shown.caption
    );
    result.runs[0].server.epolls.truncate(1);
    assert!(chart(&result).is_none());
    result.runs[0].server.epolls.clear();
    assert!(chart(&result).is_none());
}

#[test]
fn memory_whose_parts_are_not_known_is_one_bar() {
    let mut result = samples::usual();
    let bars = |result: &LabResult| {
        let page = render(result);
        let picture = pictures(&page)
            .into_iter()
            .find(|svg| svg.contains("Resident memory under load"));
        [" whole\"", " pale\""].map(|look| picture.unwrap().matches(look).count())
    };
    assert_eq!(bars(&result), [0, 2]);
    result.runs[0].server.resident_bytes_before_connections = None;
    assert_eq!(bars(&result), [1, 1]);
}

#[test]
fn the_style_sheet_has_the_size_that_texts_are_measured_by() {
    let page = render(&samples::usual());
    assert!(page.contains(&format!(".chart text {{ font-size: {}px;", text::SIZE)));
}

/// How bright a colour is (WCAG 2.2, relative luminance).
fn luminance(colour: &str) -> f64 {
    let channel = |index: usize| {
        let share = f64::from(u8::from_str_radix(&colour[index..index + 2], 16).unwrap()) / 255.0;
        if share <= 0.04045 {
            share / 12.92
        } else {
            ((share + 0.055) / 1.055).powf(2.4)
        }
    };
    0.2126 * channel(0) + 0.7152 * channel(2) + 0.0722 * channel(4)
}

#[test]
fn every_colour_stands_out_from_the_page_in_light_dark_and_print() {
    let style = include_str!("../../../templates/report.css");
    let modes: Vec<&str> = style
        .split(":root {")
        .skip(1)
        .map(|rest| rest.split('}').next().unwrap())
        .collect();
    assert_eq!(modes.len(), 3);
    for mode in modes {
        let colours: Vec<(&str, f64)> = mode
            .split("--")
            .skip(1)
            .filter_map(|part| part.split_once(": #"))
            .filter_map(|(name, rest)| Some((name, luminance(rest.get(..6)?))))
            .collect();
        let page = colours.iter().find(|(name, _)| *name == "page").unwrap().1;
        for (name, colour) in &colours {
            let contrast = (colour.max(page) + 0.05) / (colour.min(page) + 0.05);
            // What is behind things need not stand out; all else may hold text, which wants 4.5.
            let background = ["page", "field", "edge", "shade"].contains(name);
            assert!(background || contrast >= 4.5, "{name}: {contrast:.1} in {mode}");
        }
    }
}

/// Landmarks, headings, tables with their columns, and charts with their titles.
fn structure(page: &str) -> String {
    let mut out = String::new();
    let mut rest = page;
    while let Some(begin) = rest.find('<') {
        rest = &rest[begin + 1..];
        let tag: String = rest.chars().take_while(|c| c.is_ascii_alphanumeric()).collect();
        let attributes = &rest[..rest.find('>').unwrap_or(0)];
        let inner = |end: &str| {
            let inside = &rest[attributes.len() + 1..];
            let mut text = String::new();
            let mut within = false;
            for c in inside[..inside.find(end).unwrap_or(0)].chars() {
                match c {
                    '<' => within = true,
                    '>' => within = false,
                    c if !within => text.push(c),
                    _ => {}
                }
            }
            text
        };
        let line = match tag.as_str() {
            "header" | "main" | "footer" | "nav" | "section" => attributes.to_owned(),
            "h1" | "h2" | "h3" | "h4" | "caption" | "summary" => {
                format!("  {tag} {}", inner(&format!("</{tag}>")))
            }
            "th" if attributes.contains("col") => format!("    {}", inner("</th>")),
            "svg" => format!("  picture: {}", inner("</title>")),
            "dd" => format!("  {}", inner("</dd>")),
            _ => continue,
        };
        out.push_str(&line);
        out.push('\n');
    }
    out
}

#[test]
fn the_structure_of_the_page() {
    insta::assert_snapshot!("page", structure(&render(&samples::usual())));
    insta::assert_snapshot!("page_of_a_sweep", structure(&render(&samples::sweep(2))));
    insta::assert_snapshot!("page_with_profiles", structure(&render(&samples::profiled())));
    insta::assert_snapshot!("page_of_nobody", structure(&render(&samples::nobody())));
}
