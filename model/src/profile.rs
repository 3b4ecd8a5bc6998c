//! Where a contender's CPU time went.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Where one contender's CPU time went in one scenario: its profile, normalised by messages, so that contenders can be
/// compared.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ProfileRecord {
    /// The scenario's name.
    pub scenario: String,
    /// The contender's name.
    pub contender: String,
    /// Why there is no profile, when there is none; all else is empty then.
    pub missing: Option<String>,
    /// Replies while the profile was taken.
    pub messages: u64,
    /// Samples in the profile.
    pub samples: u64,
    /// CPU time by category (`read`, `write`, `wait`, …), in microseconds for each message.
    pub category_micros_per_message: BTreeMap<String, f64>,
    /// The functions with most CPU time of their own, most first.
    pub top: Vec<TopFunction>,
    /// All stacks in folded form, a line each: frames from the outermost, joined with `;`, a blank, nanoseconds. Small frames
    /// are merged.
    pub folded: String,
    /// What each function itself takes, in nanoseconds, in all stacks before small frames were merged; empty in results of
    /// labs that did not keep it. Those with least are left out when there are too many.
    #[serde(default)]
    pub functions: BTreeMap<String, u64>,
    /// A function that was left out takes at most this.
    #[serde(default)]
    pub left_out_nanos: u64,
    /// Standard error of what a message costs, over that: by how the cycles of the run differ. Null when there is one.
    #[serde(default)]
    pub cost_relative_error: Option<f64>,
    /// The pprof file's name, in the result's folder.
    pub pprof: String,
}

/// A function and the CPU time spent in it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TopFunction {
    /// Its name.
    pub function: String,
    /// CPU time in itself, in microseconds for each message.
    pub self_micros_per_message: f64,
    /// CPU time in it and what it called, in microseconds for each message.
    pub total_micros_per_message: f64,
}
