//! The rules of Grafana's dashboard linter, re-stated, and our own: what every dashboard must be like.
//!
//! Each rule is a function from a dashboard to complaints.

use super::board::{Board, items, text};
use super::promql::{Selector, selectors};
use super::schema;
use serde_json::Value;
use std::collections::BTreeSet;

/// Grafana's names of the units that are used here; besides them, a suffix of our own.
const UNITS: &[&str] = &[
    "none",
    "short",
    "percent",
    "percentunit",
    "bytes",
    "Bps",
    "s",
    "µs",
    "mps",
    "cps",
    "eps",
];

/// Panels that show a counter's total on purpose.
const TOTALS: &[&str] = &["Messages in all", "CPU time in all", "Accepts in all"];

/// The variables that every dashboard has.
const VARIABLES: &[&str] = &["datasource", "job", "contender", "instance", "run"];

/// The colour of each contender, the same wherever it is drawn. Others have one by their name.
const COLOURS: &[(&str, &str)] = &[
    ("epoll", "blue"),
    ("tokio", "orange"),
    ("threads", "green"),
    ("go-net", "purple"),
    ("uring", "red"),
];

/// From a dashboard to complaints.
pub type Rule = fn(&Board) -> Vec<String>;

/// All rules, each with what it demands.
pub const RULES: &[(&str, Rule)] = &[
    ("it is what Grafana takes", fits_the_schema),
    ("panel ids are unique", has_unique_ids),
    ("panels lie inside the grid and apart", lies_apart),
    (
        "every panel says what it shows and what to conclude",
        is_described,
    ),
    ("every panel has a unit", has_units),
    (
        "every panel and query uses the data source variable",
        uses_the_data_source,
    ),
    ("every query has a legend", has_legends),
    ("rates span $__rate_interval", spans_the_rate_interval),
    ("counters are seen as rates", rates_counters),
    ("quantiles keep le", keeps_le),
    (
        "queries obey the variables job and instance",
        obeys_job_and_instance,
    ),
    ("the variables are there and refresh", has_variables),
    ("runs are marked by annotations", marks_runs),
    ("timelines say the words of their mappings", says_words),
    ("tables have one row for each contender", merges_tables),
    ("a contender has one colour", colours_contenders),
];

/// The panels that show data: not rows, not text.
fn data_panels(board: &Board) -> Vec<&Value> {
    let panels = board.panels().into_iter();
    panels
        .filter(|panel| !["row", "text"].contains(&text(&panel["type"])))
        .collect()
}

/// Complaints about each data panel.
fn of_panels(board: &Board, complain: impl Fn(&Value) -> Option<String>) -> Vec<String> {
    let panels = data_panels(board).into_iter();
    panels
        .filter_map(|panel| complain(panel).map(|what| format!("{}: {what}", board.place(panel))))
        .collect()
}

fn fits_the_schema(board: &Board) -> Vec<String> {
    let schema = schema::dashboard();
    let mut problems = schema::problems(&schema, "dashboard", &board.json);
    for panel in board.panels() {
        let kind = text(&panel["type"]);
        if kind == "row" {
            continue;
        }
        let mut found = schema::problems(&schema, kind, &panel["options"]);
        let custom = &panel["fieldConfig"]["defaults"]["custom"];
        if !custom.is_null() {
            found.extend(schema::problems(&schema, &format!("{kind} field"), custom));
        }
        problems.extend(found.iter().map(|what| format!("{}: {what}", board.place(panel))));
    }
    let inputs = board.json.to_string().contains("${DS_");
    problems.extend(inputs.then(|| "${DS_…} is for imports by hand; files have nobody to ask".to_owned()));
    problems
}

fn has_unique_ids(board: &Board) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let panels = board.panels().into_iter();
    panels
        .filter(|panel| !seen.insert(panel["id"].as_u64()))
        .map(|panel| format!("{}: id {} stands twice", board.place(panel), panel["id"]))
        .collect()
}

fn lies_apart(board: &Board) -> Vec<String> {
    let area = |panel: &Value| {
        let at = |name: &str| panel["gridPos"][name].as_u64().unwrap_or(u64::MAX / 4);
        (at("x"), at("y"), at("x") + at("w"), at("y") + at("h"))
    };
    let panels = board.panels();
    let mut complaints = Vec::new();
    for (index, panel) in panels.iter().enumerate() {
        let (left, top, right, bottom) = area(panel);
        if right > 24 {
            complaints.push(format!("{}: it ends at column {right} of 24", board.place(panel)));
        }
        for other in &panels[..index] {
            let (other_left, other_top, other_right, other_bottom) = area(other);
            if left < other_right && other_left < right && top < other_bottom && other_top < bottom {
                complaints.push(format!(
                    "{} overlaps {}",
                    board.place(panel),
                    text(&other["title"])
                ));
            }
        }
    }
    complaints
}

