//! Before the first connection: do descriptors and ports suffice, here and (where it can be known) at the server?

use std::net::{IpAddr, SocketAddr, UdpSocket};

use procfs::net::{TcpNetEntry, TcpState};
use procfs::process::{FDTarget, LimitValue, Process};
use sys::limits;

use crate::cli::{self, Config, Sources};
use crate::failure::Failure;

/// Descriptors beside the connections: standard streams, the exporter.
const OWN_DESCRIPTORS: u64 = 32;
/// Servers that may hold as many are not looked at: every usual limit suffices for them.
const FEW_CONNECTIONS: u64 = 500;

/// Raises the soft limit of descriptors, and checks the need against every limit that is known. Returns the source
/// addresses to use; none for the system's choice.
///
/// # Errors
/// Which limit is too low, on which side, and what to change.
pub fn check(config: &Config) -> Result<Vec<IpAddr>, Failure> {
    let need = config.connections as u64;
    descriptors(need + 3 * config.threads as u64 + OWN_DESCRIPTORS, need)?;
    let ports = port_range().map_or(u64::MAX, |(first, last)| u64::from(last - first) + 1);
    let sources = choose_sources(&config.sources, config.address, need, ports)?;
    if let Sources::Listed(listed) = &config.sources {
        usable(listed)?;
    }
    if need > FEW_CONNECTIONS && is_here(config.address) {
        servers_descriptors(config.address, need)?;
    }
    Ok(sources)
}

fn descriptors(need: u64, connections: u64) -> Result<(), Failure> {
    let limit = limits::raise_descriptor_limit()
        .map_err(|error| Failure::runtime(format!("the limit of descriptors cannot be raised: {error}")))?;
    if need <= limit.soft {
        return Ok(());
    }
    Err(Failure::input(format!(
        "--connections {connections} need {need} descriptors, but this client may open {} at most (hard limit): raise \
         the limit where it is started (ulimit -Hn {need}, LimitNOFILE= or --ulimit nofile={need}), or use fewer",
        limit.hard
    )))
}

/// The ports that the system gives to outgoing connections: first and last. `None` when /proc does not say.
fn port_range() -> Option<(u16, u16)> {
    let text = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok()?;
    let mut numbers = text.split_whitespace().map(str::parse);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(first)), Some(Ok(last))) if first <= last => Some((first, last)),
        _ => None,
    }
}

/// Pure: which source addresses give `need` connections to `target`, with `ports` for each address.
fn choose_sources(
    wanted: &Sources,
    target: SocketAddr,
    need: u64,
    ports: u64,
) -> Result<Vec<IpAddr>, Failure> {
    let short = |addresses: u64, remedy: &str| {
        let have = addresses.saturating_mul(ports);
        Failure::input(format!(
            "--connections {need} need as many source ports, but this client's {addresses} source address(es) have \
             {have} (net.ipv4.ip_local_port_range: {ports} each): {remedy}, or widen that range, or use fewer"
        ))
    };
    match wanted {
        Sources::Listed(listed) if need > ports.saturating_mul(listed.len() as u64) => {
            Err(short(listed.len() as u64, "give more --sources"))
        }
        Sources::Listed(listed) => Ok(listed.clone()),
        Sources::ByNeed if matches!(target.ip(), IpAddr::V4(ip) if ip.is_loopback()) => {
            // A tenth is left to everybody else, and to ports that linger after a close.
            let count = need.div_ceil((ports - ports / 10).max(1));
            match count {
                0 | 1 => Ok(Vec::new()),
                2..=254 => Ok(cli::loopback(count as usize)),
                _ => Err(short(254, "start several clients")),
            }
        }
        Sources::ByNeed if need > ports => Err(short(
            1,
            "give this machine several addresses and list them with --sources",
        )),
        Sources::ByNeed => Ok(Vec::new()),
    }
}

/// Every source address must be one of this machine's.
fn usable(sources: &[IpAddr]) -> Result<(), Failure> {
    for source in sources {
        UdpSocket::bind((*source, 0)).map_err(|error| {
            Failure::input(format!(
                "--sources {source} cannot be used ({error}): list addresses that this machine has"
            ))
        })?;
    }
    Ok(())
}

