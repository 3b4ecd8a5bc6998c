//! Records: what rounds and cycles add up to, and what is left out.

use super::*;
use crate::measure::EpollTotals;
use std::time::Duration;
use telemetry::latency::Latency;
use telemetry::process::Memory;

fn slice(replies: u64) -> Slice {
    let mut latency = Latency::new();
    (0..replies).for_each(|_| latency.record(Duration::from_micros(100)));
    Slice {
        seconds: 0.5,
        drain_seconds: 0.5,
        due: replies,
        sent: replies,
        replies,
        replies_in_time: replies,
        cpu_seconds: 0.25,
        response_micros: Quantiles::from(&latency),
        response_histogram: latency.to_base64(),
        service_histogram: latency.to_base64(),
        ..Slice::default()
    }
}

fn reading(cpu_seconds: f64) -> Reading {
    Reading {
        cpu_seconds: Some(cpu_seconds),
        memory: Some(Memory {
            resident_bytes: 4096,
            virtual_bytes: 8192,
            shared_bytes: 0,
            threads: 3,
        }),
    }
}

#[test]
fn figures_are_medians_over_cycles_and_histograms_sums() {
    let scenario = crate::scenarios::find("few").unwrap();
    let mut record = Record {
        open_loop: true,
        ..Record::default()
    };
    for (cycle, cpu) in [(0, 0.1), (1, 0.5), (2, 0.2)] {
        let turn = Turn {
            cycle,
            position: 0,
            contender: 0,
        };
        record.add(turn, &slice(1000), Some(1.0), reading(1.0 + cpu));
    }
    record.begin_slices(Totals {
        cpu_modes: Some((1.0, 2.0)),
        voluntary_switches: Some(100.0),
        allocated_bytes: Some(1_000.0),
        ..Totals::default()
    });
    record.end_slices(Totals {
        cpu_modes: Some((1.2, 2.8)),
        voluntary_switches: Some(1600.0),
        allocated_bytes: Some(625_000.0),
        ..Totals::default()
    });
    record.add_idle(0.01, 2.0);
    let run = record.to_run(&scenario);
    let near = |value: Option<f64>, wanted: f64| (value.unwrap() - wanted).abs() < 1e-6;
    assert!(near(run.server.cpu_micros_per_message, 200.0));
    assert!(near(run.server.cpu_percent, 20.0));
    assert!(near(run.server.cpu_user_share, 0.25));
    assert!(near(run.server.context_switches_per_message, 0.5));
    assert!(near(run.server.allocated_bytes_per_message, 208.0));
    assert_eq!(run.server.allocations_per_message, None);
    assert!(near(run.server.idle_cpu_percent, 0.5));
    assert_eq!(
        (run.server.resident_bytes, run.server.threads),
        (Some(4096), Some(3))
    );
    assert_eq!((run.replies, run.replies_per_second), (3000, 2000.0));
    assert_eq!(Latency::from_base64(&run.histogram).unwrap().count(), 3000);
    assert!(run.is_ok(), "{:?}", run.reasons);
}

#[test]
fn each_epoll_has_what_came_between_first_and_last_slice() {
    let totals = |epolls: &[(&str, f64, f64)]| Totals {
        epolls: epolls
            .iter()
            .map(|&(epoll, readable_events, connections)| {
                let totals = EpollTotals {
                    readable_events,
                    connections,
                };
                (epoll.to_owned(), totals)
            })
            .collect(),
        ..Totals::default()
    };
    let mut record = Record::default();
    record.begin_slices(totals(&[("2", 50.0, 3.0), ("10", 10.0, 7.0)]));
    // A run that did not come to its last slice has none.
    assert_eq!(record.server_figures().epolls, []);
    record.end_slices(totals(&[("10", 60.0, 6.0), ("2", 250.0, 4.0), ("new", 9.0, 1.0)]));
    let found: Vec<_> = record
        .server_figures()
        .epolls
        .into_iter()
        .map(|figures| (figures.epoll, figures.readable_events, figures.connections))
        .collect();
    assert_eq!(found, [("2".to_owned(), 200, 4), ("10".to_owned(), 50, 6)]);
}

