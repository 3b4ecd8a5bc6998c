//! The answer in a sentence, and everything that a reader must know before believing a table.

use super::figures::{count, decimal, kibibytes};
use crate::comparison;
use crate::config::CpuPlan;
use crate::result::{Comparison, LabResult, Run};
use crate::scenario::Scenario;
use crate::verdict::{IDLE_CPU_PERCENT_MAX, OTHERS_CPU_PERCENT_MAX};

/// What was asked of the contenders.
pub fn question(result: &LabResult, scenario: &Scenario) -> String {
    let offered = result
        .runs_of(&scenario.name)
        .find_map(|run| run.offered_per_second)
        .map_or_else(String::new, |rate| {
            format!(", {} messages/s offered", count(rate))
        });
    format!(
        "{} connections, messages of {} bytes, {}{offered}; {} cycles of {} slices",
        count(scenario.connections as f64),
        scenario.message_bytes,
        scenario.pace,
        result
            .runs_of(&scenario.name)
            .map(|run| run.cycles.len())
            .max()
            .unwrap_or(0),
        humantime::format_duration(scenario.slice())
    )
}

/// The answer to what a server pays, as far as believable runs give one.
pub fn answer(result: &LabResult, scenario: &str) -> String {
    let baseline = &result.config.baseline;
    let costs = |run: &Run| run.server.cpu_micros_per_message;
    let believable: Vec<_> = result
        .runs_of(scenario)
        .filter(|run| run.is_ok())
        .filter_map(|run| Some((run, costs(run)?)))
        .collect();
    let Some((_, base_cost)) = believable.iter().find(|(run, _)| run.contender == *baseline) else {
        if result.runs_of(scenario).next().is_none() {
            return "Nobody could run, so there is no answer.".to_owned();
        }
        if believable.is_empty() {
            return "No run can be believed, so there is no answer.".to_owned();
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
    let mut answer = format!(
        "{baseline} costs {} µs of server CPU per message",
        decimal(*base_cost, 2)
    );
    let others: Vec<_> = believable
        .iter()
        .filter_map(|(run, _)| result.comparison(scenario, &run.contender, comparison::CPU))
        .map(compared)
        .collect();
    if others.is_empty() {
        answer.push_str("; there is nobody believable to compare to it.");
    } else {
        answer.push_str(": ");
        answer.push_str(&others.join("; "));
        answer.push('.');
    }
    answer
}

fn compared(comparison: &Comparison) -> String {
    let who = &comparison.contender;
    match comparison.low.zip(comparison.high) {
        Some((low, high)) if low <= 1.0 && 1.0 <= high => {
            format!("{who} cannot be told apart from it ({low:.2} to {high:.2} times)")
        }
        Some((low, high)) => format!(
            "{who} takes {:.2} times that (95 % interval {low:.2} to {high:.2})",
            comparison.ratio
        ),
        None => format!(
            "{who} takes {:.2} times that (one cycle: how far chance goes is not known)",
            comparison.ratio
        ),
    }
}

/// What a reader must know before believing the table: reasons of verdicts, who was skipped, what was not checked.
pub fn remarks(result: &LabResult, scenario: &Scenario) -> Vec<String> {
    let mut remarks = Vec::new();
    for run in result.runs_of(&scenario.name) {
        let who = &run.contender;
        for (verdict, reason) in run.verdicts.iter().zip(&run.reasons) {
            remarks.push(format!("{who}, {verdict}: {reason}"));
        }
        if !run.is_ok()
            && let Some(others) = &run.others
            && others.cpu_percent + others.stolen_percent > OTHERS_CPU_PERCENT_MAX
        {
            remarks.push(format!(
                "{who}: meanwhile other programs used {} % of a core, and {} % was taken by the hypervisor; that may be why. Run again when the machine is quiet.",
                decimal(others.cpu_percent, 0),
                decimal(others.stolen_percent, 0)
            ));
        }
        for what in &run.unchecked {
            remarks.push(format!("{who}, not checked: {what}."));
        }
        if run.bytes.is_none() && run.is_ok() && run.unchecked.iter().all(|what| !what.starts_with("bytes")) {
            remarks.push(format!(
                "{who}, not checked: bytes, because its run did not come to its end."
            ));
        }
        if let Some(percent) = run.server.idle_cpu_percent
            && percent > IDLE_CPU_PERCENT_MAX
        {
            remarks.push(format!(
                "{who} used {} % of a core while others were under load, which may have disturbed them.",
                decimal(percent, 1)
            ));
        }
    }
    for skipped in result
        .skipped
        .iter()
        .filter(|skipped| skipped.scenario == scenario.name)
    {
        remarks.push(format!("{} is skipped: {}.", skipped.contender, skipped.why));
    }
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

/// What holds for all scenarios.
pub fn general(result: &LabResult) -> Vec<String> {
    let mut general = Vec::new();
    if !result.complete {
        general.push("The lab was stopped before its end: this is what was measured until then.".to_owned());
    }
    match &result.config.cpus {
        CpuPlan::Disjoint { .. } => {}
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
