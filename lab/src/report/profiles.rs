//! Where the CPU time goes, in words and figures: what every format says of profiles.

use telemetry::profile::category::Category;
use telemetry::profile::difference::Function;

use super::figures::{self, count, decimal};
use crate::profile::flames::{self, Direction};
use crate::profile::{change, files};
use model::profile::ProfileRecord;
use model::result::LabResult;

/// Functions that are named of each contender, and in each difference.
const NAMED: usize = 5;
/// Longer names are cut: generic parameters can fill a page.
const NAME_CHARS: usize = 70;
/// With fewer samples than this, a profile says little.
const SAMPLES_MIN: u64 = 100;

/// The columns of the table by category.
pub fn columns() -> Vec<&'static str> {
    let categories = Category::ALL.iter().map(|(_, name)| *name);
    let mut columns = vec!["contender"];
    columns.extend(categories);
    columns.extend(["sum", "samples"]);
    columns
}

/// A row for each profile of a scenario: microseconds of CPU for each message, by category.
pub fn rows(result: &LabResult, scenario: &str) -> Vec<Vec<String>> {
    let row = |record: &ProfileRecord| {
        let micros = |name: &str| record.category_micros_per_message.get(name).copied();
        let mut row = vec![record.contender.clone()];
        let values: Vec<_> = Category::ALL.iter().map(|(_, name)| micros(name)).collect();
        row.extend(
            values
                .iter()
                .map(|value| figures::or_missing(*value, |micros| decimal(micros, 2))),
        );
        row.push(decimal(values.iter().flatten().sum(), 2));
        row.push(count(record.samples as f64));
        row
    };
    present(result, scenario).map(row).collect()
}

/// Why no stack goes below a system call.
const KERNEL_FRAMES: &str = "Stacks end at the call into the kernel, such as send: frames of the kernel are missing. A process cannot see \
     the kernel's stack, so the time in the kernel counts for the call. `perf record -g` as root shows what is below.";

/// What to know beside the table: the costliest functions, what differs from the baseline, what is missing and why.
pub fn remarks(result: &LabResult, scenario: &str) -> Vec<String> {
    let mut remarks = Vec::new();
    if present(result, scenario).next().is_some() {
        remarks.push(KERNEL_FRAMES.to_owned());
    }
    for record in present(result, scenario) {
        let top: Vec<_> = record
            .top
            .iter()
            .take(NAMED)
            .map(|top| {
                format!(
                    "{} {}",
                    shortened(&top.function),
                    decimal(top.self_micros_per_message, 2)
                )
            })
            .collect();
        remarks.push(format!(
            "{}, most µs of their own: {}.",
            record.contender,
            top.join(", ")
        ));
        if let Some(baseline) = result.baseline_profile(record) {
            remarks.push(difference(baseline, record));
        }
        if record.samples < SAMPLES_MIN {
            remarks.push(format!(
                "{}: {} samples say little. Profile for longer (--profile-seconds), or under more load (--rate).",
                record.contender,
                count(record.samples as f64)
            ));
        }
    }
    let of_scenario = result
        .profiles
        .iter()
        .filter(|record| record.scenario == scenario);
    remarks.extend(of_scenario.filter_map(|record| {
        let why = record.missing.as_ref()?;
        Some(format!("{} has no profile: {why}.", record.contender))
    }));
    remarks
}

/// The files of a scenario's profiles, from the result's folder, each with what it shows.
pub fn files(result: &LabResult, scenario: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for record in present(result, scenario) {
        let who = &record.contender;
        found.push((files::picture(record), format!("{who}: flame graph")));
        found.push((record.pprof.clone(), format!("{who}: for `go tool pprof`")));
        let Some(baseline) = result.baseline_profile(record) else {
            continue;
        };
        if flames::comparable(baseline, record).is_ok() {
            for (direction, what) in [(Direction::Dearer, "dearer"), (Direction::Cheaper, "cheaper")] {
                let name = files::difference(record, &baseline.contender, direction);
                found.push((
                    name,
                    format!("{who} against {}: what got {what}", baseline.contender),
                ));
            }
        }
    }
    found
}

