//! The ways in which the tiny server can break the contract, and the case that must notice each.

/// Mutant, and the case that kills it. A mutant's name completes "this server …"; `reference` says what it does.
pub const TABLE: &[(&str, &str)] = &[
    ("echoes_twice", "every_byte_comes_back_once_in_order"),
    ("reverses_each_read", "every_byte_comes_back_once_in_order"),
    ("reads_once_per_edge", "every_byte_comes_back_once_in_order"),
    (
        "waits_for_a_full_buffer",
        "a_dripping_peer_gets_each_byte_at_once",
    ),
    ("reads_once_per_edge", "pipelined_messages_all_come_back"),
    ("shares_one_buffer", "interleaved_connections_do_not_mix"),
    ("drops_the_rest_of_a_write", "a_partial_write_loses_nothing"),
    ("drops_the_rest_of_a_write", "a_slow_reader_gets_all_64_mib"),
    ("gives_up_when_a_write_blocks", "a_slow_reader_gets_all_64_mib"),
    ("ends_at_the_half_close", "half_close_echoes_everything"),
    ("never_closes", "half_close_echoes_everything"),
    ("drops_the_rest_of_a_write", "half_close_echoes_everything"),
    (
        "takes_a_short_read_for_drained",
        "a_half_close_right_behind_a_message_is_seen",
    ),
    (
        "ends_at_the_half_close",
        "a_half_close_right_behind_a_message_is_seen",
    ),
    ("miscounts", "bytes_are_conserved"),
    ("closes_all_on_a_reset", "a_reset_closes_that_connection_alone"),
    ("dies_of_a_reset", "a_reset_closes_that_connection_alone"),
    ("does_not_count_resets", "a_reset_closes_that_connection_alone"),
    (
        "reads_without_bound",
        "a_peer_that_never_reads_costs_bounded_memory",
    ),
    (
        "serves_one_at_a_time",
        "a_peer_that_never_reads_costs_bounded_memory",
    ),
    (
        "drops_the_rest_of_a_write",
        "a_peer_that_never_reads_costs_bounded_memory",
    ),
    ("serves_one_at_a_time", "a_flood_does_not_starve_a_quiet_peer"),
    (
        "leaks_descriptors",
        "connections_that_come_and_go_leave_nothing_behind",
    ),
    (
        "never_closes",
        "connections_that_come_and_go_leave_nothing_behind",
    ),
    (
        "mixes_up_reused_descriptors",
        "a_reused_descriptor_brings_no_foreign_bytes",
    ),
    ("shares_one_buffer", "a_reused_descriptor_brings_no_foreign_bytes"),
    ("spins_without_descriptors", "out_of_descriptors_is_survived"),
    ("dies_without_descriptors", "out_of_descriptors_is_survived"),
    ("never_accepts_again", "out_of_descriptors_is_survived"),
    ("does_not_count_failed_accepts", "out_of_descriptors_is_survived"),
    ("ignores_the_limit", "max_connections_pauses_accepting"),
    ("closes_beyond_the_limit", "max_connections_pauses_accepting"),
    ("never_accepts_again", "max_connections_pauses_accepting"),
    ("ignores_sigterm", "quiet_connections_do_not_delay_a_stop"),
    ("dies_of_sigterm", "quiet_connections_do_not_delay_a_stop"),
    (
        "waits_out_the_grace_period",
        "quiet_connections_do_not_delay_a_stop",
    ),
    ("leaves_at_once", "a_stop_delivers_replies_under_way"),
    ("drops_the_rest_of_a_write", "a_stop_delivers_replies_under_way"),
    (
        "waits_for_every_peer",
        "a_peer_that_never_reads_does_not_hold_a_stop",
    ),
    ("ignores_sigterm", "a_peer_that_never_reads_does_not_hold_a_stop"),
    ("accepts_after_a_stop", "nobody_connects_after_a_stop"),
    ("leaves_at_once", "nobody_connects_after_a_stop"),
];
