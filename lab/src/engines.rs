//! Our own server's engines, as the lab sees them: their names, and whether they can run here.

use server::engine::{ENGINES, YARDSTICKS, find};

/// Names of all engines, in the table's order.
pub fn names() -> Vec<&'static str> {
    ENGINES.iter().map(|engine| engine.name).collect()
}

/// Names of the yardsticks: they take part when they are named, or with `all`, but are no servers to choose.
pub fn yardsticks() -> Vec<&'static str> {
    YARDSTICKS.iter().map(|engine| engine.name).collect()
}

/// One line on an engine or yardstick.
pub fn summary(name: &str) -> &'static str {
    find(name).map_or("", |engine| engine.summary)
}

/// Whether this machine allows the engine; if not, why, and what to change.
///
/// # Errors
/// The reason in plain words.
pub fn probe(name: &str) -> Result<(), String> {
    match find(name) {
        Some(engine) => (engine.probe)(),
        None => Err(format!("there is no engine `{name}`")),
    }
}
