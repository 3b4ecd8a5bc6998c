//! The contract of an engine, and the table of engines.
//!
//! # The contract
//!
//! Every engine keeps these promises; `tests/contract.rs` tries each of them on every engine, and proves each case
//! by a mutant that it kills.
//!
//! 1. The caller binds the sockets. [`Listeners`] offers one shared listener, or one for each worker.
//! 2. Every byte is echoed, once, in order, also after the peer's half-close; then the connection closes.
//! 3. Memory per connection is bounded: while replies wait to be written, nothing more is read. A quiet connection
//!    owns no buffer in `epoll` and `uring`.
//! 4. On [`Stop`] no new connection is taken, what was read is echoed, and `serve` returns within the grace period.
//! 5. One connection's error is counted and closes that connection alone. Out of file descriptors: existing
//!    connections go on, accepting pauses and resumes by itself, and it is counted; no busy loop.
//! 6. Socket options and buffer sizes come from [`Context`], the same for all. Each engine is written as an expert in
//!    that model would write it: no contender is handicapped.
//! 7. Counting goes through this worker's own counters: one writer, plain loads and stores, summed at scrape time.
//! 8. `probe` says whether this machine allows the engine, and if not, what to change.
//!
//! A new engine is one file and one row in [`ENGINES`]; flags, lab, tests and dashboards follow from the table.
//! An engine's file imports this module, `sys` and `telemetry::counters`: never `cli`, a sibling, or a Prometheus
//! type.
