//! Who takes CPU from servers and clients during slices: programs, and the kernel's own threads.

use std::collections::BTreeMap;
use std::time::Instant;

use model::machine_part::Taker;
use sys::cpu::CpuSet;

use crate::processes::{self, Table};

/// What takes less than this share of one CPU is not worth a line.
const SHARE_MIN: f64 = 0.01;
/// So many are named.
const NAMED_MAX: usize = 5;

/// What was taken in the slices of one scenario so far.
#[derive(Debug, Default)]
pub struct Takers {
    /// By process number and start: name, whether it is the kernel's, ticks.
    found: BTreeMap<(i32, u64), (String, bool, u64)>,
    seconds: f64,
}

/// The table of processes as a slice begins.
pub struct Before(Table, Instant);

/// Reads the table: a slice begins.
pub fn begin() -> Before {
    Before(processes::table(), Instant::now())
}

impl Takers {
    /// A slice has ended. Counts what ran on these CPUs, but for this process and all that it started. Returns the seconds
    /// of CPU that were taken from the servers' CPUs.
    pub fn end(
        &mut self,
        Before(before, began): Before,
        cpus: Option<&CpuSet>,
        servers: Option<&CpuSet>,
    ) -> f64 {
        self.seconds += began.elapsed().as_secs_f64();
        let own = std::process::id() as i32;
        let after = processes::table();
        let ticks = self.add(&before, &after, [cpus, servers], own);
        ticks as f64 / procfs::ticks_per_second() as f64
    }

    fn add(&mut self, before: &Table, after: &Table, [cpus, servers]: [Option<&CpuSet>; 2], own: i32) -> u64 {
        let ours = processes::descendants(after, own);
        let mut from_servers = 0;
        let holds = |set: Option<&CpuSet>, cpu: Option<u32>| {
            set.zip(cpu)
                .is_none_or(|(set, ran)| set.iter().any(|cpu| cpu as u32 == ran))
        };
        for (&pid, seen) in after {
            let known = before.get(&pid).filter(|earlier| earlier.started == seen.started);
            let ticks = seen.ticks - known.map_or(0, |earlier| earlier.ticks.min(seen.ticks));
            if ticks == 0 || pid == own || ours.contains(&pid) || !holds(cpus, seen.cpu) {
                continue;
            }
            if holds(servers, seen.cpu) {
                from_servers += ticks;
            }
            let entry = self.found.entry((pid, seen.started));
            entry.or_insert_with(|| (seen.command.clone(), seen.kernel, 0)).2 += ticks;
        }
        from_servers
    }

    /// Those worth a line, most first.
    pub fn named(&self, scenario: &str) -> Vec<Taker> {
        let mut named: Vec<_> = self
            .found
            .iter()
            .map(|((pid, _), (name, kernel, ticks))| Taker {
                scenario: scenario.to_owned(),
                name: name.clone(),
                pid: *pid,
                kernel: *kernel,
                seconds: *ticks as f64 / procfs::ticks_per_second() as f64,
                watched_seconds: self.seconds,
            })
            .filter(|taker| taker.seconds >= SHARE_MIN * self.seconds)
            .collect();
        named.sort_by(|one, two| two.seconds.total_cmp(&one.seconds));
        named.truncate(NAMED_MAX);
        named
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::processes::Seen;

    fn seen(parent: i32, ticks: u64, cpu: u32) -> Seen {
        Seen {
            parent,
            started: 1,
            ticks,
            ticks_of_children: 0,
            cpu: Some(cpu),
            kernel: parent == 2,
            command: format!("p{parent}"),
        }
    }

    #[test]
    fn others_on_the_same_cpus_are_named_with_their_time() {
        let ticks = procfs::ticks_per_second();
        let before = BTreeMap::from([(10, seen(1, 100, 0)), (11, seen(2, 7, 1)), (12, seen(1, 0, 1))]);
        let after = BTreeMap::from([
            (10, seen(1, 100 + ticks, 0)),
            (11, seen(2, 7 + 3 * ticks, 1)),
            // The lab, its child, and one on another CPU.
            (12, seen(1, 900, 1)),
            (13, seen(12, 900, 1)),
            (14, seen(1, 900, 5)),
            // New, and idle.
            (15, seen(1, 0, 0)),
        ]);
        let mut takers = Takers::default();
        let (all, servers) = ("0-1".parse().unwrap(), "0".parse().unwrap());
        let from_servers = takers.add(&before, &after, [Some(&all), Some(&servers)], 12);
        assert_eq!(from_servers, ticks);
        takers.seconds = 10.0;
        let named = takers.named("few");
        let shown: Vec<_> = named
            .iter()
            .map(|taker| (taker.pid, taker.kernel, taker.seconds))
            .collect();
        assert_eq!(shown, [(11, true, 3.0), (10, false, 1.0)]);
        takers.seconds = 400.0;
        assert!(takers.named("few").is_empty(), "too little to name");
    }
}
