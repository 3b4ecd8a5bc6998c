//! The table of processes: who descends from whom, and what each has used.

use std::collections::{BTreeMap, BTreeSet};

/// What /proc says of one process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Its parent's number.
    pub parent: i32,
    /// When it started, in the kernel's ticks since boot: tells processes apart that had the same number.
    pub started: u64,
    /// CPU time, in the kernel's ticks.
    pub ticks: u64,
    /// CPU time of its children that have ended and were waited for, in ticks.
    pub ticks_of_children: u64,
    /// The CPU that it ran on last.
    pub cpu: Option<u32>,
    /// Whether it is a thread of the kernel's own.
    pub kernel: bool,
    /// Its name, as the kernel keeps it: at most 15 bytes.
    pub command: String,
}

/// The kernel's mark of its own threads (PF_KTHREAD in include/linux/sched.h).
const KERNEL_THREAD: u32 = 0x0020_0000;

/// Processes by their number.
pub type Table = BTreeMap<i32, Seen>;

/// All processes that can be read. One that ends meanwhile is left out.
pub fn table() -> Table {
    let all = procfs::process::all_processes().into_iter().flatten();
    all.filter_map(|process| seen(&process.ok()?)).collect()
}

/// A process, its parent, its parent's parent, and so on.
pub fn line_of(pid: i32) -> Table {
    let mut line = Table::new();
    let mut next = Some(pid);
    while let Some(pid) = next.filter(|pid| !line.contains_key(pid)) {
        let found = procfs::process::Process::new(pid)
            .ok()
            .and_then(|process| seen(&process));
        next = found.as_ref().map(|(_, seen)| seen.parent);
        line.extend(found);
    }
    line
}

fn seen(process: &procfs::process::Process) -> Option<(i32, Seen)> {
    let stat = process.stat().ok()?;
    let seen = Seen {
        parent: stat.ppid,
        started: stat.starttime,
        ticks: stat.utime + stat.stime,
        ticks_of_children: (stat.cutime + stat.cstime).max(0) as u64,
        cpu: stat.processor.and_then(|cpu| u32::try_from(cpu).ok()),
        kernel: stat.flags & KERNEL_THREAD != 0,
        command: stat.comm,
    };
    Some((stat.pid, seen))
}

/// Whether a process is another one or descends from it.
pub fn descends(all: &Table, pid: i32, from: i32) -> bool {
    // While processes come and go, two readings of parents may form a circle; no line is longer than all there are.
    std::iter::successors(Some(pid), |pid| all.get(pid).map(|seen| seen.parent))
        .take(all.len() + 1)
        .any(|pid| pid == from)
}

/// Those that descend from a process, itself not among them.
pub fn descendants(all: &Table, from: i32) -> BTreeSet<i32> {
    let others = all.keys().copied().filter(|pid| *pid != from);
    others.filter(|pid| descends(all, *pid, from)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(parent: i32) -> Seen {
        Seen {
            parent,
            started: 0,
            ticks: 0,
            ticks_of_children: 0,
            cpu: None,
            kernel: false,
            command: String::new(),
        }
    }

    #[test]
    fn a_circle_of_parents_ends() {
        let all = BTreeMap::from([(1, seen(2)), (2, seen(1))]);
        assert!(!descends(&all, 1, 3));
    }

    #[test]
    fn grandchildren_descend_too() {
        let all = BTreeMap::from([
            (1, seen(0)),
            (5, seen(1)),
            (6, seen(5)),
            (7, seen(6)),
            (8, seen(1)),
        ]);
        assert_eq!(descendants(&all, 5), BTreeSet::from([6, 7]));
        assert_eq!(descendants(&all, 8), BTreeSet::new());
    }

    #[test]
    fn this_process_is_in_the_table_of_its_parent() {
        let (all, own) = (table(), std::process::id() as i32);
        let parent = all[&own].parent;
        assert!(descendants(&all, parent).contains(&own));
        assert!(!all[&own].kernel);
    }
}
