//! Who takes part, as the flags say: the user's own definitions, the baseline, and whom rules speak of.

use super::{UsageError, of_flag};
use model::config::Config;
use model::contender::Contender;

/// Who takes part when nobody is named.
pub const DEFAULT_CONTENDERS: &str = "engines,go-net,go-net-tuned,own";
/// Whom all others are compared to when nobody else is named.
const DEFAULT_BASELINE: &str = "epoll";

/// Reads definitions; one text may hold several, as an environment variable does, each beginning with `name=`.
pub fn own(definitions: &[String]) -> Result<Vec<Contender>, UsageError> {
    let mut own = Vec::new();
    for definition in definitions {
        let mut rest = definition.trim().trim_end_matches(';');
        while !rest.is_empty() {
            let end = rest
                .match_indices(';')
                .map(|(index, _)| index)
                .find(|index| rest[index + 1..].trim_start().starts_with("name="))
                .unwrap_or(rest.len());
            let one = rest[..end].trim();
            own.push(Contender::parse(one).map_err(|why| of_flag(&format!("--contender {one}"), why))?);
            rest = rest.get(end + 1..).unwrap_or_default();
        }
    }
    Ok(own)
}

/// The baseline as told. When it was not told, and the default takes no part, the first contender stands in.
pub fn baseline(told: Option<&str>, contenders: &[Contender]) -> Result<String, UsageError> {
    let name = told.unwrap_or(DEFAULT_BASELINE);
    if contenders.iter().any(|contender| contender.name == name) {
        return Ok(name.to_owned());
    }
    match contenders.first() {
        Some(first) if told.is_none() => Ok(first.name.clone()),
        _ => Err(of_flag(
            "--baseline",
            format!("`{name}` takes no part: choose among {}", listed(contenders)),
        )),
    }
}

/// The contenders that the user named: in a list of contenders, by a definition, or as the baseline. The default list names
/// nobody, and neither does a word for a group.
pub fn named(
    list: &[String],
    own: &[Contender],
    baseline: Option<&str>,
    contenders: &[Contender],
) -> Vec<String> {
    let listed: Vec<_> = list.iter().map(|name| name.trim()).collect();
    let by_list = listed.join(",") != DEFAULT_CONTENDERS;
    let said = |name: &str| {
        by_list && listed.contains(&name) || own.iter().any(|own| own.name == name) || baseline == Some(name)
    };
    let names = contenders.iter().map(|contender| &contender.name);
    names.filter(|name| said(name)).cloned().collect()
}

fn listed(contenders: &[Contender]) -> String {
    let names: Vec<_> = contenders
        .iter()
        .map(|contender| format!("`{}`", contender.name))
        .collect();
    names.join(", ")
}

/// Refuses rules that speak of somebody or something that is not there.
pub fn check_rules(config: &Config) -> Result<(), UsageError> {
    for rule in &config.fail_if {
        let flag = format!("--fail-if '{rule}'");
        for name in std::iter::once(&rule.contender).chain(&rule.baseline) {
            if config.contenders.iter().all(|contender| contender.name != *name) {
                let why = format!(
                    "`{name}` is none of the contenders: choose among {}",
                    listed(&config.contenders)
                );
                return Err(of_flag(&flag, why));
            }
        }
        if let Some(name) = &rule.scenario
            && config.scenarios.iter().all(|scenario| scenario.name != *name)
        {
            let names: Vec<_> = config
                .scenarios
                .iter()
                .map(|scenario| format!("`{}`", scenario.name))
                .collect();
            let why = format!(
                "`{name}` is none of the scenarios: choose among {}",
                names.join(", ")
            );
            return Err(of_flag(&flag, why));
        }
    }
    Ok(())
}
