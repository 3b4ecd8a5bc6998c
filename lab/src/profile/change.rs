//! Pure: what a contender's profile has more or less of than the baseline's, in figures.

use telemetry::profile::difference::{self, Function};

use super::flames::{self, NoPicture, side};
use crate::result::ProfileRecord;

/// The functions that cost more or less for each message than in the baseline, beyond chance; the greatest change
/// first.
///
/// # Errors
/// When a profile is missing, or the two have no names in common.
pub fn functions(baseline: &ProfileRecord, contender: &ProfileRecord) -> Result<Vec<Function>, NoPicture> {
    flames::comparable(baseline, contender)?;
    Ok(difference::functions(&side(baseline), &side(contender)))
}

/// What a category costs more than in the baseline, in microseconds for each message, in the order of the categories'
/// names. Works between languages, too.
pub fn categories<'a>(
    baseline: &'a ProfileRecord,
    contender: &'a ProfileRecord,
) -> impl Iterator<Item = (&'a str, f64)> {
    contender
        .category_micros_per_message
        .iter()
        .filter_map(|(category, micros)| {
            let base = baseline.category_micros_per_message.get(category)?;
            Some((category.as_str(), micros - base))
        })
}
