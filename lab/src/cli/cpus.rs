//! Which CPUs are whose.

use std::collections::BTreeMap;

use sys::cpu::CpuSet;

use super::{UsageError, of_flag};
use model::config::CpuPlan;

/// The CPUs that the lab may use, core by core.
#[derive(Debug, Clone, PartialEq)]
pub struct Cores {
    allowed: CpuSet,
    cores: Vec<CpuSet>,
}

impl Cores {
    /// `siblings` are the sets of CPUs that are one physical core each; a CPU that is in none of them is a core by itself.
    pub fn new(allowed: CpuSet, siblings: &[CpuSet]) -> Cores {
        let core_of = |cpu: usize| {
            let mut siblings = siblings.iter();
            let core = siblings.find(|set| set.iter().any(|sibling| sibling == cpu));
            core.and_then(|set| set.iter().next()).unwrap_or(cpu)
        };
        let mut cores = BTreeMap::<usize, Vec<usize>>::new();
        for cpu in allowed.iter() {
            cores.entry(core_of(cpu)).or_default().push(cpu);
        }
        Cores {
            allowed,
            cores: cores.into_values().map(CpuSet::from_iter).collect(),
        }
    }

    /// The CPUs themselves.
    pub fn allowed(&self) -> &CpuSet {
        &self.allowed
    }

    /// The first half and the last: of the cores, as two threads of one core slow each other down; of the CPUs where
    /// there is but one core.
    fn halves(&self) -> (CpuSet, CpuSet) {
        let units = match self.cores.len() {
            1 => self.allowed.iter().map(|cpu| CpuSet::from_iter([cpu])).collect(),
            _ => self.cores.clone(),
        };
        let (first, last) = units.split_at(units.len().div_ceil(2));
        let all = |units: &[CpuSet]| units.iter().flat_map(CpuSet::iter).collect();
        (all(first), all(last))
    }
}

/// Divides the allowed CPUs between servers and clients, as the flags say.
pub fn plan(
    no_pin: bool,
    server: Option<&CpuSet>,
    client: Option<&CpuSet>,
    cores: &Cores,
) -> Result<CpuPlan, UsageError> {
    let allowed = cores.allowed();
    if no_pin {
        return Ok(CpuPlan::Unpinned);
    }
    for (flag, set) in [("--server-cpus", server), ("--client-cpus", client)] {
        if let Some(set) = set
            && (set.is_empty() || !set.is_subset(allowed))
        {
            return Err(of_flag(
                flag,
                format!("{set} is not among the CPUs that the lab may use: choose from {allowed}"),
            ));
        }
    }
    let rest = |taken: &CpuSet| -> CpuSet {
        let taken: Vec<_> = taken.iter().collect();
        allowed.iter().filter(|cpu| !taken.contains(cpu)).collect()
    };
    let (server, client) = match (server, client) {
        (None, None) if allowed.len() < 2 => return Ok(CpuPlan::Shared),
        (None, None) => cores.halves(),
        (Some(server), None) => (server.clone(), rest(server)),
        (None, Some(client)) => (rest(client), client.clone()),
        (Some(server), Some(client)) => (server.clone(), client.clone()),
    };
    if server.is_empty() || client.is_empty() {
        let (flag, other) = if server.is_empty() {
            ("--client-cpus", "servers")
        } else {
            ("--server-cpus", "clients")
        };
        return Err(of_flag(
            flag,
            format!("it leaves no CPU of {allowed} for the {other}: choose fewer, or --no-pin"),
        ));
    }
    if !server.is_disjoint(&client) {
        return Err(of_flag(
            "--server-cpus, --client-cpus",
            format!(
                "{server} and {client} overlap, so each would measure the other: choose disjoint sets, or --no-pin"
            ),
        ));
    }
    Ok(CpuPlan::Disjoint { server, client })
}
