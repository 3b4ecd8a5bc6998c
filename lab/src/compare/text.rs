//! Pure: two results side by side, in words and tables, for a terminal and as markdown.

use model::figure::Figure;
use std::fmt::Write;

use super::changes::Change;
use super::{BeforeAfter, Compared, Contender, Finding, Scenario};
use crate::report::figures;
use crate::report::figures::{count, decimal, mebibytes, missing, or_missing, significant};
use crate::report::{markdown, terminal};
use model::statistics::Estimate;

/// Columns that hold names.
const NAMES: usize = 2;

/// For a terminal.
pub fn terminal(compared: &Compared<'_>) -> String {
    let mut out = String::new();
    for paragraph in opening(compared) {
        let _ = writeln!(out, "{paragraph}\n");
    }
    for (title, changes) in changes(compared) {
        let _ = writeln!(out, "{title}");
        for change in changes {
            let _ = writeln!(out, "  {}: {} -> {}", change.field, change.before, change.after);
        }
        out.push('\n');
    }
    for scenario in &compared.scenarios {
        let table = terminal::figures_table(header(compared), rows(compared, scenario), NAMES);
        let _ = writeln!(out, "{}\n{table}", scenario.name);
        for remark in remarks(compared, scenario) {
            let _ = writeln!(out, "  * {remark}");
        }
        out.push('\n');
    }
    for remark in closing(compared) {
        let _ = writeln!(out, "{remark}");
    }
    out
}

/// As markdown.
pub fn markdown(compared: &Compared<'_>) -> String {
    let mut out = format!(
        "# {} after {}\n",
        markdown::escaped(&compared.after.run_id),
        markdown::escaped(&compared.before.run_id)
    );
    for paragraph in opening(compared) {
        let _ = write!(out, "\n{}\n", markdown::escaped(&paragraph));
    }
    for scenario in &compared.scenarios {
        let _ = write!(out, "\n## {}\n\n", markdown::escaped(scenario.name));
        out.push_str(&markdown::table(
            &header(compared),
            &rows(compared, scenario),
            NAMES,
        ));
        out.push('\n');
        for remark in remarks(compared, scenario) {
            let _ = writeln!(out, "- {}", markdown::escaped(&remark));
        }
    }
    for (title, changes) in changes(compared) {
        let _ = write!(out, "\n## {title}\n\n");
        let header = ["field", "before", "after"].map(str::to_owned);
        let rows: Vec<_> = changes
            .iter()
            .map(|change| vec![change.field.clone(), change.before.clone(), change.after.clone()])
            .collect();
        out.push_str(&markdown::table(&header, &rows, header.len()));
    }
    out.push_str("\n## How to read it\n\n");
    for remark in closing(compared) {
        let _ = writeln!(out, "- {}", markdown::escaped(&remark));
    }
    out
}

/// A ratio with its interval.
pub fn ratio(estimate: Estimate) -> String {
    match estimate.interval {
        Some((low, high)) => format!("{:.3} [{low:.3}, {high:.3}]", estimate.median),
        None => format!("{:.3}", estimate.median),
    }
}

/// Warnings first, then what is compared, then the answers.
fn opening(compared: &Compared<'_>) -> Vec<String> {
    let mut opening = Vec::new();
    if let Some(differ) = compared.another_machine() {
        let remedy = match compared.baseline {
            Some(baseline) => format!(
                "Absolute figures are those of two machines; what compares are ratios to {baseline}, which the words below go by."
            ),
            None => "The two results have no baseline in common, so nothing tells the machines' difference from the contenders'.".to_owned(),
        };
        opening.push(format!("WARNING: {differ}. {remedy}"));
    }
    let stopped = compared.stopped().into_iter();
    opening.extend(stopped.map(|what| format!("WARNING: {what}.")));
    let described = |result: &model::result::LabResult| {
        format!(
            "{} ({}, lab {})",
            result.run_id, result.started_at, result.version
        )
    };
    opening.push(format!(
        "Before: {}\nAfter:  {}",
        described(compared.before),
        described(compared.after)
    ));
    for scenario in &compared.scenarios {
        if !scenario.unequal.is_empty() {
            opening.push(format!(
                "{}, CPU per message: not comparable, because {}.",
                scenario.name,
                scenario.unequal.join("; ")
            ));
            continue;
        }
        let answers: Vec<_> = scenario
            .contenders
            .iter()
            .map(|contender| answer(compared, contender))
            .collect();
        if !answers.is_empty() {
            opening.push(format!(
                "{}, CPU per message: {}.",
                scenario.name,
                answers.join("; ")
            ));
        }
    }
    if compared.scenarios.is_empty() {
        opening
            .push("The two results have no scenario in common, so there is nothing to compare.".to_owned());
    }
    opening
}

