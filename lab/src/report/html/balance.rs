//! The balance between the epolls of a server: a bar for each, beside the fair share.

use super::chart::{Chart, Table};
use super::context::{Charts, doubt};
use super::rows::{self, Header, PLACES};
use super::scale::Scale;
use super::svg::{Anchor, Svg, colour};
use super::text;
use crate::report::balance::{self, Part};
use crate::report::figures::{count, decimal, or_missing};
use model::run::Run;

/// How high an epoll's bar is with the gap below it, as long as there are few: room for its number.
const STEP: f64 = 13.0;
/// All bars of a contender together are no higher.
const HEIGHT_MAX: f64 = 8.0 * STEP;
/// Between bars, when there is room.
const GAP: f64 = 2.0;
/// What an epoll's name may take at the left of its bar.
const NAME_MAX: f64 = PLACES.0 - 1.0;

/// The chart; `None` when no run has several epolls whose figures are known.
pub fn chart(charts: &Charts<'_>) -> Option<Chart> {
    let shared: Vec<(&Run, Vec<Part<'_>>)> = charts
        .runs()
        .map(|run| (run, balance::parts(run)))
        .filter(|(_, parts)| !parts.is_empty())
        .collect();
    if shared.is_empty() {
        return None;
    }
    let most = shared
        .iter()
        .flat_map(|(_, parts)| parts)
        .map(|part| part.events_of_fair.max(part.connections_of_fair.unwrap_or(0.0)))
        .fold(1.0, f64::max);
    let scale = Scale::from_zero(most, PLACES);
    let header = |(run, parts): &(&Run, Vec<Part<'_>>)| {
        let (least, most) = balance::span(parts);
        Header {
            name: run.contender.clone(),
            note: format!(
                "{} epolls, {} to {} × fair{}",
                parts.len(),
                decimal(least, 2),
                decimal(most, 2),
                doubt(run)
            ),
            strip: Some(height(parts.len())),
        }
    };
    let headers: Vec<Header> = shared.iter().map(header).collect();
    let mut frame = rows::frame(&headers, &scale, Some(1.0));
    for ((run, parts), top) in shared.iter().zip(&frame.strips) {
        if let Some(top) = *top {
            let doubt = if run.is_ok() { "" } else { " doubt" };
            let class = format!("bar {} whole{doubt}", colour(charts.index(&run.contender)));
            draw(&mut frame.svg, parts, &class, top, &scale);
        }
    }
    let title = "Balance between epolls: messages over the fair share";
    let caption = caption(charts);
    let id = charts.chart_id("balance");
    Some(Chart {
        svg: frame.svg.finish(&id, frame.bottom, title, &caption),
        table: table(title, &shared),
        id,
        title: title.to_owned(),
        caption,
    })
}

/// How high all bars of so many epolls are.
fn height(epolls: usize) -> f64 {
    (epolls as f64 * STEP).min(HEIGHT_MAX)
}

fn draw(svg: &mut Svg, parts: &[Part<'_>], class: &str, top: f64, scale: &Scale) {
    let step = height(parts.len()) / parts.len() as f64;
    let bar = if step > 2.0 * GAP { step - GAP } else { step };
    for (part, number) in parts.iter().zip(0..) {
        let top = top + f64::from(number) * step;
        let end = scale.place(part.events_of_fair);
        svg.rect(class, (PLACES.0, top), end - PLACES.0, bar);
        if let Some(connections) = part.connections_of_fair {
            let place = scale.place(connections);
            svg.line("interval", (place, top), (place, top + bar));
        }
        if step >= STEP - 1.0 && text::width(part.epoll) <= NAME_MAX {
            let line = top + bar / 2.0 + 0.35 * text::SIZE;
            svg.text("tick", NAME_MAX, line, Anchor::End, part.epoll);
        }
    }
}

fn caption(charts: &Charts<'_>) -> String {
    let others: Vec<_> = charts
        .runs()
        .filter(|run| balance::parts(run).is_empty())
        .map(|run| run.contender.as_str())
        .collect();
    let mut caption = "A bar is an epoll: the messages that it handled (readable events, about one a message) over its fair share, which \
                       is the thick line at 1. The stroke across it is the same for the connections that it holds. All at 1: the epolls \
                       share the work evenly. One far to the right is full first, and its connections wait while others idle."
        .to_owned();
    if !others.is_empty() {
        caption += &format!(
            " Not in here, because they show no figures of several epolls: {}.",
            others.join(", ")
        );
    }
    caption
}

fn table(title: &str, shared: &[(&Run, Vec<Part<'_>>)]) -> Table {
    let row = |run: &Run, part: &Part<'_>, epolls: usize| {
        let percent = |of_fair: f64| format!("{} %", decimal(of_fair * 100.0 / epolls as f64, 1));
        vec![
            run.contender.clone(),
            part.epoll.to_owned(),
            count(part.events as f64),
            percent(part.events_of_fair),
            decimal(part.events_of_fair, 2),
            part.connections.to_string(),
            or_missing(part.connections_of_fair, |of_fair| decimal(of_fair, 2)),
        ]
    };
    let rows = shared
        .iter()
        .flat_map(|(run, parts)| parts.iter().map(|part| row(run, part, parts.len())));
    let columns = [
        "contender",
        "epoll",
        "readable events",
        "share",
        "over the fair share",
        "connections",
        "over the fair share",
    ];
    Table::new(title, &columns, rows.collect())
}
