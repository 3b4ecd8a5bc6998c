//! The reports of a fixed result, word for word.

use super::*;

#[test]
fn the_terminal_shows_everything_within_its_width() {
    let text = terminal::render(&fixture::result());
    for line in text
        .lines()
        .filter(|line| line.contains('─') || line.starts_with("epoll  "))
    {
        assert!(line.chars().count() <= 120, "{line}");
    }
    insta::assert_snapshot!(text);
}

#[test]
fn the_markdown_adds_method_machine_and_configuration() {
    insta::assert_snapshot!(markdown::render(&fixture::result()));
}

#[test]
fn a_run_that_was_stopped_says_so() {
    let mut result = fixture::result();
    result.complete = false;
    assert!(terminal::render(&result).contains("stopped before its end"));
    assert!(markdown::render(&result).contains("stopped before its end"));
}

#[test]
fn without_a_believable_run_there_is_no_answer() {
    let mut result = fixture::result();
    for run in &mut result.runs {
        run.verdicts = vec![model::verdict::Verdict::ClientBound];
    }
    model::fixture::compare(&mut result);
    assert!(result.comparisons.is_empty());
    assert!(terminal::render(&result).contains("No run can be believed"));
}

#[test]
fn servers_and_clients_on_one_core_are_remarked() {
    let mut result = fixture::result();
    for (siblings, remarked) in [
        (None, false),
        (Some(vec![]), false),
        (Some(vec!["0-1".parse().unwrap()]), true),
    ] {
        result.machine.thread_siblings = siblings;
        for text in [
            terminal::render(&result),
            markdown::render(&result),
            html::render(&result),
        ] {
            assert_eq!(
                text.contains("share physical cores (CPUs 0-1 are one each)"),
                remarked,
                "{text}"
            );
        }
    }
}

#[test]
fn what_was_served_is_not_what_was_offered() {
    let mut result = fixture::result();
    let answer = |result: &LabResult| sentences::answer(result, "few");
    result.runs[0].replies_per_second = 19_900.0;
    let text = answer(&result);
    assert!(
        text.contains("epoll served 20,000 messages/s with") && text.contains("tokio served the same with"),
        "{text}"
    );
    // Another one that did not keep up did not serve the same.
    result.runs[1].replies_per_second = 19_600.0;
    let text = answer(&result);
    assert!(
        text.contains("epoll served 20,000") && text.contains("tokio took"),
        "{text}"
    );
    result.runs[0].replies_per_second = 19_600.0;
    let text = answer(&result);
    assert!(
        text.contains("at 20,000 messages/s offered, epoll served 19,600 with 10.00 µs"),
        "{text}"
    );
}

#[test]
fn memory_per_connection_is_shown_of_many_connections_alone() {
    let result = fixture::result();
    for (connections, shown) in [(50, false), (999, false), (1_000, true), (10_000, true)] {
        let mut result = result.clone();
        result.config.scenarios.truncate(1);
        result.config.scenarios[0].connections = connections;
        for text in [
            terminal::render(&result),
            markdown::render(&result),
            html::render(&result),
        ] {
            // The method speaks of it in any case.
            let text = text.replace("Resident memory per connection is", "");
            assert_eq!(
                text.contains("Resident memory per connection"),
                shown,
                "{connections}: {text}"
            );
        }
    }
    assert!(markdown::render(&result).contains("shown from 1000 connections on"));
}

/// Costs grow with connections; `threads` cannot hold the most, and `tokio` misses a rate.
fn sweep_of_connections() -> LabResult {
    let mut result = fixture::sweep(&["--connections", "50,500,10000", "--contenders", "engines"]);
    for (connections, cost) in [(50, 10.0), (500, 11.0), (10_000, 14.0)] {
        let scenario = format!("few connections={connections}");
        result.runs.push(fixture::run(&scenario, "epoll", cost, 8));
        result.runs.push(fixture::run(&scenario, "tokio", cost * 1.25, 8));
        if connections < 10_000 {
            result
                .runs
                .push(fixture::run(&scenario, "threads", cost * 2.0, 8));
        }
    }
    result.runs[4].verdicts = vec![model::verdict::Verdict::RateMissed];
    result.skipped.push(model::result::Skipped {
        scenario: "few connections=10000".to_owned(),
        contender: "threads".to_owned(),
        why: "this machine allows 100 threads".to_owned(),
    });
    model::fixture::compare(&mut result);
    result
}

#[test]
fn a_sweep_is_a_table_a_metric() {
    let text = terminal::render(&sweep_of_connections());
    for line in text.lines().filter(|line| line.contains('─')) {
        assert!(line.chars().count() <= 120, "{line}");
    }
    let tables = text.split("\nfew connections=50:").next().unwrap();
    insta::assert_snapshot!(tables);
    let markdown = markdown::render(&sweep_of_connections());
    assert!(markdown.contains("## By connections"), "{markdown}");
    assert!(
        markdown.contains("| 10,000 | 14.00  ×1.40 [1.28, 1.53] |"),
        "{markdown}"
    );
}

#[test]
fn a_table_too_wide_is_shown_in_parts() {
    let line = |first: &str| -> Vec<String> { [first, "aaaa", "bbbb", "cccc"].map(str::to_owned).to_vec() };
    let table = sweep::Table {
        title: "t".to_owned(),
        header: line("workers"),
        rows: vec![line("1"), line("2")],
    };
    assert_eq!(table.clone().parts(27), std::slice::from_ref(&table));
    let parts = table.clone().parts(26);
    assert_eq!(parts.len(), 2);
    assert_eq!(parts[0].header, ["workers", "aaaa", "bbbb"]);
    assert_eq!(parts[1].rows, [["1", "cccc"], ["2", "cccc"]]);
    assert_eq!(table.parts(0).len(), 3, "one contender at least");
}

#[test]
fn a_sweep_of_linger_pairs_within_cycles() {
    let mut result = fixture::sweep_of_linger();
    let tables = sweep::tables(&result);
    assert_eq!(tables[0].header, ["linger", "epoll", "tokio"]);
    assert_eq!(
        tables[0].rows,
        [
            ["0 µs", "10.00", "12.00"],
            ["50 µs", "8.00  ×0.80 [0.80, 0.80]", "–"],
            ["100 µs", "7.00  ×0.70 [0.70, 0.70]", "–"],
        ]
    );
    assert_eq!(tables[1].rows[0], ["0 µs", "baseline", "1.20 [1.20, 1.20]"]);
    result.runs.clear();
    assert!(sweep::tables(&result).is_empty(), "nothing was measured");
}

#[test]
fn profiles_stand_in_both_reports() {
    let result = fixture::result_with_profiles();
    let text = terminal::render(&result);
    let start = text.find("few: where the CPU time goes").unwrap();
    let end = start + text[start..].find("\n\n").unwrap();
    insta::assert_snapshot!(text[start..end].to_owned());
    let text = markdown::render(&result);
    let start = text.find("Where the CPU time goes").unwrap();
    let end = start + text[start..].find("\n## ").unwrap();
    insta::assert_snapshot!(text[start..end].to_owned());
}
