//! Each threshold of the verdicts, from both sides.

use super::*;
use crate::machine_part::Side;

fn cycle() -> CycleEvidence {
    CycleEvidence {
        seconds: 0.25,
        due: 10_000,
        replies: 10_000,
        replies_in_time: 9_990,
        response_micros_p50: 250.0,
        busy_share: 0.5,
        waited_share: 0.01,
        send_lag_micros_p99: 20.0,
        in_flight_mean: 10.0,
        thinking_mean: 40.0,
        late_mean: 0.0,
    }
}

fn evidence(open_loop: bool, cycles: Vec<CycleEvidence>) -> Evidence {
    Evidence {
        open_loop,
        client_apart: true,
        connections: 50,
        silent_calibration: false,
        cycles,
        errors: BTreeMap::new(),
        bytes: Some(bytes(1, 1, 1, 1)),
        death: None,
        spoilt: None,
        quotas: vec![],
        unaccounted: None,
    }
}

#[test]
fn a_machine_that_disturbs_too_much_is_named_with_its_causes() {
    let mut evidence = evidence(true, vec![cycle(); 4]);
    evidence.spoilt = Some(Disturbance {
        spoilt: 3,
        cycles: 4,
        causes: vec![Cause::Others, Cause::ClientLate],
    });
    let doubts = judge(&evidence);
    assert_eq!(doubts, [Doubt::Disturbed(evidence.spoilt.unwrap())]);
    assert_eq!(doubts[0].verdict(), Verdict::Disturbed);
}

fn bytes(client_sent: u64, server_received: u64, server_sent: u64, client_received: u64) -> Bytes {
    Bytes {
        client_sent,
        server_received: Some(server_received),
        server_sent: Some(server_sent),
        client_received,
    }
}

fn verdicts(evidence: &Evidence) -> Vec<Verdict> {
    judge(evidence).into_iter().map(|doubt| doubt.verdict()).collect()
}

/// Ten equal cycles, changed by `change`.
fn changed(open_loop: bool, change: impl Fn(&mut CycleEvidence)) -> Vec<Verdict> {
    let mut cycle = cycle();
    change(&mut cycle);
    verdicts(&evidence(open_loop, vec![cycle; 10]))
}

#[test]
fn a_good_run_has_no_findings() {
    assert_eq!(changed(true, |_| {}), []);
    assert_eq!(changed(false, |_| {}), []);
}

#[test]
fn rate_missed_below_99_percent_of_the_typical_cycle() {
    assert_eq!(changed(true, |cycle| cycle.replies_in_time = 9_895), []);
    assert_eq!(
        changed(true, |cycle| cycle.replies_in_time = 9_885),
        [Verdict::RateMissed]
    );
    // In a closed loop nothing is offered.
    assert_eq!(changed(false, |cycle| cycle.replies_in_time = 5_000), []);
}

#[test]
fn what_is_on_its_way_when_a_slice_ends_is_not_missed() {
    let slow_but_steady = |cycle: &mut CycleEvidence| {
        cycle.response_micros_p50 = 10_000.0;
        cycle.replies_in_time = 9_600;
    };
    assert_eq!(changed(true, slow_but_steady), []);
    let a_queue = |cycle: &mut CycleEvidence| {
        cycle.response_micros_p50 = 100_000.0;
        cycle.replies_in_time = 6_000;
    };
    assert_eq!(changed(true, a_queue), [Verdict::RateMissed]);
}

#[test]
fn twice_the_capacity_is_missed_even_when_everything_comes_back_in_the_end() {
    let overloaded = |cycle: &mut CycleEvidence| {
        cycle.response_micros_p50 = 125_000.0;
        cycle.replies_in_time = 5_000;
    };
    assert_eq!(changed(true, overloaded), [Verdict::RateMissed]);
}

