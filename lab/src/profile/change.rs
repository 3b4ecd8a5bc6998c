//! Pure: what a contender's profile has more or less of than the baseline's, in figures.

use telemetry::profile::difference::{self, Function};

use super::flames::{self, NoPicture, side};
use model::profile::ProfileRecord;

/// The functions that cost more or less for each message than in the baseline, beyond chance; the greatest change
/// first.
///
/// # Errors
/// When a profile is missing, or the two have no names in common.
pub fn functions(baseline: &ProfileRecord, contender: &ProfileRecord) -> Result<Vec<Function>, NoPicture> {
    flames::comparable(baseline, contender)?;
    Ok(difference::functions(&side(baseline), &side(contender)))
}

/// What a category costs more or less than in the baseline.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Category<'a> {
    /// The category's name.
    pub name: &'a str,
    /// Microseconds for each message; less than 0 when it is cheaper.
    pub micros: f64,
    /// Whether it is more than chance explains, by the same test as for functions.
    pub beyond_chance: bool,
}

/// What each category costs more or less than in the baseline, in the order of the categories' names. Works between
/// languages, too.
pub fn categories<'a>(
    baseline: &'a ProfileRecord,
    contender: &'a ProfileRecord,
) -> impl Iterator<Item = Category<'a>> {
    let sides = (side(baseline), side(contender));
    let spent = |record: &ProfileRecord, name: &str| {
        let micros = record.category_micros_per_message.get(name);
        micros.copied().unwrap_or(0.0)
    };
    contender.category_micros_per_message.keys().map(move |name| {
        let micros = (spent(baseline, name), spent(contender, name));
        Category {
            name,
            micros: micros.1 - micros.0,
            beyond_chance: difference::differs(&sides.0, &sides.1, (micros.0 * 1e3, micros.1 * 1e3)),
        }
    })
}
