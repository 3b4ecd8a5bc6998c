//! The sections of the benchmark: which runs of the lab, and which figures are read from them.

use model::result::LabResult;
use model::statistics::Estimate;

use crate::bench::{
    Bench, client_over_server, cpu_ratio, cpu_ratio_flat_out, ok_run, p99_more, peers, single,
};
use crate::goal::{Goal, Row};

/// Some figures that one run of the lab gives.
pub struct Section {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it is about.
    pub about: &'static str,
    /// Runs the lab and reads the figures.
    pub rows: fn(&Bench) -> Result<Vec<Row>, String>,
}

/// All sections.
pub const SECTIONS: &[Section] = &[
    Section {
        name: "smooth",
        about: "both scenarios, each message at its own time",
        rows: smooth,
    },
    Section {
        name: "null",
        about: "50 connections, smooth: the same server against itself, ten times as many cycles",
        rows: null,
    },
    Section {
        name: "coverage-few",
        about: "50 connections, eight copies of one server: how often intervals hold 1, within runs and from run to run",
        rows: |bench| crate::coverage::rows(bench, "few"),
    },
    Section {
        name: "coverage-many",
        about: "the same with 10,000 connections",
        rows: |bench| crate::coverage::rows(bench, "many"),
    },
    Section {
        name: "widths",
        about: "a default run: how wide its intervals are, and how long it takes",
        rows: crate::widths::rows,
    },
    Section {
        name: "burst",
        about: "50 connections, bursts of 1 ms",
        rows: burst,
    },
    Section {
        name: "closed",
        about: "50 connections, closed loop without think time",
        rows: closed,
    },
    Section {
        name: "linger",
        about: "50 connections, smooth: letting events gather",
        rows: linger,
    },
    Section {
        name: "choices",
        about: "both scenarios, smooth: what counters, allocator settings and the release profile cost",
        rows: crate::choices::rows,
    },
    Section {
        name: "planted",
        about: "a copy of epoll that costs 2 % more, six seeds per scenario: whether intervals hold that, and do not hold 1",
        rows: crate::planted::rows,
    },
    Section {
        name: "busy",
        about: "lab run --quick beside a program that uses a core: how soon it is named, and what can be believed",
        rows: crate::busy::rows,
    },
    Section {
        name: "sampling",
        about: "50 connections, smooth: CPU by category at 19 samples a second",
        rows: sampling,
    },
];

/// The runtimes that use io_uring.
const ON_IO_URING: [&str; 4] = ["monoio-uring", "glommio", "compio", "tokio-uring"];
/// Ours and the yardstick. `epoll` twice is the null check.
const OURS: [&str; 6] = ["epoll", "bare", "epoll", "uring", "tokio", "threads"];
/// How many runtimes are measured beside `epoll` and `uring` in one run.
const GROUP: usize = 4;
/// Cycles of the null check, for each of the others'.
const NULL_CYCLES: u32 = 10;
/// The spans of the sweep.
const LINGERS: &str = "20us,50us,100us,200us,500us";

/// Words of a command line.
pub fn words(list: &[&str]) -> Vec<String> {
    list.iter().map(|word| (*word).to_owned()).collect()
}

/// 50 connections, smooth, at the rate of all, and what else is wanted.
fn few_smooth(bench: &Bench, more: &[&str]) -> Vec<String> {
    let rate = bench.rate.to_string();
    let mut all = words(&["--scenario", "few", "--rate", &rate, "--arrivals", "smooth"]);
    all.extend(words(more));
    all
}

/// Ours, the yardstick, and all others. Contenders that are not built are skipped, and a row says so.
fn everyone() -> String {
    let names: Vec<&str> = OURS.into_iter().chain(peers()).collect();
    names.join(",")
}

/// The row of a ratio of CPU per message.
pub fn ratio(result: &LabResult, scenario: &str, above: &str, below: &str, goal: Goal) -> Row {
    Row {
        what: format!("{scenario}: {above} / {below}, CPU per message"),
        goal,
        found: cpu_ratio(result, scenario, above, below),
        unit: "",
    }
}

/// Every runtime, and what it is compared to: `epoll`; those on io_uring to `uring` as well.
fn rivals() -> Vec<(&'static str, &'static str)> {
    let all = ["tokio", "threads"].into_iter().chain(peers());
    all.map(|peer| (peer, "epoll"))
        .chain(ON_IO_URING.map(|peer| (peer, "uring")))
        .collect()
}

fn all_peers(result: &LabResult, scenario: &str) -> Vec<Row> {
    against(result, scenario, rivals())
}

fn against(
    result: &LabResult,
    scenario: &str,
    pairs: impl IntoIterator<Item = (&'static str, &'static str)>,
) -> Vec<Row> {
    pairs
        .into_iter()
        .map(|(peer, ours)| ratio(result, scenario, peer, ours, Goal::AtLeast(1.0)))
        .collect()
}

