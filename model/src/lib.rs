//! What is asked of servers, what was measured, and what it means. Pure: no I/O, no clock, no words for people.
//!
//! - What is asked: [`rate`], [`pace`], [`scenario`], [`contender`], [`epoll`], [`rule`], [`config`], [`plan`].
//! - What a client is told and answers: [`protocol`].
//! - What was measured: [`run`] (rounds, cycles), [`machine`], [`profile`], and all of it in [`result`].
//! - What it means: [`figure`] → [`statistics`] → [`comparison`], [`spoilt`], [`judge`] → [`verdict`], [`decision`].
//!   Every limit of these stands in [`threshold`].

pub mod comparison;
pub mod config;
pub mod contender;
pub mod decision;
pub mod epoll;
pub mod figure;
#[cfg(any(test, feature = "fixture"))]
pub mod fixture;
pub mod judge;
pub mod machine;
pub mod machine_part;
pub mod pace;
pub mod plan;
pub mod profile;
pub mod protocol;
pub mod quantiles;
pub mod rate;
pub mod result;
pub mod rule;
pub mod run;
pub mod scenario;
pub mod spoilt;
pub mod stalls;
pub mod statistics;
pub mod threshold;
pub mod verdict;
