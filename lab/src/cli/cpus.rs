//! Which CPUs are whose.

use sys::cpu::CpuSet;

use super::{UsageError, of_flag};
use crate::config::CpuPlan;

/// Divides the allowed CPUs between servers and clients, as the flags say.
pub fn plan(
    no_pin: bool,
    server: Option<&CpuSet>,
    client: Option<&CpuSet>,
    allowed: &CpuSet,
) -> Result<CpuPlan, UsageError> {
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
        (None, None) => {
            let servers = allowed.len().div_ceil(2);
            (
                allowed.iter().take(servers).collect(),
                allowed.iter().skip(servers).collect(),
            )
        }
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
    Ok(CpuPlan::Disjoint {
        server: server.to_string(),
        client: client.to_string(),
    })
}
