//! What one profile has more of than another, both divided by the messages that were served meanwhile. Pure.
//!
//! A profile is a sample: taken twice of the same program, no two counts agree. So a difference counts only when chance
//! does not explain it; the rest is called noise, and pictures leave it white.
//!
//! What is compared is a function in all its stacks together: two engines call `send` from places with different names,
//! and it would be wrong to say that one is gone and another one is new. Its time comes from the stacks as they were
//! taken, not from those that were made small for a picture, each side by its own measure: a function may be part of the
//! rest on one side and have its name on the other, and not have changed at all.

use std::collections::BTreeMap;

use super::folded;

/// How many standard deviations are beyond chance. With some hundred stacks a picture, one picture in a hundred shows
/// one that is chance all the same.
const DEVIATIONS_MIN: f64 = 4.0;
/// And how much of the larger side: two profiles are taken one after the other, and machines drift between them. More of
/// it when what a message costs is not known that well.
const SHARE_MIN: f64 = 0.1;

/// One of the two profiles.
#[derive(Debug, Clone, Copy)]
pub struct Side<'a> {
    /// Its stacks in folded form, with nanoseconds. They may have been made small.
    pub folded: &'a str,
    /// What each function itself takes, in nanoseconds, in the stacks before they were made small. When it is empty,
    /// `folded` is all that is known.
    pub functions: &'a BTreeMap<String, u64>,
    /// A function that `functions` leaves out takes at most this.
    pub left_out_nanos: u64,
    /// Its samples.
    pub samples: u64,
    /// The messages that were served meanwhile.
    pub messages: u64,
    /// Standard error of what a message costs in all, over that: it is no matter of samples and makes each function dearer
    /// or cheaper alike. 0 when nobody knows.
    pub cost_error: f64,
}

/// Which of the two profiles a picture has the shape of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// The contender's: what got dearer.
    Dearer,
    /// The baseline's: what got cheaper.
    Cheaper,
}

/// A stack, and what it itself costs on either side, in nanoseconds for each message.
#[derive(Debug, Clone, PartialEq)]
pub struct Stack {
    /// Its frames from the outermost, joined with `;`.
    pub frames: String,
    /// On the baseline's side.
    pub baseline_nanos: f64,
    /// On the contender's side.
    pub contender_nanos: f64,
    /// What its innermost function costs on the contender's side over what it costs on the baseline's, in all its
    /// stacks together; `None` when chance explains the difference.
    pub ratio: Option<f64>,
}

/// A function, and what it itself costs on either side, in nanoseconds for each message.
#[derive(Debug, Clone, PartialEq)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// On the baseline's side.
    pub baseline_nanos: f64,
    /// On the contender's side.
    pub contender_nanos: f64,
}

impl Function {
    /// What it costs more in the contender; less than 0 when it got cheaper.
    pub fn change_nanos(&self) -> f64 {
        self.contender_nanos - self.baseline_nanos
    }
}

/// All stacks of both, sorted.
pub fn stacks(baseline: &Side<'_>, contender: &Side<'_>) -> Vec<Stack> {
    let scales = (Scale::of(baseline), Scale::of(contender));
    let of_functions = function_counts(baseline, contender);
    let of_stacks = stack_counts(baseline, contender);
    let stack = |(frames, counts): (&str, (f64, f64))| {
        let function = of_functions.get(leaf(frames)).copied().unwrap_or_default();
        let known = leaf(frames) != folded::REST && beyond_noise(function, scales);
        Stack {
            frames: frames.to_owned(),
            baseline_nanos: counts.0 * scales.0.nanos,
            contender_nanos: counts.1 * scales.1.nanos,
            ratio: known.then(|| function.1 * scales.1.nanos / (function.0 * scales.0.nanos)),
        }
    };
    of_stacks.into_iter().map(stack).collect()
}

/// The functions that cost more or less beyond noise, the greatest change first.
pub fn functions(baseline: &Side<'_>, contender: &Side<'_>) -> Vec<Function> {
    let scales = (Scale::of(baseline), Scale::of(contender));
    let mut functions: Vec<_> = function_counts(baseline, contender)
        .into_iter()
        .filter(|(name, counts)| *name != folded::REST && beyond_noise(*counts, scales))
        .map(|(name, counts)| Function {
            name: name.to_owned(),
            baseline_nanos: counts.0 * scales.0.nanos,
            contender_nanos: counts.1 * scales.1.nanos,
        })
        .collect();
    functions.sort_by(|a, b| b.change_nanos().abs().total_cmp(&a.change_nanos().abs()));
    functions
}

/// Whether something that takes so many nanoseconds for each message, on the baseline's and on the contender's side, takes
/// more or less beyond noise.
pub fn differs(baseline: &Side<'_>, contender: &Side<'_>, nanos_per_message: (f64, f64)) -> bool {
    let scales = (Scale::of(baseline), Scale::of(contender));
    let counts = (
        nanos_per_message.0 / scales.0.nanos,
        nanos_per_message.1 / scales.1.nanos,
    );
    beyond_noise(counts, scales)
}

