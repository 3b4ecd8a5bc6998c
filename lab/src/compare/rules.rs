//! Pure: `--fail-if` between two results.
//!
//! `epoll cpu_micros_per_message > 1.05` asks for epoll's figure after over that before; `tokio/epoll … > 1.05` for
//! the ratio of tokio to epoll after over the same ratio before. No difference shown counts as 1: what chance explains
//! fails no change, and proves no improvement either. What the tables refuse to say, no rule decides: figures of two
//! machines without a baseline, of two loads, and of a run that was stopped.

use super::{Compared, Finding, Scenario};
use crate::comparison;
use crate::fail_if::{self, Rule};

/// What a rule says: one line for each scenario in which it holds or cannot be decided, and one when there is no scenario
/// to decide it in. Empty when it passes.
pub fn violations(rule: &Rule, compared: &Compared<'_>, seed: u64) -> Vec<String> {
    let meant = |name: &str| rule.scenario.as_ref().is_none_or(|wanted| wanted == name);
    let mut violations = Vec::new();
    let mut asked = false;
    for scenario in compared.scenarios.iter().filter(|scenario| meant(scenario.name)) {
        asked = true;
        match ratio(rule, compared, scenario, seed) {
            Err(why) => violations.push(format!("`{rule}` cannot be decided in {}: {why}", scenario.name)),
            Ok((ratio, shown)) => {
                if rule.operator.holds(ratio, rule.bound) {
                    violations.push(format!("`{rule}` holds in {}: {shown}", scenario.name));
                }
            }
        }
    }
    for alone in compared.alone.iter().filter(|_| rule.scenario.is_none()) {
        violations.push(format!("`{rule}` cannot be decided: {alone}"));
    }
    if !asked && violations.is_empty() {
        violations.push(format!(
            "`{rule}` cannot be decided: no such scenario was measured both times"
        ));
    }
    violations
}

/// The ratio that counts, and it in words.
fn ratio(
    rule: &Rule,
    compared: &Compared<'_>,
    scenario: &Scenario<'_>,
    seed: u64,
) -> Result<(f64, String), String> {
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
        let before = fail_if::believable(compared.before, scenario, contender);
        let after = fail_if::believable(compared.after, scenario, contender);
        let exact = |run| fail_if::exact(run, &rule.metric).map(|()| run);
        Ok::<_, String>((
            before.and_then(exact).map_err(|why| format!("before, {why}"))?,
            after.and_then(exact).map_err(|why| format!("after, {why}"))?,
        ))
    };
    let (before, after) = runs(&rule.contender)?;
    let estimate = match &rule.baseline {
        None => comparison::unpaired(after, before, &rule.metric, seed),
        Some(baseline) => {
            let (base_before, base_after) = runs(baseline)?;
            super::relative((before, after), (base_before, base_after), &rule.metric, seed)
        }
    };
    let estimate = estimate.ok_or_else(|| format!("{} is not known both times", rule.metric))?;
    let shown = super::text::ratio(estimate);
    let words = match Finding::of(estimate) {
        Finding::NotShown => format!("no difference is shown ({shown})"),
        Finding::NoInterval => format!("it is {shown} (without an interval)"),
        Finding::Less | Finding::More => format!("it is {shown}"),
    };
    Ok((estimate.decisive(), words))
}
