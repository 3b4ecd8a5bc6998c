//! A result with one of everything: ok runs, one that missed its rate, one that died, one skipped, one cycle.

use std::collections::BTreeMap;

use model::fixture;
pub use model::fixture::{rounds, run};
use model::profile::{ProfileRecord, TopFunction};
use model::result::LabResult;
use telemetry::profile::category::{Category, categorize};

use crate::cli::{Cores, Lab};
use crate::profile::record;

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
    fixture::of_config(config)
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
    let mut categories: BTreeMap<String, f64> = Category::ALL
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
    fixture::compare(&mut result);
    result
}
