//! The reports of a fixed result, word for word.

use super::*;

#[test]
fn the_terminal_shows_everything_within_its_width() {
    let text = terminal::render(&fixture::result());
    for line in text
        .lines()
        .filter(|line| line.contains('─') || line.starts_with("epoll "))
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
        run.verdicts = vec![crate::verdict::Verdict::ClientBound];
    }
    result.comparisons = comparison::compare(&result);
    assert!(result.comparisons.is_empty());
    assert!(terminal::render(&result).contains("No run can be believed"));
}