fn present<'a>(result: &'a LabResult, scenario: &'a str) -> impl Iterator<Item = &'a ProfileRecord> {
    let of_scenario = move |record: &&ProfileRecord| record.scenario == scenario && record.missing.is_none();
    result.profiles.iter().filter(of_scenario)
}

fn difference(baseline: &ProfileRecord, record: &ProfileRecord) -> String {
    let against = format!("{} against {}", record.contender, baseline.contender);
    let functions = match change::functions(baseline, record) {
        Ok(functions) => functions,
        Err(why) => {
            let mut changes: Vec<_> = change::categories(baseline, record)
                .filter(|category| category.beyond_chance)
                .collect();
            changes.sort_by(|a, b| b.micros.total_cmp(&a.micros));
            let changes = changes
                .iter()
                .map(|category| format!("{} {:+.2}", category.name, category.micros));
            return format!(
                "{against}, µs by category, beyond chance: {}. By function: {why}.",
                joined(changes.collect())
            );
        }
    };
    let listed = |wanted: fn(&Function) -> bool| {
        let functions = functions.iter().filter(|function| wanted(function)).take(NAMED);
        let listed = functions.map(|function| {
            format!(
                "{} {:+.2}",
                shortened(&function.name),
                function.change_nanos() / 1e3
            )
        });
        joined(listed.collect())
    };
    format!(
        "{against}, µs beyond chance: dearer {}; cheaper {}.",
        listed(|function| function.change_nanos() > 0.0),
        listed(|function| function.change_nanos() < 0.0)
    )
}

fn joined(listed: Vec<String>) -> String {
    match listed.is_empty() {
        true => "nothing".to_owned(),
        false => listed.join(", "),
    }
}

fn shortened(name: &str) -> String {
    if name.chars().count() <= NAME_CHARS {
        return name.to_owned();
    }
    // Paths tell most at their end.
    let skipped = name.chars().count() - NAME_CHARS;
    format!("…{}", name.chars().skip(skipped + 1).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    #[test]
    fn long_names_keep_their_end() {
        let name = format!("{}::echo", "a".repeat(100));
        let short = shortened(&name);
        assert!(short.starts_with('…') && short.ends_with("::echo") && short.chars().count() == NAME_CHARS);
        assert_eq!(shortened("echo"), "echo");
    }

    /// A contender in another language, whose profile is the same but for a category that chance moved a little.
    #[test]
    fn what_chance_explains_is_no_difference_of_categories() {
        let mut result = fixture::result_with_profiles();
        let base = result.profiles[0].clone();
        let go = &mut result.profiles[2];
        go.category_micros_per_message = base.category_micros_per_message.clone();
        go.samples = base.samples;
        go.category_micros_per_message.insert("read".to_owned(), 3.2);
        let said = |result: &LabResult| {
            let remarks = remarks(result, "few");
            let mut of_go = remarks.iter().filter(|remark| remark.contains("go-net against"));
            of_go.next().unwrap().clone()
        };
        assert!(
            said(&result).contains("beyond chance: nothing. By function"),
            "{}",
            said(&result)
        );
        let go = &mut result.profiles[2];
        go.category_micros_per_message.insert("read".to_owned(), 6.0);
        assert!(
            said(&result).contains("beyond chance: read +3.00. By function"),
            "{}",
            said(&result)
        );
    }

    #[test]
    fn few_samples_are_called_so() {
        let mut result = fixture::result_with_profiles();
        result.profiles[0].samples = 7;
        let remarks = remarks(&result, "few");
        assert!(
            remarks
                .iter()
                .any(|remark| remark.contains("7 samples say little")),
            "{remarks:?}"
        );
    }
}
