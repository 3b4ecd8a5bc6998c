//! A result with one of everything: ok runs, one that missed its rate, one that died, one skipped, one cycle.

#![allow(clippy::unwrap_used)]

use crate::comparison;
use crate::config::{Config, CpuPlan};
use crate::contender::Contender;
use crate::epoll::EpollOptions;
use crate::machine::Machine;
use crate::quantiles::Quantiles;
use crate::result::{LabResult, SCHEMA, Skipped};
use crate::rule::Undecided;
use crate::run::{Bytes, ClientFigures, Cycle, Others, Round, Run, ServerFigures};
use crate::scenario::Scenario;
use crate::verdict::Verdict;

/// The result.
pub fn result() -> LabResult {
    of_config(config())
}

/// The same with another configuration.
pub fn of_config(config: Config) -> LabResult {
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
        takers: vec![],
        comparisons: vec![],
        profiles: vec![],
    };
    result.runs[2].bytes = None;
    result.runs[3].others = Some(Others {
        cpu_percent: 85.0,
        stolen_percent: 3.0,
    });
    result.runs[1].capacity_is_at_least = true;
    compare(&mut result);
    result
}

/// Fills in the comparisons, scenario by scenario.
pub fn compare(result: &mut LabResult) {
    let mut scenarios: Vec<_> = result.runs.iter().map(|run| run.scenario.clone()).collect();
    scenarios.dedup();
    let baseline = &result.config.baseline;
    let of = |scenario: &String| comparison::of_scenario(result.runs_of(scenario), baseline);
    result.comparisons = scenarios.iter().flat_map(of).collect();
}

/// What `lab --contenders epoll,tokio,threads --cycles 8` asks for on two CPUs.
fn config() -> Config {
    let scenario = |name: &str, connections: u64| {
        let text = format!("connections = {connections}\npace = \"open\"\ncycles = 8\n");
        Scenario::parse(&text, name, name).unwrap()
    };
    Config {
        scenarios: vec![scenario("few", 50), scenario("many", 10_000)],
        connections_by_flag: false,
        contenders: ["epoll", "tokio", "threads"].map(Contender::engine).into(),
        baseline: "epoll".to_owned(),
        workers: 1,
        client_threads: 1,
        cpus: CpuPlan::Disjoint {
            server: "0".parse().unwrap(),
            client: "1".parse().unwrap(),
        },
        epoll: EpollOptions::default(),
        seed: 1,
        until: None,
        await_restarts_seconds: None,
        wait_quiet_seconds: None,
        output: "results".into(),
        fail_if: vec![],
        undecided: Undecided::Fail,
        named: vec![],
        repeat: false,
        profile_seconds: None,
        profile_hz: None,
        metrics: None,
        client_metrics: None,
        sweep: None,
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
        cpus_allowed: Some("0-1".parse().unwrap()),
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
        response_micros_p99: Some(40.0 * cpu_micros),
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
            mean: Some(70.0),
            p50: Some(50.0),
            p90: Some(120.0),
            p99: Some(400.0),
            p999: Some(1_900.0),
            max: Some(3_000.0),
            at_least: Vec::new(),
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