/// What a sample of a side stands for.
#[derive(Debug, Clone, Copy)]
struct Scale {
    /// CPU time for each message, in nanoseconds.
    nanos: f64,
    /// CPU time in all, in nanoseconds.
    sample_nanos: f64,
    /// How far `nanos` may be off, over itself: the side's.
    error: f64,
}

impl Scale {
    fn of(side: &Side<'_>) -> Scale {
        let total: u64 = folded::lines(side.folded).map(|(_, nanos)| nanos).sum();
        let sample_nanos = (total as f64 / side.samples.max(1) as f64).max(1.0);
        Scale {
            nanos: sample_nanos / side.messages.max(1) as f64,
            sample_nanos,
            error: side.cost_error,
        }
    }
}

/// How many samples either side has of each stack. Time tells: samples stand for nearly the same time each.
fn stack_counts<'a>(baseline: &Side<'a>, contender: &Side<'a>) -> BTreeMap<&'a str, (f64, f64)> {
    let mut counts: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
    let scale = Scale::of(baseline);
    for (stack, nanos) in folded::lines(baseline.folded) {
        counts.entry(stack).or_default().0 += nanos as f64 / scale.sample_nanos;
    }
    let scale = Scale::of(contender);
    for (stack, nanos) in folded::lines(contender.folded) {
        counts.entry(stack).or_default().1 += nanos as f64 / scale.sample_nanos;
    }
    counts
}

/// How many samples either side has of each function itself. A side that may have left a function out is taken to have as
/// much of it as the other one has, as far as that is possible: nobody knows better, and a difference must be sure.
fn function_counts<'a>(baseline: &Side<'a>, contender: &Side<'a>) -> BTreeMap<&'a str, (f64, f64)> {
    let (base, cont) = (own_nanos(baseline), own_nanos(contender));
    let (base_scale, cont_scale) = (Scale::of(baseline), Scale::of(contender));
    // What lies below a side's cut is not known: not more than the cut, and no reason to think that it differs.
    let at_most = |side: &Side<'_>, scale: Scale, other: f64| {
        (side.left_out_nanos as f64 / scale.sample_nanos).min(other / scale.nanos)
    };
    let counts = |name: &&'a str| {
        let base = base
            .get(name)
            .map(|nanos| *nanos as f64 / base_scale.sample_nanos);
        let cont = cont
            .get(name)
            .map(|nanos| *nanos as f64 / cont_scale.sample_nanos);
        let of_base = |cont: f64| at_most(baseline, base_scale, cont * cont_scale.nanos);
        let of_cont = |base: f64| at_most(contender, cont_scale, base * base_scale.nanos);
        (
            base.unwrap_or_else(|| of_base(cont.unwrap_or_default())),
            cont.unwrap_or_else(|| of_cont(base.unwrap_or_default())),
        )
    };
    base.keys()
        .chain(cont.keys())
        .map(|name| (*name, counts(name)))
        .collect()
}

/// What each function of a side itself takes.
fn own_nanos<'a>(side: &Side<'a>) -> BTreeMap<&'a str, u64> {
    if side.functions.is_empty() {
        return by_function(side.folded);
    }
    let known = side.functions.iter();
    known.map(|(name, nanos)| (name.as_str(), *nanos)).collect()
}

/// What each function itself takes, of stacks in folded form.
pub fn by_function(folded: &str) -> BTreeMap<&str, u64> {
    let mut nanos = BTreeMap::new();
    for (stack, count) in folded::lines(folded) {
        *nanos.entry(leaf(stack)).or_default() += count;
    }
    nanos
}

fn leaf(stack: &str) -> &str {
    stack.rsplit(';').next().unwrap_or(stack)
}

/// Whether two Poisson counts with these scales have different rates: the variance-stabilised test of Gu, Ng, Tang and
/// Schucany, "Testing the ratio of two Poisson rates", Biometrical Journal 50 (2008), W5. Counts of one server in profiles
/// taken one after the other were tried: at the same cost for all of a message, they spread as this test says, or less.
/// What the scales themselves do not know is a band around 1 in which the ratio of both says nothing.
fn beyond_noise((base, cont): (f64, f64), (base_scale, cont_scale): (Scale, Scale)) -> bool {
    let (base_nanos, cont_nanos) = (base * base_scale.nanos, cont * cont_scale.nanos);
    let larger = base_nanos.max(cont_nanos);
    let unsure = 1.0 - (-DEVIATIONS_MIN * base_scale.error.hypot(cont_scale.error)).exp();
    if (cont_nanos - base_nanos).abs() <= SHARE_MIN.max(unsure) * larger {
        return false;
    }
    // How much more was looked at on the baseline's side: a sample there stands for less.
    let exposure = cont_scale.nanos / base_scale.nanos;
    let stable = |count: f64| (count + 0.375).sqrt();
    let deviations = 2.0 * (stable(base) - exposure.sqrt() * stable(cont)) / (1.0 + exposure).sqrt();
    deviations.abs() >= DEVIATIONS_MIN
}

#[cfg(test)]
#[path = "difference_tests.rs"]
mod tests;