#[test]
fn one_bad_cycle_of_dozens_is_the_machines_many_are_the_servers() {
    let bad = CycleEvidence {
        replies_in_time: 0,
        ..cycle()
    };
    let mix = |bad_ones: usize| {
        let mut cycles = vec![bad; bad_ones];
        cycles.extend(vec![cycle(); 40 - bad_ones]);
        verdicts(&evidence(true, cycles))
    };
    assert_eq!(mix(1), []);
    assert_eq!(mix(4), [Verdict::RateMissed]);
}

#[test]
fn client_bound_above_90_percent_busy_a_millisecond_late_or_without_a_cpu() {
    for open_loop in [true, false] {
        assert_eq!(changed(open_loop, |cycle| cycle.busy_share = 0.90), []);
        assert_eq!(
            changed(open_loop, |cycle| cycle.busy_share = 0.91),
            [Verdict::ClientBound]
        );
    }
    assert_eq!(changed(true, |cycle| cycle.send_lag_micros_p99 = 1_000.0), []);
    assert_eq!(
        changed(true, |cycle| cycle.send_lag_micros_p99 = 1_001.0),
        [Verdict::ClientBound]
    );
    assert_eq!(changed(false, |cycle| cycle.send_lag_micros_p99 = 9_000.0), []);
    assert_eq!(changed(true, |cycle| cycle.waited_share = 0.25), []);
    assert_eq!(
        changed(true, |cycle| cycle.waited_share = 0.26),
        [Verdict::ClientBound]
    );
    assert_eq!(changed(false, |cycle| cycle.waited_share = 0.26), []);
    let waits = CycleEvidence {
        waited_share: 0.9,
        ..cycle()
    };
    let on_one_cpu = Evidence {
        client_apart: false,
        ..evidence(true, vec![waits; 10])
    };
    assert_eq!(verdicts(&on_one_cpu), []);
}

#[test]
fn a_late_client_of_a_closed_loop_is_no_contradiction_but_a_bottleneck() {
    let late = |connections: f64| {
        changed(false, move |cycle| {
            cycle.late_mean = connections;
            cycle.thinking_mean = 40.0 - connections;
        })
    };
    assert_eq!(late(2.4), []);
    assert_eq!(late(2.6), [Verdict::ClientBound]);
}

#[test]
fn out_of_law_above_5_percent_in_a_closed_loop() {
    assert_eq!(changed(false, |cycle| cycle.thinking_mean = 37.6), []);
    assert_eq!(
        changed(false, |cycle| cycle.thinking_mean = 37.4),
        [Verdict::OutOfLaw]
    );
    assert_eq!(
        changed(false, |cycle| cycle.thinking_mean = 42.6),
        [Verdict::OutOfLaw]
    );
    assert_eq!(changed(true, |cycle| cycle.thinking_mean = 0.0), []);
}

#[test]
fn unstable_when_halves_differ_by_more_than_10_percent() {
    let halves = |first: u64, second: u64, cycles: usize| {
        let with = |replies_in_time| CycleEvidence {
            replies_in_time,
            ..cycle()
        };
        let mut all = vec![with(first); cycles / 2];
        all.extend(vec![with(second); cycles / 2]);
        verdicts(&evidence(false, all))
    };
    assert_eq!(halves(10_000, 9_100, 10), []);
    assert_eq!(halves(10_000, 8_900, 10), [Verdict::Unstable]);
    assert_eq!(halves(8_900, 10_000, 10), [Verdict::Unstable]);
    // Two cycles have no halves.
    assert_eq!(halves(10_000, 8_900, 2), []);
}

#[test]
fn bytes_must_be_equal_all_four() {
    for (bytes, expected) in [
        (Some(bytes(7, 7, 7, 7)), vec![]),
        (Some(bytes(7, 6, 7, 7)), vec![Verdict::NotConserved]),
        (Some(bytes(7, 7, 6, 7)), vec![Verdict::NotConserved]),
        (Some(bytes(7, 7, 7, 6)), vec![Verdict::NotConserved]),
        (None, vec![]),
    ] {
        let evidence = Evidence {
            bytes,
            ..evidence(true, vec![cycle()])
        };
        assert_eq!(verdicts(&evidence), expected, "{bytes:?}");
    }
    let unknown = Evidence {
        bytes: Some(Bytes {
            server_received: None,
            ..bytes(7, 0, 7, 6)
        }),
        ..evidence(true, vec![cycle()])
    };
    assert_eq!(verdicts(&unknown), []);
}

