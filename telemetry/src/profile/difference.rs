//! What one profile has more of than another, both divided by the messages that were served meanwhile. Pure.
//!
//! A profile is a sample: taken twice of the same program, no two counts agree. So a difference counts only when chance
//! does not explain it; the rest is called noise, and pictures leave it white.
//!
//! What is compared is a function in all its stacks together: two engines call `send` from places with different names,
//! and it would be wrong to say that one is gone and another one is new.

use std::collections::BTreeMap;

use super::folded;

/// How many standard deviations are beyond chance. With some hundred stacks a picture, one picture in a hundred shows
/// one that is chance all the same.
const DEVIATIONS_MIN: f64 = 4.0;
/// And how much of the larger side: two profiles are taken one after the other, and machines drift between them.
const SHARE_MIN: f64 = 0.1;

/// One of the two profiles.
#[derive(Debug, Clone, Copy)]
pub struct Side<'a> {
    /// Its stacks in folded form, with nanoseconds.
    pub folded: &'a str,
    /// Its samples.
    pub samples: u64,
    /// The messages that were served meanwhile.
    pub messages: u64,
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
    let of_functions = counts(baseline, contender, leaf);
    let of_stacks = counts(baseline, contender, |stack| stack);
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
    let mut functions: Vec<_> = counts(baseline, contender, leaf)
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

/// What a sample of a side stands for.
#[derive(Debug, Clone, Copy)]
struct Scale {
    /// CPU time for each message, in nanoseconds.
    nanos: f64,
    /// CPU time in all, in nanoseconds.
    sample_nanos: f64,
}

impl Scale {
    fn of(side: &Side<'_>) -> Scale {
        let total: u64 = folded::lines(side.folded).map(|(_, nanos)| nanos).sum();
        let sample_nanos = (total as f64 / side.samples.max(1) as f64).max(1.0);
        Scale {
            nanos: sample_nanos / side.messages.max(1) as f64,
            sample_nanos,
        }
    }
}

/// How many samples either side has of each stack, or of what `key` takes of it. Time tells: samples stand for nearly
/// the same time each.
fn counts<'a>(
    baseline: &Side<'a>,
    contender: &Side<'a>,
    key: impl Fn(&'a str) -> &'a str,
) -> BTreeMap<&'a str, (f64, f64)> {
    let mut counts: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
    let scale = Scale::of(baseline);
    for (stack, nanos) in folded::lines(baseline.folded) {
        counts.entry(key(stack)).or_default().0 += nanos as f64 / scale.sample_nanos;
    }
    let scale = Scale::of(contender);
    for (stack, nanos) in folded::lines(contender.folded) {
        counts.entry(key(stack)).or_default().1 += nanos as f64 / scale.sample_nanos;
    }
    counts
}

fn leaf(stack: &str) -> &str {
    stack.rsplit(';').next().unwrap_or(stack)
}

/// Whether two Poisson counts with these scales have different rates: the variance-stabilised test of Gu, Ng, Tang and
/// Schucany, "Testing the ratio of two Poisson rates", Biometrical Journal 50 (2008), W5.
fn beyond_noise((base, cont): (f64, f64), (base_scale, cont_scale): (Scale, Scale)) -> bool {
    let (base_nanos, cont_nanos) = (base * base_scale.nanos, cont * cont_scale.nanos);
    let larger = base_nanos.max(cont_nanos);
    if (cont_nanos - base_nanos).abs() <= SHARE_MIN * larger {
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
