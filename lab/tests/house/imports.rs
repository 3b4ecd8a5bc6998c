//! What a file imports from its own crate: the paths in its code that begin with `crate`, `super` or `self`.
//!
//! Trees of `use` and paths in the midst of code are read alike. Other paths lead to another crate or to a child of the
//! file. A parent that names its child so is composed of it: that is no import.

use crate::source::code;

/// Where such a path begins.
const HEADS: [&str; 3] = ["crate", "super", "self"];

/// The paths, each as its names from its head on. A tree gives one path for each leaf. The name of the leaf `*` is empty.
pub fn imports(text: &str) -> Vec<Vec<String>> {
    let lines: Vec<&str> = code(text).map(|(_, line)| line).collect();
    let text = lines.join("\n");
    let mut found = Vec::new();
    for (start, _) in text.match_indices("::") {
        let before = &text[..start];
        let head = before.trim_end_matches(is_of_name).len();
        // Nothing begins in the midst of a longer path, or with a string.
        let begins = HEADS.contains(&&before[head..]) && !before[..head].ends_with([':', '"']);
        if begins {
            tree(&text[head..], &[], &mut found);
        }
    }
    found
}

/// Reads the tree at the start of a text, whose leaves stand below `stem`. The text behind it comes back.
fn tree<'a>(text: &'a str, stem: &[&str], found: &mut Vec<Vec<String>>) -> &'a str {
    let text = text.trim_start();
    if let Some(inside) = text.strip_prefix('{') {
        return branches(inside, stem, found);
    }
    let (name, rest) = text.split_at(text.find(|c| !is_of_name(c)).unwrap_or(text.len()));
    let path = [stem, &[name]].concat();
    match rest.strip_prefix("::") {
        Some(below) => tree(below, &path, found),
        None => {
            found.push(path.into_iter().map(str::to_owned).collect());
            rest
        }
    }
}

/// Reads the trees between two braces, of which the first has been read.
fn branches<'a>(inside: &'a str, stem: &[&str], found: &mut Vec<Vec<String>>) -> &'a str {
    let mut rest = inside.trim_start();
    while !rest.is_empty() && !rest.starts_with('}') {
        rest = tree(rest, stem, found);
        // An alias may stand before the comma.
        rest = rest.trim_start_matches(|c| !matches!(c, ',' | '}'));
        rest = rest.strip_prefix(',').unwrap_or(rest).trim_start();
    }
    rest.strip_prefix('}').unwrap_or(rest)
}

fn is_of_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

#[test]
fn every_leaf_of_a_tree_is_a_path() {
    let text = "\
//! Not crate::prose.
use crate::a::{
    self,
    b::{C, d as e},
    f::*,
};
use super::super::g;
pub(super) use {self::h::I, crate::j};
use std::fs::{self, File};
fn k() -> crate::l::M<N> {
    // Not crate::comment either.
    m::<Self>(o::crate_::p, \"crate::q\")
}
#[cfg(test)]
mod tests {
    use crate::r;
}
";
    let paths: Vec<String> = imports(text).iter().map(|path| path.join("::")).collect();
    let expected = [
        "crate::a::self",
        "crate::a::b::C",
        "crate::a::b::d",
        "crate::a::f::",
        "super::super::g",
        "self::h::I",
        "crate::j",
        "crate::l::M",
    ];
    assert_eq!(paths, expected);
}
