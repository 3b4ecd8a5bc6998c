//! Programs that run beside the lab and take CPU, by name: who it is that disturbs.

use std::collections::BTreeMap;
use std::fmt;
use std::thread;
use std::time::{Duration, Instant};

/// A program that takes less of a core is not named. Desktops and monitors stay below it.
pub const BUSY_SHARE_MIN: f64 = 0.20;

/// A program that takes CPU.
#[derive(Debug, Clone, PartialEq)]
pub struct Program {
    /// Its process.
    pub pid: i32,
    /// Its name, as the kernel keeps it: at most 15 bytes.
    pub command: String,
    /// CPU time over wall time: 1 is one core.
    pub cpu_share: f64,
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Program {
            pid,
            command,
            cpu_share,
        } = self;
        write!(
            f,
            "{command} (process {pid}, {:.0} % of a core)",
            cpu_share * 100.0
        )
    }
}

/// What /proc says of one process.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    parent: i32,
    /// Tells processes apart that had the same number.
    started: u64,
    ticks: u64,
    command: String,
}

/// Watches for this long, and names the programs that took more than [`BUSY_SHARE_MIN`] of a core, most first.
///
/// This process and its descendants are left out. Half a second holds 50 ticks, so the shares are good to 2 %. In a
/// container only its own processes can be seen.
pub fn busy_programs(duration: Duration) -> Vec<Program> {
    watch(duration, i32::try_from(std::process::id()).ok())
}

fn watch(duration: Duration, but: Option<i32>) -> Vec<Program> {
    let (before, began) = (processes(), Instant::now());
    thread::sleep(duration);
    let seconds = began.elapsed().as_secs_f64();
    let after = processes();
    busy(&before, &after, seconds * procfs::ticks_per_second() as f64, but)
}

/// All processes that can be read. One that ends meanwhile is left out.
fn processes() -> BTreeMap<i32, Seen> {
    let all = procfs::process::all_processes().into_iter().flatten();
    all.filter_map(|process| {
        let stat = process.ok()?.stat().ok()?;
        let seen = Seen {
            parent: stat.ppid,
            started: stat.starttime,
            ticks: stat.utime + stat.stime,
            command: stat.comm,
        };
        Some((stat.pid, seen))
    })
    .collect()
}

/// Who took more than [`BUSY_SHARE_MIN`] of `ticks`, but for one process and its descendants.
fn busy(
    before: &BTreeMap<i32, Seen>,
    after: &BTreeMap<i32, Seen>,
    ticks: f64,
    but: Option<i32>,
) -> Vec<Program> {
    let mut programs: Vec<Program> = after
        .iter()
        .filter(|(pid, _)| but.is_none_or(|but| !descends(after, **pid, but)))
        .map(|(&pid, seen)| {
            let earlier = before.get(&pid).filter(|earlier| earlier.started == seen.started);
            let took = seen
                .ticks
                .saturating_sub(earlier.map_or(0, |earlier| earlier.ticks));
            Program {
                pid,
                command: seen.command.clone(),
                cpu_share: took as f64 / ticks,
            }
        })
        .filter(|program| program.cpu_share > BUSY_SHARE_MIN)
        .collect();
    programs.sort_by(|one, two| two.cpu_share.total_cmp(&one.cpu_share));
    programs
}

/// Whether a process is another one or descends from it.
fn descends(all: &BTreeMap<i32, Seen>, pid: i32, from: i32) -> bool {
    // While processes come and go, two readings of parents may form a circle; no line is longer than all there are.
    std::iter::successors(Some(pid), |pid| all.get(pid).map(|seen| seen.parent))
        .take(all.len() + 1)
        .any(|pid| pid == from)
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command};

    use super::*;

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
    fn a_circle_of_parents_ends() {
        let all = BTreeMap::from([(1, seen(2, 0, 0)), (2, seen(1, 0, 0))]);
        assert!(!descends(&all, 1, 3));
    }

    #[test]
    fn a_program_is_shown_in_plain_words() {
        let program = Program {
            pid: 7,
            command: "stress-ng".to_owned(),
            cpu_share: 0.98,
        };
        assert_eq!(program.to_string(), "stress-ng (process 7, 98 % of a core)");
    }
}
