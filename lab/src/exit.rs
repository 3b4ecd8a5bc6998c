//! The exit codes of the lab, and which counts when several apply.

use std::process::ExitCode;

use crate::report::decisions;
use model::decision::{Decision, Outcome};
use model::result::LabResult;
use model::rule::Undecided;

/// How the lab ended. Later ones count before earlier ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// All went well, and no rule holds.
    Done,
    /// A rule is undecided: its bound lies within the interval.
    Undecided,
    /// Nothing can be said: no run of a scenario can be believed, a contender that the user named did not take part, or a
    /// rule asks for a figure that is not there.
    NothingKnown,
    /// A rule holds.
    RuleHolds,
    /// Something failed on the way.
    Failure,
    /// The input was wrong.
    Input,
    /// The user stopped it.
    Stopped,
}

impl Exit {
    /// The number that a shell sees.
    pub fn code(self) -> u8 {
        match self {
            Exit::Done => 0,
            Exit::Failure => 1,
            Exit::Input => 2,
            Exit::RuleHolds => 3,
            Exit::Undecided => 4,
            Exit::NothingKnown => 5,
            Exit::Stopped => 130,
        }
    }

    /// What the decisions on rules make of it. Each one but a rule that does not hold is said on standard error.
    pub fn of_rules(decisions: &[Decision], undecided: Undecided) -> Exit {
        let exit = |decision: &Decision| match decision.outcome {
            Outcome::DoesNotHold => Exit::Done,
            Outcome::Undecided if undecided == Undecided::Pass => Exit::Done,
            Outcome::Undecided => Exit::Undecided,
            Outcome::NothingKnown => Exit::NothingKnown,
            Outcome::Holds => Exit::RuleHolds,
        };
        for decision in decisions {
            let word = match exit(decision) {
                Exit::Done if decision.outcome == Outcome::DoesNotHold => "passed",
                Exit::Done => "passed (--undecided pass)",
                _ => "failed",
            };
            eprintln!("{word}: {}", decisions::line(decision));
        }
        decisions.iter().map(exit).max().unwrap_or(Exit::Done)
    }

    /// What the runs make of it; says why on standard error. `named` are the contenders that the user named.
    pub fn of_runs(result: &LabResult, named: &[String]) -> Exit {
        let mut exit = Exit::Done;
        let mut say = |why: String| {
            eprintln!("error: {why}");
            exit = Exit::NothingKnown;
        };
        for skipped in &result.skipped {
            if named.contains(&skipped.contender) {
                say(format!(
                    "{} did not take part in {}: {}",
                    skipped.contender, skipped.scenario, skipped.why
                ));
            }
        }
        for scenario in &result.config.scenarios {
            let mut runs = result.runs_of(&scenario.name).peekable();
            if runs.peek().is_some() && !runs.any(model::run::Run::is_ok) {
                say(format!(
                    "no run of {} can be believed; the reasons stand above",
                    scenario.name
                ));
            }
        }
        exit
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit.code())
    }
}

/// The exit codes in words, for help texts.
pub const EXIT_CODES: &str = "Exit codes: 0 no rule holds; 1 a failure on the way; 2 wrong input; 3 a rule of --fail-if holds; \
    4 a rule is undecided, since its bound lies within the interval (--undecided pass makes that 0); 5 no run of a scenario \
    can be believed, a contender that you named did not take part, or a rule asks for a figure that is not there; 130 stopped. \
    When several apply, the first of 2, 1, 3, 5, 4 counts.";

#[cfg(test)]
mod tests {
    use super::*;
    use model::decision::Found;

    fn decisions(outcomes: &[Outcome]) -> Vec<Decision> {
        let decision = |outcome: &Outcome| Decision {
            rule: "x cpu_micros_per_message > 1".parse().unwrap(),
            scenario: None,
            outcome: *outcome,
            found: Found::Value(1.0),
        };
        outcomes.iter().map(decision).collect()
    }

    #[test]
    fn the_gravest_decision_counts() {
        use Outcome::{DoesNotHold, Holds, NothingKnown};
        for (outcomes, undecided, code) in [
            (&[][..], Undecided::Fail, 0),
            (&[DoesNotHold], Undecided::Fail, 0),
            (&[DoesNotHold, Outcome::Undecided], Undecided::Fail, 4),
            (&[DoesNotHold, Outcome::Undecided], Undecided::Pass, 0),
            (&[NothingKnown, Outcome::Undecided], Undecided::Fail, 5),
            (&[NothingKnown, Outcome::Undecided], Undecided::Pass, 5),
            (&[Holds, NothingKnown, Outcome::Undecided], Undecided::Fail, 3),
        ] {
            let exit = Exit::of_rules(&decisions(outcomes), undecided);
            assert_eq!(exit.code(), code, "{outcomes:?}");
        }
    }
}
