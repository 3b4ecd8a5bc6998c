//! Verdicts in plain words, and what to do about each.

use super::chart::Table;
use crate::report::capitalised;
use model::result::LabResult;
use model::verdict::Verdict;

/// What a verdict means, and what to do about it.
fn words(verdict: Verdict) -> (&'static str, &'static str) {
    match verdict {
        Verdict::Ok => ("It may be believed.", "Nothing."),
        Verdict::ServerDied => (
            "The server ended before the run did.",
            "See its own messages for why it ended, mend that, and run again.",
        ),
        Verdict::ClientDied => (
            "The load generator ended before the run did.",
            "See what it said, and whether its limits (descriptors, ports, memory) suffice; then run again.",
        ),
        Verdict::NotMeasured => (
            "It was stopped before its first slice ended.",
            "Run again, and let it go on longer.",
        ),
        Verdict::NoReplies => (
            "Nothing right came back, so nothing was measured.",
            "Check that it is an echo service, and that this is its address.",
        ),
        Verdict::BadReplies => (
            "It sent back other bytes than it was sent.",
            "Mend the server: every byte comes back once, in order. Its figures are those of other work.",
        ),
        Verdict::Errors => (
            "Connections were lost, or requests never answered.",
            "Look at the server's log and limits; the load was not the one that was asked for.",
        ),
        Verdict::NotConserved => (
            "Bytes got lost or were invented on the way.",
            "Mend the server: what it receives, sends, and what the client gets must be equal.",
        ),
        Verdict::Disturbed => (
            "The machine disturbed more than half of the cycles.",
            "Stop other programs, or wait for a quiet machine; then run again.",
        ),
        Verdict::Throttled => (
            "A CPU quota stopped the server or the client.",
            "Raise or remove the quota that is named there, then run again.",
        ),
        Verdict::Unaccounted => (
            "The servers' CPUs did much that no account explains.",
            "Start the server so that all its processes descend from its command.",
        ),
        Verdict::RateMissed => (
            "It could not keep up with what was offered.",
            "Offer less (--rate), give the servers more CPUs (--server-cpus), or wait for a quiet machine.",
        ),
        Verdict::ClientBound => (
            "The load generator was the bottleneck: perhaps the client was measured.",
            "Give it more CPUs (--client-cpus), or offer less (--rate).",
        ),
        Verdict::OutOfLaw => (
            "Throughput and times contradict each other (Little's law; checked in closed loops).",
            "Look for lost replies and a client that stalls.",
        ),
        Verdict::Unstable => (
            "It changed its pace on the way.",
            "Let it run longer (--cycles), and see what else this machine does.",
        ),
    }
}

/// A row for each verdict of each run, and for each contender that was skipped.
pub fn table(result: &LabResult, scenario: &str) -> Table {
    let mut rows = Vec::new();
    for run in result.runs_of(scenario) {
        for (index, verdict) in run.verdicts.iter().enumerate() {
            let (meaning, remedy) = words(*verdict);
            // What was seen says more than what the verdict means in general.
            let why = match run.reasons.get(index) {
                Some(reason) => capitalised(reason),
                None => meaning.to_owned(),
            };
            rows.push(vec![
                run.contender.clone(),
                verdict.to_string(),
                why,
                remedy.to_owned(),
            ]);
        }
    }
    for skipped in result.skipped_of(scenario) {
        rows.push(vec![
            skipped.contender.clone(),
            "skipped".to_owned(),
            format!("It could not take part: {}.", skipped.why),
            "Change what is named there, then run again.".to_owned(),
        ]);
    }
    Table::new(
        "Whether each run may be believed, and what to do when not",
        &["contender", "verdict", "why", "what to do"],
        rows,
    )
}
