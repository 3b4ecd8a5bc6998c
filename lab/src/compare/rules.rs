//! Pure: `--fail-if` between two results.
//!
//! `epoll cpu_micros_per_message > 1.05` asks for epoll's figure after over that before; `tokio/epoll … > 1.05` for
//! the ratio of tokio to epoll after over the same ratio before. The bound is held against the whole interval. What the
//! tables refuse to say, no rule decides: figures of two machines without a baseline, of two loads, and of a run that was
//! stopped.

use super::{Compared, Scenario};
use model::comparison;
use model::decision::{self, Decision, Found, Outcome};
use model::rule::Rule;
use model::statistics::Estimate;

/// What a rule says of each scenario, and once that nothing is known when there is no scenario to decide it in.
pub fn decide(rule: &Rule, compared: &Compared<'_>) -> Vec<Decision> {
    let unknown = |why: String| Decision {
        rule: rule.clone(),
        scenario: None,
        outcome: Outcome::NothingKnown,
        found: Found::Nothing(why),
    };
    let meant = |name: &str| rule.scenario.as_ref().is_none_or(|wanted| wanted == name);
    let scenarios = compared.scenarios.iter().filter(|scenario| meant(scenario.name));
    let mut decisions: Vec<_> = scenarios
        .map(|scenario| {
            let found = match ratio(rule, compared, scenario) {
                Err(why) => Found::Nothing(why),
                Ok(estimate) if rule.figure.is_once() => Found::Value(estimate.median),
                Ok(estimate) => Found::Estimate(estimate),
            };
            Decision::new(rule, scenario.name, found)
        })
        .collect();
    for alone in compared.alone.iter().filter(|_| rule.scenario.is_none()) {
        decisions.push(unknown(alone.clone()));
    }
    if decisions.is_empty() {
        decisions.push(unknown("no such scenario was measured both times".to_owned()));
    }
    decisions
}

/// The ratio that counts.
fn ratio(rule: &Rule, compared: &Compared<'_>, scenario: &Scenario<'_>) -> Result<Estimate, String> {
    let refusals = compared.stopped().into_iter().chain(scenario.unequal.clone());
    if let Some(why) = refusals.reduce(|first, second| format!("{first}; {second}")) {
        return Err(why);
    }
    if rule.baseline.is_none()
        && let Some(why) = compared.another_machine()
    {
        return Err(format!(
            "{why}; name a baseline, as in `{}/BASELINE`, or measure both on the same machine",
            rule.contender
        ));
    }
    let scenario = scenario.name;
    let runs = |contender: &str| {
        let before = decision::believable(compared.before, scenario, contender);
        let after = decision::believable(compared.after, scenario, contender);
        let exact = |run| decision::exact(run, rule.figure).map(|()| run);
        Ok::<_, String>((
            before.and_then(exact).map_err(|why| format!("before, {why}"))?,
            after.and_then(exact).map_err(|why| format!("after, {why}"))?,
        ))
    };
    let (before, after) = runs(&rule.contender)?;
    let estimate = match &rule.baseline {
        None => comparison::unpaired(after, before, rule.figure),
        Some(baseline) => {
            let (base_before, base_after) = runs(baseline)?;
            super::relative((before, after), (base_before, base_after), rule.figure)
        }
    };
    estimate.ok_or_else(|| format!("{} is not known both times", rule.figure))
}
