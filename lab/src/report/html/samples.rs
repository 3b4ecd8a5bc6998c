//! Results that are hard to draw: crowds, long names, nobody, one cycle, sweeps, profiles.

use std::time::Duration;

use telemetry::latency::Latency;

use crate::report::fixture;
use model::config::{Sweep, SweepPoint};
use model::contender::Contender;
use model::profile::{ProfileRecord, TopFunction};
use model::result::{LabResult, Skipped};
use model::run::{Cycle, EpollFigures, Run};
use model::scenario::Scenario;

/// A name that would be markup if it were not escaped, and too long for any row.
pub const HOSTILE: &str =
    "</title><script>alert('x')</script>&\"-with-a-name-that-is-far-too-long-for-any-chart-of-a-phone";

/// The usual fixture with histograms: ok runs, a death, a missed rate, one skipped, one cycle.
pub fn usual() -> LabResult {
    let mut result = fixture::result();
    let mut random = fastrand::Rng::with_seed(7);
    for run in &mut result.runs {
        histogram(run, &mut random);
    }
    // As five epolls that share one listening socket.
    result.runs[0].server.epolls = epolls(&[(9_000, 11), (8_400, 10), (5_600, 7), (13_800, 18), (3_200, 4)]);
    result
}

/// Epolls with so many readable events and connections each.
pub fn epolls(figures: &[(u64, u64)]) -> Vec<EpollFigures> {
    let epoll = |(number, &(readable_events, connections)): (usize, &(u64, u64))| EpollFigures {
        epoll: number.to_string(),
        readable_events,
        connections,
    };
    figures.iter().enumerate().map(epoll).collect()
}

/// Contenders with one epoll, two, many, one that has it all, odd names, no connection, no event, and none.
pub fn unbalanced() -> LabResult {
    let mut result = crowd(9, 8);
    let many: Vec<_> = (0..200).map(|epoll| (100 + epoll, 50)).collect();
    let figures = [
        epolls(&[(5, 5)]),
        epolls(&[(1, 0), (0, 0)]),
        epolls(&many[..8]),
        epolls(&many[..9]),
        epolls(&many),
        epolls(&[(0, 0), (0, 3), (1_000_000_000, 1), (0, 0), (0, 0), (0, 0)]),
        epolls(&[(0, 0), (0, 0)]),
        [HOSTILE, "信号", "10"]
            .map(|epoll| EpollFigures {
                epoll: epoll.to_owned(),
                readable_events: u64::MAX,
                connections: u64::MAX,
            })
            .into(),
        vec![],
    ];
    for (run, figures) in result.runs.iter_mut().zip(figures) {
        run.server.epolls = figures;
    }
    result.runs[3].verdicts = vec![model::verdict::Verdict::RateMissed];
    result
}

fn histogram(run: &mut Run, random: &mut fastrand::Rng) {
    let micros = run.server.cpu_micros_per_message.unwrap_or(10.0);
    let mut latency = Latency::new();
    for _ in 0..run.replies {
        let tail = 1.0 / (1.0 - random.f64()).sqrt();
        latency.record(Duration::from_nanos((micros * 2_000.0 * tail) as u64));
    }
    run.histogram = latency.to_base64();
    run.response_micros = (&latency).into();
}

/// Many contenders in one scenario, with noisy cycles.
pub fn crowd(contenders: usize, cycles: u32) -> LabResult {
    let mut result = usual();
    let mut random = fastrand::Rng::with_seed(contenders as u64);
    let names: Vec<String> = (0..contenders)
        .map(|index| match index {
            0 => "epoll".to_owned(),
            1 => HOSTILE.to_owned(),
            2 => "信号処理サーバー😀".to_owned(),
            index => format!("contender-{index}"),
        })
        .collect();
    result.config.contenders = names.iter().map(|name| Contender::engine(name)).collect();
    result.config.scenarios.truncate(1);
    result.skipped = vec![];
    let scenario = result.config.scenarios[0].clone();
    result.runs = names
        .iter()
        .zip(1..)
        .map(|(name, index)| {
            noisy(
                &result.runs[0],
                &scenario,
                name,
                6.0 + f64::from(index),
                cycles,
                &mut random,
            )
        })
        .collect();
    model::fixture::compare(&mut result);
    result
}

