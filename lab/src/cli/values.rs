//! How single values are read: each says what it should be, to be read after flag and value.

use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use model::epoll::{Accept, Trigger};
use model::rule::Undecided;

use server::engine::{EVENTS_MAX, WORKERS_MAX};
use telemetry::profile::request::HERTZ;

use model::protocol::{CONNECTIONS_MAX, MESSAGE_BYTES_MAX};
use model::scenario::ROUNDS_MAX;

/// The longest profile that the servers take.
const PROFILE_SECONDS_MAX: u64 = 300;

/// One of the ways to share listening sockets.
pub fn accept() -> impl TypedValueParser<Value = Accept> {
    choice(Accept::ALL, Accept::name)
}

/// One of the ways to report readiness.
pub fn trigger() -> impl TypedValueParser<Value = Trigger> {
    choice(Trigger::ALL, Trigger::name)
}

/// What an undecided rule means.
pub fn undecided() -> impl TypedValueParser<Value = Undecided> {
    choice(Undecided::ALL, Undecided::name)
}

/// One of `all`, by name. The parser refuses every other text and lists the names.
fn choice<T, const N: usize>(all: [T; N], name: fn(T) -> &'static str) -> impl TypedValueParser<Value = T>
where
    T: Copy + Send + Sync + 'static,
{
    PossibleValuesParser::new(all.map(name)).try_map(move |text| {
        let found = all.into_iter().find(|value| name(*value) == text);
        found.ok_or("should be one of the names")
    })
}

pub fn connections(text: &str) -> Result<u64, String> {
    between(text, 1, CONNECTIONS_MAX)
}

pub fn message_bytes(text: &str) -> Result<u64, String> {
    between(text, 1, MESSAGE_BYTES_MAX)
}

pub fn workers(text: &str) -> Result<usize, String> {
    between(text, 1, WORKERS_MAX as u64).map(|number| number as usize)
}

pub fn events(text: &str) -> Result<usize, String> {
    between(text, 1, EVENTS_MAX as u64).map(|number| number as usize)
}

pub fn rounds(text: &str) -> Result<u32, String> {
    between(text, 1, ROUNDS_MAX.into()).map(|number| number as u32)
}

/// A percentage as a share: `2%` or `2` is 0.02.
pub fn percent(text: &str) -> Result<f64, String> {
    let number = text.trim().trim_end_matches('%').trim_end().parse::<f64>().ok();
    number
        .filter(|percent| *percent > 0.0 && *percent <= 100.0)
        .map(|percent| percent / 100.0)
        .ok_or_else(|| "should be more than 0% and at most 100%, such as 2%".to_owned())
}

pub fn cycles(text: &str) -> Result<u32, String> {
    between(text, 1, u32::MAX.into()).map(|number| number as u32)
}

pub fn profile_seconds(text: &str) -> Result<u32, String> {
    between(text, 1, PROFILE_SECONDS_MAX).map(|number| number as u32)
}

pub fn profile_hz(text: &str) -> Result<u32, String> {
    between(text, 0, (*HERTZ.end()).into()).map(|number| number as u32)
}

pub fn seed(text: &str) -> Result<u64, String> {
    between(text, 0, u64::MAX)
}

pub fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .map_err(|_| "should be a duration with its unit, such as 50us, 250ms or 2s".to_owned())
}

fn between(text: &str, least: u64, most: u64) -> Result<u64, String> {
    let number = text.trim().parse::<u64>().ok();
    number
        .filter(|number| (least..=most).contains(number))
        .ok_or_else(|| format!("should be a whole number from {least} to {most}"))
}
