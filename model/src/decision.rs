//! What a rule says of a result: it holds, it does not hold, it is undecided, or nothing is known.

use crate::comparison;
use crate::figure::Figure;
use crate::result::LabResult;
use crate::rule::{Operator, Rule};
use crate::run::Run;
use crate::statistics::Estimate;
use crate::verdict::Verdict;

/// What a rule says of one scenario.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// The figure is on the other side of the bound, and so is its whole interval.
    DoesNotHold,
    /// The bound lies within the interval, or there is no interval to tell.
    Undecided,
    /// There is no such figure: a run that is missing or not ok, a figure that is not known.
    NothingKnown,
    /// The figure is beyond the bound, and so is its whole interval.
    Holds,
}

/// What a rule says, and what it rests on.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// The rule.
    pub rule: Rule,
    /// The scenario; absent when the rule speaks of none that was measured.
    pub scenario: Option<String>,
    /// Whether it holds.
    pub outcome: Outcome,
    /// The figure.
    pub found: Found,
}

/// A figure, as far as a rule can go by it.
#[derive(Debug, Clone, PartialEq)]
pub enum Found {
    /// One that is measured once a run, and has no interval by its nature.
    Value(f64),
    /// One that is measured more than once.
    Estimate(Estimate),
    /// There is none: why.
    Nothing(String),
}

/// Why there is no figure that a rule can go by.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Missing {
    /// The contender has no run.
    #[error("{0} did not run")]
    DidNotRun(String),
    /// The run is not to be believed.
    #[error("the run of {contender} is {verdicts}")]
    NotBelieved {
        /// Whose it is.
        contender: String,
        /// Why.
        verdicts: String,
    },
    /// The run lacks the figure.
    #[error("{0} is not known")]
    Unknown(Figure),
    /// The figure is only known to be at least something.
    #[error("{figure} of {contender} is only a lower bound, because the client was the bottleneck")]
    LowerBound {
        /// Whose it is.
        contender: String,
        /// Which it is.
        figure: Figure,
    },
}

impl Decision {
    /// Holds the rule's bound against what was found: the whole interval beyond it, none of it, or some.
    pub fn new(rule: &Rule, scenario: &str, found: Found) -> Decision {
        let holds = |value| rule.operator.holds(value, rule.bound);
        let outcome = match &found {
            Found::Nothing(_) => Outcome::NothingKnown,
            Found::Value(value) if holds(*value) => Outcome::Holds,
            Found::Value(_) => Outcome::DoesNotHold,
            Found::Estimate(estimate) => match estimate.interval.map(|(low, high)| [low, high].map(holds)) {
                Some([true, true]) => Outcome::Holds,
                Some([false, false]) => Outcome::DoesNotHold,
                Some(_) | None => Outcome::Undecided,
            },
        };
        Decision {
            rule: rule.clone(),
            scenario: Some(scenario.to_owned()),
            outcome,
            found,
        }
    }
}

/// What a rule says of each scenario that it speaks of.
pub fn decide(rule: &Rule, result: &LabResult) -> Vec<Decision> {
    let scenarios = result.config.scenarios.iter().map(|scenario| &scenario.name);
    scenarios
        .filter(|name| rule.scenario.as_ref().is_none_or(|wanted| wanted == *name))
        .map(|scenario| {
            let found = figure(rule, result, scenario).unwrap_or_else(|why| Found::Nothing(why.to_string()));
            Decision::new(rule, scenario, found)
        })
        .collect()
}

fn figure(rule: &Rule, result: &LabResult, scenario: &str) -> Result<Found, Missing> {
    let run = believable(result, scenario, &rule.contender)?;
    let missing = || Missing::Unknown(rule.figure);
    match &rule.baseline {
        None => {
            let value = rule.figure.of(run).ok_or_else(missing)?;
            // A lower bound decides what any larger figure decides likewise.
            let grows = matches!(rule.operator, Operator::Greater | Operator::AtLeast);
            if rule.operator.holds(value, rule.bound) != grows {
                exact(run, rule.figure)?;
            }
            Ok(match comparison::of_run_over_rounds(run, rule.figure) {
                Some(estimate) => Found::Estimate(estimate),
                None => Found::Value(value),
            })
        }
        Some(baseline) => {
            let baseline = believable(result, scenario, baseline)?;
            exact(run, rule.figure)?;
            exact(baseline, rule.figure)?;
            let ratio = comparison::ratio(run, baseline, rule.figure).ok_or_else(missing)?;
            Ok(match ratio.rounds.is_empty() {
                true => Found::Value(ratio.estimate.median),
                false => Found::Estimate(ratio.estimate),
            })
        }
    }
}

/// Refuses a figure that is only known as a lower bound.
///
/// # Errors
/// Whose it is.
pub fn exact(run: &Run, figure: Figure) -> Result<(), Missing> {
    if figure.is_at_least(run) {
        let contender = run.contender.clone();
        return Err(Missing::LowerBound { contender, figure });
    }
    Ok(())
}

