//! The answer in a sentence, and everything that a reader must know before believing a table.

use model::figure::Figure;
use std::collections::BTreeMap;
use std::fmt::Write;

use super::figures::{count, decimal, kibibytes, significant};
use super::reasons;
use model::comparison::Comparison;
use model::config::CpuPlan;
use model::quantiles::Quantile;
use model::result::LabResult;
use model::run::Run;
use model::scenario::Scenario;
use model::spoilt::Cause;
use model::statistics::rounds::expected_misses;
use model::threshold::{IDLE_CPU_PERCENT_MAX, OTHERS_CPU_PERCENT_MAX};
use model::verdict::Verdict;
use sys::cpu::CpuSet;

/// Rates that differ by no more are the same to a reader.
const SERVED_SHARE_MAX: f64 = 0.01;

/// What was asked of the contenders.
pub fn question(result: &LabResult, scenario: &Scenario) -> String {
    let offered = offered(result, &scenario.name).map_or_else(String::new, |rate| {
        format!(", {} messages/s offered", count(rate))
    });
    let runs = || result.runs_of(&scenario.name);
    let cycles = runs().map(|run| run.cycles().count()).max().unwrap_or(0);
    let rounds = runs().map(|run| run.rounds.len()).max().unwrap_or(0);
    format!(
        "{} connections, messages of {} bytes, {}{offered}; {cycles} {} of {} slices in {rounds} {}",
        count(scenario.connections as f64),
        scenario.message_bytes,
        scenario.pace,
        if cycles == 1 { "cycle" } else { "cycles" },
        humantime::format_duration(scenario.slice()),
        if rounds == 1 { "round" } else { "rounds" },
    )
}

/// Messages per second that all were offered; none in a closed loop.
fn offered(result: &LabResult, scenario: &str) -> Option<f64> {
    result.runs_of(scenario).find_map(|run| run.offered_per_second)
}

/// The answer to what a server pays, as far as believable runs give one.
pub fn answer(result: &LabResult, scenario: &str) -> String {
    let baseline = &result.config.baseline;
    let offered = offered(result, scenario);
    let costs = |run: &Run| run.server.cpu_micros_per_message;
    let believable: Vec<_> = result
        .runs_of(scenario)
        .filter(|run| run.is_ok())
        .filter_map(|run| Some((run, costs(run)?)))
        .collect();
    let Some((base, base_cost)) = believable.iter().find(|(run, _)| run.contender == *baseline) else {
        if result.runs_of(scenario).next().is_none() {
            return "Nobody could run, so there is no answer.".to_owned();
        }
        if believable.is_empty() {
            return without_costs(result, scenario);
        }
        let listed: Vec<_> = believable
            .iter()
            .map(|(run, cost)| format!("{} {} µs", run.contender, decimal(*cost, 2)))
            .collect();
        return format!(
            "There is no believable run of {baseline} to compare to; CPU per message: {}.",
            listed.join(", ")
        );
    };
    let kept = believable.iter().all(|(run, _)| served_what_was_offered(run));
    let served = match offered {
        None => format!("{baseline} served its messages"),
        Some(rate) if served_what_was_offered(base) => {
            format!("{baseline} served {} messages/s", count(rate))
        }
        Some(rate) => format!(
            "at {} messages/s offered, {baseline} served {}",
            count(rate),
            count(base.replies_per_second)
        ),
    };
    let mut parts = vec![format!(
        "{served} with {} µs of server CPU each",
        decimal(*base_cost, 2)
    )];
    let others: Vec<_> = believable
        .iter()
        .filter_map(|(run, _)| result.comparison(scenario, &run.contender, Figure::Cpu))
        .collect();
    parts.extend(told_apart(&others, kept));
    parts.extend(not_told_apart(&others));
    if others.is_empty() {
        parts.push("there is nobody believable to compare to it".to_owned());
    }
    parts.extend(left_out(result, scenario));
    format!("{}.", parts.join("; "))
}

/// What is known when no believable run has a cost.
fn without_costs(result: &LabResult, scenario: &str) -> String {
    let known: Vec<_> = result
        .runs_of(scenario)
        .filter(|run| run.is_ok())
        .map(|run| {
            let p99 = run.response_micros.bounded(Quantile::P99);
            let p99 = p99.map_or_else(String::new, |p99| {
                format!(", p99 {} ms", significant(p99.micros / 1e3))
            });
            format!(
                "{} served {} messages/s{p99}",
                run.contender,
                count(run.replies_per_second)
            )
        })
        .collect();
    let mut parts = if known.is_empty() {
        vec!["No run can be believed, so there is no answer".to_owned()]
    } else {
        vec![
            known.join("; "),
            "what a message costs is not known, because no CPU time could be read".to_owned(),
        ]
    };
    parts.extend(left_out(result, scenario));
    format!("{}.", parts.join("; "))
}

