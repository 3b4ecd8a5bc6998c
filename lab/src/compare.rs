//! Pure: two results side by side: what each contender cost before and after, and whether chance explains the difference.

pub mod changes;
mod rules;
mod text;

pub use rules::decide;
pub use text::{markdown, terminal};

use changes::Change;
use model::comparison;
use model::figure::Figure;
use model::result::LabResult;
use model::run::Run;
use model::statistics::Estimate;
use model::threshold;

/// The figures that are shown, in their order.
pub const FIGURES: [Figure; 7] = [
    Figure::Cpu,
    Figure::Capacity,
    Figure::Resident,
    Figure::ResponseP50,
    Figure::ResponseP99,
    Figure::ResponseP999,
    Figure::WakeUps,
];

/// A result after another.
#[derive(Debug, Clone, PartialEq)]
pub struct Compared<'a> {
    /// The first one.
    pub before: &'a LabResult,
    /// The second one.
    pub after: &'a LabResult,
    /// What differs between the machines. Not empty: absolute figures are those of two machines.
    pub machine: Vec<Change>,
    /// What differs in how busy the machines were and in what was allowed there, which is no other machine.
    pub circumstances: Vec<Change>,
    /// What differs in what was asked for.
    pub config: Vec<Change>,
    /// The contender that both results compare all others to.
    pub baseline: Option<&'a str>,
    /// The scenarios that both have runs of.
    pub scenarios: Vec<Scenario<'a>>,
    /// The scenarios that only one has runs of, with a sentence each.
    pub alone: Vec<String>,
}

/// A scenario that both results have runs of.
#[derive(Debug, Clone, PartialEq)]
pub struct Scenario<'a> {
    /// Its name.
    pub name: &'a str,
    /// What makes its figures those of two different loads, a sentence each.
    pub unequal: Vec<String>,
    /// The contenders that both have a run of.
    pub contenders: Vec<Contender<'a>>,
    /// The contenders that only one has a run of, a sentence each.
    pub alone: Vec<String>,
}

/// A contender that both results have a run of.
#[derive(Debug, Clone, PartialEq)]
pub struct Contender<'a> {
    /// Its name.
    pub name: &'a str,
    /// Why its runs are not to be compared, if so.
    pub obstacle: Option<String>,
    /// Rounds of the result that has fewer.
    pub rounds: usize,
    /// One for each of [`FIGURES`].
    pub figures: Vec<BeforeAfter>,
}

/// A figure before and after.
#[derive(Debug, Clone, PartialEq)]
pub struct BeforeAfter {
    /// Which it is.
    pub figure: Figure,
    /// In the first result.
    pub before: Option<f64>,
    /// In the second one.
    pub after: Option<f64>,
    /// Whether each of the two is only a lower bound, before and after. Neither ratio is known then.
    pub at_least: [bool; 2],
    /// After over before, when both runs may be believed.
    pub direct: Option<Estimate>,
    /// Contender over baseline after, over the same before: whatever made all of a machine faster or slower is not in it.
    pub relative: Option<Estimate>,
}

/// What may be said of a ratio.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finding {
    /// Chance explains it.
    NotShown,
    /// It fell.
    Less,
    /// It rose.
    More,
    /// How far chance goes is not known: measured once a run, or in too few cycles.
    NoInterval,
}

impl Finding {
    /// What an estimate of a ratio shows.
    pub fn of(ratio: Estimate) -> Finding {
        match ratio.interval {
            None => Finding::NoInterval,
            Some(_) if ratio.holds_one() => Finding::NotShown,
            Some((low, _)) if low > 1.0 => Finding::More,
            Some(_) => Finding::Less,
        }
    }
}

impl Compared<'_> {
    /// Why a ratio of one contender to itself, without a baseline, would be that of two machines; `None` on the same.
    pub fn another_machine(&self) -> Option<String> {
        let fields: Vec<_> = self.machine.iter().map(|change| &*change.field).collect();
        (!fields.is_empty()).then(|| format!("the machines differ ({})", fields.join(", ")))
    }

    /// Which result is that of a run that was stopped before its end.
    pub fn stopped(&self) -> Vec<String> {
        [("before", self.before), ("after", self.after)]
            .into_iter()
            .filter(|(_, result)| !result.complete)
            .map(|(when, _)| format!("the result {when} is that of a run that was stopped before its end"))
            .collect()
    }
}

impl BeforeAfter {
    /// The ratio that words go by: between different machines the relative one alone, else the direct one.
    pub fn preferred(&self, machines_differ: bool) -> Option<Estimate> {
        if machines_differ {
            self.relative
        } else {
            self.direct
        }
    }

    /// Whether the direct ratio shows a difference that the relative one does not: as when the machine drifted, or the
    /// baseline changed too.
    pub fn gone_relatively(&self) -> bool {
        let shows = |ratio: Option<Estimate>| ratio.map(Finding::of);
        matches!(shows(self.direct), Some(Finding::Less | Finding::More))
            && shows(self.relative) == Some(Finding::NotShown)
    }
}

