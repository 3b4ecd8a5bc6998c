//! Folded stacks: one line a stack, `outermost;…;innermost count`, as flame graph tools read them.

use std::collections::BTreeMap;

use super::pprof::{Profile, Stack};

/// Whether the threads' names stand at the bottom of each stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Threads {
    /// One tower for each thread: what each worker does.
    Apart,
    /// All threads as one: what the program does, and what can be compared with another.
    Together,
}

/// A profile's samples as folded stacks, sorted. Works for any CPU profile, ours or Go's.
pub fn folded(profile: &Profile, threads: Threads) -> String {
    let mut counts: BTreeMap<String, i64> = BTreeMap::new();
    for stack in profile.stacks() {
        *counts.entry(fold(&stack, threads)).or_default() += stack.samples;
    }
    counts
        .into_iter()
        .filter(|(stack, count)| !stack.is_empty() && *count > 0)
        .map(|(stack, count)| format!("{stack} {count}\n"))
        .collect()
}

fn fold(stack: &Stack<'_>, threads: Threads) -> String {
    let thread = (threads == Threads::Apart && !stack.thread.is_empty()).then_some(stack.thread);
    let frames = thread.into_iter().chain(stack.functions.iter().rev().copied());
    // `;` parts the frames, and stands in names such as `[u8; 4]`.
    frames
        .map(|name| name.replace(';', ","))
        .collect::<Vec<_>>()
        .join(";")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_parted_by_semicolons_and_nothing_else() {
        let stack = Stack {
            thread: "epoll-0",
            functions: vec!["recv", "read<[u8; 4]>", "main"],
            samples: 1,
            cpu_nanos: 1,
        };
        assert_eq!(fold(&stack, Threads::Apart), "epoll-0;main;read<[u8, 4]>;recv");
        assert_eq!(fold(&stack, Threads::Together), "main;read<[u8, 4]>;recv");
    }
}
