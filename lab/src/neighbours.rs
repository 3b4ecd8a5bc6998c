//! Programs that run beside the lab and take CPU, by name: who it is that disturbs.

use std::collections::BTreeMap;
use std::fmt;
use std::thread;
use std::time::{Duration, Instant};

use crate::processes::{Table, descends, table};
use crate::supervise;

/// A program that takes less of a core is not named. Desktops and monitors stay below it.
pub const BUSY_SHARE_MIN: f64 = 0.20;
/// So much of a command line is shown.
const ARGUMENTS_SHOWN: usize = 60;

/// A program that takes CPU.
#[derive(Debug, Clone, PartialEq)]
pub struct Program {
    /// Its process.
    pub pid: i32,
    /// Its name, as the kernel keeps it: at most 15 bytes.
    pub command: String,
    /// Its command line, when it is another lab.
    pub arguments: Option<String>,
    /// CPU time over wall time: 1 is one core.
    pub cpu_share: f64,
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Program {
            pid,
            command,
            arguments,
            cpu_share,
        } = self;
        let percent = cpu_share * 100.0;
        match arguments {
            Some(arguments) => write!(
                f,
                "another lab (process {pid}: `{arguments}`; it and what it started use {percent:.0} % of a core)"
            ),
            None => write!(f, "{command} (process {pid}, {percent:.0} % of a core)"),
        }
    }
}

/// Watches for this long, and names the programs that took more than [`BUSY_SHARE_MIN`] of a core, most first.
///
/// This process and its descendants are left out. Half a second holds 50 ticks, so the shares are good to 2 %. In a
/// container only its own processes can be seen.
pub fn busy_programs(duration: Duration) -> Vec<Program> {
    watch(duration, i32::try_from(std::process::id()).ok())
}

fn watch(duration: Duration, but: Option<i32>) -> Vec<Program> {
    let (before, began) = (table(), Instant::now());
    thread::sleep(duration);
    let seconds = began.elapsed().as_secs_f64();
    let after = table();
    busy(&before, &after, seconds * procfs::ticks_per_second() as f64, but)
}

/// Who took more than [`BUSY_SHARE_MIN`] of `ticks`, but for one process and its descendants. What another lab started
/// counts as that lab's, which comes first.
fn busy(before: &Table, after: &Table, ticks: f64, but: Option<i32>) -> Vec<Program> {
    let labs = but.map_or_else(Vec::new, |own| other_labs(after, own));
    let mut programs: BTreeMap<i32, Program> = BTreeMap::new();
    for (&pid, seen) in after {
        if but.is_some_and(|but| descends(after, pid, but)) {
            continue;
        }
        let earlier = before.get(&pid).filter(|earlier| earlier.started == seen.started);
        let took = seen
            .ticks
            .saturating_sub(earlier.map_or(0, |earlier| earlier.ticks));
        let lab = labs.iter().copied().find(|lab| descends(after, pid, *lab));
        let who = lab.unwrap_or(pid);
        let program = programs.entry(who).or_insert_with(|| Program {
            pid: who,
            command: after
                .get(&who)
                .map_or_else(String::new, |seen| seen.command.clone()),
            arguments: lab.map(arguments),
            cpu_share: 0.0,
        });
        program.cpu_share += took as f64 / ticks;
    }
    let mut programs: Vec<_> = programs.into_values().collect();
    programs.retain(|program| program.cpu_share > BUSY_SHARE_MIN);
    programs.sort_by(|one, two| {
        let order = |program: &Program| (program.arguments.is_none(), -program.cpu_share);
        let ((one_alone, one_share), (two_alone, two_share)) = (order(one), order(two));
        one_alone.cmp(&two_alone).then(one_share.total_cmp(&two_share))
    });
    programs
}

/// Labs that neither started this one nor were started by it.
fn other_labs(all: &Table, own: i32) -> Vec<i32> {
    let is_lab = |pid: i32| {
        let words = arguments(pid);
        let role = words.split(' ').nth(1).unwrap_or("run").to_owned();
        !["server", "client", supervise::NAME].contains(&role.as_str())
    };
    let labs = all
        .iter()
        .filter(|(_, seen)| seen.command == "lab")
        .map(|(pid, _)| *pid);
    labs.filter(|pid| !descends(all, *pid, own) && !descends(all, own, *pid) && is_lab(*pid))
        .collect()
}

/// A process' command line, shortened.
fn arguments(pid: i32) -> String {
    let words = procfs::process::Process::new(pid).and_then(|process| process.cmdline());
    let text = words.map(|words| words.join(" ")).unwrap_or_default();
    text.chars().take(ARGUMENTS_SHOWN).collect()
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command};

    use super::*;
    use crate::processes::Seen;

    struct Spinning(Child);

    impl Spinning {
        fn start() -> Spinning {
            Spinning(
                Command::new("sh")
                    .args(["-c", "while :; do :; done"])
                    .spawn()
                    .unwrap(),
            )
        }
    }

    impl Drop for Spinning {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    #[test]
    fn a_program_that_spins_is_named_unless_it_is_ours() {
        let child = Spinning::start();
        let pid = child.0.id() as i32;
        let named = |but| {
            let programs = watch(Duration::from_millis(300), but);
            programs.into_iter().find(|program| program.pid == pid)
        };
        // On a crowded machine it may get less than its share for a while.
        let program = (0..50).find_map(|_| named(None)).unwrap();
        assert_eq!(program.command, "sh");
        assert!(program.cpu_share > BUSY_SHARE_MIN && program.cpu_share < 1.5);
        for _ in 0..3 {
            let ours = busy_programs(Duration::from_millis(300));
            assert!(ours.iter().all(|program| program.pid != pid), "{ours:?}");
        }
    }

    fn seen(parent: i32, started: u64, ticks: u64) -> Seen {
        Seen {
            parent,
            started,
            ticks,
            ticks_of_children: 0,
            cpu: None,
            kernel: false,
            command: format!("child of {parent}"),
        }
    }

    #[test]
    fn what_counts_is_what_it_took_meanwhile() {
        let before = BTreeMap::from([(1, seen(0, 0, 900)), (2, seen(1, 5, 100)), (3, seen(1, 6, 500))]);
        let after = BTreeMap::from([
            (1, seen(0, 0, 919)),
            (2, seen(1, 5, 190)),
            // Another process with the number of one that ended, and a new one.
            (3, seen(1, 70, 30)),
            (4, seen(2, 71, 40)),
        ]);
        let pids = |but| -> Vec<(i32, f64)> {
            let programs = busy(&before, &after, 100.0, but);
            programs
                .iter()
                .map(|program| (program.pid, program.cpu_share))
                .collect()
        };
        assert_eq!(pids(None), [(2, 0.9), (4, 0.4), (3, 0.3)]);
        assert_eq!(pids(Some(2)), [(3, 0.3)], "4 is a child of 2");
        assert_eq!(pids(Some(1)), []);
    }

    #[test]
    fn a_program_is_shown_in_plain_words() {
        let program = Program {
            pid: 7,
            command: "stress-ng".to_owned(),
            arguments: None,
            cpu_share: 0.98,
        };
        assert_eq!(program.to_string(), "stress-ng (process 7, 98 % of a core)");
        let lab = Program {
            arguments: Some("lab run --quick".to_owned()),
            ..program
        };
        assert!(
            lab.to_string()
                .starts_with("another lab (process 7: `lab run --quick`;")
        );
    }
}
