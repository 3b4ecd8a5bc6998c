//! Pure: rules such as `few: tokio/epoll cpu_micros_per_message > 1.5`, read and decided.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::comparison;
use crate::result::{LabResult, Run};

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

/// What a rule says of a result: one line for each scenario in which it holds or cannot be decided. Empty when the
/// lab passes. A ratio whose interval holds 1 counts as 1: chance fails no rule and proves nothing. A rule that cannot be decided fails: silence must not look like success.
pub fn violations(rule: &Rule, result: &LabResult) -> Vec<String> {
    let scenarios = result.config.scenarios.iter().map(|scenario| &scenario.name);
    scenarios
        .filter(|name| rule.scenario.as_ref().is_none_or(|wanted| wanted == *name))
        .filter_map(|scenario| match figure(rule, result, scenario) {
            Ok((value, shown)) => rule
                .operator
                .holds(value, rule.bound)
                .then(|| format!("`{rule}` holds in {scenario}: {shown}")),
            Err(why) => Some(format!("`{rule}` cannot be decided in {scenario}: {why}")),
        })
        .collect()
}

/// The figure that counts, and it in words.
fn figure(rule: &Rule, result: &LabResult, scenario: &str) -> Result<(f64, String), String> {
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
            Ok((value, format!("it is {value:.4}")))
        }
        Some(baseline) => {
            let baseline = believable(result, scenario, baseline)?;
            exact(run, &rule.metric)?;
            exact(baseline, &rule.metric)?;
            let (estimate, _) =
                comparison::ratio(run, baseline, &rule.metric, result.config.seed).ok_or_else(missing)?;
            let ratio = estimate.median;
            let shown = match estimate.interval {
                Some((low, high)) if estimate.holds_one() => {
                    format!("no difference is shown ({ratio:.4} [{low:.4}, {high:.4}]), which counts as 1")
                }
                Some((low, high)) => format!("it is {ratio:.4} [{low:.4}, {high:.4}]"),
                None => format!("it is {ratio:.4}"),
            };
            Ok((estimate.decisive(), shown))
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

    #[test]
    fn a_rule_holds_or_not_and_what_cannot_be_decided_fails() {
        let result = fixture::result();
        for (text, expected) in [
            (
                "few: tokio/epoll cpu_micros_per_message > 1.1",
                Some("holds in few"),
            ),
            ("few: tokio/epoll cpu_micros_per_message > 9", None),
            ("few: epoll response_micros.p99 < 1000000", Some("holds in few")),
            (
                "many: tokio/epoll cpu_micros_per_message > 1",
                Some("is rate-missed"),
            ),
            ("few: uring/epoll cpu_micros_per_message > 1", Some("did not run")),
        ] {
            let found = violations(&text.parse().unwrap(), &result);
            match expected {
                None => assert!(found.is_empty(), "{text}: {found:?}"),
                Some(part) => assert!(found.len() == 1 && found[0].contains(part), "{text}: {found:?}"),
            }
        }
        // A ratio that was found is shown with its interval.
        let found = violations(
            &"few: tokio/epoll cpu_micros_per_message > 1.1".parse().unwrap(),
            &result,
        );
        assert!(found[0].ends_with("it is 1.2500 [1.2500, 1.2500]"), "{found:?}");
        let everywhere = "tokio/epoll cpu_micros_per_message > 1.1".parse().unwrap();
        assert_eq!(violations(&everywhere, &result).len(), 2);
    }

    #[test]
    fn a_lower_bound_decides_what_it_can() {
        let mut result = fixture::result();
        let run = &mut result.runs[1];
        assert_eq!((&*run.contender, run.capacity_is_at_least), ("tokio", true));
        run.capacity_per_second = Some(1_000.0);
        let undecided = Some("cannot be decided in few: capacity_per_second of tokio is only a lower bound");
        for (rule, expected) in [
            ("few: tokio capacity_per_second > 900", Some("holds in few")),
            ("few: tokio capacity_per_second < 900", None),
            ("few: tokio capacity_per_second > 1100", undecided),
            ("few: tokio capacity_per_second <= 1100", undecided),
            ("few: tokio/epoll capacity_per_second > 9", undecided),
            ("few: epoll/tokio capacity_per_second > 9", undecided),
            ("few: epoll capacity_per_second < 1", None),
        ] {
            let found = violations(&rule.parse().unwrap(), &result);
            match expected {
                None => assert!(found.is_empty(), "{rule}: {found:?}"),
                Some(part) => assert!(found.len() == 1 && found[0].contains(part), "{rule}: {found:?}"),
            }
        }
    }

    #[test]
    fn chance_fails_no_rule() {
        let mut result = fixture::result();
        // A typical cycle costs tokio 6 % more than epoll, but the cycles are spread far wider than that.
        let spread = [0.80, 0.85, 0.90, 1.05, 1.07, 1.20, 1.30, 1.40];
        let base = result.runs[0].cycles.clone();
        for ((cycle, base), ratio) in result.runs[1].cycles.iter_mut().zip(base).zip(spread) {
            cycle.server_cpu_seconds = base.server_cpu_seconds.map(|seconds| ratio * seconds);
        }
        for (rule, holds) in [
            ("few: tokio/epoll cpu_micros_per_message > 1.05", false),
            ("few: tokio/epoll cpu_micros_per_message > 0.999", true),
            ("few: tokio/epoll cpu_micros_per_message >= 1", true),
            ("few: tokio/epoll cpu_micros_per_message < 1", false),
        ] {
            let found = violations(&rule.parse().unwrap(), &result);
            assert_eq!(!found.is_empty(), holds, "{rule}: {found:?}");
            assert!(
                found
                    .iter()
                    .all(|line| line.contains("no difference is shown (1.06")),
                "{found:?}"
            );
        }
        // Too few cycles for an interval: the ratio itself counts.
        for run in &mut result.runs {
            run.cycles.truncate(5);
        }
        let rule = "few: tokio/epoll cpu_micros_per_message < 0.95".parse().unwrap();
        assert!(violations(&rule, &result)[0].ends_with("it is 0.9000"));
    }
}
