//! The threads that watch the program instead of serving.

/// The name of the exporter's thread.
pub(crate) const EXPORTER: &str = "exporter";

/// The name of the profiler's thread.
pub(crate) const PROFILER: &str = "profiler";

/// The names of all of them.
pub(crate) const OBSERVERS: [&str; 2] = [PROFILER, EXPORTER];
