//! Pure: rules such as `few: tokio/epoll cpu_micros_per_message > 1.5`, read and decided.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::comparison;
use crate::result::{LabResult, Run};
use crate::stats::Estimate;

/// When this holds, the lab fails.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// The scenario it speaks of; of all when none is named.
    pub scenario: Option<String>,
    /// The contender.
    pub contender: String,
    /// To whom it is compared; without one the figure itself is meant.
    pub baseline: Option<String>,
    /// The figure.
    pub metric: String,
    /// How it is compared.
    pub operator: Operator,
    /// To what.
    pub bound: f64,
}

/// How a figure is compared to a bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// `<`
    Less,
    /// `<=`
    AtMost,
    /// `>`
    Greater,
    /// `>=`
    AtLeast,
}

const OPERATORS: [(&str, Operator); 4] = [
    ("<", Operator::Less),
    ("<=", Operator::AtMost),
    (">", Operator::Greater),
    (">=", Operator::AtLeast),
];

impl Operator {
    /// Whether `value` stands to `bound` as it says.
    pub fn holds(self, value: f64, bound: f64) -> bool {
        match self {
            Operator::Less => value < bound,
            Operator::AtMost => value <= bound,
            Operator::Greater => value > bound,
            Operator::AtLeast => value >= bound,
        }
    }
}

/// Why a text is no rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{why}; write it like `tokio/epoll cpu_micros_per_message > 1.5` or `few: epoll response_micros.p99 > 1000`"
)]
pub struct ParseRuleError {
    why: String,
}

impl FromStr for Rule {
    type Err = ParseRuleError;

