//! What all charts of a scenario share: its runs, the numbers of its contenders, and how a doubtful run is marked.

use model::result::LabResult;
use model::run::Run;
use model::scenario::Scenario;

/// A scenario's runs as its charts show them.
pub struct Charts<'a> {
    /// Where they are from.
    pub result: &'a LabResult,
    /// The scenario.
    pub scenario: &'a Scenario,
    /// Begins the id of each chart.
    pub id: String,
}

impl Charts<'_> {
    /// Its runs, in their order.
    pub fn runs(&self) -> impl Iterator<Item = &Run> {
        self.result.runs_of(&self.scenario.name)
    }

    /// The number of a contender: its place in the configuration, which gives it colour, marker and kind of line.
    pub fn index(&self, contender: &str) -> usize {
        let contenders = &self.result.config.contenders;
        contenders
            .iter()
            .position(|known| known.name == contender)
            .unwrap_or(contenders.len())
    }

    /// The id of one of its charts.
    pub fn chart_id(&self, name: &str) -> String {
        format!("{}-{name}", self.id)
    }
}

/// What follows the figure, or the name, of a run that is not ok: its worst verdict, and how many there are besides.
pub fn doubt(run: &Run) -> String {
    match run.verdicts.as_slice() {
        _ if run.is_ok() => String::new(),
        [] => " ⚠".to_owned(),
        [only] => format!(" ⚠ {only}"),
        [worst, others @ ..] => format!(" ⚠ {worst} +{}", others.len()),
    }
}