/// In groups: a cycle lasts as long as all its contenders' slices, and the machine spoils long cycles more often. With 16
/// contenders at 10,000 connections more than half of all cycles were spoilt.
fn smooth(bench: &Bench) -> Result<Vec<Row>, String> {
    let rate = bench.rate.to_string();
    let mut groups = vec![OURS.to_vec()];
    let others: Vec<&str> = peers().collect();
    for few in others.chunks(GROUP) {
        groups.push([&["epoll", "uring"], few].concat());
    }
    let mut rows = Vec::new();
    for (group, number) in groups.iter().zip(0..) {
        let contenders = group.join(",");
        let result = bench.lab(
            &format!("smooth-{number}"),
            "run",
            &words(&[
                "--rate",
                &rate,
                "--arrivals",
                "smooth",
                "--contenders",
                &contenders,
            ]),
        )?;
        // In `many`, servers that are the same differ by more than their interval: see the README.
        for (scenario, null) in [("few", Goal::OneWithin(0.01)), ("many", Goal::None)] {
            if number == 0 {
                rows.push(ratio(&result, scenario, "epoll#2", "epoll", null));
                rows.push(ratio(&result, scenario, "epoll", "bare", Goal::AtMost(1.03)));
                rows.push(ratio(&result, scenario, "uring", "epoll", Goal::AtMost(1.0)));
            }
            let of_group = rivals().into_iter().filter(|(peer, _)| group.contains(peer));
            rows.extend(against(&result, scenario, of_group));
        }
        let new = group
            .iter()
            .enumerate()
            .filter(|(place, name)| !group[..*place].contains(name) && (number == 0 || *place > 1));
        rows.extend(new.flat_map(|(_, contender)| of_many(&result, contender)));
    }
    Ok(rows)
}

/// A against A over so many cycles that the interval is as narrow as a difference that one would believe.
fn null(bench: &Bench) -> Result<Vec<Row>, String> {
    let result = bench.lab_for(
        NULL_CYCLES,
        "null",
        "run",
        &few_smooth(bench, &["--contenders", "epoll,epoll"]),
    )?;
    Ok(vec![ratio(
        &result,
        "few",
        "epoll#2",
        "epoll",
        Goal::OneWithin(0.01),
    )])
}

/// What 10,000 connections cost in memory, in time, and when they are quiet.
fn of_many(result: &LabResult, contender: &str) -> Vec<Row> {
    let held = matches!(contender, "epoll" | "uring");
    let goal = |goal: Goal| if held { goal } else { Goal::None };
    let scenario = result
        .config
        .scenarios
        .iter()
        .find(|scenario| scenario.name == "many");
    let connections = scenario.map_or(0, |scenario| scenario.connections);
    // Memory, the ramp and idleness are measured outside the slices, so that a run's verdict does not touch them.
    let Some(run) = result.run("many", contender) else {
        return vec![];
    };
    vec![
        Row {
            what: format!("{contender}: resident bytes for each further connection, many against few"),
            goal: goal(Goal::AtMost(64.0)),
            found: single(further_bytes(result, contender)),
            unit: "",
        },
        Row {
            what: format!("many: {contender}, CPU while {connections} connections are quiet"),
            goal: goal(Goal::AtMost(0.05)),
            found: single(run.server.idle_cpu_percent),
            unit: " %",
        },
    ]
}

/// What a connection more costs in resident memory, by two servers under the same load with many and with few: what both
/// touch once (code, stacks, the allocator's own) is in neither.
fn further_bytes(result: &LabResult, contender: &str) -> Option<f64> {
    let of = |name: &str| {
        let scenario = result
            .config
            .scenarios
            .iter()
            .find(|scenario| scenario.name == name)?;
        let bytes = result.run(name, contender)?.server.resident_bytes?;
        Some((bytes as f64, scenario.connections as f64))
    };
    let ((many, connections), (few, fewer)) = (of("many")?, of("few")?);
    (connections > fewer).then(|| (many - few) / (connections - fewer))
}

fn burst(bench: &Bench) -> Result<Vec<Row>, String> {
    let rate = bench.rate.to_string();
    let everyone = everyone();
    let result = bench.lab(
        "burst",
        "run",
        &words(&[
            "--scenario",
            "few",
            "--rate",
            &rate,
            "--arrivals",
            "burst 1ms",
            "--contenders",
            &everyone,
        ]),
    )?;
    let mut rows = vec![
        ratio(&result, "few", "epoll#2", "epoll", Goal::OneWithin(0.01)),
        ratio(&result, "few", "epoll", "bare", Goal::AtMost(1.03)),
        ratio(&result, "few", "uring", "epoll", Goal::AtMost(0.92)),
        client_row(&result, "few", 1.2),
    ];
    rows.extend(all_peers(&result, "few"));
    Ok(rows)
}

fn client_row(result: &LabResult, scenario: &str, goal: f64) -> Row {
    Row {
        what: format!("{scenario}: client / epoll server, CPU per message"),
        goal: Goal::AtMost(goal),
        found: client_over_server(result, scenario, "epoll"),
        unit: "",
    }
}

