//! A result with one of everything: ok runs, one that missed its rate, one that died, one skipped, one cycle.

use client::summary::Quantiles;

use telemetry::profile::category::{Category, categorize};

use crate::cli::{Cores, Lab};
use crate::comparison;
use crate::machine::Machine;
use crate::profile::record;
use crate::result::{
    Bytes, ClientFigures, Cycle, LabResult, ProfileRecord, Round, Run, SCHEMA, ServerFigures, Skipped,
    TopFunction,
};
use crate::verdict::Verdict;

/// The result.
pub fn result() -> LabResult {
    use clap::Parser;
    let words = [
        "lab",
        "--contenders",
        "epoll,tokio,threads",
        "--cycles",
        "8",
        "--server-cpus",
        "0",
        "--client-cpus",
        "1",
    ];
    let cores = Cores::new("0-1".parse().unwrap(), &[]);
    let lab = Lab::try_parse_from(words).unwrap();
    let config = lab.run.validated(&["epoll", "tokio", "threads"], &cores).unwrap();
    let mut result = LabResult {
        schema: SCHEMA,
        run_id: "20261122-151500-00ab".to_owned(),
        started_at: "2026-11-22T15:15:00Z".to_owned(),
        version: "0.1.0".to_owned(),
        complete: true,
        machine: machine(),
        config,
        notes: vec![],
        skipped: vec![Skipped {
            scenario: "many".to_owned(),
            contender: "threads".to_owned(),
            why: "this machine allows 100 threads: raise kernel.threads-max".to_owned(),
        }],
        runs: vec![
            run("few", "epoll", 10.0, 8),
            run("few", "tokio", 12.5, 8),
            with(
                run("few", "threads", 20.0, 2),
                Verdict::ServerDied,
                "the server ended before the run did (killed by signal 9).",
            ),
            with(
                run("many", "tokio", 30.0, 1),
                Verdict::RateMissed,
                "only 80.0 % of what was offered was replied to in time.",
            ),
            run("many", "epoll", 15.0, 1),
        ],
        comparisons: vec![],
        profiles: vec![],
    };
    result.runs[2].bytes = None;
    result.runs[3].others = Some(crate::result::Others {
        cpu_percent: 85.0,
        stolen_percent: 3.0,
    });
    result.runs[1].capacity_is_at_least = true;
    result.comparisons = comparison::compare(&result);
    result
}

/// What `lab sweep` with these words gives when nobody can be skipped: its configuration, without runs.
pub fn sweep(words: &[&str]) -> LabResult {
    use clap::Parser;
    let words = [
        "lab",
        "sweep",
        "--quick",
        "--server-cpus",
        "0",
        "--client-cpus",
        "1",
    ]
    .iter()
    .chain(words);
    let Some(crate::cli::Action::Sweep(args)) = Lab::try_parse_from(words).unwrap().action else {
        panic!("no sweep");
    };
    let config = args.validated(
        &["epoll", "tokio", "threads"],
        &Cores::new("0-1".parse().unwrap(), &[]),
    );
    LabResult {
        config: config.unwrap(),
        skipped: vec![],
        runs: vec![],
        comparisons: vec![],
        ..result()
    }
}

/// The same with profiles: of the baseline, of another in its language, of one in another, and one that is missing.
pub fn result_with_profiles() -> LabResult {
    let mut result = result();
    result.profiles = vec![
        profile(
            "epoll",
            &[
                ("std::rt::main;send", 4),
                ("std::rt::main;recv", 3),
                ("std::rt::main;epoll_wait", 2),
            ],
        ),
        profile(
            "tokio",
            &[
                ("std::rt::main;send", 4),
                ("std::rt::main;recv", 3),
                ("std::rt::main;tokio::schedule", 5),
            ],
        ),
        profile(
            "go-net",
            &[
                ("runtime.goexit;syscall.write", 8),
                ("runtime.mcall;runtime.schedule", 10),
            ],
        ),
        record::missing(
            "few",
            "threads",
            "it serves no profiles: http://127.0.0.1:9/debug/pprof/profile answered 404".to_owned(),
        ),
    ];
    result
}

/// A profile over 1,000 messages, whose stacks take so many microseconds a message.
fn profile(contender: &str, stacks: &[(&str, u64)]) -> ProfileRecord {
    let function = |stack: &str| stack.rsplit(';').next().unwrap_or(stack).to_owned();
    let top = stacks.iter().map(|&(stack, micros)| TopFunction {
        function: function(stack),
        self_micros_per_message: micros as f64,
        total_micros_per_message: micros as f64,
    });
    let mut top: Vec<_> = top.collect();
    top.sort_by(|a, b| b.self_micros_per_message.total_cmp(&a.self_micros_per_message));
    let mut categories: std::collections::BTreeMap<String, f64> = Category::ALL
        .iter()
        .map(|(_, name)| ((*name).to_owned(), 0.0))
        .collect();
    for (stack, micros) in stacks {
        let category = categorize(stack.rsplit(';'));
        let name = Category::ALL[category as usize].1;
        *categories.get_mut(name).unwrap() += *micros as f64;
    }
    ProfileRecord {
        scenario: "few".to_owned(),
        contender: contender.to_owned(),
        missing: None,
        messages: 1_000,
        samples: stacks.iter().map(|(_, micros)| micros * 100).sum(),
        category_micros_per_message: categories,
        top,
        folded: stacks
            .iter()
            .map(|(stack, micros)| format!("{stack} {}\n", micros * 1_000_000))
            .collect(),
        functions: stacks
            .iter()
            .map(|(stack, micros)| (function(stack), micros * 1_000_000))
            .collect(),
        left_out_nanos: 0,
        cost_relative_error: None,
        pprof: crate::profile::files::pprof("few", contender),
    }
}

