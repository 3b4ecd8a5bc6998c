//! Comparing results: what is shown, what is refused, and the text word for word.

use super::*;
use crate::report::fixture;
use model::decision::Outcome;
use model::figure::Figure;
use model::rule::Rule;
use model::verdict::Verdict;

/// The fixture with a spread between cycles, so that intervals have a width.
fn result() -> LabResult {
    let mut result = fixture::result();
    for run in &mut result.runs {
        for cycle in run.cycles_mut() {
            cycle.response_micros_p50 = Some(50.0);
        }
    }
    result
}

/// `result` with one contender's CPU in all scenarios so many times as large.
fn with_cpu(mut result: LabResult, contender: &str, factor: f64) -> LabResult {
    for run in result.runs.iter_mut().filter(|run| run.contender == contender) {
        if let Some(micros) = &mut run.server.cpu_micros_per_message {
            *micros *= factor;
        }
        for cycle in run.cycles_mut() {
            cycle.server_cpu_seconds = cycle.server_cpu_seconds.map(|seconds| seconds * factor);
        }
    }
    result
}

fn figure<'a>(compared: &'a Compared<'_>, contender: &str, name: Figure) -> &'a BeforeAfter {
    let contenders = &compared.scenarios[0].contenders;
    let contender = contenders.iter().find(|one| one.name == contender).unwrap();
    contender
        .figures
        .iter()
        .find(|figure| figure.figure == name)
        .unwrap()
}

fn shows(ratio: Option<Estimate>) -> Finding {
    Finding::of(ratio.unwrap())
}

fn failures(rule: &str, before: &LabResult, after: &LabResult) -> Vec<String> {
    let decisions = decide(&rule.parse::<Rule>().unwrap(), &compare(before, after));
    let failed = decisions
        .into_iter()
        .filter(|decision| decision.outcome != Outcome::DoesNotHold);
    failed
        .map(|decision| crate::report::decisions::line(&decision))
        .collect()
}

#[test]
fn a_result_against_itself_shows_nothing() {
    let result = result();
    let compared = compare(&result, &result);
    assert!(compared.machine.is_empty() && compared.config.is_empty() && compared.alone.is_empty());
    for contender in compared
        .scenarios
        .iter()
        .flat_map(|scenario| &scenario.contenders)
    {
        for figure in &contender.figures {
            assert_eq!(figure.before, figure.after);
            for ratio in [figure.direct, figure.relative].into_iter().flatten() {
                assert_eq!(ratio.median, 1.0);
                assert!(matches!(
                    Finding::of(ratio),
                    Finding::NotShown | Finding::NoInterval
                ));
            }
        }
    }
    let text = terminal(&compared);
    assert!(!text.contains("equal") && !text.contains("took"), "{text}");
}

#[test]
fn a_change_of_one_contender_shows_both_ways() {
    let (before, after) = (result(), with_cpu(result(), "tokio", 1.2));
    let compared = compare(&before, &after);
    let cpu = figure(&compared, "tokio", Figure::Cpu);
    assert_eq!(
        (shows(cpu.direct), shows(cpu.relative)),
        (Finding::More, Finding::More)
    );
    assert!((cpu.direct.unwrap().median - 1.2).abs() < 1e-9);
    let untouched = figure(&compared, "epoll", Figure::Cpu);
    assert_eq!(shows(untouched.direct), Finding::NotShown);
    assert_eq!(untouched.relative, None, "the baseline relative to itself");
}

#[test]
fn a_slower_machine_cancels_in_the_ratio_of_ratios() {
    let slower = ["epoll", "tokio"]
        .into_iter()
        .fold(result(), |result, name| with_cpu(result, name, 1.3));
    let before = result();
    let compared = compare(&before, &slower);
    let cpu = figure(&compared, "tokio", Figure::Cpu);
    assert_eq!(
        (shows(cpu.direct), shows(cpu.relative)),
        (Finding::More, Finding::NotShown)
    );
    assert!(cpu.gone_relatively());
    assert_eq!(cpu.preferred(false), cpu.direct);
    assert_eq!(cpu.preferred(true), cpu.relative);
}

#[test]
fn what_is_not_to_be_believed_is_not_compared() {
    let (before, mut after) = (result(), result());
    after.runs[1].verdicts = vec![Verdict::ClientBound];
    let compared = compare(&before, &after);
    let tokio = &compared.scenarios[0].contenders[1];
    assert_eq!(tokio.obstacle.as_deref(), Some("after: client-bound"));
    assert!(
        tokio
            .figures
            .iter()
            .all(|figure| figure.direct.is_none() && figure.relative.is_none())
    );
    assert!(tokio.figures[0].before.is_some() && tokio.figures[0].after.is_some());
    let found = failures("few: tokio cpu_micros_per_message > 9", &before, &after);
    assert!(
        found[0].contains("cannot be decided") && found[0].contains("after"),
        "{found:?}"
    );
}

