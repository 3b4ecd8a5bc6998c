//! Every metric: name, kind, labels, help. Dashboards and rules may use these names and no others.

/// How a metric's value moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows, and starts at zero with the process.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts of observations by size.
    Histogram,
}

/// One metric. Its unit is the last part of its name, as Prometheus wants it.
#[derive(Debug, PartialEq, Eq)]
pub struct Metric {
    /// The name, unit last (`_bytes`, `_seconds`), `_total` for counters.
    pub name: &'static str,
    /// Counter, gauge or histogram.
    pub kind: Kind,
    /// The labels of each sample, in the order in which values are given.
    pub labels: &'static [&'static str],
    /// One sentence: what is counted.
    pub help: &'static str,
}

macro_rules! metrics {
    ($($constant:ident = $kind:ident $name:literal [$($label:literal),*] $help:literal;)*) => {
        $(#[doc = $help] pub const $constant: Metric =
            Metric { name: $name, kind: Kind::$kind, labels: &[$($label),*], help: $help };)*
        /// All of them.
        pub const ALL: &[&Metric] = &[$(&$constant),*];
    };
}

metrics! {
    // Servers.
    MESSAGES = Counter "echolab_messages_total" [] "Echo turns: one read and its write.";
    RECEIVED_BYTES = Counter "echolab_received_bytes_total" [] "Bytes read from connections.";
    SENT_BYTES = Counter "echolab_sent_bytes_total" [] "Bytes written to connections.";
    CONNECTIONS = Gauge "echolab_connections" [] "Connections open now.";
    CONNECTIONS_ACCEPTED = Counter "echolab_connections_accepted_total" [] "Connections accepted.";
    CONNECTIONS_CLOSED = Counter "echolab_connections_closed_total" ["reason"]
        "Connections closed, by reason: eof (the peer was done), reset, error, shutdown (the server stopped).";
    ACCEPT_ERRORS = Counter "echolab_accept_errors_total" ["reason"]
        "Accepts that failed, by reason: descriptors, memory, aborted (the peer gave up meanwhile), other.";
    PARTIAL_WRITES = Counter "echolab_partial_writes_total" []
        "Writes that the socket took only a part of, so that the rest had to wait.";
    EPOLL_WAITS = Counter "echolab_epoll_waits_total" ["epoll"] "Calls of epoll_wait that returned.";
    EPOLL_EMPTY_WAITS = Counter "echolab_epoll_empty_waits_total" ["epoll"]
        "Waits that brought nothing useful: no event, or only accepts that another epoll won.";
    EPOLL_CONNECTIONS = Gauge "echolab_epoll_connections" ["epoll"] "Connections that this epoll watches.";
    EPOLL_EVENTS = Counter "echolab_epoll_events_total" ["epoll", "kind"]
        "Events by kind: accept, readable, writable, hangup, error, wakeup. One event may be of several kinds.";
    EPOLL_ACCEPTS = Counter "echolab_epoll_accepts_total" ["epoll", "outcome"]
        "Accepts tried: won (a connection), or lost (another epoll had taken it: the thundering herd).";
    EPOLL_EVENTS_PER_WAIT = Histogram "echolab_epoll_events_per_wait" ["epoll"] "Events that a wait brought.";
    BUILD_INFO = Gauge "echolab_build_info" ["version", "engine"] "Always 1; the labels say what runs.";

    // Every process.
    CPU_SECONDS = Counter "process_cpu_seconds_total" [] "User and system CPU time in seconds.";
    RESIDENT_MEMORY = Gauge "process_resident_memory_bytes" [] "Resident memory (RES of top).";
    VIRTUAL_MEMORY = Gauge "process_virtual_memory_bytes" [] "Virtual memory (VIRT of top).";
    VIRTUAL_MEMORY_MAX = Gauge "process_virtual_memory_max_bytes" []
        "Limit of virtual memory; -1 when there is none.";
    OPEN_FDS = Gauge "process_open_fds" [] "Open file descriptors.";
    MAX_FDS = Gauge "process_max_fds" [] "Limit of open file descriptors.";
    START_TIME = Gauge "process_start_time_seconds" [] "Start of the process, in seconds since 1970.";
    THREADS = Gauge "process_threads" [] "Threads.";
    CPU_MODE_SECONDS = Counter "echolab_cpu_seconds_total" ["mode"] "CPU time by mode: user, system.";
    SHARED_MEMORY = Gauge "echolab_shared_memory_bytes" [] "Resident memory backed by files (SHR of top).";
    CONTEXT_SWITCHES = Counter "echolab_context_switches_total" ["kind"]
        "Context switches: voluntary (it waited: a wake-up each), involuntary (it was put aside).";

    // What the program asks of its allocator, and where its CPU goes.
    ALLOCATIONS = Counter "echolab_allocations_total" []
        "Allocations that the program asked for since it started, the exporter's and the profiler's own left out.";
    ALLOCATION_BYTES = Counter "echolab_allocation_bytes_total" []
        "Bytes of those allocations; growing one counts its whole new size.";
    ALLOCATOR_ALLOCATED = Gauge "echolab_allocator_allocated_bytes" [] "Bytes that the program holds of the allocator.";
    ALLOCATOR_ACTIVE = Gauge "echolab_allocator_active_bytes" [] "Bytes of the pages that these lie in.";
    ALLOCATOR_RESIDENT = Gauge "echolab_allocator_resident_bytes" []
        "Bytes that the allocator keeps in memory: active pages, its own records, and freed pages not given back yet.";
    ALLOCATOR_RETAINED = Gauge "echolab_allocator_retained_bytes" []
        "Bytes of address space that the allocator keeps without memory behind them.";
    ALLOCATOR_METADATA = Gauge "echolab_allocator_metadata_bytes" [] "Bytes of the allocator's own records.";
    PROFILE_SECONDS = Counter "echolab_profile_seconds_total" ["category"]
        "CPU seconds by what they went into: read, write, wait, accept, scheduler, allocation, other. From samples (--profile-hz); all categories together are the process's CPU. With io_uring the kernel reads and writes inside the wait.";
    PROFILE_SAMPLES = Counter "echolab_profile_samples_total" []
        "Samples that the CPU seconds by category are made of: with few of them, they are rough.";

    // The client.
    CLIENT_REQUESTS = Counter "echolab_client_requests_total" [] "Requests sent.";
    CLIENT_REPLIES = Counter "echolab_client_replies_total" [] "Replies that came back whole and right.";
    CLIENT_ERRORS = Counter "echolab_client_errors_total" ["reason"] "Errors by reason.";
    CLIENT_CONNECTIONS = Gauge "echolab_client_connections" ["state"]
        "Connections by state: connecting, established, closed.";
    CLIENT_OFFERED_RATE = Gauge "echolab_client_offered_messages_per_second" []
        "The rate that is offered now in an open-loop run; 0 between slices and in a closed loop.";
    CLIENT_DUE = Counter "echolab_client_due_requests_total" ["outcome"]
        "Requests that fell due, by outcome: answered_in_time, answered_late, lost (sent without a right reply), never_sent. Counted at the end of a slice.";
    CLIENT_STALLED_SECONDS = Counter "echolab_client_stalled_seconds_total" []
        "Time that the client's threads did not run although they were to, over 20 ms at once.";
    CLIENT_BUSY_SECONDS = Counter "echolab_client_busy_seconds_total" []
        "Time that the client's threads were at work, idle spinning not counted.";
    CLIENT_RESPONSE = Histogram "echolab_client_response_seconds" [] "Time from due to reply.";
    CLIENT_SERVICE = Histogram "echolab_client_service_seconds" [] "Time from the actual send to the reply.";
    CLIENT_SEND_LAG = Histogram "echolab_client_send_lag_seconds" []
        "How late the client itself sent: from when the request was due and its connection free, to the send.";

    // The lab.
    RUN_INFO = Gauge "echolab_run_info" ["run_id", "scenario", "contender"] "1 while this run goes on.";
    PHASE = Gauge "echolab_phase" ["phase", "scenario", "contender"]
        "1 for the phase that this contender is in now: starting, ramp, calibration, warm-up, slice, idle, profile, drain; else 0.";
    PROFILE_SHARE = Gauge "echolab_profile_share" ["contender", "category"]
        "Share of a contender's CPU by category, 0 to 1, where it does not sample itself: from a profile of 2 s under the offered load, just before the measured slices (--profile-hz).";
    RESULT_CPU_MICROS = Gauge "echolab_result_cpu_micros_per_message" ["run_id", "scenario", "contender"]
        "Server CPU per message in microseconds, median over cycles.";
    RESULT_CPU_PERCENT = Gauge "echolab_result_cpu_percent" ["run_id", "scenario", "contender"]
        "Server CPU in percent of one core, median over cycles.";
    RESULT_MESSAGES_PER_SECOND = Gauge "echolab_result_messages_per_second" ["run_id", "scenario", "contender"]
        "Replies per second, median over cycles.";
    RESULT_OFFERED_PER_SECOND = Gauge "echolab_result_offered_per_second" ["run_id", "scenario", "contender"]
        "Messages per second that were offered.";
    RESULT_CAPACITY_PER_SECOND = Gauge "echolab_result_capacity_per_second" ["run_id", "scenario", "contender"]
        "Closed-loop capacity in messages per second, from the calibration.";
    RESULT_RESIDENT_BYTES = Gauge "echolab_result_resident_bytes" ["run_id", "scenario", "contender"]
        "Resident memory of the server under load.";
    RESULT_RESPONSE_SECONDS = Gauge "echolab_result_response_seconds"
        ["run_id", "scenario", "contender", "percentile"] "Response time by percentile: 50, 90, 99, 99.9, 100.";
    RESULT_RATIO = Gauge "echolab_result_ratio"
        ["run_id", "scenario", "contender", "baseline", "metric", "bound"]
        "Ratio to the baseline: bound is low, median or high.";
    RESULT_VERDICT = Gauge "echolab_result_verdict" ["run_id", "scenario", "contender", "verdict"]
        "1 for each verdict that this run got.";
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_follow_the_conventions() {
        let mut seen = BTreeSet::new();
        for metric in ALL {
            assert!(seen.insert(metric.name), "{} stands twice", metric.name);
            assert_eq!(
                metric.name.ends_with("_total"),
                metric.kind == Kind::Counter,
                "{}",
                metric.name
            );
            assert!(metric.name.starts_with("echolab_") || metric.name.starts_with("process_"));
            assert!(metric.help.ends_with('.'), "{}", metric.name);
        }
    }
}
