//! What the tests of dashboards and containers share: dashboards, recording rules and PromQL, read just far enough.

// Each test binary uses its own part of this, and all of it is test code.
#![allow(dead_code, clippy::unwrap_used)]

pub mod agreement;
pub mod board;
pub mod figures;
pub mod lint;
pub mod project;
pub mod prometheus;
pub mod promql;
pub mod rules;
pub mod schema;
pub mod stack;