/// Compares two results.
pub fn compare<'a>(before: &'a LabResult, after: &'a LabResult) -> Compared<'a> {
    let (machine, circumstances) = changes::of_machine(&before.machine, &after.machine);
    let baseline = (before.config.baseline == after.config.baseline).then_some(&*before.config.baseline);
    let mut scenarios = Vec::new();
    let mut alone = Vec::new();
    for name in scenario_names(before) {
        if after.runs_of(name).next().is_none() {
            alone.push(format!("{name} was measured before alone"));
            continue;
        }
        scenarios.push(scenario(before, after, name, baseline));
    }
    for name in scenario_names(after) {
        if before.runs_of(name).next().is_none() {
            alone.push(format!("{name} was measured after alone"));
        }
    }
    Compared {
        before,
        after,
        machine,
        circumstances,
        config: changes::of_config(&before.config, &after.config),
        baseline,
        scenarios,
        alone,
    }
}

/// The scenarios that a result has runs of, in their order.
fn scenario_names(result: &LabResult) -> impl Iterator<Item = &str> {
    let names = result.config.scenarios.iter().map(|scenario| &*scenario.name);
    names.filter(|name| result.runs_of(name).next().is_some())
}

fn scenario<'a>(
    before: &'a LabResult,
    after: &'a LabResult,
    name: &'a str,
    baseline: Option<&str>,
) -> Scenario<'a> {
    let mut contenders = Vec::new();
    let mut alone = Vec::new();
    for run in before.runs_of(name) {
        match after.run(name, &run.contender) {
            Some(later) => {
                let baselines = baseline.and_then(|baseline| {
                    let believable =
                        |result: &'a LabResult| result.run(name, baseline).filter(|run| run.is_ok());
                    (baseline != run.contender).then_some(())?;
                    believable(before).zip(believable(after))
                });
                contenders.push(contender(run, later, baselines));
            }
            None => alone.push(format!("{} ran before alone", run.contender)),
        }
    }
    let new = after
        .runs_of(name)
        .filter(|run| before.run(name, &run.contender).is_none());
    alone.extend(new.map(|run| format!("{} ran after alone", run.contender)));
    Scenario {
        name,
        unequal: unequal(before, after, name),
        contenders,
        alone,
    }
}

/// What makes the figures of one scenario those of two different loads.
fn unequal(before: &LabResult, after: &LabResult, name: &str) -> Vec<String> {
    let mut unequal = Vec::new();
    let offered = |result: &LabResult| result.runs_of(name).find_map(|run| run.offered_per_second);
    if let Some((first, second)) = offered(before).zip(offered(after))
        && (second / first - 1.0).abs() > threshold::RATE_SHARE_MAX
    {
        unequal.push(format!(
            "{first:.0} messages/s were offered before and {second:.0} after, and a message's cost depends on the rate: give both runs the same --rate"
        ));
    }
    let load = |result: &LabResult| {
        let scenario = result
            .config
            .scenarios
            .iter()
            .find(|scenario| scenario.name == name)?;
        Some((scenario.connections, scenario.message_bytes, scenario.pace))
    };
    if let Some((first, second)) = load(before).zip(load(after))
        && first != second
    {
        unequal.push(
            "connections, message bytes or pace are not the same, so each figure is that of another load"
                .to_owned(),
        );
    }
    unequal
}

fn contender<'a>(before: &'a Run, after: &Run, baselines: Option<(&Run, &Run)>) -> Contender<'a> {
    let doubts: Vec<_> = [("before", before), ("after", after)]
        .into_iter()
        .filter(|(_, run)| !run.is_ok())
        .map(|(when, run)| format!("{when}: {}", run.verdict_text()))
        .collect();
    let obstacle = (!doubts.is_empty()).then(|| doubts.join("; "));
    let of = |figure: Figure| BeforeAfter {
        figure,
        before: figure.of(before),
        after: figure.of(after),
        at_least: [before, after].map(|run| figure.is_at_least(run)),
        direct: match obstacle {
            None => comparison::unpaired(after, before, figure),
            Some(_) => None,
        },
        relative: match (&obstacle, baselines) {
            (None, Some(baselines)) => relative((before, after), baselines, figure),
            _ => None,
        },
    };
    let figures = FIGURES.map(of).into();
    Contender {
        name: &before.contender,
        rounds: before.rounds.len().min(after.rounds.len()),
        figures,
        obstacle,
    }
}

/// The ratio of ratios: those of each result are formed within its cycles, which are pairs; the two results have no
/// cycle in common.
fn relative(runs: (&Run, &Run), baselines: (&Run, &Run), figure: Figure) -> Option<Estimate> {
    let ratios = |run, baseline| comparison::ratios(run, baseline, figure);
    match ratios(runs.1, baselines.1).zip(ratios(runs.0, baselines.0)) {
        Some((after, before)) => comparison::between_runs(comparison::Compared::Ratios, &after, &before),
        None => {
            let ratio = |run, baseline| Some(comparison::ratio(run, baseline, figure)?.estimate.median);
            let (after, before) = (ratio(runs.1, baselines.1)?, ratio(runs.0, baselines.0)?);
            (before > 0.0).then(|| Estimate {
                median: after / before,
                interval: None,
            })
        }
    }
}

#[cfg(test)]
mod tests;
