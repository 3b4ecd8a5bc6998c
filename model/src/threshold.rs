//! Every limit beyond which a figure is not believed. Each stands here, and only here.

/// Open loop: the typical cycle must bring at least this share of what fell due.
pub const REPLIED_SHARE_MIN: f64 = 0.99;
/// Open loop: all cycles together must bring at least this share. One bad cycle of dozens is the machine's.
pub const REPLIED_SHARE_OF_ALL_MIN: f64 = 0.95;
/// Open loop: at most this share of a slice's requests may still be on their way when the slice ends.
pub const ON_THEIR_WAY_SHARE_MAX: f64 = 0.05;
/// The client's busiest thread may be at work for this share of the time.
pub const BUSY_SHARE_MAX: f64 = 0.90;
/// Open loop: the 99th percentile of how late the client itself sends, in microseconds.
pub const SEND_LAG_MICROS_MAX: f64 = 1_000.0;
/// Open loop: the client may be runnable and without a CPU for this share of a run.
pub const WAITED_SHARE_MAX: f64 = 0.25;
/// Closed loop: this share of the connections may wait for a client that sends late.
pub const LATE_SHARE_MAX: f64 = 0.05;
/// Closed loop: by Little's law as many connections are in flight, thinking or waiting as there are. This share may differ.
pub const LITTLE_SHARE_MAX: f64 = 0.05;
/// The rates of the two halves of a run may differ by this share.
pub const HALVES_SHARE_MAX: f64 = 0.10;
/// Fewer cycles have no halves to compare.
pub const HALVES_CYCLES_MIN: usize = 4;
/// An idle contender may use this much CPU, in percent of one core. More disturbs the others.
pub const IDLE_CPU_PERCENT_MAX: f64 = 1.0;
/// Other programs may use this much CPU, in percent of one core, before a report names them.
pub const OTHERS_CPU_PERCENT_MAX: f64 = 10.0;

/// A CPU quota may stop the threads of a side for this share of the slices' time.
pub const THROTTLED_SHARE_MAX: f64 = 0.01;
/// The servers' CPUs may do this much, in percent of one core, that no account explains, beyond what they do for the
/// contender with the least. A wake-up costs a CPU more than its thread is charged: it leaves idle and handles an interrupt.
/// Of 15 contenders on a virtual machine with 2 CPUs, all had between 2 and 15 %.
pub const UNACCOUNTED_PERCENT_MAX: f64 = 25.0;
/// The same as a share of what the contender's own account says. The larger of the two limits counts.
pub const UNACCOUNTED_SHARE_MAX: f64 = 0.5;

/// A thread of the client that loses less time than this at once was not stopped. The kernel's own pauses are shorter on a
/// quiet machine.
pub const STALL_SECONDS_MIN: f64 = 0.02;
/// A client that did not run for this share of a window measured itself.
pub const STALLED_SHARE_MAX: f64 = 0.01;

/// Spoilt cycles: the 99th percentile of how late the client itself sends in a slice, in microseconds. In 1,136 slices of
/// equal servers with 10,000 connections, slices that were 1 to 5 ms late cost as much as the others: 0.3 % less, with a
/// standard deviation of 2 %. Beyond 10 ms the standard deviation was 7 %.
pub const SLICE_SEND_LAG_MICROS_MAX: f64 = 5_000.0;
/// Spoilt cycles: the client may be runnable and without a CPU for this share of a slice. On a quiet machine with two
/// CPUs the share was 0.02 at most, in 240 slices.
pub const SLICE_WAITED_SHARE_MAX: f64 = 0.1;
/// Spoilt cycles: the hypervisor may take this share of one CPU during a slice.
pub const SLICE_STOLEN_SHARE_MAX: f64 = 0.1;
/// Spoilt cycles: other programs may use this share of one CPU during a slice. Less is scrapes, dashboards and the
/// kernel's own threads, which hit all contenders alike.
pub const SLICE_OTHERS_SHARE_MAX: f64 = 0.5;
/// CPU that the hypervisor or other programs took is counted in ticks of 10 ms, so less than this says nothing.
pub const COUNTED_SECONDS_MIN: f64 = 0.03;
/// When more than this share of a run's cycles is spoilt, the run is not believed.
pub const SPOILT_SHARE_MAX: f64 = 0.5;

/// Two offered rates that differ by no more than this share are the same load. A server's CPU time in a second does not
/// fall when the rate rises, so a message's cost falls at most in proportion.
pub const RATE_SHARE_MAX: f64 = 0.02;
/// Over fewer connections, what a server's memory grew by is its allocator's noise and the load's own buffers.
pub const CONNECTIONS_THAT_WEIGH: u64 = 1_000;