fn closed(bench: &Bench) -> Result<Vec<Row>, String> {
    let path = bench.folder.join("closed.toml");
    std::fs::write(
        &path,
        "connections = 50\npace = \"closed\"\nthink_time = \"0s\"\n",
    )
    .map_err(|error| format!("{} cannot be written: {error}", path.display()))?;
    let everyone = everyone();
    let result = bench.lab(
        "closed",
        "run",
        &words(&[
            "--scenario",
            &path.display().to_string(),
            "--contenders",
            &everyone,
        ]),
    )?;
    let row = |above: &str, below: &str, goal| Row {
        what: format!("closed: {above} / {below}, CPU per message"),
        goal,
        found: cpu_ratio_flat_out(&result, "closed", above, below),
        unit: "",
    };
    let mut rows = vec![
        row("epoll#2", "epoll", Goal::OneWithin(0.01)),
        row("epoll", "bare", Goal::AtMost(1.03)),
        row("uring", "epoll", Goal::AtMost(1.0)),
        client_row(&result, "closed", 1.0),
    ];
    rows.extend(
        rivals()
            .into_iter()
            .map(|(peer, ours)| row(peer, ours, Goal::AtLeast(1.0))),
    );
    Ok(rows)
}

fn linger(bench: &Bench) -> Result<Vec<Row>, String> {
    let result = bench.lab(
        "linger",
        "sweep",
        &few_smooth(bench, &["--contenders", "epoll,uring", "--linger", LINGERS]),
    )?;
    let points = result
        .config
        .sweep
        .as_ref()
        .map_or(&[][..], |sweep| &sweep.points[..]);
    let mut rows = Vec::new();
    for (engine, goal) in [("epoll", 0.8), ("uring", 0.75)] {
        let names = points.iter().map(|point| format!("{engine}{}", point.suffix));
        let names: Vec<String> = names.filter(|name| name != "epoll").collect();
        rows.extend(names.iter().map(|name| lingering(&result, name)));
        rows.push(best(&result, engine, &names, goal));
    }
    Ok(rows)
}

/// What one span costs and saves.
fn lingering(result: &LabResult, name: &str) -> Row {
    let mut row = ratio(result, "few", name, "epoll", Goal::None);
    if let Ok(run) = ok_run(result, "few", name) {
        let later = match p99_more(result, "few", name, "epoll") {
            Ok(more) => format!("{:.0} [{:.0}, {:.0}] µs", more.median, low(&more), high(&more)),
            Err(why) => why,
        };
        row.what += &format!(
            " (p50 {:.0} µs, p99 later by {later}, {:.2} wake-ups per message)",
            run.response_micros.p50.unwrap_or(f64::NAN),
            run.server.context_switches_per_message.unwrap_or(f64::NAN)
        );
    }
    row
}

/// The cheapest span whose 99th percentile is less than 1 ms above that of plain epoll, beyond chance. It is the best of
/// several, so its interval is a little too kind.
fn best(result: &LabResult, engine: &str, names: &[String], goal: f64) -> Row {
    let in_time =
        |name: &&String| p99_more(result, "few", name, "epoll").is_ok_and(|more| high(&more) < 1000.0);
    let ratios = names
        .iter()
        .filter(in_time)
        .filter_map(|name| Some((name, cpu_ratio(result, "few", name, "epoll").ok()?)));
    let best = ratios.min_by(|(_, one), (_, other)| one.median.total_cmp(&other.median));
    Row {
        what: match &best {
            Some((name, _)) => format!("few: best of these, {name} / epoll, p99 under 1 ms more"),
            None => format!("few: best linger of {engine} / epoll, p99 under 1 ms more"),
        },
        goal: Goal::AtMost(goal),
        found: best
            .map(|(_, found)| found)
            .ok_or_else(|| "no span gave an ok run in time".to_owned()),
        unit: "",
    }
}

fn low(estimate: &Estimate) -> f64 {
    estimate.interval.map_or(estimate.median, |(low, _)| low)
}

fn high(estimate: &Estimate) -> f64 {
    estimate.interval.map_or(estimate.median, |(_, high)| high)
}

fn sampling(bench: &Bench) -> Result<Vec<Row>, String> {
    let mut all = few_smooth(bench, &["--contenders", "own", "--baseline", "plain"]);
    for (name, hertz) in [("plain", 0), ("sampled", 19), ("sampled-997", 997)] {
        let program = env!("CARGO_BIN_EXE_lab");
        all.push("--contender".to_owned());
        all.push(format!(
            "name={name},command=\"{program} server --engine epoll --listen 127.0.0.1:{{port}} --metrics \
             127.0.0.1:{{metrics_port}} --profile-hz {hertz}\",metrics=http://127.0.0.1:{{metrics_port}}/metrics"
        ));
    }
    let result = bench.lab("sampling", "run", &all)?;
    Ok(vec![
        ratio(&result, "few", "sampled", "plain", Goal::AtMost(1.005)),
        // Fifty times as much of it, to see what there is to see.
        ratio(&result, "few", "sampled-997", "plain", Goal::None),
    ])
}