fn with(mut run: Run, verdict: Verdict, reason: &str) -> Run {
    run.verdicts = vec![verdict];
    run.reasons = vec![reason.to_owned()];
    run
}

fn machine() -> Machine {
    Machine {
        identity: Some("00c0ffee00c0ffee".to_owned()),
        cpu_model: Some("Example CPU".to_owned()),
        cpus: 2,
        cpus_allowed: Some("0-1".to_owned()),
        memory_bytes: Some(8 << 30),
        kernel: Some("6.18.0".to_owned()),
        os: Some("Example OS".to_owned()),
        mitigations: [("spectre_v2", "Mitigation: Retpolines"), ("mds", "Not affected")]
            .map(|(name, state)| (name.to_owned(), state.to_owned()))
            .into(),
        container: "none".to_owned(),
        network: "loopback".to_owned(),
        nofile_limit: Some(20_000),
        port_range: Some((32_768, 60_999)),
        ..Machine::default()
    }
}

/// A sweep whose points are contenders of one scenario; one family does not have the parameter.
pub fn sweep_of_linger() -> LabResult {
    let mut result = sweep(&["--linger", "50us,100us", "--contenders", "epoll,tokio"]);
    for (contender, cost) in [
        ("epoll", 10.0),
        ("epoll linger=50us", 8.0),
        ("epoll linger=100us", 7.0),
        ("tokio", 12.0),
    ] {
        result.runs.push(run("few", contender, cost, 8));
    }
    result.comparisons = comparison::compare(&result);
    result
}

/// An ok run that costs so much.
pub fn run(scenario: &str, contender: &str, cpu_micros: f64, cycles: u32) -> Run {
    let cycle = |cycle: u32| Cycle {
        cycle,
        seconds: 0.25,
        due: 5_000,
        replies: 5_000,
        replies_in_time: 5_000,
        server_cpu_seconds: Some(cpu_micros * (1.0 + 0.01 * f64::from(cycle)) * 5_000.0 / 1e6),
        client_cpu_seconds: 0.25,
        response_micros_p99: 40.0 * cpu_micros,
        ..Cycle::default()
    };
    Run {
        scenario: scenario.to_owned(),
        contender: contender.to_owned(),
        verdicts: vec![Verdict::Ok],
        offered_per_second: Some(20_000.0),
        capacity_per_second: Some(400_000.0 / cpu_micros),
        replies_per_second: 20_000.0,
        replies: 5_000 * u64::from(cycles),
        server: ServerFigures {
            cpu_micros_per_message: Some(cpu_micros),
            cpu_user_share: Some(0.25),
            cpu_percent: Some(cpu_micros * 2.0),
            idle_cpu_percent: Some(if contender == "tokio" { 2.5 } else { 0.01 }),
            resident_bytes: Some(8 << 20),
            resident_bytes_before_connections: Some(4 << 20),
            virtual_bytes: Some(64 << 20),
            threads: Some(3),
            context_switches_per_message: Some(0.95),
            ..ServerFigures::default()
        },
        client: ClientFigures {
            cpu_micros_per_message: Some(50.0),
            cpu_percent: Some(99.0),
            busy_share: 0.5,
            send_lag_micros_p99: 25.0,
            ramp_seconds: 0.1,
        },
        response_micros: Quantiles {
            mean: 70.0,
            p50: 50.0,
            p90: 120.0,
            p99: 400.0,
            p999: 1_900.0,
            max: 3_000.0,
        },
        bytes: Some(Bytes {
            client_sent: 1,
            server_received: Some(1),
            server_sent: Some(1),
            client_received: 1,
        }),
        rounds: rounds((0..cycles).map(cycle).collect(), Some(8 << 20)),
        ..Run::default()
    }
}

/// Cycles in rounds of two, as if every server had been started again after two slices.
pub fn rounds(cycles: Vec<Cycle>, resident_bytes: Option<u64>) -> Vec<Round> {
    let round = |(cycles, round): (&[Cycle], u32)| Round {
        round,
        restarted: true,
        resident_bytes,
        cycles: cycles
            .iter()
            .zip(0..)
            .map(|(cycle, number)| Cycle {
                cycle: number,
                ..cycle.clone()
            })
            .collect(),
        ..Round::default()
    };
    cycles.chunks(2).zip(0..).map(round).collect()
}