#[test]
fn what_one_side_lacks_is_said() {
    let (before, mut after) = (result(), result());
    after
        .runs
        .retain(|run| run.scenario == "few" && run.contender != "threads");
    let compared = compare(&before, &after);
    assert_eq!(compared.alone, ["many was measured before alone"]);
    assert_eq!(compared.scenarios[0].alone, ["threads ran before alone"]);
    let compared = compare(&after, &before);
    assert_eq!(compared.alone, ["many was measured after alone"]);
    assert_eq!(compared.scenarios[0].alone, ["threads ran after alone"]);
    let found = failures("tokio cpu_micros_per_message > 9", &before, &after);
    assert!(
        found.len() == 1 && found[0].contains("many was measured before alone"),
        "{found:?}"
    );
}

#[test]
fn another_load_is_said() {
    let (before, mut after) = (result(), result());
    after.config.scenarios[0].connections = 60;
    offer(&mut after, 25_000.0);
    let unequal = &compare(&before, &after).scenarios[0].unequal;
    assert!(
        unequal[0].contains("20000") && unequal[0].contains("25000"),
        "{unequal:?}"
    );
    assert!(unequal[1].contains("connections"), "{unequal:?}");
}

/// Rules that hold, would hold, and ask for what does not depend on the load: none is decided, and no words find anything.
#[test]
fn another_load_is_not_compared_and_decides_no_rule() {
    type Change = fn(&mut LabResult);
    let changes: [(Change, &str); 4] = [
        (|after| after.config.scenarios[0].connections = 60, "connections"),
        (
            |after| after.config.scenarios[0].message_bytes = 60,
            "message bytes",
        ),
        (|after| offer(after, 20_000.0 * 1.021), "20420 after"),
        (|after| offer(after, 20_000.0 * 0.979), "19580 after"),
    ];
    for (change, named) in changes {
        let (before, mut after) = (result(), with_cpu(result(), "tokio", 2.0));
        change(&mut after);
        let text = terminal(&compare(&before, &after));
        let few = &text[..text.find("\nmany\n").unwrap()];
        assert!(
            few.contains("few, CPU per message: not comparable") && few.contains(named),
            "{few}"
        );
        assert!(!few.contains("took"), "{few}");
        assert!(
            few.lines().all(|line| !line.trim_end().ends_with(" more")),
            "{few}"
        );
        for rule in [
            "few: tokio cpu_micros_per_message > 1.05",
            "few: tokio cpu_micros_per_message > 9",
            "few: tokio/epoll cpu_micros_per_message > 9",
            "few: tokio resident_bytes > 9",
        ] {
            let found = failures(rule, &before, &after);
            assert!(
                found.len() == 1 && found[0].contains("cannot be decided in few") && found[0].contains(named),
                "{rule}: {found:?}"
            );
        }
    }
}

fn offer(result: &mut LabResult, rate: f64) {
    for run in &mut result.runs {
        run.offered_per_second = Some(rate);
    }
}

#[test]
fn nearly_the_same_rate_is_the_same_load() {
    let (before, mut after) = (result(), with_cpu(result(), "tokio", 1.2));
    offer(&mut after, 20_000.0 * 1.019);
    assert!(compare(&before, &after).scenarios[0].unequal.is_empty());
    let found = failures("few: tokio cpu_micros_per_message > 1.05", &before, &after);
    assert!(found[0].contains("holds in few"), "{found:?}");
}

#[test]
fn another_machine_decides_no_rule_without_a_baseline() {
    let (before, mut after) = (result(), with_cpu(result(), "tokio", 1.2));
    after.machine.cpu_model = Some("Other CPU".to_owned());
    for rule in [
        "few: tokio cpu_micros_per_message > 1.05",
        "few: tokio cpu_micros_per_message > 9",
    ] {
        let found = failures(rule, &before, &after);
        assert!(
            found.len() == 1 && found[0].contains("cannot be decided") && found[0].contains("cpu_model"),
            "{rule}: {found:?}"
        );
    }
    let found = failures("few: tokio/epoll cpu_micros_per_message > 1.05", &before, &after);
    assert!(found[0].contains("holds in few"), "{found:?}");
    assert!(failures("few: tokio/epoll cpu_micros_per_message > 1.3", &before, &after).is_empty());
}