fn noisy(
    like: &Run,
    scenario: &Scenario,
    name: &str,
    micros: f64,
    cycles: u32,
    random: &mut fastrand::Rng,
) -> Run {
    let mut run = Run {
        scenario: scenario.name.clone(),
        contender: name.to_owned(),
        ..like.clone()
    };
    let like = like.cycles().next().cloned().unwrap_or_default();
    let cycles_of_it: Vec<Cycle> = (0..cycles)
        .map(|cycle| Cycle {
            cycle,
            // Now and then one is far off.
            server_cpu_seconds: Some(
                micros * (0.9 + 0.2 * random.f64()) * if cycle % 17 == 16 { 4e-3 } else { 5e-3 },
            ),
            response_micros_p99: Some(400.0 * (0.5 + random.f64())),
            ..like.clone()
        })
        .collect();
    run.rounds = fixture::rounds(cycles_of_it, run.server.resident_bytes);
    run.replies = 5_000 * u64::from(cycles);
    run.server.epolls.clear();
    run.server.cpu_micros_per_message = Some(micros);
    run.capacity_is_at_least = name.ends_with('4');
    histogram(&mut run, random);
    run
}

/// Nobody could take part.
pub fn nobody() -> LabResult {
    let mut result = usual();
    result.runs.clear();
    result.comparisons.clear();
    // Addresses are words on the page, nothing to load.
    result.notes = vec!["metrics of mine are at http://127.0.0.1:9100/metrics".to_owned()];
    result.skipped = ["epoll", "tokio", HOSTILE]
        .map(|name| Skipped {
            scenario: "few".to_owned(),
            contender: name.to_owned(),
            why: "the port is taken: choose another".to_owned(),
        })
        .into();
    result
}

/// Runs that got no reply at all.
pub fn silent() -> LabResult {
    let mut result = usual();
    for run in &mut result.runs {
        *run = Run {
            scenario: run.scenario.clone(),
            contender: run.contender.clone(),
            verdicts: vec![model::verdict::Verdict::NoReplies],
            reasons: vec!["not one right reply came back.".to_owned()],
            ..Run::default()
        };
    }
    model::fixture::compare(&mut result);
    result
}

/// Three families over so many numbers of connections; one run of them missed its rate.
pub fn sweep(points: usize) -> LabResult {
    let mut result = usual();
    let mut random = fastrand::Rng::with_seed(3);
    let like = result.runs[0].clone();
    let scenario = result.config.scenarios[0].clone();
    let points: Vec<SweepPoint> = [10u64, 100, 1_000, 10_000, 50_000, 100_000][..points]
        .iter()
        .map(|&connections| SweepPoint {
            value: connections as f64,
            label: connections.to_string(),
            scenario: format!("few-connections-{connections}"),
            suffix: String::new(),
        })
        .collect();
    result.skipped = vec![];
    result.runs = vec![];
    result.config.scenarios = vec![];
    for (point, place) in points.iter().zip(0..) {
        let scenario = Scenario {
            name: point.scenario.clone(),
            connections: point.value as u64,
            ..scenario.clone()
        };
        for (family, base) in [("epoll", 6.0), ("tokio", 7.0), ("threads", 6.5)] {
            let growth = if family == "threads" { 1.5 } else { 0.4 };
            let micros = base + growth * f64::from(place);
            let mut run = noisy(&like, &scenario, family, micros, 6, &mut random);
            run.server.resident_bytes = Some((4 << 20) + (micros * 1e3 * point.value) as u64 / 10);
            if place == 2 && family == "threads" {
                run.verdicts = vec![model::verdict::Verdict::RateMissed];
                run.reasons = vec!["only 80.0 % of what was offered was replied to in time.".to_owned()];
            }
            result.runs.push(run);
        }
        result.config.scenarios.push(scenario);
    }
    result.config.sweep = Some(Sweep {
        once: vec![],
        parameter: "connections".to_owned(),
        families: ["epoll", "tokio", "threads"].map(str::to_owned).into(),
        points,
    });
    model::fixture::compare(&mut result);
    result
}