#[test]
fn errors_are_named_and_bad_replies_stand_apart() {
    let with = |errors: &[(&str, u64)]| Evidence {
        errors: errors
            .iter()
            .map(|(reason, count)| ((*reason).to_owned(), *count))
            .collect(),
        ..evidence(true, vec![cycle()])
    };
    assert_eq!(verdicts(&with(&[("bad_reply", 1)])), [Verdict::BadReplies]);
    assert_eq!(verdicts(&with(&[("bad_reply", 0), ("reset", 0)])), []);
    let both = judge(&with(&[("bad_reply", 1), ("timeout", 3), ("reset", 2)]));
    let counted = [("reset", 2), ("timeout", 3)].map(|(reason, count)| (reason.to_owned(), count));
    assert_eq!(both, [Doubt::BadReplies(1), Doubt::Errors(counted.into())]);
}

#[test]
fn death_comes_first_and_says_why() {
    let dead = Evidence {
        death: Some(Death::Server("killed by signal 9".to_owned())),
        ..evidence(true, vec![])
    };
    let why = Death::Server("killed by signal 9".to_owned());
    assert_eq!(judge(&dead)[0], Doubt::Died(why));
    let dead = Evidence {
        death: Some(Death::Client("out of ports".to_owned())),
        ..evidence(true, vec![cycle()])
    };
    assert_eq!(verdicts(&dead), [Verdict::ClientDied]);
}

#[test]
fn nothing_came_back() {
    let calibrated = Evidence {
        silent_calibration: true,
        ..evidence(true, vec![])
    };
    assert_eq!(verdicts(&calibrated), [Verdict::NoReplies]);
    let silent = CycleEvidence {
        replies: 0,
        replies_in_time: 0,
        ..cycle()
    };
    assert_eq!(
        verdicts(&evidence(true, vec![silent])),
        [Verdict::NoReplies, Verdict::RateMissed]
    );
}

#[test]
fn without_a_slice_nobody_is_accused() {
    assert_eq!(judge(&evidence(true, vec![])), [Doubt::NotMeasured]);
    let mut believed = evidence(true, vec![cycle()]);
    believed.silent_calibration = true;
    assert_eq!(
        verdicts(&believed),
        [],
        "a slice with replies is the better witness"
    );
}

#[test]
fn a_quota_that_cut_in_is_named_and_one_that_did_not_is_not() {
    let quota = |side: Side, stopped_share: f64| Throttling {
        side,
        file: "/sys/fs/cgroup/cpu.max".to_owned(),
        value: "120000 100000".to_owned(),
        stopped_seconds: stopped_share,
        stopped_share,
    };
    let mut evidence = evidence(true, vec![cycle()]);
    evidence.quotas = vec![quota(Side::Server, 0.3), quota(Side::Client, 0.001)];
    assert_eq!(
        judge(&evidence),
        [Doubt::Throttled(vec![quota(Side::Server, 0.3)])]
    );
    evidence.quotas = vec![quota(Side::Server, 0.001)];
    assert_eq!(judge(&evidence), []);
}

#[test]
fn what_no_account_explains_is_held_against_the_account() {
    for (percent, own_percent, named) in [
        (24.0, 0.0, false),
        (26.0, 0.0, true),
        (39.0, 80.0, false),
        (41.0, 80.0, true),
    ] {
        let mut evidence = evidence(true, vec![cycle()]);
        evidence.unaccounted = Some(Unaccounted { percent, own_percent });
        let found = verdicts(&evidence) == [Verdict::Unaccounted];
        assert_eq!(found, named, "{percent} % beside {own_percent} %");
    }
}