fn is_described(board: &Board) -> Vec<String> {
    let panels = board.panels().into_iter().filter(|panel| panel["type"] != "row");
    let mut complaints: Vec<String> = panels
        .filter(|panel| text(&panel["title"]).is_empty() || text(&panel["description"]).len() < 60)
        .map(|panel| format!("{}: no title, or nothing to conclude", board.place(panel)))
        .collect();
    if text(&board.json["description"]).is_empty() || text(&board.json["title"]).is_empty() {
        complaints.push(format!(
            "{}: the dashboard itself has no title or description",
            board.file
        ));
    }
    complaints
}

fn has_units(board: &Board) -> Vec<String> {
    let known =
        |unit: &str| UNITS.contains(&unit) || unit.strip_prefix("suffix:").is_some_and(|own| !own.is_empty());
    of_panels(board, |panel| {
        let unit = text(&panel["fieldConfig"]["defaults"]["unit"]);
        let overrides = items(&panel["fieldConfig"]["overrides"]).iter();
        let changed = overrides
            .flat_map(|change| items(&change["properties"]))
            .filter(|property| property["id"] == "unit")
            .map(|property| text(&property["value"]));
        let unknown: Vec<&str> = std::iter::once(unit)
            .chain(changed)
            .filter(|unit| !known(unit))
            .collect();
        (!unknown.is_empty()).then(|| format!("Grafana has no unit {unknown:?}"))
    })
}

fn uses_the_data_source(board: &Board) -> Vec<String> {
    let wrong = |thing: &Value| {
        thing["datasource"]["uid"] != "${datasource}" || thing["datasource"]["type"] != "prometheus"
    };
    let mut complaints = of_panels(board, |panel| {
        let targets = items(&panel["targets"]);
        if targets.is_empty() {
            return Some("it asks nothing".to_owned());
        }
        (wrong(panel) || targets.iter().any(wrong)).then(|| "another data source".to_owned())
    });
    let queried = board
        .variables()
        .iter()
        .filter(|variable| variable["type"] == "query");
    let others = queried.chain(board.annotations()).filter(|thing| wrong(thing));
    complaints.extend(others.map(|thing| format!("{}: another data source", text(&thing["name"]))));
    complaints
}

fn has_legends(board: &Board) -> Vec<String> {
    of_panels(board, |panel| {
        let missing = items(&panel["targets"])
            .iter()
            .any(|target| text(&target["legendFormat"]).is_empty());
        missing.then(|| "a query without a legend".to_owned())
    })
}

fn spans_the_rate_interval(board: &Board) -> Vec<String> {
    let rates = ["rate", "irate", "increase"];
    complain_of_selectors(board, |selector| {
        (rates.contains(&selector.function.as_str()) && selector.range != "$__rate_interval")
            .then(|| format!("{}({}[{}])", selector.function, selector.name, selector.range))
    })
}

fn rates_counters(board: &Board) -> Vec<String> {
    let complaints = complain_of_selectors(board, |selector| {
        let counts = ["_total", "_bucket", "_sum", "_count"]
            .iter()
            .any(|end| selector.name.ends_with(end));
        let rated = ["rate", "irate", "increase"].contains(&selector.function.as_str());
        (counts && !rated).then(|| format!("{} is a counter and not seen as a rate", selector.name))
    });
    let excused = |complaint: &str| {
        TOTALS
            .iter()
            .any(|title| complaint.contains(&format!(": {title}: ")))
    };
    complaints
        .into_iter()
        .filter(|complaint| !excused(complaint))
        .collect()
}

fn keeps_le(board: &Board) -> Vec<String> {
    let queries = board.panel_queries().into_iter();
    queries
        .filter(|query| query.expression.contains("_bucket"))
        .filter(|query| !query.expression.contains("le)"))
        .map(|query| format!("{}: {} sums over le", query.place, query.expression))
        .collect()
}

/// What our rules record has no job and no instance any more; and who looks at one job on purpose says so.
fn obeys_job_and_instance(board: &Board) -> Vec<String> {
    complain_of_selectors(board, |selector| {
        let excused = selector.name.contains(':')
            || ["job=\"client\"", "job=\"lab\""]
                .iter()
                .any(|job| selector.matchers.contains(job));
        let obeys = ["job=~\"$job\"", "instance=~\"$instance\""]
            .iter()
            .all(|matcher| selector.matchers.contains(matcher));
        (!excused && !obeys).then(|| format!("{}{{{}}} ignores them", selector.name, selector.matchers))
    })
}