/// The usual result with profiles; one contender has none.
pub fn profiled() -> LabResult {
    let mut result = usual();
    let record = |contender: &str, factor: f64| ProfileRecord {
        scenario: "few".to_owned(),
        contender: contender.to_owned(),
        messages: 40_000,
        samples: 480,
        category_micros_per_message: [
            ("read", 2.1),
            ("write", 4.2),
            ("wait", 1.5),
            ("scheduler", 0.6 * factor),
            ("allocation", 0.02),
            ("other", 0.4 * factor),
        ]
        .map(|(name, micros)| (name.to_owned(), micros))
        .into(),
        top: [
            ("tcp_sendmsg", 2.5),
            (
                "core::ops::function::FnOnce<(), Output = Vec<&'static str>>::call_once",
                0.9,
            ),
        ]
        .map(|(function, micros)| TopFunction {
            function: function.to_owned(),
            self_micros_per_message: micros,
            total_micros_per_message: micros * 1.5,
        })
        .into(),
        folded: "main;serve;write;tcp_sendmsg 2500000\nmain;serve;read;tcp_recvmsg 1500000\n".to_owned(),
        pprof: format!("few-{contender}.pb.gz"),
        ..ProfileRecord::default()
    };
    result.profiles = vec![
        record("epoll", 1.0),
        record("tokio", 4.0),
        ProfileRecord {
            scenario: "few".to_owned(),
            contender: "threads".to_owned(),
            missing: Some("its server had died".to_owned()),
            ..ProfileRecord::default()
        },
    ];
    result
}

/// Whatever can be named is named so that it would be markup: in a foreign server's profile, in a result of another lab.
pub fn hostile() -> LabResult {
    let mut result = profiled();
    let name = || HOSTILE.to_owned();
    result.run_id = name();
    result.started_at = name();
    result.version = name();
    result.notes = vec![name()];
    result.machine.cpu_model = Some(name());
    result.machine.network = name();
    result.machine.mitigations.insert(name(), name());
    for scenario in &mut result.config.scenarios {
        scenario.about = name();
    }
    for skipped in &mut result.skipped {
        skipped.contender = name();
        skipped.why = name();
    }
    for run in &mut result.runs {
        run.unchecked.push(name());
        run.reasons.iter_mut().for_each(|reason| *reason = name());
    }
    for record in &mut result.profiles {
        if let Some(missing) = &mut record.missing {
            *missing = name();
        }
        for top in &mut record.top {
            top.function = name();
        }
        record.folded = format!("main;{HOSTILE};write 2500000\nmain;<A as B>::c 1500000\n");
        record.category_micros_per_message.insert(name(), 1.0);
    }
    // One contender with that name as well, in all that is drawn of it.
    for run in result.runs.iter_mut().filter(|run| run.contender == "tokio") {
        run.contender = name();
    }
    for record in result
        .profiles
        .iter_mut()
        .filter(|record| record.contender == "tokio")
    {
        record.contender = name();
    }
    model::fixture::compare(&mut result);
    result
}

/// All of them, by name.
pub fn all() -> Vec<(&'static str, LabResult)> {
    vec![
        ("usual", usual()),
        ("bare", fixture::result()),
        ("crowd", crowd(12, 40)),
        ("pair", crowd(2, 1)),
        ("alone", crowd(1, 1)),
        ("huge", crowd(30, 3)),
        ("nobody", nobody()),
        ("silent", silent()),
        ("sweep", sweep(6)),
        ("sweep-of-one", sweep(1)),
        ("sweep-of-linger", fixture::sweep_of_linger()),
        ("unbalanced", unbalanced()),
        ("profiled", profiled()),
        ("hostile", hostile()),
        ("in-two-languages", fixture::result_with_profiles()),
    ]
}
