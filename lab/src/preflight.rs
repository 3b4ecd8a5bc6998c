//! Pure: does this machine's limits suffice for a scenario? Told before the first connection, with the remedy.

use crate::contender::capabilities;
use model::contender::{Contender, Origin};
use model::machine::Machine;
use model::scenario::Scenario;
use server::engine::Threads;

/// Descriptors that a server or client needs beside its connections.
const DESCRIPTORS_BESIDE: u64 = 64;
/// Threads and mappings that everything else on this machine and in the server needs.
const THREADS_BESIDE: u64 = 200;
/// A thread's stack and the guard below it.
const MAPPINGS_PER_THREAD: u64 = 2;

/// Why a contender cannot take part in a scenario, and what to change; `None` when nothing speaks against it.
pub fn obstacle(contender: &Contender, scenario: &Scenario, machine: &Machine) -> Option<String> {
    let connections = scenario.connections;
    let needed = connections + DESCRIPTORS_BESIDE;
    if let Some(limit) = machine.nofile_limit
        && limit < needed
    {
        let side = match contender.origin {
            Origin::Running { .. } => "the client",
            _ => "the client, and the server likewise,",
        };
        return Some(format!(
            "{connections} connections need {needed} descriptors on {side} but the hard limit is {limit}: raise it (`ulimit -Hn {needed}`, or `nofile` in /etc/security/limits.conf), or choose fewer --connections"
        ));
    }
    if capabilities(contender).threads != Threads::PerConnection {
        return None;
    }
    let threads = connections + THREADS_BESIDE;
    if let Some(limit) = machine.threads_limit
        && limit < threads
    {
        return Some(format!(
            "a thread for each of {connections} connections needs {threads} threads, but this machine allows {limit}: raise kernel.threads-max, kernel.pid_max and the control group's pids.max, or choose fewer --connections"
        ));
    }
    let mappings = connections * MAPPINGS_PER_THREAD + THREADS_BESIDE;
    if let Some(limit) = machine.mappings_limit
        && limit < mappings
    {
        return Some(format!(
            "the stacks of {connections} threads need {mappings} memory mappings, but a process may have {limit}: raise vm.max_map_count (`sysctl vm.max_map_count={mappings}`), or choose fewer --connections"
        ));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(connections: u64, change: impl Fn(&mut Machine)) -> [Option<String>; 2] {
        let mut machine = Machine {
            nofile_limit: Some(20_000),
            threads_limit: Some(30_000),
            mappings_limit: Some(65_530),
            ..Machine::default()
        };
        change(&mut machine);
        let mut scenario = crate::scenarios::find("many").unwrap();
        scenario.connections = connections;
        ["epoll", "threads"].map(|engine| obstacle(&Contender::engine(engine), &scenario, &machine))
    }

    #[test]
    fn ten_thousand_fit() {
        assert_eq!(with(10_000, |_| {}), [None, None]);
    }

    #[test]
    fn too_few_descriptors_stop_everyone() {
        for why in with(19_990, |_| {}) {
            let why = why.unwrap();
            assert!(
                why.contains("20054 descriptors") && why.contains("20000"),
                "{why}"
            );
        }
    }

    #[test]
    fn too_few_threads_or_mappings_stop_threads_alone() {
        let [epoll, threads] = with(10_000, |machine| machine.threads_limit = Some(10_100));
        assert_eq!(epoll, None);
        assert!(threads.unwrap().contains("10200 threads"));
        let [epoll, threads] = with(10_000, |machine| machine.mappings_limit = Some(20_000));
        assert_eq!(epoll, None);
        assert!(threads.unwrap().contains("vm.max_map_count=20200"));
    }

    #[test]
    fn what_is_unknown_stops_nobody() {
        let unknown = with(1_000_000, |machine| *machine = Machine::default());
        assert_eq!(unknown, [None, None]);
    }
}