#[test]
fn a_round_has_cycles_memory_and_bytes_of_its_own() {
    let bytes = |sent| Bytes {
        client_sent: sent,
        client_received: sent,
        server_received: Some(sent),
        server_sent: Some(sent),
    };
    let mut record = Record::default();
    for (round, sent) in [(0, 10), (1, 20)] {
        record.begin_round(Round {
            round,
            resident_bytes_before_connections: Some(100 * sent),
            ..Round::default()
        });
        let turn = Turn {
            cycle: 0,
            position: 0,
            contender: 0,
        };
        record.add(turn, &slice(10), Some(1.0), reading(2.0));
        assert_eq!(record.bytes(), None, "the round goes on");
        record.count_errors(&BTreeMap::from([("lost".to_owned(), sent)]));
        record.end_round(Some(bytes(sent)), None);
    }
    assert_eq!(record.bytes(), Some(bytes(30)));
    let run = record.to_run(&crate::scenarios::find("few").unwrap());
    let seen: Vec<_> = run
        .rounds
        .iter()
        .map(|round| (round.round, round.cycles.len(), round.resident_bytes))
        .collect();
    assert_eq!(seen, [(0, 1, Some(4096)), (1, 1, Some(4096))]);
    assert_eq!(run.server.resident_bytes_before_connections, Some(1500));
    assert_eq!(run.errors["lost"], 30);
    // What one round lost, another cannot make good.
    let lossy = Bytes {
        client_received: 19,
        ..bytes(20)
    };
    record.end_round(Some(lossy), None);
    assert_eq!(record.bytes(), Some(lossy));
}

#[test]
fn a_contender_without_figures_is_shown_without_them() {
    let scenario = crate::scenarios::find("few").unwrap();
    let mut record = Record::default();
    let turn = Turn {
        cycle: 0,
        position: 0,
        contender: 0,
    };
    record.add(turn, &slice(10), None, Reading::default());
    let run = record.to_run(&scenario);
    assert_eq!(run.server, ServerFigures::default());
    assert!(run.unchecked[0].contains("metrics=URL"));
}

#[test]
fn a_spoilt_cycle_counts_for_no_figure_unless_too_many_are() {
    let scenario = crate::scenarios::find("few").unwrap();
    let mut record = Record {
        open_loop: true,
        client_apart: true,
        ..Record::default()
    };
    for (cycle, cpu) in [(0, 0.1), (1, 0.1), (2, 0.9)] {
        let turn = Turn {
            cycle,
            position: 0,
            contender: 0,
        };
        record.add(turn, &slice(1000), Some(1.0), reading(1.0 + cpu));
        let machine = |busy_seconds, stolen_seconds| MachineCpu {
            busy_seconds,
            stolen_seconds,
            ..MachineCpu::default()
        };
        // Server and client used 0.35 s in the first two slices, 1.15 s in the last; others ran beside the last.
        let busy = if cycle == 2 { 2.15 } else { 0.4 };
        record.add_machine(machine(5.0, 1.0), machine(5.0 + busy, 1.01), 1.0);
    }
    let slices: Vec<_> = record.slices().collect();
    let near = |value: Option<f64>, wanted: f64| (value.unwrap() - wanted).abs() < 1e-6;
    assert!(near(slices[0].others_share, 0.05) && near(slices[2].others_share, 1.0));
    assert!(near(slices[2].stolen_share, 0.01));
    let spoilt = spoilt::cycles(&slices);
    assert_eq!(spoilt.keys().collect::<Vec<_>>(), [&(0, 2)]);
    record.mark(&spoilt);
    let run = record.to_run(&scenario);
    assert!(near(run.server.cpu_micros_per_message, 100.0));
    assert_eq!(Latency::from_base64(&run.histogram).unwrap().count(), 2000);
    assert_eq!((run.cycles().count(), run.replies), (3, 3000));
    assert!(run.is_ok(), "{:?}", run.reasons);
    // Two of three are too many: all are shown, with a verdict.
    let too_many = [(0, 0), (0, 1)].map(|number| (number, spoilt[&(0, 2)].clone()));
    record.mark(&BTreeMap::from(too_many));
    let run = record.to_run(&scenario);
    assert_eq!(run.verdicts, [Verdict::Disturbed]);
    assert_eq!(Latency::from_base64(&run.histogram).unwrap().count(), 3000);
    // Marks are not for ever: what was rare may turn out to be typical.
    record.mark(&BTreeMap::new());
    assert!(record.to_run(&scenario).is_ok());
}
