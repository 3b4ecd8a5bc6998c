//! Where scenarios come from: built in, or a file.

use std::path::Path;

use model::scenario::{Scenario, ScenarioError};

/// The scenarios that the lab brings along, by name.
pub const BUILT_IN: &[(&str, &str)] = &[
    ("few", include_str!("../scenarios/few.toml")),
    ("many", include_str!("../scenarios/many.toml")),
];

/// Finds a built-in scenario by name, or reads the file at that path.
///
/// # Errors
/// When there is no such scenario, or its file is not one.
pub fn find(name: &str) -> Result<Scenario, ScenarioError> {
    if let Some((_, text)) = BUILT_IN.iter().find(|(known, _)| *known == name) {
        return Scenario::parse(text, name, name);
    }
    let path = Path::new(name);
    if !name.ends_with(".toml") && !path.is_file() {
        let known: Vec<_> = BUILT_IN.iter().map(|(name, _)| format!("`{name}`")).collect();
        return Err(ScenarioError::Unknown {
            name: name.to_owned(),
            known: known.join(", "),
        });
    }
    let text = std::fs::read_to_string(path).map_err(|error| ScenarioError::Unreadable {
        path: name.to_owned(),
        why: error.to_string(),
    })?;
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    Scenario::parse(&text, name, &stem.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use model::pace::Arrivals;
    use model::scenario::{Load, Offer};

    use super::*;

    #[test]
    fn the_built_in_ones_are_the_originals() {
        let few = find("few").unwrap();
        let many = find("many").unwrap();
        assert_eq!((few.connections, few.message_bytes), (50, 100));
        assert_eq!((many.connections, many.message_bytes), (10_000, 100));
        let auto = Load::Open {
            rate: Offer::AutoShare(0.6),
            arrivals: Arrivals::Smooth,
        };
        assert_eq!((few.pace, many.pace), (auto, auto));
        assert_eq!(
            (few.rounds, few.cycles, few.slice()),
            (6, 5, Duration::from_millis(250))
        );
    }

    #[test]
    fn an_unknown_scenario_lists_the_known_ones() {
        let error = find("fwe").unwrap_err().to_string();
        assert!(
            error.contains("`fwe`") && error.contains("`few`, `many`"),
            "{error}"
        );
        let error = find("no/such.toml").unwrap_err().to_string();
        assert!(
            error.contains("no/such.toml") && error.contains("cannot read"),
            "{error}"
        );
    }
}
