//! The fingerprint of the machine: everything about it that could explain a number.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::time::Duration;

use model::machine::Machine;
use procfs::Current;
use sys::cpu::CpuSet;

/// How much of a hash tells machines apart: among a million machines two have the same in under one of ten million cases.
const IDENTITY_BYTES: usize = 8;
/// Connections that are made to see whether the kernel tracks them.
const CONNECTIONS_TRIED: u64 = 8;
/// The kernel's folder of CPUs.
const CPU_FOLDER: &str = "/sys/devices/system/cpu";

/// Reads this machine. `network_mode` is what whoever started the container says of its network.
pub fn read(network_mode: Option<&str>) -> Machine {
    let container = container();
    let network = match network_mode {
        Some(mode) => mode.to_owned(),
        None if container == "none" => "loopback".to_owned(),
        None => "unknown".to_owned(),
    };
    Machine {
        identity: fs::read_to_string("/etc/machine-id")
            .ok()
            .and_then(|id| identity(&id)),
        cpu_model: cpu_field("model name"),
        cpus: cpus(),
        thread_siblings: thread_siblings(Path::new(CPU_FOLDER)),
        cpus_allowed: CpuSet::allowed().ok(),
        memory_bytes: procfs::Meminfo::current().ok().map(|memory| memory.mem_total),
        kernel: line("/proc/sys/kernel/osrelease"),
        os: os(),
        governor: line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        mitigations: mitigations(),
        container,
        network,
        virtualization: virtualization(),
        nofile_limit: sys::limits::descriptor_limit().ok().map(|limit| limit.hard),
        connections_tracked: connections_are_tracked(),
        congestion_control: line("/proc/sys/net/ipv4/tcp_congestion_control"),
        somaxconn: number("/proc/sys/net/core/somaxconn"),
        port_range: port_range(),
        threads_limit: threads_limit(),
        mappings_limit: number("/proc/sys/vm/max_map_count"),
        load_average: procfs::LoadAverage::current()
            .ok()
            .map(|load| f64::from(load.one)),
        stalls: None,
    }
}

/// The hash of a machine's id, which itself is confidential: with a word of ours, so that nothing else that hashes the id
/// gives the same, and no more of it than tells machines apart (machine-id(5) asks for a keyed hash). `None` of what is
/// no id, such as the `uninitialized` of an image that was never started.
fn identity(machine_id: &str) -> Option<String> {
    use std::fmt::Write;

    use sha2::{Digest, Sha256};

    let id = machine_id.trim();
    if id.len() != 32 || !id.chars().all(|c| c.is_ascii_hexdigit()) {
        return None;
    }
    let hash = Sha256::new()
        .chain_update("echolab machine\n")
        .chain_update(id)
        .finalize();
    let mut text = String::new();
    for byte in hash.iter().take(IDENTITY_BYTES) {
        let _ = write!(text, "{byte:02x}");
    }
    Some(text)
}

