//! PromQL, read just far enough for rules about it: its selectors, where they stand, and their ranges.
//!
//! No parser: a scan over tokens. Whether an expression is valid at all is promtool's business.

/// One selector: `name{matchers}[range]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selector {
    /// The metric's name.
    pub name: String,
    /// What stands between the braces; empty without them.
    pub matchers: String,
    /// What stands between the brackets right behind it; empty without them.
    pub range: String,
    /// The function that it is the argument of; empty without one.
    pub function: String,
}

/// Words that may stand where a name could and are none. Operators, modifiers and literals of PromQL.
const WORDS: &[&str] = &[
    "and",
    "or",
    "unless",
    "by",
    "without",
    "on",
    "ignoring",
    "group_left",
    "group_right",
    "bool",
    "offset",
    "inf",
    "nan",
];

/// Words that are followed by a list of labels in parentheses.
const BEFORE_LABELS: &[&str] = &["by", "without", "on", "ignoring", "group_left", "group_right"];

/// All selectors of an expression, in its order.
pub fn selectors(expression: &str) -> Vec<Selector> {
    let mut scan = Scan { rest: expression };
    let mut found = Vec::new();
    // The function or aggregation that each open parenthesis belongs to.
    let mut calls: Vec<String> = Vec::new();
    while let Some(character) = scan.peek() {
        if character.is_ascii_alphabetic() || character == '_' || character == ':' {
            let word = scan.word();
            scan.skip_space();
            if BEFORE_LABELS.contains(&word.as_str()) && scan.peek() == Some('(') {
                scan.enclosed('(', ')');
            } else if WORDS.contains(&word.to_lowercase().as_str()) {
                continue;
            } else if scan.peek() == Some('(') {
                scan.step();
                calls.push(word);
            } else if scan.is_aggregation_with_labels(&word) {
                calls.push(word);
                scan.skip_to_open();
            } else {
                let matchers = scan.enclosed('{', '}').unwrap_or_default();
                let range = scan.enclosed('[', ']').unwrap_or_default();
                found.push(Selector {
                    name: word,
                    matchers,
                    range,
                    function: calls.last().cloned().unwrap_or_default(),
                });
            }
        } else if character.is_ascii_digit() || character == '$' {
            scan.number();
        } else if character == '"' {
            scan.quoted();
        } else if character == '[' {
            scan.enclosed('[', ']'); // a subquery's range
        } else {
            match character {
                '(' => calls.push(String::new()),
                ')' => drop(calls.pop()),
                _ => {}
            }
            scan.step();
        }
    }
    found
}

struct Scan<'a> {
    rest: &'a str,
}

impl Scan<'_> {
    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn step(&mut self) {
        let mut characters = self.rest.chars();
        characters.next();
        self.rest = characters.as_str();
    }

    fn skip_space(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn take(&mut self, belongs: impl Fn(char) -> bool) -> String {
        let end = self.rest.find(|c: char| !belongs(c)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken.to_owned()
    }

    fn word(&mut self) -> String {
        self.take(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':')
    }

    /// A number (`1e6`), a duration (`5m`) or a variable (`$__range`).
    fn number(&mut self) {
        self.take(|c| c.is_ascii_alphanumeric() || "_.$".contains(c));
    }

    fn quoted(&mut self) {
        self.step();
        while let Some(character) = self.peek() {
            self.step();
            match character {
                '\\' => self.step(),
                '"' => return,
                _ => {}
            }
        }
    }

    /// The text between an opening mark that stands here and its closing one; quotes are respected.
    fn enclosed(&mut self, open: char, close: char) -> Option<String> {
        self.skip_space();
        if self.peek() != Some(open) {
            return None;
        }
        self.step();
        let start = self.rest;
        while let Some(character) = self.peek() {
            if character == '"' {
                self.quoted();
                continue;
            }
            if character == close {
                let inside = start[..start.len() - self.rest.len()].trim().to_owned();
                self.step();
                return Some(inside);
            }
            self.step();
        }
        panic!("`{open}` is never closed in `{open}{start}`");
    }

    /// `sum by (…) (`: an aggregation whose labels come first.
    fn is_aggregation_with_labels(&self, word: &str) -> bool {
        ["sum", "max", "min", "avg", "count", "topk", "quantile"].contains(&word)
            && ["by", "without"].iter().any(|by| self.rest.starts_with(by))
    }

    fn skip_to_open(&mut self) {
        self.word();
        self.enclosed('(', ')');
        self.skip_space();
        self.step();
    }
}

#[test]
fn selectors_are_found_with_their_places() {
    let found = selectors(
        r#"1e6 * sum by (le, job) (rate(a_total{job="x}", b=~"$c"}[$__rate_interval])) / on (job) group_left ()
           (max_over_time(timestamp(b:c:d == 1)[$__range:5s]) > 100) or vector(1)"#,
    );
    let expected = [
        ("a_total", r#"job="x}", b=~"$c""#, "$__rate_interval", "rate"),
        ("b:c:d", "", "", "timestamp"),
    ];
    let expected: Vec<Selector> = expected
        .iter()
        .map(|(name, matchers, range, function)| Selector {
            name: (*name).to_owned(),
            matchers: (*matchers).to_owned(),
            range: (*range).to_owned(),
            function: (*function).to_owned(),
        })
        .collect();
    assert_eq!(found, expected);
}
