//! Where the CPU time of a scenario's contenders went: by category, and by function.

use std::collections::{BTreeMap, BTreeSet};

use telemetry::profile::category::Category;

use super::bars::{self, Bar, Part};
use super::chart::{Chart, Table};
use super::legend::Sign;
use crate::profile::change;
use crate::profile::flames::{self, Picture};
use crate::report::figures::{count, decimal, missing, or_missing};
use model::profile::ProfileRecord;
use model::result::LabResult;

/// What the page shows of a scenario's profiles.
#[derive(Debug, Clone)]
pub struct Profiles {
    /// CPU per message by category.
    pub chart: Option<Chart>,
    /// The difference to the baseline by category.
    pub difference: Option<Table>,
    /// The dearest functions of each contender.
    pub functions: Vec<Table>,
    /// Flame graphs and differences.
    pub flames: Vec<Picture>,
    /// What to know beside them: what differs beyond chance, who has no profile and why.
    pub remarks: Vec<String>,
}

/// Functions in a table.
const FUNCTIONS: usize = 15;
/// Looks for categories; more than that share the last one.
const LOOKS: usize = 8;

/// The profiles of a scenario; `None` when none was taken.
pub fn profiles(result: &LabResult, scenario: &str, id: &str) -> Option<Profiles> {
    let records: Vec<&ProfileRecord> = result
        .profiles
        .iter()
        .filter(|record| record.scenario == scenario)
        .collect();
    if records.is_empty() {
        return None;
    }
    let taken: Vec<&ProfileRecord> = records
        .iter()
        .copied()
        .filter(|record| record.missing.is_none())
        .collect();
    let baseline = &result.config.baseline;
    Some(Profiles {
        chart: chart(&taken, id),
        difference: difference(&taken, baseline),
        functions: taken
            .iter()
            .filter(|record| !record.top.is_empty())
            .map(|record| functions(record))
            .collect(),
        flames: flames::pictures(&taken, baseline),
        remarks: crate::report::profiles::remarks(result, scenario),
    })
}

/// The categories that somebody spent time in: those that are known in their order, then others by name.
fn categories<'a>(records: &[&'a ProfileRecord]) -> Vec<&'a str> {
    let spent = records
        .iter()
        .flat_map(|record| &record.category_micros_per_message);
    let names: BTreeSet<&str> = spent
        .filter(|(_, micros)| **micros > 0.0)
        .map(|(name, _)| name.as_str())
        .collect();
    let place = |name: &str| Category::ALL.iter().position(|(_, known)| *known == name);
    let mut names: Vec<_> = names.into_iter().collect();
    names.sort_by_key(|name| place(name).unwrap_or(usize::MAX));
    names
}

fn chart(records: &[&ProfileRecord], id: &str) -> Option<Chart> {
    let categories = categories(records);
    let look = |index: usize| format!("k{}", index.min(LOOKS - 1));
    let letter = |index: usize| (index + 1).to_string();
    let total = |record: &ProfileRecord| record.category_micros_per_message.values().sum::<f64>();
    let of =
        |record: &ProfileRecord, category: &str| record.category_micros_per_message.get(category).copied();
    let bars: Vec<Bar> = records
        .iter()
        .map(|record| Bar {
            name: record.contender.clone(),
            note: format!("{} µs", decimal(total(record), 2)),
            parts: categories
                .iter()
                .enumerate()
                .filter_map(|(index, category)| {
                    Some(Part {
                        value: of(record, category)?,
                        class: look(index),
                        letter: letter(index),
                    })
                })
                .collect(),
            ..Bar::default()
        })
        .collect();
    let keys: Vec<_> = categories
        .iter()
        .enumerate()
        .map(|(index, name)| {
            (
                Sign::Field(format!("bar {}", look(index)), letter(index)),
                (*name).to_owned(),
            )
        })
        .collect();
    let title = "CPU per message by category, µs".to_owned();
    let caption = "From profiles that were taken after the measured slices, so that sampling cost no figure anything: they tell the \
                   shares of what a message cost there. Categories stand in the same order in every bar."
        .to_owned();
    let rows = records.iter().map(|record| {
        let figures = categories
            .iter()
            .map(|category| or_missing(of(record, category), |micros| decimal(micros, 2)));
        let ends = [
            decimal(total(record), 2),
            count(record.samples as f64),
            count(record.messages as f64),
        ];
        std::iter::once(record.contender.clone())
            .chain(figures)
            .chain(ends)
            .collect()
    });
    let columns: Vec<&str> = std::iter::once("contender")
        .chain(categories.iter().copied())
        .chain(["sum", "samples", "messages"])
        .collect();
    let id = format!("{id}-categories");
    Some(Chart {
        svg: bars::draw(&bars, &keys, &id, &title, &caption)?,
        id,
        table: Table::new(&title, &columns, rows.collect()),
        title,
        caption,
    })
}

/// What each contender spends more or less than the baseline, by category: it holds between languages too, whose
/// functions don't have the same names.
fn difference(records: &[&ProfileRecord], baseline: &str) -> Option<Table> {
    let base = records.iter().find(|record| record.contender == baseline)?;
    let others: Vec<_> = records
        .iter()
        .filter(|record| record.contender != baseline)
        .collect();
    if others.is_empty() {
        return None;
    }
    let categories = categories(records);
    let rows = others.iter().map(|record| {
        let changes: BTreeMap<_, _> = change::categories(base, record)
            .map(|change| (change.name, change))
            .collect();
        let figures = categories.iter().map(|category| match changes.get(category) {
            Some(change) if change.beyond_chance => format!("{:+.2}", change.micros),
            Some(change) if change.micros != 0.0 => "within chance".to_owned(),
            _ => missing(),
        });
        std::iter::once(record.contender.clone()).chain(figures).collect()
    });
    let columns: Vec<&str> = std::iter::once("contender")
        .chain(categories.iter().copied())
        .collect();
    let caption = format!("Against {baseline}, µs per message beyond chance: + is dearer, - is cheaper");
    Some(Table::new(&caption, &columns, rows.collect()))
}

fn functions(record: &ProfileRecord) -> Table {
    let rows = record.top.iter().take(FUNCTIONS).map(|top| {
        vec![
            top.function.clone(),
            decimal(top.self_micros_per_message, 3),
            decimal(top.total_micros_per_message, 3),
        ]
    });
    let caption = format!(
        "{}: functions with most CPU time of their own, µs per message",
        record.contender
    );
    Table::new(
        &caption,
        &["function", "itself", "with what it called"],
        rows.collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    #[test]
    fn a_contender_is_not_dearer_than_itself() {
        let mut result = fixture::result_with_profiles();
        let mut twin = result.profiles[0].clone();
        twin.contender = "twin".to_owned();
        twin.category_micros_per_message.insert("read".to_owned(), 3.2);
        twin.category_micros_per_message.insert("write".to_owned(), 3.9);
        result.profiles.insert(1, twin);
        let table = profiles(&result, "few", "s1").unwrap().difference.unwrap();
        let none = missing();
        let chance = "within chance".to_owned();
        assert_eq!(
            table.rows[0][..4],
            ["twin".to_owned(), chance.clone(), chance, none.clone()]
        );
        assert_eq!(table.rows[1][..3], ["tokio".to_owned(), none.clone(), none]);
        assert_eq!(table.rows[1][3..5], ["-2.00", "+5.00"]);
    }
}
