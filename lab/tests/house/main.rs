//! The rules of the house, held by a test: who may import whom, what a file looks like, where unsafe code may stand.
//!
//! Each rule is a function from files to complaints, so that a test can show that each one does complain.

// Helpers of a test may unwrap, as the test itself may.
#![allow(clippy::unwrap_used)]

mod circles;
mod imports;
mod source;

use std::fs;

use Rule::{EachFile, Together};
use source::{Source, code, root, sources};

/// A rule: what it has to complain about.
enum Rule {
    /// Every file keeps it on its own.
    EachFile(fn(&Source) -> Vec<String>),
    /// All files keep it together.
    Together(fn(&[Source]) -> Vec<String>),
}

impl Rule {
    /// Its complaints about these files.
    fn complaints(&self, sources: &[Source]) -> Vec<String> {
        match self {
            EachFile(rule) => sources
                .iter()
                .flat_map(|source| {
                    let complaints = rule(source).into_iter();
                    complaints.map(|what| format!("{}: {what}", source.path))
                })
                .collect(),
            Together(rule) => rule(sources),
        }
    }
}

const RULES: &[(&str, Rule)] = &[
    ("every file opens with //!", EachFile(opens_with_prose)),
    ("no file passes 500 lines", EachFile(is_short)),
    ("unsafe code stands in sys alone", EachFile(has_no_unsafe)),
    ("crates import whom they may", EachFile(imports_allowed_crates)),
    (
        "an engine imports its parent, sys and the counters alone",
        EachFile(engine_is_alone),
    ),
    ("pure files do no I/O and read no clock", EachFile(is_pure)),
    ("only main.rs exits", EachFile(does_not_exit)),
    (
        "no file takes part in a circle of imports",
        Together(circles::circles),
    ),
];

/// No file may be longer: two ideas in one file then.
const LINES_MAX: usize = 500;

/// Files that must say of themselves that they are pure, or nobody would hold them to it. Whatever other file says so is
/// held to it too.
const PURE: &[&str] = &[
    "client/src/plan.rs",
    "client/src/pace.rs",
    "client/src/connection.rs",
];

/// What each crate may name of the others. A trailing `::` means: anything below it.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("sys", &[]),
    ("telemetry", &[]),
    ("server", &["sys::", "telemetry::"]),
    ("model", &["sys::cpu::CpuSet", "telemetry::latency"]),
    (
        "client",
        &[
            "sys::",
            "telemetry::",
            "model::protocol",
            "model::pace",
            "model::quantiles",
            "model::rate",
            "model::threshold",
        ],
    ),
    (
        "lab",
        &[
            "sys::",
            "telemetry::",
            "model::",
            "client::main",
            "server::main",
            "server::variables",
            "server::engine",
        ],
    ),
];

fn opens_with_prose(source: &Source) -> Vec<String> {
    if source.text.starts_with("//!") {
        vec![]
    } else {
        vec!["line 1 is not `//!`".to_owned()]
    }
}

fn is_short(source: &Source) -> Vec<String> {
    let lines = source.text.lines().count();
    if lines <= LINES_MAX {
        vec![]
    } else {
        vec![format!("{lines} lines")]
    }
}

fn has_no_unsafe(source: &Source) -> Vec<String> {
    if source.path.starts_with("sys/") {
        return vec![];
    }
    // Put together here, or this line would complain about itself.
    let words = ["{", "fn", "impl"].map(|what| ["unsafe", what].join(" "));
    complain(source, |line| words.iter().any(|word| line.contains(word)))
}

fn imports_allowed_crates(source: &Source) -> Vec<String> {
    // Tests are users of the whole house; the rule is about the house itself.
    if source.path.contains("/tests/") || source.path.contains("/benches/") {
        return vec![];
    }
    let home = source.path.split('/').next().unwrap_or_default();
    let Some((_, allowed)) = MAY_IMPORT.iter().find(|(name, _)| *name == home) else {
        return vec![];
    };
    let others = MAY_IMPORT
        .iter()
        .map(|(name, _)| *name)
        .filter(|name| *name != home);
    let foreign: Vec<String> = others.map(|name| format!("{name}::")).collect();
    complain(source, |line| {
        foreign.iter().any(|other| {
            paths(line, other).any(|path| !allowed.iter().any(|allowed| path.starts_with(allowed)))
        })
    })
}

fn engine_is_alone(source: &Source) -> Vec<String> {
    let Some(inside) = source.path.strip_prefix("server/src/engine/") else {
        return vec![];
    };
    let own = inside.split(['/', '.']).next().unwrap_or_default().to_owned();
    let own = format!("crate::engine::{own}");
    complain(source, |line| {
        let sibling = paths(line, "crate::").any(|path| {
            let parent = path
                .strip_prefix("crate::engine::")
                .is_some_and(|rest| rest.starts_with('{') || rest.starts_with(|c: char| c.is_uppercase()));
            !(parent || path.starts_with(&own) || path == "crate::engine")
        });
        sibling
            || paths(line, "telemetry::").any(|path| !path.starts_with("telemetry::counters"))
            || line.contains("prometheus")
    })
}

fn is_pure(source: &Source) -> Vec<String> {
    if !says_that_it_is_pure(source)
        && (!source.path.starts_with("model/src/") || source.path.ends_with("/tests.rs"))
    {
        return match PURE.contains(&source.path.as_str()) {
            true => vec!["line 1 does not say `Pure`".to_owned()],
            false => vec![],
        };
    }
    let outside = [
        "Instant::now",
        "SystemTime",
        "std::fs",
        "std::net",
        "std::io",
        "std::process",
        "std::env",
        "std::thread",
        "sys::",
        "println!",
        "File::",
    ];
    // Types without any effect.
    let harmless = ["std::net::SocketAddr", "sys::cpu::CpuSet"];
    complain(source, |line| {
        let line = harmless
            .iter()
            .fold(line.to_owned(), |line, word| line.replace(word, ""));
        outside.iter().any(|word| line.contains(word))
    })
}