/// Complaints about each selector of panels and annotations.
fn complain_of_selectors(board: &Board, complain: impl Fn(&Selector) -> Option<String>) -> Vec<String> {
    let mut complaints = Vec::new();
    for query in board
        .panel_queries()
        .into_iter()
        .chain(board.annotation_queries())
    {
        let found = selectors(&query.expression);
        complaints.extend(
            found
                .iter()
                .filter_map(&complain)
                .map(|what| format!("{}: {what}", query.place)),
        );
    }
    complaints
}

fn has_variables(board: &Board) -> Vec<String> {
    let mut complaints = Vec::new();
    for name in VARIABLES {
        let Some(variable) = board
            .variables()
            .iter()
            .find(|variable| variable["name"] == *name)
        else {
            complaints.push(format!("{}: no variable `{name}`", board.file));
            continue;
        };
        if *name == "datasource" {
            if variable["type"] != "datasource" || variable["query"] != "prometheus" {
                complaints.push(format!("{}: `datasource` must choose a Prometheus", board.file));
            }
        } else if variable["refresh"] != 2 {
            complaints.push(format!("{}: `{name}` does not follow the time range", board.file));
        } else if *name == "job" {
            // The linter wants .+ here too. But servers and clients share process metrics and the label contender:
            // .+ would add them up, where the values found are the jobs that this dashboard is about.
            if variable["includeAll"] != true || !variable["allValue"].is_null() {
                complaints.push(format!(
                    "{}: `job` must mean the jobs found when it means all",
                    board.file
                ));
            }
        } else if *name != "run" && (variable["multi"] != true || variable["allValue"] != ".+") {
            complaints.push(format!(
                "{}: `{name}` must take several values, and .+ for all",
                board.file
            ));
        }
    }
    complaints
}

fn marks_runs(board: &Board) -> Vec<String> {
    let queries = board.annotation_queries();
    let marked = queries.iter().any(|query| {
        query.expression.contains("echolab_phase")
            && query.expression.contains("phase=\"slice\"")
            && query.expression.contains("$run")
    });
    let mut complaints = Vec::new();
    if !marked {
        complaints.push(format!("{}: slices are not marked", board.file));
    }
    // Two dashed lines for each slice of each contender: after a few minutes nothing else is seen.
    let annotations = board.annotations();
    let drawn = annotations
        .iter()
        .any(|annotation| annotation["name"] == "Slices" && annotation["enable"] != false);
    if drawn {
        complaints.push(format!(
            "{}: marks of slices hide the curves until switched off",
            board.file
        ));
    }
    complaints
}

/// Where equal values are merged, Grafana takes the ranges of thresholds for values, and forgets the mappings.
fn says_words(board: &Board) -> Vec<String> {
    of_panels(board, |panel| {
        let ranges = panel["type"] == "state-timeline"
            && panel["options"]["mergeValues"] != false
            && panel["fieldConfig"]["defaults"]["color"]["mode"] == "thresholds";
        ranges.then(|| "it shows ranges of thresholds instead of words".to_owned())
    })
}

/// The tabular join has a row for each pair of queries that share a contender; `merge` has one for each contender.
fn merges_tables(board: &Board) -> Vec<String> {
    of_panels(board, |panel| {
        let pairs = items(&panel["transformations"])
            .iter()
            .any(|step| step["id"] == "joinByField" && step["options"]["mode"] == "outerTabular");
        (pairs && items(&panel["targets"]).len() > 2).then(|| "a row for each pair of queries".to_owned())
    })
}

fn colours_contenders(board: &Board) -> Vec<String> {
    of_panels(board, |panel| {
        let of_contenders = items(&panel["targets"])
            .iter()
            .all(|target| target["legendFormat"] == "{{contender}}");
        if !of_contenders || ["table", "state-timeline"].contains(&text(&panel["type"])) {
            return None;
        }
        let overrides = items(&panel["fieldConfig"]["overrides"]);
        let other = COLOURS.iter().find(|(contender, colour)| {
            let pattern = format!("/(^|: ){contender}(:|$)/");
            let own = overrides
                .iter()
                .find(|change| change["matcher"]["options"] == *pattern);
            let properties = own.map_or(&[][..], |change| items(&change["properties"]));
            !properties
                .iter()
                .any(|property| property["id"] == "color" && property["value"]["fixedColor"] == *colour)
        });
        other.map(|(contender, colour)| format!("{contender} is not {colour}"))
    })
}