fn answer(compared: &Compared<'_>, contender: &Contender<'_>) -> String {
    let who = contender.name;
    if let Some(obstacle) = &contender.obstacle {
        return format!("{who} cannot be compared ({obstacle})");
    }
    let differ = !compared.machine.is_empty();
    let cpu = contender
        .figures
        .iter()
        .find(|figure| figure.figure == Figure::Cpu);
    let Some((figure, direct)) = cpu.and_then(|figure| Some((figure, figure.direct?))) else {
        return format!("{who}: not known both times");
    };
    let Some(estimate) = figure.preferred(differ) else {
        return format!("{who} {} times, on another machine", ratio(direct));
    };
    let to = match compared.baseline {
        Some(baseline) if differ => format!(", relative to {baseline},"),
        _ => String::new(),
    };
    let said = match Finding::of(estimate) {
        Finding::NotShown => format!("{who}{to} no difference shown"),
        Finding::Less => format!("{who}{to} took less the second time"),
        Finding::More => format!("{who}{to} took more the second time"),
        Finding::NoInterval => format!(
            "{who}{to} {}, so chance is not excluded",
            figures::too_few(contender.rounds)
        ),
    };
    let doubt = match compared.baseline {
        Some(baseline) if !differ && figure.gone_relatively() => {
            format!(" (but relative to {baseline} no difference is shown)")
        }
        _ => String::new(),
    };
    format!("{said}, {} times{doubt}", ratio(estimate))
}

/// What changed, by title.
fn changes<'a>(compared: &'a Compared<'_>) -> Vec<(&'static str, &'a [Change])> {
    let all = [
        ("Changes of the machine", &compared.machine[..]),
        ("Changes of circumstances", &compared.circumstances[..]),
        ("Changes of the configuration", &compared.config[..]),
    ];
    all.into_iter()
        .filter(|(_, changes)| !changes.is_empty())
        .collect()
}

fn header(compared: &Compared<'_>) -> Vec<String> {
    let mut header = ["contender", "figure", "before", "after", "after/before"]
        .map(str::to_owned)
        .to_vec();
    if let Some(baseline) = compared.baseline {
        header.push(format!("relative to {baseline}"));
    }
    header.push("finding".to_owned());
    header
}

fn rows(compared: &Compared<'_>, scenario: &Scenario<'_>) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    for contender in &scenario.contenders {
        for figure in &contender.figures {
            let (title, shown) = appearance(figure.figure);
            let side = |value: Option<f64>, at_least: bool| {
                or_missing(value, |value| {
                    format!("{}{}", if at_least { "≥" } else { "" }, shown(value))
                })
            };
            let mut row = vec![
                contender.name.to_owned(),
                title.to_owned(),
                side(figure.before, figure.at_least[0]),
                side(figure.after, figure.at_least[1]),
                or_missing(figure.direct, ratio),
            ];
            if compared.baseline.is_some() {
                row.push(or_missing(figure.relative, ratio));
            }
            row.push(if scenario.unequal.is_empty() {
                finding(compared, contender, figure)
            } else {
                "not comparable".to_owned()
            });
            rows.push(row);
        }
    }
    rows
}

