//! Circles of imports: files of which each one needs all the others. None can be moved, tested or understood alone.

use std::collections::{BTreeMap, BTreeSet};

use crate::imports::imports;
use crate::source::{Source, planted};

/// The names that lead to a file: its crate's, and those of the modules below.
type Module<'a> = Vec<&'a str>;

/// What each file imports, by the files' paths.
type Imports<'a> = BTreeMap<&'a str, BTreeSet<&'a str>>;

/// A complaint for each circle: its files, and what each of them imports of the others.
pub fn circles(sources: &[Source]) -> Vec<String> {
    let imports = between(sources);
    let reached: Imports<'_> = imports
        .keys()
        .map(|file| (*file, reached_from(file, &imports)))
        .collect();
    let mut seen = BTreeSet::new();
    let mut complaints = Vec::new();
    for file in imports.keys() {
        // Two files are in one circle when each is reached from the other.
        let back = |other: &&str| reached[other].contains(file);
        let circle: BTreeSet<&str> = reached[file].iter().copied().filter(back).collect();
        if circle.is_empty() || !seen.insert(circle.clone()) {
            continue;
        }
        let mut complaint = format!("a circle of {}", circle.len());
        for file in &circle {
            let others: Vec<&str> = imports[file].intersection(&circle).copied().collect();
            complaint += &format!("\n    {file} imports {}", others.join(", "));
        }
        complaints.push(complaint);
    }
    complaints
}

/// What the files import of each other.
fn between(sources: &[Source]) -> Imports<'_> {
    let modules: BTreeMap<Module<'_>, &Source> = sources
        .iter()
        .filter_map(|source| Some((module(&source.path)?, source)))
        .collect();
    let mut found = Imports::new();
    for (module, source) in &modules {
        let paths = imports(&source.text);
        let files = paths.iter().filter_map(|path| file(path, module, &modules));
        let others = files.filter(|file| *file != source.path);
        found.insert(&source.path, others.collect());
    }
    found
}

/// The module that a file is. `None` for a program's `main`, which nobody can import, and for tests and their fixtures.
fn module(path: &str) -> Option<Module<'_>> {
    let (member, inside) = path.strip_suffix(".rs")?.split_once("/src/")?;
    let mut names: Vec<&str> = inside.split('/').collect();
    if inside == "main"
        || names
            .iter()
            .any(|name| name.ends_with("tests") || *name == "fixture")
    {
        return None;
    }
    names.pop_if(|name| *name == "mod" || inside == "lib");
    names.insert(0, member);
    Some(names)
}

/// The file that a path in `module` leads into: that of the longest part of the path that is a module.
fn file<'a>(
    path: &[String],
    module: &Module<'_>,
    modules: &BTreeMap<Module<'_>, &'a Source>,
) -> Option<&'a str> {
    let mut at: Module<'_> = module.clone();
    for name in path {
        match name.as_str() {
            "crate" => at.truncate(1),
            "super" => at.truncate(at.len().saturating_sub(1)),
            "self" => {}
            name => at.push(name),
        }
    }
    while !modules.contains_key(&at) {
        at.pop()?;
    }
    Some(&modules[&at].path)
}

/// The files that one or more imports after another lead to.
fn reached_from<'a>(file: &'a str, imports: &Imports<'a>) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut waiting = vec![file];
    while let Some(file) = waiting.pop() {
        let new = imports[file].iter().filter(|next| reached.insert(**next));
        waiting.extend(new);
    }
    reached
}

#[test]
fn circles_are_found() {
    let two = planted(&[
        ("lab/src/lib.rs", "mod a;\nmod b;\nmod c;\n"),
        ("lab/src/a.rs", "use crate::b::B;\n"),
        ("lab/src/b.rs", "fn f(a: crate::a::A) {}\n"),
        ("lab/src/c.rs", "use crate::{a, b};\n"),
    ]);
    assert_eq!(
        circles(&two),
        ["a circle of 2\n    lab/src/a.rs imports lab/src/b.rs\n    lab/src/b.rs imports lab/src/a.rs"]
    );
    let three_through_super = planted(&[
        ("lab/src/a/b.rs", "use super::c::C;\n"),
        ("lab/src/a/c/mod.rs", "use super::super::d;\n"),
        ("lab/src/d.rs", "use super::a::b;\n"),
    ]);
    assert_eq!(
        circles(&three_through_super),
        [
            "a circle of 3\n    lab/src/a/b.rs imports lab/src/a/c/mod.rs\n    lab/src/a/c/mod.rs imports lab/src/d.rs\n    \
             lab/src/d.rs imports lab/src/a/b.rs"
        ]
    );
    let nested = planted(&[
        (
            "lab/src/a.rs",
            "use crate::{\n    x::Y,\n    b::{z, c::{C as D, E}},\n};\n",
        ),
        ("lab/src/b/c.rs", "use crate::a::A;\n"),
    ]);
    assert_eq!(circles(&nested).len(), 1);
}

#[test]
fn each_circle_is_found_once() {
    let sources = planted(&[
        ("client/src/a.rs", "use crate::b;\n"),
        ("client/src/b.rs", "use crate::a;\n"),
        ("lab/src/a.rs", "use crate::b;\n"),
        ("lab/src/b.rs", "use crate::a;\nuse crate::c;\n"),
        ("lab/src/c.rs", "use crate::d;\n"),
        ("lab/src/d.rs", "use crate::c;\n"),
    ]);
    assert_eq!(circles(&sources).len(), 3);
}

#[test]
fn what_is_no_circle_passes() {
    let sources = planted(&[
        (
            "lab/src/a.rs",
            "//! See [`b`](crate::b).\nmod child;\nuse child::Child;\nuse crate::b::B;\nfn f() { child::g() }\n",
        ),
        ("lab/src/a/child.rs", "use super::A;\nuse crate::b::{B, C,};\n"),
        (
            "lab/src/b.rs",
            "// Not crate::a.\n#[cfg(test)]\nmod tests {\n    use crate::a::A;\n}\n",
        ),
        ("lab/src/b/tests.rs", "use super::fixture;\n"),
        ("lab/src/b/fixture.rs", "use super::tests;\n"),
        ("lab/src/main.rs", "use crate::b;\n"),
        ("client/src/b.rs", "use crate::a;\n"),
        ("client/tests/b.rs", "use crate::a;\n"),
    ]);
    assert_eq!(circles(&sources), Vec::<String>::new());
}
