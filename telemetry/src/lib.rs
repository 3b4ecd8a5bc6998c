//! What echolab counts and how it is shown. A leaf: it knows no engine, no client, no lab.
//!
//! [`names`] lists every metric. [`counters`] are what servers count, [`live`] the histograms of the live view,
//! [`latency`] the exact ones that reports are made of, [`process`] what a process uses, and [`exporter`] serves
//! all of it over HTTP. [`profile`] says where the CPU goes, [`allocator`] where the memory is. Absent by design:
//! global state, and any Prometheus type outside [`family`] and [`exporter`].

pub mod allocator;
pub mod counters;
pub mod exporter;
pub mod family;
pub mod latency;
pub mod live;
pub mod names;
mod observers;
pub mod process;
pub mod profile;
