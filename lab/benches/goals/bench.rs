//! Starts the lab and reads what it found.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::process::Command;

use lab::contender::external::EXTERNALS;
use model::comparison;
use model::figure::Figure;
use model::result::LabResult;
use model::run::{Cycle, Run};
use model::statistics::{self, Estimate};
use model::verdict::Verdict;

/// Seeds the intervals.
const SEED: u64 = 1;

/// Slices of each contender per start of all.
const CYCLES: u32 = 5;

/// What all sections share.
pub struct Bench {
    /// Where results are kept.
    pub folder: PathBuf,
    /// Messages per second that are offered to each contender in open loops.
    pub rate: u32,
    cycles: u32,
    machine: RefCell<String>,
}

impl Bench {
    /// Reads what the user changes.
    pub fn from_environment() -> Bench {
        let number = |name: &str, default: u32| {
            std::env::var(name).map_or(default, |text| {
                text.parse()
                    .unwrap_or_else(|_| panic!("{name}={text} should be a number such as {default}"))
            })
        };
        let folder = repository().join("target/goals");
        std::fs::create_dir_all(&folder).expect("target/ can be written");
        Bench {
            folder,
            rate: number("GOALS_RATE", 40_000),
            cycles: number("GOALS_CYCLES", 40),
            machine: RefCell::default(),
        }
    }

    /// Where and how it was measured, in a sentence.
    pub fn conditions(&self) -> String {
        format!(
            "{}{} cycles of 200 ms slices in rounds of {CYCLES}, {} messages/s where it says no other; means over rounds with 95 % intervals.\n",
            self.machine.borrow(),
            self.cycles,
            self.rate
        )
    }

    /// One run of the lab, `action` being `run` or `sweep`, with these words after it.
    pub fn lab(&self, section: &str, action: &str, words: &[String]) -> Result<LabResult, String> {
        self.lab_for(1, section, action, words)
    }

    /// One run with the defaults of `lab run`. A finished result that lies in the folder already is taken as it is, so that an
    /// interrupted benchmark goes on where it ended.
    pub fn by_default(&self, folder: &str, words: &[String]) -> Result<LabResult, String> {
        let output = self.folder.join(folder);
        match lab::store::load(&output.join("latest/result.json")) {
            Ok(kept) if kept.complete => Ok(kept),
            _ => self.start(&output, "run", words),
        }
    }

    /// The same with `times` as many cycles.
    pub fn lab_for(
        &self,
        times: u32,
        section: &str,
        action: &str,
        words: &[String],
    ) -> Result<LabResult, String> {
        let rounds = (times * self.cycles).div_ceil(CYCLES).to_string();
        let cycles = CYCLES.to_string();
        let fixed = ["--slice", "200ms", "--cycles", &cycles, "--rounds", &rounds].map(str::to_owned);
        self.start(&self.folder.join(section), action, &[&fixed[..], words].concat())
    }

    /// The lab with these words, without flags that the environment would set.
    pub fn command(output: &Path, action: &str, words: &[String]) -> Command {
        let kept = ["PATH", "HOME", "TERM", "LANG"].map(|name| (name, std::env::var_os(name)));
        let kept = kept.into_iter().filter_map(|(name, value)| Some((name, value?)));
        let mut command = Command::new(env!("CARGO_BIN_EXE_lab"));
        command.current_dir(repository()).env_clear().envs(kept);
        command.arg(action).arg("--output").arg(output).args(words);
        command
    }

    fn start(&self, output: &Path, action: &str, words: &[String]) -> Result<LabResult, String> {
        let status = Bench::command(output, action, words)
            .status()
            .map_err(|error| format!("the lab cannot be started: {error}"))?;
        // Runs that cannot be believed become rows that say so (exit code 5).
        if !matches!(status.code(), Some(0 | 5)) {
            return Err(format!("the lab ended with {status}"));
        }
        let result =
            lab::store::load(&output.join("latest/result.json")).map_err(|error| format!("{error:#}"))?;
        let machine = &result.machine;
        *self.machine.borrow_mut() = format!(
            "{}, {} CPUs, Linux {}; ",
            machine.cpu_model.as_deref().unwrap_or("unknown processor"),
            machine.cpus,
            machine.kernel.as_deref().unwrap_or("of unknown version")
        );
        Ok(result)
    }
}

/// The root of the repository.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the crate lies in the repository")
}

