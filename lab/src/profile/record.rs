//! Pure: from a pprof file's samples to a [`ProfileRecord`], normalised by messages.

use std::collections::{BTreeMap, HashMap, HashSet};

use telemetry::profile::category::{Category, cpu_nanos_by_category};
use telemetry::profile::difference;
use telemetry::profile::folded;
use telemetry::profile::pprof::Profile;

use model::profile::{ProfileRecord, TopFunction};

/// Functions that a record lists.
const TOP: usize = 20;
/// Frames with less of the CPU time are merged: nobody sees them in a picture.
const SHARE_MIN: f64 = 0.001;
/// A record's stacks take no more; a result holds one record for each contender in each scenario.
const FOLDED_BYTES_MAX: usize = 96 << 10;
/// Nor do the names of its functions: some hundreds.
const NAMES_BYTES_MAX: usize = 64 << 10;

/// A record without a profile, and why.
pub fn missing(scenario: &str, contender: &str, why: String) -> ProfileRecord {
    ProfileRecord {
        scenario: scenario.to_owned(),
        contender: contender.to_owned(),
        missing: Some(why),
        ..ProfileRecord::default()
    }
}

/// Under what a profile was taken.
#[derive(Debug, Clone, Copy)]
pub struct Taken<'a> {
    /// The scenario's name.
    pub scenario: &'a str,
    /// The contender's name.
    pub contender: &'a str,
    /// The messages that were served while it was recorded.
    pub messages: u64,
    /// What one of them cost in the measured slices, in nanoseconds: the run's own figure, from the process's CPU clock. A
    /// profile tells shares and no times: samplers miss what lies between the kernel's ticks, Go's up to three quarters
    /// of it, and while a profile is taken the clock counts the profiler's work as well. `None` when nobody knows; then
    /// the profile's word has to do.
    pub nanos_per_message: Option<f64>,
    /// How far that may be off: its standard error over itself.
    pub cost_relative_error: Option<f64>,
    /// The name of the pprof file.
    pub pprof: &'a str,
}

/// The record of a profile. Threads of ours that only observed the server are left out, and the categories add up to what
/// a message costs.
///
/// # Errors
/// When nothing can be said: no message, or no CPU time in the profile.
pub fn record(profile: &Profile, taken: &Taken<'_>) -> Result<ProfileRecord, String> {
    let messages = taken.messages;
    if messages == 0 {
        return Err("no message was served while it was taken".to_owned());
    }
    if !profile.has_cpu_time() {
        return Err("its profile does not say how much CPU time was used".to_owned());
    }
    let profile = &profile.without_observers();
    let stacks = folded::folded_nanos(profile);
    let by_category = cpu_nanos_by_category(profile);
    let total: u64 = by_category.iter().sum();
    if stacks.is_empty() {
        return Err("its profile holds no sample".to_owned());
    }
    let by_clock = taken.nanos_per_message.filter(|nanos| *nanos > 0.0);
    let scale = by_clock.map_or(1.0, |nanos| nanos * messages as f64 / total as f64);
    let micros = |nanos: u64| nanos as f64 * scale / 1e3 / messages as f64;
    let samples: i64 = profile
        .stacks()
        .iter()
        .map(|stack| stack.samples.max(0))
        .fold(0, i64::saturating_add);
    let categories = Category::ALL.iter().zip(by_category);
    let stacks = scaled(&stacks, scale);
    let (functions, left_out_nanos) = functions(&stacks);
    Ok(ProfileRecord {
        scenario: taken.scenario.to_owned(),
        contender: taken.contender.to_owned(),
        missing: None,
        messages,
        samples: samples as u64,
        category_micros_per_message: categories
            .map(|((_, name), nanos)| ((*name).to_owned(), micros(nanos)))
            .collect::<BTreeMap<_, _>>(),
        top: top(&stacks, messages),
        folded: folded::compact(&stacks, SHARE_MIN, FOLDED_BYTES_MAX),
        functions,
        left_out_nanos,
        cost_relative_error: taken.cost_relative_error,
        pprof: taken.pprof.to_owned(),
    })
}

/// How a profile's CPU time divides among the categories, 0 to 1 each, in the order of [`Category::ALL`].
///
/// # Errors
/// When nothing can be said: no CPU time in the profile.
pub fn shares(profile: &Profile) -> Result<Vec<(&'static str, f64)>, String> {
    if !profile.has_cpu_time() {
        return Err("its profile does not say how much CPU time was used".to_owned());
    }
    let by_category = cpu_nanos_by_category(&profile.without_observers());
    let total: u64 = by_category.iter().sum();
    if total == 0 {
        return Err("its profile holds no sample".to_owned());
    }
    let named = Category::ALL.iter().zip(by_category);
    Ok(named
        .map(|((_, name), nanos)| (*name, nanos as f64 / total as f64))
        .collect())
}

fn scaled(stacks: &str, scale: f64) -> String {
    folded::lines(stacks)
        .map(|(stack, nanos)| format!("{stack} {}\n", (nanos as f64 * scale).round()))
        .collect()
}

/// What each function itself takes, and the most that one takes which found no room.
fn functions(stacks: &str) -> (BTreeMap<String, u64>, u64) {
    let mut times: Vec<_> = difference::by_function(stacks).into_iter().collect();
    times.sort_by(|(a_name, a), (b_name, b)| b.cmp(a).then(a_name.cmp(b_name)));
    let mut room = NAMES_BYTES_MAX;
    let fits = times.iter().take_while(|(name, _)| {
        let left = room.checked_sub(name.len());
        room = left.unwrap_or(0);
        left.is_some()
    });
    let fits = fits.count();
    let left_out = times.get(fits).map_or(0, |(_, nanos)| *nanos);
    times.truncate(fits);
    let kept = times.into_iter().map(|(name, nanos)| (name.to_owned(), nanos));
    (kept.collect(), left_out)
}

/// The functions with most time of their own.
fn top(stacks: &str, messages: u64) -> Vec<TopFunction> {
    let micros = |nanos: u64| nanos as f64 / 1e3 / messages as f64;
    let mut times: HashMap<&str, (u64, u64)> = HashMap::new();
    for (stack, nanos) in folded::lines(stacks) {
        let mut seen = HashSet::new();
        for (depth, function) in stack.rsplit(';').enumerate() {
            let time = times.entry(function).or_default();
            if depth == 0 {
                time.0 += nanos;
            }
            // A function that calls itself has its time once.
            if seen.insert(function) {
                time.1 += nanos;
            }
        }
    }
    let mut times: Vec<_> = times.into_iter().filter(|(_, (own, _))| *own > 0).collect();
    times.sort_by(|(a_name, a), (b_name, b)| b.cmp(a).then(a_name.cmp(b_name)));
    times.truncate(TOP);
    let function = |(name, (own, all)): (&str, (u64, u64))| TopFunction {
        function: name.to_owned(),
        self_micros_per_message: micros(own),
        total_micros_per_message: micros(all),
    };
    times.into_iter().map(function).collect()
}

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;
