//! All cases. Each starts its own server, and returns what was wrong.

pub mod bytes;
pub mod counting;
pub mod faults;
pub mod limits;
pub mod stop;

use anyhow::Result;

use super::contender::Contender;

/// One promise of the contract, tried in one way.
pub struct Case {
    /// Stands in the test's name.
    pub name: &'static str,
    /// Tries it.
    pub run: fn(&Contender) -> Result<()>,
}

macro_rules! cases {
    ($($module:ident: $($name:ident),+;)+) => {
        /// All of them.
        pub const CASES: &[Case] = &[$($(Case { name: stringify!($name), run: $module::$name },)+)+];
    };
}

cases! {
    bytes: every_byte_comes_back_once_in_order, a_dripping_peer_gets_each_byte_at_once,
        pipelined_messages_all_come_back, interleaved_connections_do_not_mix,
        a_partial_write_loses_nothing, a_slow_reader_gets_all_64_mib, half_close_echoes_everything, a_half_close_right_behind_a_message_is_seen;
    counting: bytes_are_conserved;
    faults: a_reset_closes_that_connection_alone, a_peer_that_never_reads_costs_bounded_memory,
        a_flood_does_not_starve_a_quiet_peer, connections_that_come_and_go_leave_nothing_behind,
        a_reused_descriptor_brings_no_foreign_bytes;
    limits: out_of_descriptors_is_survived, max_connections_pauses_accepting;
    stop: quiet_connections_do_not_delay_a_stop, a_stop_delivers_replies_under_way,
        a_peer_that_never_reads_does_not_hold_a_stop, nobody_connects_after_a_stop;
}
