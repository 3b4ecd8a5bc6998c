//! Flame graphs of a scenario's profiles, and their differences to the baseline: the one place where they enter the page.

use crate::result::ProfileRecord;

/// A picture of stacks.
#[derive(Debug, Clone)]
pub struct Flame {
    /// Whose it is, and against whom.
    pub title: String,
    /// How to read it.
    pub caption: String,
    /// The picture: an `<svg>` element without script, style and ids.
    pub svg: String,
}

/// The flame graphs of these profiles, and of their differences to the baseline's.
pub fn flames(_records: &[&ProfileRecord], _baseline: &str) -> Vec<Flame> {
    Vec::new()
}
