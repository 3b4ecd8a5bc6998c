//! The fingerprint of a machine: everything about it that could explain a number.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sys::cpu::CpuSet;

use crate::stalls::Stalls;

/// Where a result was measured. What cannot be read here is null.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// Tells machines of one kind apart: a hash of the system's own id, the same after each boot and under any name. Null
    /// where there is no id, as in most containers.
    #[serde(default)]
    pub identity: Option<String>,
    /// The CPU's name.
    pub cpu_model: Option<String>,
    /// CPUs of the machine.
    pub cpus: usize,
    /// The CPUs of each physical core that has several, as Linux writes them; null where the kernel does not say.
    #[serde(default)]
    pub thread_siblings: Option<Vec<CpuSet>>,
    /// CPUs that the lab may use, as Linux writes them.
    pub cpus_allowed: Option<CpuSet>,
    /// Physical memory.
    pub memory_bytes: Option<u64>,
    /// The kernel's release.
    pub kernel: Option<String>,
    /// The distribution's name.
    pub os: Option<String>,
    /// How the clock rate is governed; null where the guest cannot see it.
    pub governor: Option<String>,
    /// What the kernel says of each hardware vulnerability: mitigations cost time in every syscall.
    pub mitigations: BTreeMap<String, String>,
    /// The kind of container that the lab runs in, or `none`.
    pub container: String,
    /// `loopback`, or the container's network mode.
    pub network: String,
    /// The hypervisor's name when this is a virtual machine.
    pub virtualization: Option<String>,
    /// Hard limit of open descriptors.
    pub nofile_limit: Option<u64>,
    /// Whether the kernel tracks connections in the lab's network namespace, which makes every packet dearer, loopback's too:
    /// a firewall or NAT wants it, a Docker engine's for example. On the machine that this was tried on, it made a message
    /// 10 % dearer.
    #[serde(default)]
    pub connections_tracked: Option<bool>,
    /// The congestion control of TCP connections that ask for none: each has its own cost for each packet.
    #[serde(default)]
    pub congestion_control: Option<String>,
    /// The longest backlog of connections that wait to be accepted.
    pub somaxconn: Option<u64>,
    /// First and last port that outgoing connections may use.
    pub port_range: Option<(u16, u16)>,
    /// The most threads that the lab and its children may have.
    pub threads_limit: Option<u64>,
    /// The most memory mappings of a process; a thread's stack takes two.
    pub mappings_limit: Option<u64>,
    /// Load of the last minute when the lab started: who else was at work.
    pub load_average: Option<f64>,
    /// How long the machine stopped spinning threads before anything else ran; null when nobody looked.
    #[serde(default)]
    pub stalls: Option<Stalls>,
}

impl Machine {
    /// The sets of CPUs that share a physical core and have one in both `servers` and `clients`: what one does there slows
    /// the other down, though each has CPUs of its own.
    pub fn shared_cores(&self, servers: &CpuSet, clients: &CpuSet) -> Vec<&CpuSet> {
        let siblings = self.thread_siblings.iter().flatten();
        siblings
            .filter(|set| !set.is_disjoint(servers) && !set.is_disjoint(clients))
            .collect()
    }
}
