//! Folded stacks: one line a stack, `outermost;…;innermost count`, as flame graph tools read them.

use std::collections::{BTreeMap, HashMap};

use super::pprof::{Profile, Stack};

/// Whether the threads' names stand at the bottom of each stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Threads {
    /// One tower for each thread: what each worker does.
    Apart,
    /// All threads as one: what the program does, and what can be compared with another.
    Together,
}

/// What stands in place of frames that are too small to be kept.
pub const REST: &str = "[rest]";

/// A profile's samples as folded stacks, sorted. Works for any CPU profile, ours or Go's.
pub fn folded(profile: &Profile, threads: Threads) -> String {
    added_up(profile, threads, |stack| stack.samples)
}

/// The same with CPU time in nanoseconds in place of samples, threads together: what can be set against messages.
pub fn folded_nanos(profile: &Profile) -> String {
    added_up(profile, Threads::Together, |stack| stack.cpu_nanos)
}

fn added_up(profile: &Profile, threads: Threads, value: impl Fn(&Stack<'_>) -> i64) -> String {
    let mut counts: BTreeMap<String, i64> = BTreeMap::new();
    for stack in profile.stacks() {
        let count = counts.entry(fold(&stack, threads)).or_default();
        *count = count.saturating_add(value(&stack));
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

/// The stacks and counts of a folded text. Lines that are none are left out.
pub fn lines(folded: &str) -> impl Iterator<Item = (&str, u64)> {
    folded.lines().filter_map(|line| {
        let (stack, count) = line.rsplit_once(' ')?;
        Some((stack, count.parse().ok()?))
    })
}

/// The same text made small: frames with less than `share_min` (0 to 1) of the whole in them and what they call become
/// one frame [`REST`] of whoever called them, so that every caller keeps its sum. When that is still more than
/// `bytes_max`, more is merged.
pub fn compact(folded: &str, share_min: f64, bytes_max: usize) -> String {
    let total: u64 = lines(folded).map(|(_, count)| count).sum();
    let mut share = share_min;
    loop {
        let text = merged(folded, share * total as f64);
        if text.len() <= bytes_max || share > 1.0 {
            return text;
        }
        share = (share * 2.0).max(1e-4);
    }
}

fn merged(folded: &str, count_min: f64) -> String {
    let mut inclusive: HashMap<&str, u64> = HashMap::new();
    for (stack, count) in lines(folded) {
        for caller in callers(stack) {
            *inclusive.entry(caller).or_default() += count;
        }
    }
    let large = |caller: &&str| {
        inclusive
            .get(caller)
            .is_some_and(|&count| count as f64 >= count_min)
    };
    let mut kept: BTreeMap<String, u64> = BTreeMap::new();
    for (stack, count) in lines(folded) {
        // What is called is never larger than its caller, so the last large one is the innermost.
        let stack = match callers(stack).take_while(large).last() {
            Some(whole) if whole.len() == stack.len() => whole.to_owned(),
            Some(part) => format!("{part};{REST}"),
            None => REST.to_owned(),
        };
        *kept.entry(stack).or_default() += count;
    }
    kept.into_iter()
        .map(|(stack, count)| format!("{stack} {count}\n"))
        .collect()
}

/// The beginnings of a stack that end with a frame: the outermost alone, then with what it called, up to the whole.
fn callers(stack: &str) -> impl Iterator<Item = &str> {
    let ends = stack.match_indices(';').map(|(index, _)| index);
    ends.chain([stack.len()]).map(|end| &stack[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_frames_become_the_rest_of_their_caller() {
        let folded = "main;a 600\nmain;a;b;c 1\nmain;a;b;d 2\nmain;e 395\nother;f 2\n";
        assert_eq!(
            compact(folded, 0.01, usize::MAX),
            "[rest] 2\nmain;a 600\nmain;a;[rest] 3\nmain;e 395\n"
        );
        assert_eq!(compact(folded, 0.0, usize::MAX), folded);
        let small = compact(folded, 0.0, 40);
        assert!(small.len() <= 40, "{small}");
        let sum = |text: &str| -> u64 { lines(text).map(|(_, count)| count).sum() };
        assert_eq!(sum(&small), sum(folded));
        assert_eq!(compact("", 0.001, 10), "");
    }

    #[test]
    fn what_is_no_line_is_left_out() {
        let found: Vec<_> = lines("a;b 3\nnonsense\nc -1\nd e 4\n\n").collect();
        assert_eq!(found, [("a;b", 3), ("d e", 4)]);
    }

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