/// The servers of this repository that are built apart, whether they can run here or not.
pub fn peers() -> impl Iterator<Item = &'static str> {
    EXTERNALS.iter().map(|external| external.name)
}

/// A run that may be believed, or why there is none.
pub fn ok_run<'a>(result: &'a LabResult, scenario: &str, contender: &str) -> Result<&'a Run, String> {
    let Some(run) = result.run(scenario, contender) else {
        let skipped = result
            .skipped
            .iter()
            .find(|skipped| skipped.contender == contender);
        return Err(skipped.map_or_else(|| "did not run".to_owned(), |skipped| skipped.why.clone()));
    };
    if run.is_ok() {
        Ok(run)
    } else {
        Err(format!("{contender}: {}", run.verdict_text()))
    }
}

/// A run whose client may be the bottleneck: in a closed loop on few CPUs one of the two always is, and what a message
/// costs each of them is what it costs. All else must be right with it.
fn flat_out<'a>(result: &'a LabResult, scenario: &str, contender: &str) -> Result<&'a Run, String> {
    match result.run(scenario, contender) {
        Some(run)
            if run
                .verdicts
                .iter()
                .all(|verdict| matches!(verdict, Verdict::Ok | Verdict::ClientBound | Verdict::Unstable)) =>
        {
            Ok(run)
        }
        _ => ok_run(result, scenario, contender),
    }
}

/// The ratio of two contenders' CPU per message in a closed loop, paired within cycles.
pub fn cpu_ratio_flat_out(
    result: &LabResult,
    scenario: &str,
    above: &str,
    below: &str,
) -> Result<Estimate, String> {
    paired(
        flat_out(result, scenario, above)?,
        flat_out(result, scenario, below)?,
    )
}

/// The ratio of two contenders' CPU per message, paired within cycles.
pub fn cpu_ratio(result: &LabResult, scenario: &str, above: &str, below: &str) -> Result<Estimate, String> {
    paired(ok_run(result, scenario, above)?, ok_run(result, scenario, below)?)
}

fn paired(above: &Run, below: &Run) -> Result<Estimate, String> {
    comparison::ratio(above, below, Figure::Cpu)
        .map(|ratio| ratio.estimate)
        .ok_or_else(|| "its CPU time is not known".to_owned())
}

/// The CPU per message of a contender's client over that of its server, in the same slices.
pub fn client_over_server(result: &LabResult, scenario: &str, contender: &str) -> Result<Estimate, String> {
    let run = flat_out(result, scenario, contender)?;
    let ratio =
        |cycle: &Cycle| Some(cycle.client_cpu_micros_per_message()? / cycle.server_cpu_micros_per_message()?);
    let rounds = run.rounds.iter();
    let ratios: Vec<Vec<f64>> = rounds
        .map(|round| round.cycles.iter().filter_map(ratio).collect())
        .collect();
    statistics::rounds::over_rounds(&ratios).ok_or_else(|| "its CPU time is not known".to_owned())
}

/// How much longer the 99th percentile of the response time is, in microseconds: the difference of two slices of one
/// cycle, over the cycles. A neighbour on the machine that stops everything for some milliseconds sets the 99th percentile
/// of a whole run, and of the few slices that it hit.
pub fn p99_more(result: &LabResult, scenario: &str, above: &str, below: &str) -> Result<Estimate, String> {
    let (above, below) = (ok_run(result, scenario, above)?, ok_run(result, scenario, below)?);
    let numbered = |run: &Run| -> Vec<((u32, u32), f64)> {
        let rounds = run.rounds.iter();
        let p99s = rounds.flat_map(|round| {
            let cycles = round.cycles.iter();
            cycles.filter_map(|cycle| Some(((round.round, cycle.cycle), cycle.response_micros_p99?)))
        });
        p99s.collect()
    };
    let below = numbered(below);
    let differences = numbered(above).into_iter().filter_map(|(number, p99)| {
        let (_, other) = below.iter().find(|(other, _)| *other == number)?;
        Some(p99 - other)
    });
    let differences: Vec<f64> = differences.collect();
    statistics::estimate(&differences, SEED).ok_or_else(|| "no cycle has both".to_owned())
}

/// A figure that is measured once a run.
pub fn single(figure: Option<f64>) -> Result<Estimate, String> {
    let median = figure.ok_or_else(|| "is not known".to_owned())?;
    Ok(Estimate {
        median,
        interval: None,
    })
}