    fn from_str(text: &str) -> Result<Rule, ParseRuleError> {
        let refuse = |why: String| Err(ParseRuleError { why });
        let (scenario, rest) = match text.split_once(':') {
            Some((scenario, rest)) => (Some(scenario.trim().to_owned()), rest),
            None => (None, text),
        };
        let words: Vec<_> = rest.split_whitespace().collect();
        // A sweep's contenders have names of two words: `epoll linger=20us`.
        let [first, others @ .., metric, operator, bound] = &words[..] else {
            return refuse(format!(
                "`{text}` should be a contender or a pair, a figure, an operator and a number"
            ));
        };
        let who = [&[*first], others].concat().join(" ");
        let (contender, baseline) = match who.split_once('/') {
            Some((contender, baseline)) => (contender.trim(), Some(baseline.trim().to_owned())),
            None => (&*who, None),
        };
        if comparison::names().all(|name| name != *metric) {
            let names: Vec<_> = comparison::names().collect();
            return refuse(format!(
                "there is no figure `{metric}` (there are {})",
                names.join(", ")
            ));
        }
        let Some((_, operator)) = OPERATORS.iter().find(|(symbol, _)| symbol == operator) else {
            return refuse(format!("`{operator}` is none of `<`, `<=`, `>`, `>=`"));
        };
        match bound.parse::<f64>() {
            Ok(bound) if bound.is_finite() => Ok(Rule {
                scenario,
                contender: contender.to_owned(),
                baseline,
                metric: (*metric).to_owned(),
                operator: *operator,
                bound,
            }),
            _ => refuse(format!("`{bound}` is no number")),
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(scenario) = &self.scenario {
            write!(f, "{scenario}: ")?;
        }
        f.write_str(&self.contender)?;
        if let Some(baseline) = &self.baseline {
            write!(f, "/{baseline}")?;
        }
        let symbol = OPERATORS
            .iter()
            .find(|(_, operator)| *operator == self.operator)
            .map_or("?", |(symbol, _)| symbol);
        write!(f, " {} {symbol} {}", self.metric, self.bound)
    }
}

impl Serialize for Rule {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Rule {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Rule, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

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

/// What a rule says, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Whether it holds.
    pub outcome: Outcome,
    /// One line: rule, scenario, outcome, figure.
    pub line: String,
}

impl Decision {
    /// A decision in words.
    pub fn new(rule: &Rule, outcome: Outcome, scenario: &str, why: &str) -> Decision {
        let said = match outcome {
            Outcome::DoesNotHold => "does not hold",
            Outcome::Undecided => "is undecided",
            Outcome::NothingKnown => "cannot be decided",
            Outcome::Holds => "holds",
        };
        Decision {
            outcome,
            line: format!("`{rule}` {said} in {scenario}: {why}"),
        }
    }
}

/// What a rule says of each scenario that it speaks of.
pub fn decide(rule: &Rule, result: &LabResult) -> Vec<Decision> {
    let scenarios = result.config.scenarios.iter().map(|scenario| &scenario.name);
    scenarios
        .filter(|name| rule.scenario.as_ref().is_none_or(|wanted| wanted == *name))
        .map(|scenario| match figure(rule, result, scenario) {
            Ok(Known::Value(value)) => of_value(rule, value, scenario),
            Ok(Known::Estimate(estimate)) => of_estimate(rule, estimate, scenario),
            Err(why) => Decision::new(rule, Outcome::NothingKnown, scenario, &why),
        })
        .collect()
}

/// Holds a bound against a figure that is measured once a run, and has no interval by its nature.
pub fn of_value(rule: &Rule, value: f64, scenario: &str) -> Decision {
    let outcome = match rule.operator.holds(value, rule.bound) {
        true => Outcome::Holds,
        false => Outcome::DoesNotHold,
    };
    Decision::new(rule, outcome, scenario, &format!("it is {value:.4}"))
}

/// Holds a bound against the interval: the whole interval beyond it, none of it, or some.
pub fn of_estimate(rule: &Rule, estimate: Estimate, scenario: &str) -> Decision {
    let ratio = estimate.median;
    let Some((low, high)) = estimate.interval else {
        let why = format!("it is {ratio:.4} without an interval; run more rounds (--rounds)");
        return Decision::new(rule, Outcome::Undecided, scenario, &why);
    };
    let shown = format!("it is {ratio:.4} [{low:.4}, {high:.4}]");
    match [low, high].map(|end| rule.operator.holds(end, rule.bound)) {
        [true, true] => Decision::new(rule, Outcome::Holds, scenario, &shown),
        [false, false] => Decision::new(rule, Outcome::DoesNotHold, scenario, &shown),
        _ => {
            let why = format!(
                "{shown}, and the bound {} lies within; run more rounds (--rounds, --until)",
                rule.bound
            );
            Decision::new(rule, Outcome::Undecided, scenario, &why)
        }
    }
}

/// A figure, as far as a rule can go by it.
enum Known {
    /// One that is measured once a run.
    Value(f64),
    /// One that is measured more than once.
    Estimate(Estimate),
}

fn figure(rule: &Rule, result: &LabResult, scenario: &str) -> Result<Known, String> {
    let run = believable(result, scenario, &rule.contender)?;
    let missing = || format!("{} is not known", rule.metric);
    match &rule.baseline {
        None => {
            let value = comparison::value(run, &rule.metric).ok_or_else(missing)?;
            // A lower bound decides what any larger figure decides likewise.
            let grows = matches!(rule.operator, Operator::Greater | Operator::AtLeast);
            if rule.operator.holds(value, rule.bound) != grows {
                exact(run, &rule.metric)?;
            }
            Ok(match comparison::of_run_over_rounds(run, &rule.metric) {
                Some(estimate) => Known::Estimate(estimate),
                None => Known::Value(value),
            })
        }
        Some(baseline) => {
            let baseline = believable(result, scenario, baseline)?;
            exact(run, &rule.metric)?;
            exact(baseline, &rule.metric)?;
            let ratio = comparison::ratio(run, baseline, &rule.metric).ok_or_else(missing)?;
            Ok(match ratio.rounds.is_empty() {
                true => Known::Value(ratio.estimate.median),
                false => Known::Estimate(ratio.estimate),
            })
        }
    }
}

/// Refuses a figure of which a lower bound alone is known.
///
/// # Errors
/// Whose it is, and why.
pub fn exact(run: &Run, metric: &str) -> Result<(), String> {
    if comparison::is_at_least(run, metric) {
        return Err(format!(
            "{metric} of {} is only a lower bound, because the client was the bottleneck",
            run.contender
        ));
    }
    Ok(())
}

/// The run of a contender that a rule may be decided by.
///
/// # Errors
/// When there is none, or it is not to be believed.
pub fn believable<'a>(result: &'a LabResult, scenario: &str, contender: &str) -> Result<&'a Run, String> {
    let run = result
        .run(scenario, contender)
        .ok_or_else(|| format!("{contender} did not run"))?;
    if run.is_ok() {
        Ok(run)
    } else {
        Err(format!("the run of {contender} is {}", run.verdict_text()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    #[test]
    fn a_rule_reads_what_it_writes() {
        for text in [
            "tokio/epoll cpu_micros_per_message > 1.5",
            "few: tokio/epoll cpu_micros_per_message <= 1",
            "epoll response_micros.p99 >= 1000",
            "many: epoll#2/epoll resident_bytes < 0.5",
        ] {
            assert_eq!(text.parse::<Rule>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, named) in [
            ("", "``"),
            ("tokio/epoll > 1.5", "`tokio/epoll > 1.5`"),
            ("tokio/epoll cpu > 1.5", "no figure `cpu`"),
            ("tokio/epoll cpu_percent = 1.5", "`=`"),
            ("tokio/epoll cpu_percent > much", "`much`"),
            ("tokio/epoll cpu_percent > inf", "`inf`"),
        ] {
            let error = text.parse::<Rule>().unwrap_err().to_string();
            assert!(error.contains(named), "{text}: {error}");
        }
    }

    /// What a rule says of its only scenario.
    fn decided(rule: &str, result: &LabResult) -> Decision {
        let decisions = decide(&rule.parse().unwrap(), result);
        assert_eq!(decisions.len(), 1, "{decisions:?}");
        decisions.into_iter().next().unwrap()
    }

    fn estimated(rule: &str, median: f64, interval: (f64, f64)) -> Outcome {
        let interval = Some(interval);
        of_estimate(&rule.parse().unwrap(), Estimate { median, interval }, "few").outcome
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
                "holds in few: it is 1.2500 [1.25",
            ),
            (
                "few: tokio/epoll cpu_micros_per_message > 9",
                Outcome::DoesNotHold,
                "[1.25",
            ),
            (
                "few: epoll response_micros.p99 < 1000000",
                Outcome::Holds,
                "it is",
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
            (
                "few: tokio/epoll threads > 9",
                Outcome::DoesNotHold,
                "it is 1.0000",
            ),
        ] {
            let found = decided(rule, &result);
            assert_eq!(found.outcome, outcome, "{rule}: {found:?}");
            assert!(found.line.contains(named), "{found:?}");
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
            let said = found.line.contains("only a lower bound");
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
        assert!(found.line.contains("without an interval"), "{found:?}");
    }
}
