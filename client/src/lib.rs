//! The load generator: checks every reply byte, keeps its rate, and costs less than what it measures.

pub mod summary;
