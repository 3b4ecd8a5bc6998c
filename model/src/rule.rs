//! Rules such as `few: tokio/epoll cpu_micros_per_message > 1.5`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::figure::Figure;

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
    pub figure: Figure,
    /// How it is compared.
    pub operator: Operator,
    /// To what.
    pub bound: f64,
}

/// What an undecided rule means.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Undecided {
    /// The lab fails, with an exit code of its own.
    #[default]
    Fail,
    /// The lab passes.
    Pass,
}

impl Undecided {
    /// Both.
    pub const ALL: [Undecided; 2] = [Undecided::Fail, Undecided::Pass];

    /// Its name as a flag's value.
    pub fn name(self) -> &'static str {
        match self {
            Undecided::Fail => "fail",
            Undecided::Pass => "pass",
        }
    }
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
        let [first, others @ .., figure, operator, bound] = &words[..] else {
            return refuse(format!(
                "`{text}` should be a contender or a pair, a figure, an operator and a number"
            ));
        };
        let who = [&[*first], others].concat().join(" ");
        let (contender, baseline) = match who.split_once('/') {
            Some((contender, baseline)) => (contender.trim(), Some(baseline.trim().to_owned())),
            None => (&*who, None),
        };
        let figure = match figure.parse::<Figure>() {
            Ok(figure) => figure,
            Err(unknown) => return refuse(unknown.to_string()),
        };
        let Some((_, operator)) = OPERATORS.iter().find(|(symbol, _)| symbol == operator) else {
            return refuse(format!("`{operator}` is none of `<`, `<=`, `>`, `>=`"));
        };
        match bound.parse::<f64>() {
            Ok(bound) if bound.is_finite() => Ok(Rule {
                scenario,
                contender: contender.to_owned(),
                baseline,
                figure,
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
        write!(f, " {} {symbol} {}", self.figure, self.bound)
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