/// The run of a contender that a rule may be decided by.
///
/// # Errors
/// When there is none, or it is not to be believed.
pub fn believable<'a>(result: &'a LabResult, scenario: &str, contender: &str) -> Result<&'a Run, Missing> {
    let run = result
        .run(scenario, contender)
        .ok_or_else(|| Missing::DidNotRun(contender.to_owned()))?;
    if run.is_ok() {
        return Ok(run);
    }
    let verdicts: Vec<_> = run.verdicts.iter().map(Verdict::to_string).collect();
    Err(Missing::NotBelieved {
        contender: contender.to_owned(),
        verdicts: verdicts.join(", "),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    /// What a rule says of its only scenario.
    fn decided(rule: &str, result: &LabResult) -> Decision {
        let decisions = decide(&rule.parse().unwrap(), result);
        assert_eq!(decisions.len(), 1, "{decisions:?}");
        decisions.into_iter().next().unwrap()
    }

    fn estimated(rule: &str, median: f64, interval: (f64, f64)) -> Outcome {
        let interval = Some(interval);
        let found = Found::Estimate(Estimate { median, interval });
        Decision::new(&rule.parse().unwrap(), "few", found).outcome
    }

    #[test]
    fn a_bound_is_held_against_the_whole_interval() {
        let (more, less) = (
            "x/y cpu_micros_per_message > 1.05",
            "x/y cpu_micros_per_message < 0.95",
        );
        for (rule, median, interval, outcome) in [
            (more, 1.30, (0.98, 1.65), Outcome::Undecided),
            (more, 1.06, (1.01, 1.11), Outcome::Undecided),
            (more, 1.20, (1.10, 1.30), Outcome::Holds),
            (more, 0.90, (0.85, 0.95), Outcome::DoesNotHold),
            (more, 1.04, (1.03, 1.05), Outcome::DoesNotHold),
            (less, 0.94, (0.90, 0.98), Outcome::Undecided),
            (less, 0.90, (0.88, 0.92), Outcome::Holds),
            (less, 1.00, (0.95, 1.05), Outcome::DoesNotHold),
        ] {
            assert_eq!(estimated(rule, median, interval), outcome, "{rule} {interval:?}");
        }
    }

    proptest::proptest! {
        /// A wider interval leaves more open: it never turns one answer into the other.
        #[test]
        fn a_wider_interval_never_turns_an_answer(low in 0.5f64..2.0, width in 0.0f64..1.0, more in 0.0f64..1.0, bound in 0.5f64..2.0) {
            for operator in ["<", "<=", ">", ">="] {
                let rule = format!("x/y cpu_micros_per_message {operator} {bound}");
                let narrow = estimated(&rule, low, (low, low + width));
                let wide = estimated(&rule, low, (low - more, low + width + more));
                proptest::prop_assert!(wide == narrow || wide == Outcome::Undecided);
            }
        }
    }

    #[test]
    fn a_rule_holds_or_not_or_nothing_is_known() {
        let result = fixture::result();
        for (rule, outcome, named) in [
            (
                "few: tokio/epoll cpu_micros_per_message > 1.1",
                Outcome::Holds,
                "median: 1.2",
            ),
            (
                "few: tokio/epoll cpu_micros_per_message > 9",
                Outcome::DoesNotHold,
                "median: 1.2",
            ),
            (
                "few: epoll response_micros.p99 < 1000000",
                Outcome::Holds,
                "Value(400.0)",
            ),
            (
                "many: tokio/epoll cpu_micros_per_message > 1",
                Outcome::NothingKnown,
                "is rate-missed",
            ),
            (
                "few: uring/epoll cpu_micros_per_message > 1",
                Outcome::NothingKnown,
                "did not run",
            ),
            ("few: tokio/epoll threads > 9", Outcome::DoesNotHold, "Value(1.0)"),
        ] {
            let found = decided(rule, &result);
            assert_eq!(found.outcome, outcome, "{rule}: {found:?}");
            assert!(format!("{:?}", found.found).contains(named), "{found:?}");
        }
        let everywhere = "tokio/epoll cpu_micros_per_message > 1.1".parse().unwrap();
        assert_eq!(decide(&everywhere, &result).len(), 2);
    }

    #[test]
    fn a_lower_bound_decides_what_it_can() {
        let mut result = fixture::result();
        let run = &mut result.runs[1];
        assert_eq!((&*run.contender, run.capacity_is_at_least), ("tokio", true));
        run.capacity_per_second = Some(1_000.0);
        for (rule, outcome) in [
            ("few: tokio capacity_per_second > 900", Outcome::Holds),
            ("few: tokio capacity_per_second < 900", Outcome::DoesNotHold),
            ("few: tokio capacity_per_second > 1100", Outcome::NothingKnown),
            ("few: tokio capacity_per_second <= 1100", Outcome::NothingKnown),
            ("few: tokio/epoll capacity_per_second > 9", Outcome::NothingKnown),
            ("few: epoll/tokio capacity_per_second > 9", Outcome::NothingKnown),
            ("few: epoll capacity_per_second < 1", Outcome::DoesNotHold),
        ] {
            let found = decided(rule, &result);
            assert_eq!(found.outcome, outcome, "{rule}: {found:?}");
            let said = format!("{:?}", found.found).contains("only a lower bound");
            assert_eq!(said, outcome == Outcome::NothingKnown, "{found:?}");
        }
    }

    #[test]
    fn one_round_decides_nothing() {
        let mut result = fixture::result();
        for run in &mut result.runs {
            run.rounds.truncate(1);
        }
        let found = decided("few: tokio/epoll cpu_micros_per_message < 0.95", &result);
        assert_eq!(found.outcome, Outcome::Undecided);
    }
}
