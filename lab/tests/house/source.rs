//! The Rust files of the workspace, and what of them is code.

use std::fs;
use std::path::{Path, PathBuf};

/// A Rust file of the workspace: its path from the root, with `/`, and its text.
pub struct Source {
    pub path: String,
    pub text: String,
}

/// The workspace.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// All files of these members.
pub fn sources(members: impl Iterator<Item = &'static str>) -> Vec<Source> {
    let mut sources = Vec::new();
    for member in members {
        for part in ["src", "tests", "benches"] {
            collect(
                &root().join(member).join(part),
                &format!("{member}/{part}"),
                &mut sources,
            );
        }
    }
    sources
}

/// Files that only a test knows, from their paths and texts.
pub fn planted(files: &[(&str, &str)]) -> Vec<Source> {
    let source = |(path, text): &(&str, &str)| Source {
        path: (*path).to_owned(),
        text: (*text).to_owned(),
    };
    files.iter().map(source).collect()
}

fn collect(directory: &Path, name: &str, sources: &mut Vec<Source>) {
    let Ok(entries) = fs::read_dir(directory) else {
        return;
    };
    for entry in entries {
        let entry = entry.unwrap();
        let path = format!("{name}/{}", entry.file_name().to_string_lossy());
        if entry.file_type().unwrap().is_dir() {
            collect(&entry.path(), &path, sources);
        } else if path.ends_with(".rs") {
            sources.push(Source {
                path,
                text: fs::read_to_string(entry.path()).unwrap(),
            });
        }
    }
}

/// The lines of code without their comments, each with its index. Items under `#[cfg(test)]` are left out.
pub fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    without_tests(text)
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
        .map(|(index, line)| (index, line.split("//").next().unwrap_or_default()))
}

/// The lines, with their index, but for items under `#[cfg(test)]`: an item that rustfmt has laid out ends on its first
/// line, or with a bracket as far to the right as it began.
fn without_tests(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut test: Option<&str> = None;
    text.lines().enumerate().filter(move |(_, line)| {
        let words = line.trim_start();
        let margin = &line[..line.len() - words.len()];
        match test {
            None if words.starts_with("#[cfg(test)]") => test = Some(margin),
            None => return true,
            Some(start) => {
                let closes = words.starts_with('}') || words.ends_with([';', '}', ',']);
                if margin == start && closes && !words.starts_with("#[") && !words.starts_with("//") {
                    test = None;
                }
            }
        }
        false
    })
}

#[test]
fn code_after_a_test_item_is_code() {
    let text = "\
a
#[cfg(test)]
use x;
b
    #[cfg(test)]
    #[must_use]
    fn f() {
        g();
    }
    c
#[cfg(test)]
#[path = \"x.rs\"]
mod tests;
d
#[cfg(test)]
mod tests {
    fn h() {}

    use y;
}
e";
    let lines: Vec<_> = code(text).map(|(_, line)| line.trim()).collect();
    assert_eq!(lines, ["a", "b", "c", "d", "e"]);
}
