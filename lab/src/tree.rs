//! What a contender's processes use, all together: its program, what that started, and what has ended since.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::fs;
use std::rc::Rc;

use telemetry::process::{ContextSwitches, CpuModes, Memory};

use crate::cgroup::Group;
use crate::processes::{self, Table};

/// The processes below a supervisor.
#[derive(Debug)]
pub struct Tree {
    supervisor: u32,
    /// Counts what has ended, where the lab may make one.
    group: Option<Group>,
    /// CPU time of what has ended, as far as it is known. It never falls.
    ended_seconds: Cell<f64>,
    /// What was there at the last reading.
    members: RefCell<BTreeSet<u32>>,
    /// CPU time of all at the last reading. It never falls, also when a parent did not wait for its child.
    total_seconds: Cell<f64>,
}

impl Tree {
    /// What runs below `supervisor`, which is in no group or has put what it starts into `group`.
    pub fn new(supervisor: u32, group: Option<Group>) -> Rc<Tree> {
        Rc::new(Tree {
            supervisor,
            group,
            ended_seconds: Cell::new(0.0),
            members: RefCell::default(),
            total_seconds: Cell::new(0.0),
        })
    }

    /// CPU time of all processes since the start. Each that lives is read to the nanosecond, from its own clock.
    pub fn cpu_seconds(&self) -> Option<f64> {
        let table = self.look();
        let members = self.members.borrow();
        let alive: f64 = members.iter().filter_map(|pid| cpu_clock(*pid)).sum();
        // What runs at this moment is not in the group's count yet, so what it tells of ended ones is too little.
        let ended = match (&self.group, table) {
            (Some(group), _) => group.cpu_seconds().map(|all| all - alive),
            (None, Some(table)) => Some(self.waited_for(&table)),
            (None, None) => None,
        };
        let known = self.ended_seconds.get();
        if let Some(ended) = ended.filter(|ended| *ended > known) {
            self.ended_seconds.set(ended);
        }
        let total = (alive + self.ended_seconds.get()).max(self.total_seconds.get());
        self.total_seconds.set(total);
        (!members.is_empty()).then_some(total)
    }

    /// Their memory and threads. What each has for itself is added. What a process shares with others is taken for the same
    /// in all of them, and counts once.
    pub fn memory(&self) -> Option<Memory> {
        self.look();
        let members = self.members.borrow();
        let each: Vec<(u32, Memory)> = members
            .iter()
            .filter_map(|pid| Some((*pid, Memory::of(*pid).ok()?)))
            .collect();
        if let [(_, memory)] = each[..] {
            return Some(memory);
        }
        let shared = each.iter().filter_map(|(pid, _)| shared_bytes(*pid)).max();
        let own = each.into_iter().map(|(pid, memory)| Memory {
            resident_bytes: memory
                .resident_bytes
                .saturating_sub(shared_bytes(pid).unwrap_or(0)),
            ..memory
        });
        let sum = own.reduce(|one, two| Memory {
            resident_bytes: one.resident_bytes + two.resident_bytes,
            virtual_bytes: one.virtual_bytes + two.virtual_bytes,
            shared_bytes: one.shared_bytes.max(two.shared_bytes),
            threads: one.threads + two.threads,
        })?;
        Some(Memory {
            resident_bytes: sum.resident_bytes + shared.unwrap_or(0),
            ..sum
        })
    }

    /// A process of it, when there is one.
    pub fn any(&self) -> Option<u32> {
        self.look();
        self.members.borrow().first().copied()
    }

    /// Whether it is one process now, so that what that process says of itself holds for all.
    pub fn is_single(&self) -> bool {
        self.look();
        self.members.borrow().len() == 1
    }

    /// CPU time by mode, of those that live.
    pub fn modes(&self) -> Option<CpuModes> {
        let members = self.members.borrow();
        let each = members.iter().filter_map(|pid| CpuModes::of(*pid).ok());
        each.reduce(|one, two| CpuModes {
            user_seconds: one.user_seconds + two.user_seconds,
            system_seconds: one.system_seconds + two.system_seconds,
        })
    }

    /// Voluntary context switches, of those that live.
    pub fn voluntary_switches(&self) -> Option<f64> {
        let members = self.members.borrow();
        let each = members.iter().filter_map(|pid| ContextSwitches::of(*pid).ok());
        each.map(|switches| switches.voluntary as f64)
            .reduce(|one, two| one + two)
    }

    /// Finds out who is there. The table comes back when it had to be read.
    fn look(&self) -> Option<Table> {
        if let Some(group) = &self.group
            && let Ok(members) = group.members()
        {
            *self.members.borrow_mut() = members.into_iter().collect();
            return None;
        }
        let table = processes::table();
        let below = processes::descendants(&table, self.supervisor as i32);
        *self.members.borrow_mut() = below.into_iter().map(|pid| pid as u32).collect();
        Some(table)
    }

    /// CPU time of ended processes that their parents have waited for, in the kernel's ticks.
    fn waited_for(&self, table: &Table) -> f64 {
        let members = self.members.borrow();
        let parents = members.iter().copied().chain([self.supervisor]);
        let ticks: u64 = parents
            .filter_map(|pid| table.get(&(pid as i32)))
            .map(|seen| seen.ticks_of_children)
            .sum();
        ticks as f64 / procfs::ticks_per_second() as f64
    }
}

fn cpu_clock(pid: u32) -> Option<f64> {
    let time = sys::clock::process_cpu_time(pid).ok()?;
    Some(time.as_secs_f64())
}

/// Resident memory of a process that others have as well, as after a fork (proc_pid_smaps(5)).
fn shared_bytes(pid: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let kibibytes = text.lines().filter_map(|line| {
        let (name, value) = line.split_once(':')?;
        let value = value.trim().strip_suffix(" kB")?;
        name.starts_with("Shared_")
            .then(|| value.trim().parse::<u64>().ok())?
    });
    Some(kibibytes.sum::<u64>() * 1024)
}