fn line(path: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

fn number(path: &str) -> Option<u64> {
    line(path)?.parse().ok()
}

/// Whether the kernel keeps track of connections of our own, over loopback; `None` when none could be made. That it could,
/// which a file in /proc shows as well, costs nothing; that a rule asks for it does.
fn connections_are_tracked() -> Option<bool> {
    let count = || number("/proc/sys/net/netfilter/nf_conntrack_count");
    let Some(before) = count() else {
        return Some(false);
    };
    let connect = |_| {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        // A firewall that drops what we send should not keep us.
        let client = TcpStream::connect_timeout(&listener.local_addr()?, Duration::from_secs(1))?;
        Ok((listener.accept()?, client))
    };
    let connections: io::Result<Vec<_>> = (0..CONNECTIONS_TRIED).map(connect).collect();
    connections
        .ok()
        .and_then(|_standing| Some(are_among(before, count()?)))
}

/// Entries that the kernel's connection tracking may have, and how many it has room for; `None` where there is none.
pub fn tracking() -> Option<(u64, u64)> {
    let most = number("/proc/sys/net/netfilter/nf_conntrack_max")?;
    let count = number("/proc/sys/net/netfilter/nf_conntrack_count")?;
    Some((most, most.saturating_sub(count)))
}

/// Whether our connections are among those that are tracked, from the counts before and with them. Those that are gone are
/// remembered for minutes, and others come and go meanwhile: most of ours should show.
fn are_among(before: u64, with: u64) -> bool {
    with >= before + CONNECTIONS_TRIED / 2
}

fn cpus() -> usize {
    let listed = line("/sys/devices/system/cpu/online").and_then(|text| text.parse::<CpuSet>().ok());
    listed.map_or_else(
        || std::thread::available_parallelism().map_or(1, usize::from),
        |cpus| cpus.len(),
    )
}

/// The sets of CPUs that share a physical core; none where the kernel does not say.
pub fn siblings() -> Vec<CpuSet> {
    thread_siblings(Path::new(CPU_FOLDER)).unwrap_or_default()
}

/// The sets of CPUs that share a physical core, from the kernel's folder of CPUs.
fn thread_siblings(folder: &Path) -> Option<Vec<CpuSet>> {
    let sets: BTreeSet<Vec<usize>> = fs::read_dir(folder)
        .ok()?
        .flatten()
        .filter_map(|entry| fs::read_to_string(entry.path().join("topology/thread_siblings_list")).ok())
        .filter_map(|text| Some(text.trim().parse::<CpuSet>().ok()?.iter().collect()))
        .collect();
    let several = sets.iter().filter(|set| set.len() > 1);
    let several = several.map(|set| set.iter().copied().collect());
    (!sets.is_empty()).then(|| several.collect())
}

fn cpu_field(name: &str) -> Option<String> {
    let text = fs::read_to_string("/proc/cpuinfo").ok()?;
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then(|| value.trim().to_owned())
    })
}

fn os() -> Option<String> {
    let text = fs::read_to_string("/etc/os-release").ok()?;
    text.lines()
        .find_map(|line| line.strip_prefix("PRETTY_NAME="))
        .map(|name| name.trim_matches('"').to_owned())
}

fn mitigations() -> BTreeMap<String, String> {
    let Ok(entries) = fs::read_dir("/sys/devices/system/cpu/vulnerabilities") else {
        return BTreeMap::new();
    };
    entries
        .flatten()
        .filter_map(|entry| {
            let state = line(entry.path().to_str()?)?;
            Some((entry.file_name().into_string().ok()?, state))
        })
        .collect()
}

fn container() -> String {
    if fs::metadata("/.dockerenv").is_ok() {
        return "docker".to_owned();
    }
    if fs::metadata("/run/.containerenv").is_ok() {
        return "podman".to_owned();
    }
    if std::env::var_os("KUBERNETES_SERVICE_HOST").is_some() {
        return "kubernetes".to_owned();
    }
    // Container managers tell it their children's first process.
    std::env::var("container").unwrap_or_else(|_| "none".to_owned())
}

fn virtualization() -> Option<String> {
    let guest = cpu_field("flags").is_some_and(|flags| flags.split(' ').any(|flag| flag == "hypervisor"));
    if let Some(kind) = line("/sys/hypervisor/type") {
        return Some(kind);
    }
    match line("/sys/class/dmi/id/sys_vendor") {
        Some(vendor) if guest => Some(vendor),
        _ => guest.then(|| "unnamed hypervisor".to_owned()),
    }
}

fn port_range() -> Option<(u16, u16)> {
    let text = line("/proc/sys/net/ipv4/ip_local_port_range")?;
    let mut ports = text.split_whitespace().map(str::parse);
    Some((ports.next()?.ok()?, ports.next()?.ok()?))
}

