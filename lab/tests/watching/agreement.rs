//! Whether dashboards are answered: every query of every panel and annotation brings a number, for each contender.

use super::board::{self, Board, Query, text};
use super::prometheus::{Filled, Prometheus, choose};
use super::promql::selectors;
use std::collections::BTreeSet;
use std::path::Path;

/// Fewer queries were found than the dashboards have for certain: then the search is broken.
const QUERIES_MIN: usize = 80;
/// What our own servers alone expose.
const OURS: &[&str] = &[
    "echolab_alloc",
    "echolab_partial_writes_total",
    "echolab_profile_samples",
    "echolab_profile_seconds",
];
/// What the lab says of those who do not sample themselves.
const SHARES: &[&str] = &["echolab_profile_share"];
/// Panels that ask nothing.
const SILENT_PANELS: &[&str] = &["row", "text"];

/// The queries of panels and annotations that bring no number for someone; those of `may_be_empty` are asked, but need not.
///
/// # Panics
/// When Prometheus does not take one.
pub fn unanswered(prometheus: &Prometheus, root: &Path, may_be_empty: &[&str]) -> Vec<String> {
    let mut unanswered = Vec::new();
    let mut asked = 0;
    for board in board::all(root) {
        let variables = prometheus.variables(&board);
        unanswered.extend(panels_without_query(&board));
        for query in board.panel_queries().iter().chain(&board.annotation_queries()) {
            asked += 1;
            let missing = missing(prometheus, query, &variables);
            let excused = may_be_empty
                .iter()
                .any(|title| query.place.ends_with(&format!(": {title}")));
            if !excused && !missing.is_empty() {
                let who = missing.into_iter().collect::<Vec<_>>().join(", ");
                unanswered.push(format!("{}: no data of {who}: {}", query.place, query.expression));
            }
        }
    }
    assert!(asked > QUERIES_MIN, "only {asked} queries were found");
    unanswered
}

fn panels_without_query(board: &Board) -> Vec<String> {
    let panels = board.panels().into_iter();
    let queries = board.panel_queries();
    panels
        .filter(|panel| !SILENT_PANELS.contains(&text(&panel["type"])))
        .map(|panel| board.place(panel))
        .filter(|place| {
            !queries
                .iter()
                .any(|query| query.place == *place && !query.expression.is_empty())
        })
        .map(|place| format!("{place}: it asks nothing"))
        .collect()
}

/// Of whom the query should bring a number and does not. Where the answer does not say of whom it is, each contender is
/// asked for alone.
fn missing(prometheus: &Prometheus, query: &Query, variables: &[Filled]) -> BTreeSet<String> {
    let ask = |variables: &[Filled]| {
        let mut answer = prometheus
            .ask(query, variables)
            .unwrap_or_else(|error| panic!("{}: {error}: {}", query.place, query.expression));
        answer.retain(|series| series.has_number());
        answer
    };
    let answer = ask(variables);
    if answer.is_empty() {
        return ["anyone".to_owned()].into();
    }
    let contenders = variables.iter().find(|variable| variable.name == "contender");
    let contenders = &contenders
        .unwrap_or_else(|| panic!("{}: its dashboard has no variable contender", query.place))
        .choices;
    let named = answer.iter().all(|series| !series.label("contender").is_empty());
    who_should_answer(&query.expression, contenders)
        .into_iter()
        .filter(|contender| {
            if named {
                !answer.iter().any(|series| series.label("contender") == contender)
            } else {
                ask(&choose(variables, "contender", contender)).is_empty()
            }
        })
        .collect()
}

/// Not everyone has everything: Go's memory is Go's, the allocator and the sampler are those of our own servers, Go's
/// library writes what is left over without telling, and ratios are of those alone whose verdict is `ok`, and not of the
/// baseline.
fn who_should_answer(expression: &str, contenders: &BTreeSet<String>) -> BTreeSet<String> {
    let names: Vec<String> = selectors(expression).into_iter().map(|one| one.name).collect();
    let asks_for = |beginnings: &[&str]| {
        names
            .iter()
            .any(|name| beginnings.iter().any(|beginning| name.starts_with(beginning)))
    };
    let ours_alone = asks_for(OURS);
    let go_alone = asks_for(&["go_"]) || asks_for(SHARES);
    let ratios = asks_for(&["echolab_result_ratio"]);
    let everyone = contenders.iter().cloned();
    everyone
        .filter(|contender| {
            let go = contender.starts_with("go-");
            let lacks = (ours_alone && go) || (go_alone && !go);
            !ratios && !lacks
        })
        .collect()
}