/// Whether an address is this machine's own: only then can a socket be bound to it.
fn is_here(address: SocketAddr) -> bool {
    UdpSocket::bind((address.ip(), 0)).is_ok()
}

/// Looks for the processes that listen at `target` and adds up how many more descriptors they may open. What cannot be
/// read (another user's process, another container's) is taken to suffice.
fn servers_descriptors(target: SocketAddr, need: u64) -> Result<(), Failure> {
    let inodes = listeners(target);
    let Ok(processes) = procfs::process::all_processes() else {
        return Ok(());
    };
    let (mut room, mut found) = (0, Vec::new());
    for process in processes.flatten().filter(|process| holds_any(process, &inodes)) {
        let (Ok(limits), Ok(open)) = (process.limits(), process.fd_count()) else {
            return Ok(());
        };
        let LimitValue::Value(limit) = limits.max_open_files.soft_limit else {
            return Ok(());
        };
        room += limit.saturating_sub(open as u64);
        if room >= need {
            return Ok(());
        }
        let name = process.stat().map_or_else(|_| "?".to_owned(), |stat| stat.comm);
        found.push(format!(
            "{name}, process {}, may open {limit} and has {open} open",
            process.pid
        ));
    }
    match found.as_slice() {
        [] => Ok(()),
        found => Err(Failure::input(format!(
            "--connections {need} need as many descriptors at the server {target}, which has room for {room} more ({}): \
             raise the limit where the server is started (ulimit -n, LimitNOFILE= or --ulimit nofile=), or use fewer",
            found.join("; ")
        ))),
    }
}

/// The sockets that listen at `target`, by inode.
fn listeners(target: SocketAddr) -> Vec<u64> {
    let matches = |entry: &TcpNetEntry| {
        let local = entry.local_address;
        entry.state == TcpState::Listen
            && local.port() == target.port()
            && (local.ip().is_unspecified() || local.ip().to_canonical() == target.ip())
    };
    let tables = [procfs::net::tcp(), procfs::net::tcp6()];
    tables
        .into_iter()
        .flatten()
        .flatten()
        .filter(matches)
        .map(|entry| entry.inode)
        .collect()
}

fn holds_any(process: &Process, inodes: &[u64]) -> bool {
    let Ok(descriptors) = process.fd() else {
        return false;
    };
    descriptors
        .flatten()
        .any(|descriptor| matches!(descriptor.target, FDTarget::Socket(inode) if inodes.contains(&inode)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_sources_follow_the_need() {
        let target = "127.0.0.1:8888".parse().unwrap();
        let count =
            |need| choose_sources(&Sources::ByNeed, target, need, 28_232).map(|sources| sources.len());
        assert_eq!(count(10_000), Ok(0));
        assert_eq!(count(25_409), Ok(0));
        assert_eq!(count(25_410), Ok(2));
        assert_eq!(count(1_000_000), Ok(40));
        let error = count(10_000_000).unwrap_err().to_string();
        assert!(
            error.contains("10000000") && error.contains("several clients"),
            "{error}"
        );
    }

    #[test]
    fn too_few_ports_are_named_with_their_limit() {
        let far = "192.0.2.1:8888".parse().unwrap();
        assert_eq!(
            choose_sources(&Sources::ByNeed, far, 28_232, 28_232),
            Ok(Vec::new())
        );
        let listed = Sources::Listed(cli::loopback(2));
        assert_eq!(
            choose_sources(&listed, far, 56_464, 28_232).map(|sources| sources.len()),
            Ok(2)
        );
        for (sources, need) in [(Sources::ByNeed, 28_233), (listed, 56_465)] {
            let error = choose_sources(&sources, far, need, 28_232).unwrap_err();
            let text = error.to_string();
            assert!(
                text.contains("ip_local_port_range") && text.contains(&need.to_string()),
                "{text}"
            );
            assert!(matches!(error, Failure::Input(_)));
        }
    }

    #[test]
    fn this_process_is_found_as_the_server_that_it_is() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        assert_eq!(listeners(address).len(), 1);
        let error = servers_descriptors(address, u64::MAX).unwrap_err().to_string();
        assert!(
            error.contains(&format!("process {}", std::process::id())),
            "{error}"
        );
        assert_eq!(servers_descriptors(address, 1), Ok(()));
    }
}
