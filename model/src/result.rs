//! What `result.json` holds. The table, `report.md` and every other report are views of these types.

use serde::{Deserialize, Serialize};

use crate::comparison::Comparison;
use crate::config::Config;
use crate::figure::Figure;
use crate::machine::Machine;
use crate::machine_part::Taker;
use crate::profile::ProfileRecord;
use crate::run::Run;

/// The version of this format.
pub const SCHEMA: u32 = 2;

/// Everything that the lab found out in one go.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LabResult {
    /// The version of this format: [`SCHEMA`].
    pub schema: u32,
    /// Names this result: the UTC time of its start and a random part.
    pub run_id: String,
    /// When it was started: RFC 3339, UTC.
    pub started_at: String,
    /// The lab's version.
    pub version: String,
    /// Whether it came to its end; false while it goes on, and when it was stopped.
    pub complete: bool,
    /// Where it was measured.
    pub machine: Machine,
    /// The whole validated configuration.
    pub config: Config,
    /// What the lab decided on the way.
    pub notes: Vec<String>,
    /// Contenders that could not take part.
    pub skipped: Vec<Skipped>,
    /// One for each contender in each scenario, in the order in which they were run.
    pub runs: Vec<Run>,
    /// Programs that took CPU from servers and clients while cycles ran, by scenario, most first.
    #[serde(default)]
    pub takers: Vec<Taker>,
    /// Contenders against the baseline; while a scenario's cycles go on, the last of them may not be in here yet.
    pub comparisons: Vec<Comparison>,
    /// Where the CPU time went: from slices of their own after the measured ones, with `--profile`.
    #[serde(default)]
    pub profiles: Vec<ProfileRecord>,
}

/// A contender that could not take part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// In which scenario.
    pub scenario: String,
    /// Who.
    pub contender: String,
    /// Why, and what to change.
    pub why: String,
}

impl LabResult {
    /// The runs of one scenario.
    pub fn runs_of<'a>(&'a self, scenario: &'a str) -> impl Iterator<Item = &'a Run> {
        self.runs.iter().filter(move |run| run.scenario == scenario)
    }

    /// Who could not take part in one scenario.
    pub fn skipped_of<'a>(&'a self, scenario: &'a str) -> impl Iterator<Item = &'a Skipped> {
        self.skipped
            .iter()
            .filter(move |skipped| skipped.scenario == scenario)
    }

    /// One contender's run in one scenario.
    pub fn run(&self, scenario: &str, contender: &str) -> Option<&Run> {
        self.runs
            .iter()
            .find(|run| run.scenario == scenario && run.contender == contender)
    }

    /// The baseline's profile in the scenario of another contender's, when there is one.
    pub fn baseline_profile(&self, record: &ProfileRecord) -> Option<&ProfileRecord> {
        let baseline = &self.config.baseline;
        self.profiles.iter().find(|other| {
            other.contender == *baseline
                && other.scenario == record.scenario
                && record.contender != *baseline
                && other.missing.is_none()
        })
    }

    /// How a contender compares to the baseline.
    pub fn comparison(&self, scenario: &str, contender: &str, figure: Figure) -> Option<&Comparison> {
        self.comparisons.iter().find(|comparison| {
            comparison.scenario == scenario
                && comparison.contender == contender
                && comparison.metric == figure
        })
    }
}