/// The lowest of the kernel's limits of threads and process numbers, and of the control group's.
fn threads_limit() -> Option<u64> {
    let cgroup = |path: &str| number(path);
    [
        number("/proc/sys/kernel/threads-max"),
        number("/proc/sys/kernel/pid_max"),
        cgroup("/sys/fs/cgroup/pids.max"),
        cgroup("/sys/fs/cgroup/pids/pids.max"),
    ]
    .into_iter()
    .flatten()
    .min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tracked_connections_show_among_others() {
        assert!(are_among(0, 8) && are_among(1_000, 1_008));
        assert!(are_among(1_000, 1_005), "three others went");
        assert!(!are_among(1_000, 1_000), "those of an earlier run are remembered");
        assert!(
            !are_among(1_000, 1_002) && !are_among(1_000, 900),
            "others come and go"
        );
    }

    #[test]
    fn this_machine_can_be_read() {
        let machine = read(None);
        assert!(machine.cpus >= 1 && machine.kernel.is_some());
        assert!(machine.memory_bytes.unwrap() > 1 << 20);
        assert!(machine.congestion_control.is_some() && machine.connections_tracked.is_some());
        let (first, last) = machine.port_range.unwrap();
        assert!(first < last);
    }

    #[test]
    fn an_identity_tells_machines_apart_and_not_their_ids() {
        let ids = [
            "b08dfa6083e7567a1921a715000001fb",
            "b08dfa6083e7567a1921a715000001fc",
        ];
        let [first, second] = ids.map(|id| identity(id).unwrap());
        assert_ne!(first, second);
        assert_eq!(
            identity(&format!("{}\n", ids[0])).unwrap(),
            first,
            "the file ends with a line feed"
        );
        // The same on every machine and with every version, or results would seem to be of other machines.
        assert_eq!(first, "719c222ed9b94b38");
        assert!(first.len() == 2 * IDENTITY_BYTES && !ids[0].contains(&first));
        for no_id in [
            "",
            "\n",
            "uninitialized\n",
            "b08dfa60",
            "zzzdfa6083e7567a1921a715000001fb",
        ] {
            assert_eq!(identity(no_id), None, "{no_id}");
        }
    }

    #[test]
    fn siblings_are_read_a_set_for_each_core() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(thread_siblings(folder.path()), None);
        let cpu = |cpu: usize, siblings: &str| {
            let topology = folder.path().join(format!("cpu{cpu}/topology"));
            fs::create_dir_all(&topology).unwrap();
            fs::write(topology.join("thread_siblings_list"), format!("{siblings}\n")).unwrap();
        };
        fs::create_dir(folder.path().join("cpufreq")).unwrap();
        cpu(4, "4");
        assert_eq!(thread_siblings(folder.path()), Some(vec![]));
        for (one, siblings) in [
            (0, "0,2"),
            (2, "0,2"),
            (1, "1,3"),
            (3, "1,3"),
            (10, "10-11"),
            (11, "10-11"),
        ] {
            cpu(one, siblings);
        }
        let siblings = thread_siblings(folder.path());
        let sets =
            |texts: &[&str]| -> Vec<CpuSet> { texts.iter().map(|text| text.parse().unwrap()).collect() };
        assert_eq!(siblings, Some(sets(&["0,2", "1,3", "10-11"])));
        let machine = Machine {
            thread_siblings: siblings,
            ..Machine::default()
        };
        let shared = |servers: &str, clients: &str| {
            let shared = machine.shared_cores(&servers.parse().unwrap(), &clients.parse().unwrap());
            shared.into_iter().cloned().collect::<Vec<_>>()
        };
        assert_eq!(shared("0-1", "2-3"), sets(&["0,2", "1,3"]));
        assert_eq!(shared("0,2", "1,3,10"), []);
        assert_eq!(shared("4,10", "11"), sets(&["10-11"]));
    }

    #[test]
    fn a_network_mode_that_was_told_stands() {
        assert_eq!(read(Some("host")).network, "host");
    }
}