/// Whether a run's replies came at the rate that was offered, so that it may be called the rate that was served.
fn served_what_was_offered(run: &Run) -> bool {
    run.offered_per_second
        .is_some_and(|offered| (run.replies_per_second / offered - 1.0).abs() <= SERVED_SHARE_MAX)
}

/// Those whose interval leaves out 1, and those without an interval. At the same rate they served the same; a closed
/// loop's rates differ.
fn told_apart(others: &[&Comparison], same_rate: bool) -> Option<String> {
    let ratios: Vec<_> = others
        .iter()
        .filter(|other| !holds_one(other))
        .map(|other| (&other.contender, ratio(other)))
        .collect();
    let ((first, ratio), rest) = ratios.split_first()?;
    let baseline = &others.first()?.baseline;
    let mut text = if same_rate {
        format!("{first} served the same with {ratio} the CPU of {baseline}")
    } else {
        format!("{first} took {ratio} the CPU per message of {baseline}")
    };
    for (who, ratio) in rest {
        let _ = write!(text, ", {who} {ratio}");
    }
    if let Some(unsure) = others.iter().find(|other| other.low.is_none()) {
        let _ = write!(
            text,
            ": {}, so how far chance goes is not known",
            super::figures::too_few(unsure.rounds.len())
        );
    }
    Some(text)
}

/// Those whose interval holds 1.
fn not_told_apart(others: &[&Comparison]) -> Option<String> {
    let same: Vec<_> = others.iter().filter(|other| holds_one(other)).collect();
    let baseline = &same.first()?.baseline;
    let names: Vec<_> = same
        .iter()
        .map(|other| format!("{} ({})", other.contender, ratio(other)))
        .collect();
    let what = if names.len() == 1 {
        "the interval holds 1"
    } else {
        "each interval holds 1"
    };
    Some(format!(
        "{} cannot be told apart from {baseline}: {what}",
        names.join(", ")
    ))
}

/// Who is not in the answer, and why not.
fn left_out(result: &LabResult, scenario: &str) -> Option<String> {
    let mut said = Said::default();
    for run in result.runs_of(scenario).filter(|run| !run.is_ok()) {
        said.of(&run.contender, format!(" ({})", run.verdict_text()));
    }
    for skipped in result.skipped_of(scenario) {
        said.of(&skipped.contender, " (skipped)".to_owned());
    }
    let lines = said.lines(result.runs_of(scenario).count());
    (!lines.is_empty()).then(|| format!("left out: {}", lines.join("; ")))
}

fn holds_one(comparison: &Comparison) -> bool {
    let interval = comparison.low.zip(comparison.high);
    interval.is_some_and(|(low, high)| low <= 1.0 && 1.0 <= high)
}

fn ratio(comparison: &Comparison) -> String {
    let interval = comparison.low.zip(comparison.high);
    let interval = interval.map_or_else(String::new, |(low, high)| format!(" [{low:.2}, {high:.2}]"));
    format!("{:.2} ×{interval}", comparison.ratio)
}

/// What a reader must know before believing the table: reasons of verdicts, who was skipped, what was not checked.
/// Contenders of whom the same is said share a line.
pub fn remarks(result: &LabResult, scenario: &Scenario) -> Vec<String> {
    let mut said = Said::default();
    for run in result.runs_of(&scenario.name) {
        for (verdict, reason) in run.verdicts.iter().zip(&run.reasons) {
            said.of(&run.contender, format!(", {verdict}: {reason}"));
        }
        of_run(&mut said, run);
    }
    for skipped in result.skipped_of(&scenario.name) {
        said.of(&skipped.contender, format!(" is skipped: {}.", skipped.why));
    }
    let mut remarks = said.lines(result.runs_of(&scenario.name).count());
    remarks.extend(of_all(result, scenario));
    remarks
}

/// Sentences about contenders, in the order in which they were first said.
#[derive(Default)]
struct Said(Vec<(Vec<String>, String)>);

impl Said {
    /// Says something of a contender: what follows its name.
    fn of(&mut self, contender: &str, what: String) {
        match self.0.iter_mut().find(|(_, said)| *said == what) {
            Some((names, _)) => names.push(contender.to_owned()),
            None => self.0.push((vec![contender.to_owned()], what)),
        }
    }

