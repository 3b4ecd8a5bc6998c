//! The echo service on several engines, under one contract.

pub mod engine;