/// `//! Pure: …` or `//! … Pure.`: its functions take `now` as an argument and touch nothing outside.
fn says_that_it_is_pure(source: &Source) -> bool {
    let first = source.text.lines().next().unwrap_or_default();
    first.starts_with("//! Pure: ") || first.ends_with(" Pure.") || first.contains(" Pure: ")
}

fn does_not_exit(source: &Source) -> Vec<String> {
    if source.path.ends_with("src/main.rs") || source.path.contains("/tests/") {
        return vec![];
    }
    complain(source, |line| line.contains("process::exit"))
}

/// The lines of code, tests left out, about which `wrong` is true.
fn complain(source: &Source, wrong: impl Fn(&str) -> bool) -> Vec<String> {
    code(&source.text)
        .filter(|(_, line)| wrong(line))
        .map(|(index, line)| format!("line {}: {}", index + 1, line.trim()))
        .collect()
}

/// The paths in a line that begin with `head` (a crate's name and `::`).
fn paths<'a>(line: &'a str, head: &'a str) -> impl Iterator<Item = &'a str> {
    let begins = move |&(index, _): &(usize, &str)| {
        !line[..index].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':' || c == '"')
    };
    line.match_indices(head).filter(begins).map(|(index, _)| {
        let path = &line[index..];
        let end = path.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':' || c == '{'));
        &path[..end.unwrap_or(path.len())]
    })
}

#[test]
fn the_house_keeps_its_rules() {
    let sources = sources(MAY_IMPORT.iter().map(|(member, _)| *member));
    assert!(sources.len() > 20, "the walk found only {} files", sources.len());
    let mut complaints = Vec::new();
    for (name, rule) in RULES {
        let found = rule.complaints(&sources).into_iter();
        complaints.extend(found.map(|what| format!("{name}: {what}")));
    }
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

#[test]
fn the_pure_files_exist() {
    for path in PURE {
        assert!(root().join(path).is_file(), "{path} is gone; mend the list");
    }
}

#[test]
fn code_after_a_test_item_is_held_to_the_rules() {
    let text = "//! x\n#[cfg(test)]\nmod tests;\nfn f() { std::process::exit(1) }\n";
    let sources = source::planted(&[("lab/src/a.rs", text)]);
    assert_eq!(does_not_exit(&sources[0]).len(), 1);
}

#[test]
fn the_architecture_fits_on_its_page() {
    let lines = fs::read_to_string(root().join("ARCHITECTURE.md"))
        .unwrap()
        .lines()
        .count();
    assert!(lines <= 150, "ARCHITECTURE.md has {lines} lines");
}

#[test]
fn libraries_depend_on_whom_they_may() {
    for (member, allowed) in MAY_IMPORT {
        let manifest = fs::read_to_string(root().join(member).join("Cargo.toml")).unwrap();
        let dependencies = manifest.split("[dependencies]").nth(1).unwrap_or_default();
        let dependencies = dependencies.split("\n[").next().unwrap_or_default();
        for (other, _) in MAY_IMPORT {
            let depends = dependencies
                .lines()
                .any(|line| line.split(['.', ' ', '=']).next() == Some(other));
            let may = allowed.iter().any(|path| path.starts_with(&format!("{other}::")));
            assert!(!depends || may, "{member} may not depend on {other}");
        }
    }
}

#[test]
fn every_rule_can_complain() {
    let long = "//! x\n".repeat(LINES_MAX + 1);
    let broken: [&[(&str, &str)]; 8] = [
        &[("lab/src/a.rs", "use std::fs;\n")],
        &[("lab/src/a.rs", &long)],
        &[("server/src/a.rs", "//! x\nfn f() { unsafe { g() } }\n")],
        &[("lab/src/a.rs", "//! x\nuse client::worker::Worker;\n")],
        &[(
            "server/src/engine/epoll.rs",
            "//! x\nuse crate::engine::tokio::serve;\n",
        )],
        &[(
            "lab/src/stats.rs",
            "//! Pure: x\nfn f() { let now = std::time::Instant::now(); }\n",
        )],
        &[("lab/src/a.rs", "//! x\nfn f() { std::process::exit(1) }\n")],
        &[
            ("lab/src/a.rs", "//! x\nuse crate::b::B;\n"),
            ("lab/src/b.rs", "//! x\nuse crate::a::A;\n"),
        ],
    ];
    assert_eq!(broken.len(), RULES.len());
    for ((name, rule), files) in RULES.iter().zip(broken) {
        let sources = source::planted(files);
        assert!(
            !rule.complaints(&sources).is_empty(),
            "`{name}` let pass: {files:?}"
        );
    }
}

#[test]
fn what_is_allowed_passes() {
    let fine = [
        (
            "lab/src/a.rs",
            "//! x\nuse model::protocol::Slice;\nuse server::engine::ENGINES;\nuse sys::cpu::CpuSet;\n",
        ),
        (
            "server/src/engine/epoll/table.rs",
            "//! x\nuse crate::engine::{Context, Stop};\nuse super::Connection;\n",
        ),
        (
            "server/src/engine/epoll.rs",
            "//! x\nuse telemetry::counters::WorkerCounters;\nuse crate::engine::Context;\n",
        ),
    ];
    for file in fine {
        let sources = source::planted(&[file]);
        for (name, rule) in RULES {
            let complaints = rule.complaints(&sources);
            assert_eq!(complaints, Vec::<String>::new(), "`{name}` is wrong");
        }
    }
}