    /// The sentences. `runs` is how many contenders there are in all: what is said of all needs no list.
    fn lines(self, runs: usize) -> Vec<String> {
        let lines = self.0.into_iter();
        lines
            .map(|(names, what)| match names.len() {
                several @ 3.. if several == runs => format!("all contenders{what}"),
                _ => format!("{}{what}", names.join(", ")),
            })
            .collect()
    }
}

/// The remarks without verdicts and skipped contenders, for who shows those apart.
pub fn notes(result: &LabResult, scenario: &Scenario) -> Vec<String> {
    let mut said = Said::default();
    for run in result.runs_of(&scenario.name) {
        of_run(&mut said, run);
    }
    let mut notes = said.lines(result.runs_of(&scenario.name).count());
    notes.extend(of_all(result, scenario));
    notes
}

/// What was odd about a run, or not checked.
fn of_run(said: &mut Said, run: &Run) {
    let who = &run.contender;
    let named = run.verdicts.contains(&Verdict::Disturbed) || run.verdicts.contains(&Verdict::Throttled);
    if !run.is_ok()
        && !named
        && let Some(others) = &run.others
        && others.cpu_percent + others.stolen_percent > OTHERS_CPU_PERCENT_MAX
    {
        let what = format!(
            ": meanwhile other programs used {} % of a core, and {} % was taken by the hypervisor; that may be why. Run again when the machine is quiet.",
            decimal(others.cpu_percent, 0),
            decimal(others.stolen_percent, 0)
        );
        said.of(who, what);
    }
    for what in &run.unchecked {
        said.of(who, format!(", not checked: {what}."));
    }
    if run.bytes.is_none() && run.is_ok() && run.unchecked.iter().all(|what| !what.starts_with("bytes")) {
        said.of(
            who,
            ", not checked: bytes, because its run did not come to its end.".to_owned(),
        );
    }
    if let Some(percent) = run.server.idle_cpu_percent
        && percent > IDLE_CPU_PERCENT_MAX
    {
        let percent = decimal(percent, 1);
        let what = format!(
            " used {percent} % of a core while others were under load, which may have disturbed them."
        );
        said.of(who, what);
    }
}

/// Who took CPU from servers and clients while cycles ran.
fn takers(result: &LabResult, scenario: &Scenario) -> Option<String> {
    let takers: Vec<_> = result
        .takers
        .iter()
        .filter(|taker| taker.scenario == scenario.name)
        .map(|taker| {
            let what = if taker.kernel {
                "a thread of the kernel".to_owned()
            } else {
                format!("process {}", taker.pid)
            };
            format!("{} ({what}, {} s)", taker.name, decimal(taker.seconds, 2))
        })
        .collect();
    let watched = result
        .takers
        .iter()
        .find(|taker| taker.scenario == scenario.name)?;
    Some(format!(
        "In the {} s of its slices others took CPU: {}.",
        decimal(watched.watched_seconds, 0),
        takers.join(", ")
    ))
}

/// Quantiles that the machine itself may have made.
fn floor(result: &LabResult, scenario: &Scenario) -> Option<String> {
    let stalls = result.machine.stalls.as_ref()?;
    let below = |run: &Run| {
        let names = [Quantile::P50, Quantile::P99, Quantile::P999];
        names.into_iter().any(|name| below_floor(result, run, name))
    };
    result.runs_of(&scenario.name).any(below).then(|| {
        format!(
            "(…): at or below the floor of this machine, so not the server's. Before the run it stopped a spinning thread for up to {} ms. \
             The floor is {} ms at p99 and {} ms at p99.9.",
            significant(stalls.longest_micros() / 1e3),
            significant(stalls.floor_micros_p99 / 1e3),
            significant(stalls.floor_micros_p999 / 1e3)
        )
    })
}

/// Whether a quantile of the response time is not longer than what the machine's own stops make it.
pub fn below_floor(result: &LabResult, run: &Run, name: Quantile) -> bool {
    let floor = result
        .machine
        .stalls
        .as_ref()
        .and_then(|stalls| stalls.floor_micros(name));
    let found = run.response_micros.bounded(name);
    found
        .zip(floor)
        .is_some_and(|(found, floor)| found.micros <= floor)
}

/// Servers that no round started afresh: their intervals do not hold what another start would bring.
fn of_these_processes(result: &LabResult, scenario: &Scenario) -> Option<String> {
    let stayed: Vec<_> = result
        .runs_of(&scenario.name)
        .filter(|run| run.rounds.len() > 1 && !run.restarted())
        .map(|run| run.contender.as_str())
        .collect();
    (!stayed.is_empty()).then(|| {
        format!(
            "The servers of {} stayed up over all rounds, so their intervals are of these processes: another start may cost up to a few percent more or less.",
            stayed.join(", ")
        )
    })
}

