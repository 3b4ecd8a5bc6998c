//! Pure: what differs between two configurations or machines, field by field.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use model::config::Config;
use model::machine::Machine;

/// Fields of a configuration that say where results and metrics go or what happens with a result, not what is measured.
const NOT_MEASURED: [&str; 5] = ["output", "metrics", "client_metrics", "fail_if", "repeat"];
/// Fields of a machine that say how busy it was, or what a shell or an administrator allowed there, not which one it is.
const CIRCUMSTANCES: [&str; 5] = [
    "load_average",
    "nofile_limit",
    "threads_limit",
    "mappings_limit",
    "port_range",
];
/// Fields of a machine that older labs did not read, and that some machines do not have: unknown is no difference.
const UNKNOWN_IS_EQUAL: [&str; 4] = [
    "identity",
    "thread_siblings",
    "connections_tracked",
    "congestion_control",
];
/// Memory sizes that differ by less are those of one machine: its kernel keeps a little more or less for itself from boot
/// to boot, and modules come in other sizes.
const MEMORY_SHARE_MAX: f64 = 0.01;
/// What stands for a side that lacks a field.
const NONE: &str = "none";

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

/// What differs between two machines, and in their circumstances.
pub fn of_machine(before: &Machine, after: &Machine) -> (Vec<Change>, Vec<Change>) {
    let same_memory = before
        .memory_bytes
        .zip(after.memory_bytes)
        .is_some_and(|(before, after)| before.abs_diff(after) as f64 <= MEMORY_SHARE_MAX * before as f64);
    let unknown = |change: &Change| {
        UNKNOWN_IS_EQUAL.contains(&root(&change.field)) && (change.before == NONE || change.after == NONE)
    };
    between(before, after)
        .into_iter()
        .filter(|change| !unknown(change))
        .partition(|change| match root(&change.field) {
            "memory_bytes" => !same_memory,
            field => !CIRCUMSTANCES.contains(&field),
        })
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
        |fields: &BTreeMap<String, String>, name| fields.get(name).map_or(NONE, String::as_str).to_owned();
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
        config.epoll.trigger = Some(model::epoll::Trigger::Level);
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
    fn two_machines_of_one_kind_are_two() {
        let before = fixture::result().machine;
        let mut after = before.clone();
        after.identity = Some("0123456789abcdef".to_owned());
        let (machine, _) = of_machine(&before, &after);
        assert_eq!((machine.len(), &*machine[0].field), (1, "identity"));
        // What an older lab did not read tells nothing.
        after.identity = None;
        (after.connections_tracked, after.congestion_control) = (None, None);
        assert_eq!(of_machine(&before, &after), (vec![], vec![]));
        assert_eq!(of_machine(&after, &before), (vec![], vec![]));
    }

    #[test]
    fn limits_and_a_little_memory_make_no_other_machine() {
        let before = fixture::result().machine;
        let bytes = before.memory_bytes.unwrap();
        let mut after = before.clone();
        after.nofile_limit = Some(1_024);
        after.threads_limit = Some(7);
        after.mappings_limit = None;
        after.port_range = Some((1_024, 65_535));
        after.memory_bytes = Some(bytes - 48 * 1_024);
        let (machine, circumstances) = of_machine(&before, &after);
        assert_eq!(machine, []);
        let fields: Vec<_> = circumstances.iter().map(|change| &*change.field).collect();
        assert_eq!(
            fields,
            ["memory_bytes", "nofile_limit", "port_range", "threads_limit"]
        );
        after.memory_bytes = Some(bytes / 2);
        assert_eq!(of_machine(&before, &after).0[0].field, "memory_bytes");
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
