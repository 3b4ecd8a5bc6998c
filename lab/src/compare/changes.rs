//! Pure: what differs between two configurations or machines, field by field.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use crate::config::Config;
use crate::machine::Machine;

/// Fields of a configuration that say where results and metrics go or what happens with a result, not what is measured.
const NOT_MEASURED: [&str; 5] = ["output", "metrics", "client_metrics", "fail_if", "repeat"];
/// Fields of a machine that say how busy it was, not which one it is.
const CIRCUMSTANCES: [&str; 1] = ["load_average"];

/// A field that differs. A side that lacks it says `none`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Where it stands: keys joined with dots, elements of a list by their name.
    pub field: String,
    /// In the first result.
    pub before: String,
    /// In the second one.
    pub after: String,
}

/// What differs between two configurations, without what cannot change a figure.
pub fn of_config(before: &Config, after: &Config) -> Vec<Change> {
    let mut changes = between(before, after);
    changes.retain(|change| !NOT_MEASURED.contains(&root(&change.field)));
    changes
}

/// What differs between two machines, and in what they were doing.
pub fn of_machine(before: &Machine, after: &Machine) -> (Vec<Change>, Vec<Change>) {
    between(before, after)
        .into_iter()
        .partition(|change| !CIRCUMSTANCES.contains(&root(&change.field)))
}

fn root(field: &str) -> &str {
    field.split(['.', '[']).next().unwrap_or(field)
}

fn between<T: Serialize>(before: &T, after: &T) -> Vec<Change> {
    // What was read from JSON can be written as JSON; if not, no field is known.
    let fields = |value: &T| {
        let mut fields = BTreeMap::new();
        if let Ok(value) = serde_json::to_value(value) {
            flatten(String::new(), &value, &mut fields);
        }
        fields
    };
    let (before, after) = (fields(before), fields(after));
    let mut names: Vec<_> = before.keys().chain(after.keys()).collect();
    names.sort_unstable();
    names.dedup();
    let shown =
        |fields: &BTreeMap<String, String>, name| fields.get(name).map_or("none", String::as_str).to_owned();
    names
        .into_iter()
        .filter(|name| before.get(*name) != after.get(*name))
        .map(|name| Change {
            field: name.clone(),
            before: shown(&before, name),
            after: shown(&after, name),
        })
        .collect()
}

/// Each leaf by its path. What is null is left out, so that it equals a field that an older result lacks.
fn flatten(path: String, value: &Value, fields: &mut BTreeMap<String, String>) {
    match value {
        Value::Null => {}
        Value::Object(members) => {
            for (key, member) in members {
                let below = if path.is_empty() {
                    key.clone()
                } else {
                    format!("{path}.{key}")
                };
                flatten(below, member, fields);
            }
        }
        Value::Array(elements) if elements.iter().all(|element| named(element).is_some()) => {
            for element in elements {
                let name = named(element).unwrap_or_default();
                flatten(format!("{path}[{name}]"), element, fields);
            }
        }
        Value::String(text) => {
            fields.insert(path, text.clone());
        }
        other => {
            fields.insert(path, other.to_string());
        }
    }
}

fn named(value: &Value) -> Option<&str> {
    value.get("name")?.as_str()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    #[test]
    fn the_same_twice_has_no_change() {
        let result = fixture::result();
        assert_eq!(of_config(&result.config, &result.config), []);
        assert_eq!(of_machine(&result.machine, &result.machine), (vec![], vec![]));
    }

    #[test]
    fn each_field_is_named_with_both_values() {
        let result = fixture::result();
        let mut config = result.config.clone();
        config.output = "elsewhere".into();
        config.workers = 7;
        config.scenarios[1].connections = 2_000;
        config.contenders.swap(0, 1);
        config.contenders.remove(2);
        config.epoll.trigger = Some("level".to_owned());
        let changes = of_config(&result.config, &config);
        let found: Vec<_> = changes
            .iter()
            .map(|change| format!("{} {} {}", change.field, change.before, change.after))
            .collect();
        assert_eq!(
            found,
            [
                "contenders[threads].name threads none",
                "contenders[threads].origin.engine threads none",
                "contenders[threads].origin.kind engine none",
                "epoll.trigger none level",
                "scenarios[many].connections 10000 2000",
                "workers 1 7",
            ]
        );
    }

    #[test]
    fn a_busy_machine_is_no_other_machine() {
        let before = fixture::result().machine;
        let mut after = before.clone();
        after.load_average = Some(3.5);
        let (machine, circumstances) = of_machine(&before, &after);
        assert!(machine.is_empty());
        assert_eq!(circumstances[0].field, "load_average");
        after
            .mitigations
            .insert("mds".to_owned(), "Vulnerable".to_owned());
        let (machine, _) = of_machine(&before, &after);
        assert_eq!(
            (machine[0].field.as_str(), &*machine[0].after),
            ("mitigations.mds", "Vulnerable")
        );
    }
}