#[test]
fn a_stopped_run_decides_no_rule() {
    for (complete_before, complete_after, named) in [(false, true, "before"), (true, false, "after")] {
        let (mut before, mut after) = (result(), result());
        (before.complete, after.complete) = (complete_before, complete_after);
        for rule in [
            "few: tokio cpu_micros_per_message > 9",
            "few: tokio/epoll cpu_micros_per_message > 9",
        ] {
            let found = failures(rule, &before, &after);
            assert!(
                found.len() == 1 && found[0].contains(&format!("the result {named} is that of a run")),
                "{rule}: {found:?}"
            );
        }
    }
}

#[test]
fn rules_read_after_over_before() {
    let (before, after) = (result(), with_cpu(result(), "tokio", 1.2));
    for (rule, holds) in [
        ("few: tokio cpu_micros_per_message > 1.05", true),
        ("few: tokio cpu_micros_per_message > 1.4", false),
        ("few: tokio/epoll cpu_micros_per_message > 1.05", true),
        ("few: epoll cpu_micros_per_message > 1.1", false),
        ("few: epoll cpu_micros_per_message > 0.5", true),
        // A figure that is measured once a run has no interval: it counts as it is.
        ("few: epoll threads > 1.01", false),
        ("few: epoll threads >= 1", true),
    ] {
        let found = failures(rule, &before, &after);
        assert_eq!(!found.is_empty(), holds, "{rule}: {found:?}");
    }
    let found = failures("few: uring cpu_micros_per_message > 1", &before, &after);
    assert!(found[0].contains("uring did not run"), "{found:?}");
    let found = failures("fwe: epoll cpu_micros_per_message > 1", &before, &after);
    assert!(found[0].contains("no such scenario"), "{found:?}");
}

#[test]
fn a_capacity_that_is_only_a_lower_bound_has_no_ratio() {
    for side in [0, 1] {
        let mut results = [result(), result()];
        for result in &mut results {
            result.runs[1].capacity_is_at_least = false;
        }
        results[side].runs[1].capacity_is_at_least = true;
        let [before, after] = &results;
        let compared = compare(before, after);
        let capacity = figure(&compared, "tokio", Figure::Capacity);
        assert_eq!((capacity.direct, capacity.relative), (None, None));
        assert!(figure(&compared, "epoll", Figure::Capacity).direct.is_some());
        assert!(terminal(&compared).contains("≥32,000"));
        for rule in [
            "few: tokio capacity_per_second < 0.5",
            "few: tokio/epoll capacity_per_second > 9",
            "few: epoll/tokio capacity_per_second > 9",
        ] {
            let found = failures(rule, before, after);
            let named = [
                "cannot be decided in few: before",
                "cannot be decided in few: after",
            ][side];
            assert!(found.len() == 1 && found[0].contains(named), "{rule}: {found:?}");
        }
        assert!(failures("few: epoll capacity_per_second < 0.5", before, after).is_empty());
    }
}

#[test]
fn chance_decides_no_rule() {
    let (before, mut after) = (result(), result());
    // Rounds cost 3 % more, but they are spread far wider than that.
    for (cycle, micros) in after.runs[0]
        .cycles_mut()
        .zip([8.0, 8.5, 9.0, 10.9, 11.1, 12.0, 13.0, 14.0])
    {
        cycle.server_cpu_seconds = Some(micros * cycle.replies as f64 / 1e6);
    }
    let compared = compare(&before, &after);
    let cpu = figure(&compared, "epoll", Figure::Cpu).direct.unwrap();
    assert!(
        cpu.median > 1.02 && Finding::of(cpu) == Finding::NotShown,
        "{cpu:?}"
    );
    let found = failures("few: epoll cpu_micros_per_message > 1.05", &before, &after);
    assert!(found[0].contains("is undecided"), "{found:?}");
}

/// Two machines, another version, a slower contender, one that came and one that went.
fn eventful() -> (LabResult, LabResult) {
    let (before, mut after) = (result(), with_cpu(result(), "tokio", 1.2));
    after.run_id = "20261123-090000-0001".to_owned();
    after.started_at = "2026-11-23T09:00:00Z".to_owned();
    after.machine.cpu_model = Some("Other CPU".to_owned());
    after.machine.load_average = Some(0.5);
    after.config.workers = 2;
    after.runs.retain(|run| run.scenario != "many");
    (before, after)
}

#[test]
fn the_terminal_shows_both_within_its_width() {
    let (before, after) = eventful();
    let text = terminal(&compare(&before, &after));
    for line in text
        .lines()
        .filter(|line| line.contains('─') || line.starts_with("epoll "))
    {
        assert!(line.chars().count() <= 120, "{line}");
    }
    insta::assert_snapshot!(text);
}

#[test]
fn the_markdown_shows_both() {
    let (before, after) = eventful();
    insta::assert_snapshot!(markdown(&compare(&before, &after)));
}
