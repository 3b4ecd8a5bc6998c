//! What a rule says, in one line.

use model::decision::{Decision, Found, Outcome};

/// Rule, scenario, outcome, and the figure that it rests on.
pub fn line(decision: &Decision) -> String {
    let said = match decision.outcome {
        Outcome::DoesNotHold => "does not hold",
        Outcome::Undecided => "is undecided",
        Outcome::NothingKnown => "cannot be decided",
        Outcome::Holds => "holds",
    };
    let place = match &decision.scenario {
        Some(scenario) => format!(" in {scenario}"),
        None => String::new(),
    };
    format!("`{}` {said}{place}: {}", decision.rule, found(decision))
}

fn found(decision: &Decision) -> String {
    let estimate = match &decision.found {
        Found::Nothing(why) => return why.clone(),
        Found::Value(value) => return format!("it is {value:.4}"),
        Found::Estimate(estimate) => estimate,
    };
    let ratio = estimate.median;
    let Some((low, high)) = estimate.interval else {
        return format!("it is {ratio:.4} without an interval; run more rounds (--rounds)");
    };
    let shown = format!("it is {ratio:.4} [{low:.4}, {high:.4}]");
    if decision.outcome != Outcome::Undecided {
        return shown;
    }
    format!(
        "{shown}, and the bound {} lies within; run more rounds (--rounds, --until)",
        decision.rule.bound
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::statistics::Estimate;

    fn said(interval: Option<(f64, f64)>) -> String {
        let rule = "x/y cpu_micros_per_message > 1.05".parse().unwrap();
        let found = Found::Estimate(Estimate {
            median: 1.1,
            interval,
        });
        line(&Decision::new(&rule, "few", found))
    }

    #[test]
    fn a_line_names_rule_scenario_outcome_and_figure() {
        let rule = "`x/y cpu_micros_per_message > 1.05`";
        assert_eq!(
            said(Some((1.06, 1.2))),
            format!("{rule} holds in few: it is 1.1000 [1.0600, 1.2000]")
        );
        let undecided = said(Some((1.0, 1.2)));
        assert!(undecided.contains("is undecided in few") && undecided.contains("1.05 lies within"));
        assert!(said(None).contains("without an interval; run more rounds (--rounds)"));
    }
}