fn finding(compared: &Compared<'_>, contender: &Contender<'_>, figure: &BeforeAfter) -> String {
    if contender.obstacle.is_some() {
        return "not compared".to_owned();
    }
    if figure.at_least.contains(&true) {
        return "not known".to_owned();
    }
    let Some(estimate) = figure.preferred(!compared.machine.is_empty()) else {
        return figure
            .direct
            .map_or_else(missing, |_| "another machine".to_owned());
    };
    match Finding::of(estimate) {
        Finding::NotShown => "no difference shown",
        Finding::Less => "less",
        Finding::More => "more",
        Finding::NoInterval => "no interval",
    }
    .to_owned()
}

/// A figure's title, and how its values are shown.
fn appearance(figure: Figure) -> (&'static str, fn(f64) -> String) {
    let millis = |micros: f64| significant(micros / 1e3);
    match figure {
        Figure::Cpu => ("CPU µs/msg", |micros| decimal(micros, 2)),
        Figure::Capacity => ("capacity/s", count),
        Figure::Resident => ("memory MiB", mebibytes),
        Figure::ResponseP50 => ("p50 ms", millis),
        Figure::ResponseP99 => ("p99 ms", millis),
        Figure::ResponseP999 => ("p99.9 ms", millis),
        _ => ("wake-ups/msg", |switches| decimal(switches, 2)),
    }
}

/// What a reader must know before believing a scenario's table.
fn remarks(compared: &Compared<'_>, scenario: &Scenario<'_>) -> Vec<String> {
    let mut remarks: Vec<String> = scenario
        .unequal
        .iter()
        .map(|what| format!("Not comparable, because it is not the same load: {what}."))
        .collect();
    for contender in &scenario.contenders {
        if let Some(obstacle) = &contender.obstacle {
            remarks.push(format!(
                "{} is not compared, because its run is not ok ({obstacle}); that result's report says why.",
                contender.name
            ));
        }
        if let Some(baseline) = compared.baseline.filter(|_| scenario.unequal.is_empty()) {
            let gone: Vec<_> = contender
                .figures
                .iter()
                .filter(|figure| figure.gone_relatively())
                .map(|figure| appearance(figure.figure).0)
                .collect();
            if !gone.is_empty() {
                remarks.push(format!(
                    "{}, {}: changed, but not relative to {baseline}: the machine drifted, or {baseline} changed likewise.",
                    contender.name,
                    gone.join(", ")
                ));
            }
        }
    }
    remarks.extend(scenario.alone.iter().map(|who| format!("{who}.")));
    remarks
}

/// How to read the tables.
fn closing(compared: &Compared<'_>) -> Vec<String> {
    let mut closing: Vec<_> = compared.alone.iter().map(|what| format!("{what}.")).collect();
    closing.push(
        "after/before: below 1 the figure fell. Brackets: the 95 % interval from how the rounds of both differ, and how whole runs differ: by at most 2.6 % in costs and 0.5 % in ratios (standard deviations, measured on a virtual machine with 2 CPUs). An interval that holds 1 shows no difference, which is not to say that there is none. Two runs, one after the other, prove no small change, since the machine changes between them. To settle it, measure both versions in one run: --contender name=old,… --contender name=new,….".to_owned(),
    );
    if let Some(baseline) = compared.baseline {
        closing.push(format!(
            "relative to {baseline}: the ratio of each contender to {baseline}, after over before. What made the whole machine faster or slower is not in it, and a change of {baseline} itself is in all of them."
        ));
    } else {
        closing.push(format!(
            "The baselines differ ({} and {}), so there is no ratio that a machine's drift would leave alone.",
            compared.before.config.baseline, compared.after.config.baseline
        ));
    }
    let figures = compared
        .scenarios
        .iter()
        .flat_map(|scenario| &scenario.contenders)
        .flat_map(|contender| &contender.figures);
    if figures.into_iter().any(|figure| figure.at_least.contains(&true)) {
        closing.push(
            "≥: the client was the bottleneck while capacity was measured; the server's is at least this, so it has no ratio."
                .to_owned(),
        );
    }
    closing.push(
        "Capacity, p99.9 and wake-ups are measured once a run, so they have no interval. Ratios of p50 and p99 are those of the cycles; the columns show the quantiles of all cycles together.".to_owned(),
    );
    closing
}