/// With many intervals some miss by chance, and the report says how many.
fn by_chance(result: &LabResult, scenario: &Scenario) -> Option<String> {
    let comparisons = result.comparisons.iter();
    let intervals = comparisons
        .filter(|one| one.scenario == scenario.name && one.low.is_some())
        .count();
    let misses = expected_misses(intervals);
    (misses >= 1.0).then(|| {
        format!(
            "Of the {intervals} intervals of ratios about {} misses the truth by chance.",
            decimal(misses, 0)
        )
    })
}

/// The cycles that count for nobody, and why.
fn spoilt(result: &LabResult, scenario: &Scenario) -> Option<String> {
    let most = result
        .runs_of(&scenario.name)
        .max_by_key(|run| run.cycles().count())?;
    let mut causes: BTreeMap<Cause, usize> = BTreeMap::new();
    for spoilt in most.cycles().filter_map(|cycle| cycle.spoilt.as_ref()) {
        *causes.entry(spoilt.cause).or_default() += 1;
    }
    let spoilt: usize = causes.values().sum();
    let causes: Vec<_> = causes
        .iter()
        .map(|(cause, count)| format!("{} ({count})", reasons::cause(*cause)))
        .collect();
    (spoilt > 0).then(|| {
        format!(
            "The machine disturbed {spoilt} of {} cycles, which count for no contender: {}.",
            most.cycles().count(),
            causes.join(", ")
        )
    })
}

/// What holds for the table as a whole.
fn of_all(result: &LabResult, scenario: &Scenario) -> Vec<String> {
    let mut remarks = Vec::new();
    remarks.extend(spoilt(result, scenario));
    remarks.extend(takers(result, scenario));
    remarks.extend(floor(result, scenario));
    remarks.extend(of_these_processes(result, scenario));
    remarks.extend(by_chance(result, scenario));
    if result.runs_of(&scenario.name).any(|run| run.capacity_is_at_least) {
        remarks.push(
            "≥: the client was the bottleneck while capacity was measured; the server's is at least this."
                .to_owned(),
        );
    }
    remarks.extend(memory(result, scenario));
    remarks
}

fn memory(result: &LabResult, scenario: &Scenario) -> Option<String> {
    let grown: Vec<_> = result
        .runs_of(&scenario.name)
        .filter_map(|run| {
            let bytes = run.server.resident_bytes_per_connection(scenario.connections)?;
            Some(format!("{} {} KiB", run.contender, kibibytes(bytes)))
        })
        .collect();
    (!grown.is_empty()).then(|| format!("Resident memory per connection: {}.", grown.join(", ")))
}

/// What the clients cost, for who has no table of it.
pub fn clients(result: &LabResult, scenario: &Scenario) -> Option<String> {
    let costs: Vec<_> = result
        .runs_of(&scenario.name)
        .filter_map(|run| {
            let micros = decimal(run.client.cpu_micros_per_message?, 2);
            let busy = decimal(run.client.busy_share * 100.0, 0);
            Some(format!("{} {micros} µs ({busy} % busy)", run.contender))
        })
        .collect();
    (!costs.is_empty()).then(|| {
        format!(
            "CPU of the clients per message, with what they spin until the next one is due: {}.",
            costs.join(", ")
        )
    })
}

/// What holds for all scenarios.
pub fn general(result: &LabResult) -> Vec<String> {
    let mut general = Vec::new();
    if !result.complete {
        general.push("The lab was stopped before its end: this is what was measured until then.".to_owned());
    }
    match &result.config.cpus {
        CpuPlan::Disjoint { server, client } => general.extend(shared_cores(result, server, client)),
        CpuPlan::Shared => general.push(
            "This machine offers one CPU: servers and clients shared it, so each figure holds the other's disturbance.".to_owned(),
        ),
        CpuPlan::Unpinned => general.push(
            "Nobody was pinned: servers and clients may have fought for the same CPUs.".to_owned(),
        ),
    }
    general.extend(result.notes.iter().map(|note| format!("{note}.")));
    general
}

/// What servers and clients share although each has CPUs of its own.
fn shared_cores(result: &LabResult, server: &CpuSet, client: &CpuSet) -> Option<String> {
    let shared = result.machine.shared_cores(server, client).into_iter();
    let shared: Vec<_> = shared.map(CpuSet::to_string).collect();
    (!shared.is_empty()).then(|| {
        format!(
            "Servers (CPUs {server}) and clients (CPUs {client}) share physical cores (CPUs {} are one each): what the client does \
             slows the server down. Give each whole cores (--server-cpus, --client-cpus).",
            shared.join("; ")
        )
    })
}
