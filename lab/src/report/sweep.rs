//! Pure: a sweep as tables, one a metric: the values are its rows, the contenders its columns.

use super::figures::{count, decimal, mebibytes, missing, or_missing, significant};
use model::comparison;
use model::config::{Sweep, SweepPoint};
use model::figure::Figure;
use model::result::LabResult;
use model::run::Run;
use model::statistics::Estimate;

/// A table of one metric.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// What is in it.
    pub title: String,
    /// The parameter, then each contender.
    pub header: Vec<String>,
    /// The values of the parameter, with a figure for each contender.
    pub rows: Vec<Vec<String>>,
}

/// Blanks beside a column.
const PADDING: usize = 2;

impl Table {
    /// Itself, or tables of some of its contenders each, when it is wider than `width` characters.
    pub fn parts(self, width: usize) -> Vec<Table> {
        let lines = || std::iter::once(&self.header).chain(&self.rows);
        let wide = |column: usize| {
            let cells = lines().filter_map(|line| line.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0) + PADDING
        };
        let mut groups: Vec<Vec<usize>> = Vec::new();
        let mut room = 0;
        for column in 1..self.header.len() {
            match groups.last_mut() {
                Some(group) if wide(column) <= room => group.push(column),
                _ => {
                    groups.push(vec![column]);
                    room = width.saturating_sub(wide(0));
                }
            }
            room = room.saturating_sub(wide(column));
        }
        let part = |columns: Vec<usize>| {
            let pick = |line: &Vec<String>| {
                let cells = std::iter::once(&0)
                    .chain(&columns)
                    .filter_map(|column| line.get(*column));
                cells.cloned().collect()
            };
            Table {
                title: self.title.clone(),
                header: pick(&self.header),
                rows: self.rows.iter().map(pick).collect(),
            }
        };
        groups.into_iter().map(part).collect()
    }
}

/// Stands beside a figure that is not to be believed.
const MARK: &str = "!";

type Show = fn(f64) -> String;

/// The tables of a sweep; none when nothing is varied, or nothing was measured.
pub fn tables(result: &LabResult) -> Vec<Table> {
    let Some(sweep) = &result.config.sweep else {
        return Vec::new();
    };
    if result.runs.is_empty() {
        return Vec::new();
    }
    let millis: Show = |micros| significant(micros / 1e3);
    let first = sweep.points.first().map_or("", |point| &*point.label);
    let cpu = format!("CPU µs per message, and times that at {first} with its 95 % interval");
    let mut tables = vec![table(sweep, cpu, |family, point| {
        cell(result, family, point, |run| {
            let cost = or_missing(run.server.cpu_micros_per_message, |micros| decimal(micros, 2));
            match growth(result, sweep, family, point, run) {
                Some(ratio) => format!("{cost}  ×{}", interval(ratio)),
                None => cost,
            }
        })
    })];
    if sweep.families.len() > 1
        && let Some(baseline) = baseline(result, sweep)
    {
        let title =
            format!("CPU per message, times that of {baseline} at the same value, with its 95 % interval");
        tables.push(table(sweep, title, |family, point| {
            cell(result, family, point, |run| {
                if family == baseline {
                    return "baseline".to_owned();
                }
                let base = find(result, baseline, point).filter(|base| base.is_ok() && run.is_ok());
                let ratio = base.and_then(|base| comparison::ratio(run, base, Figure::Cpu));
                or_missing(ratio, |ratio| interval(ratio.estimate))
            })
        }));
    }
    let offered = |run: &Run| run.offered_per_second;
    if result.runs.iter().any(|run| offered(run).is_some()) && sweep.parameter != "rate" {
        tables.push(table(sweep, "offered messages/s".to_owned(), |family, point| {
            cell(result, family, point, |run| or_missing(offered(run), count))
        }));
    }
    for (title, figure, show) in [
        ("response time p50, ms", Figure::ResponseP50, millis),
        ("response time p99, ms", Figure::ResponseP99, millis),
        ("resident memory, MiB", Figure::Resident, mebibytes as Show),
        ("wake-ups per message", Figure::WakeUps, |switches| {
            decimal(switches, 2)
        }),
        ("capacity, messages/s", Figure::Capacity, count),
    ] {
        tables.push(table(sweep, title.to_owned(), |family, point| {
            cell(result, family, point, |run| {
                let bound = if figure.is_at_least(run) { "≥" } else { "" };
                or_missing(figure.of(run), |value| format!("{bound}{}", show(value)))
            })
        }));
    }
    tables
}

/// The family whose contender at the first point is the baseline.
fn baseline<'a>(result: &LabResult, sweep: &'a Sweep) -> Option<&'a str> {
    let first = sweep.points.first()?;
    let mut families = sweep.families.iter().map(String::as_str);
    families.find(|family| result.config.baseline == sweep.contender(family, first))
}

/// The run of a family at a point.
pub fn find<'a>(result: &'a LabResult, family: &str, point: &SweepPoint) -> Option<&'a Run> {
    let sweep = result.config.sweep.as_ref()?;
    result.run(&point.scenario, &sweep.contender(family, point))
}

/// What a message costs here over what it costs the same family at the first value: paired within cycles when both
/// are in one scenario.
fn growth(
    result: &LabResult,
    sweep: &Sweep,
    family: &str,
    point: &SweepPoint,
    run: &Run,
) -> Option<Estimate> {
    let first = sweep.points.first().filter(|first| *first != point)?;
    let base = find(result, family, first)?;
    if !base.is_ok() || !run.is_ok() {
        return None;
    }
    if first.scenario == point.scenario {
        Some(comparison::ratio(run, base, Figure::Cpu)?.estimate)
    } else {
        comparison::unpaired(run, base, Figure::Cpu)
    }
}

fn interval(ratio: Estimate) -> String {
    match ratio.interval {
        Some((low, high)) => format!("{:.2} [{low:.2}, {high:.2}]", ratio.median),
        None => format!("{:.2}", ratio.median),
    }
}

fn table(sweep: &Sweep, title: String, cell: impl Fn(&str, &SweepPoint) -> String) -> Table {
    let header = std::iter::once(&sweep.parameter)
        .chain(&sweep.families)
        .cloned()
        .collect();
    let row = |point: &SweepPoint| {
        let cells = sweep.families.iter().map(|family| cell(family, point));
        std::iter::once(point.label.clone()).chain(cells).collect()
    };
    Table {
        title,
        header,
        rows: sweep.points.iter().map(row).collect(),
    }
}

/// A cell that marks a run that is not to be believed, and says why there is none.
fn cell(result: &LabResult, family: &str, point: &SweepPoint, text: impl Fn(&Run) -> String) -> String {
    let Some(run) = find(result, family, point) else {
        let sweep = result.config.sweep.as_ref();
        let contender = sweep.map(|sweep| sweep.contender(family, point));
        let skipped = result.skipped_of(&point.scenario);
        let skipped = skipped
            .map(|skipped| &skipped.contender)
            .any(|name| Some(name) == contender.as_ref());
        return if skipped { "skipped".to_owned() } else { missing() };
    };
    if run.is_ok() {
        text(run)
    } else {
        format!("{} {MARK}", text(run))
    }
}

/// What the mark means, when it stands anywhere.
pub fn legend(result: &LabResult) -> Option<String> {
    let marked = result.config.sweep.is_some() && result.runs.iter().any(|run| !run.is_ok());
    marked.then(|| {
        format!(
            "{MARK}: a run that is not ok, left out of ratios; its verdict and why stand with its scenario."
        )
    })
}
