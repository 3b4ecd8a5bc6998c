//! How it was measured and on what: what every format says of it.

use super::figures::{mebibytes, or_missing};
use model::config::Config;
use model::machine::Machine;
use model::result::LabResult;
use model::scenario::{Load, Scenario};
use model::statistics;
use model::threshold::CONNECTIONS_THAT_WEIGH;
use sys::cpu::CpuSet;

/// The columns of the clients' table.
pub const CLIENT_COLUMNS: [&str; 6] = [
    "contender",
    "busy %",
    "without a CPU %",
    "send lag p99 µs",
    "CPU µs/msg",
    "user share of the server's CPU",
];

/// What each contender's client used: whether it was the bottleneck.
pub fn client_rows(result: &LabResult, scenario: &str) -> Vec<[String; CLIENT_COLUMNS.len()]> {
    let row = |run: &model::run::Run| {
        let cost = run.client.cpu_micros_per_message;
        let user = run.server.cpu_user_share;
        let waited: Vec<f64> = run
            .cycles()
            .filter_map(|cycle| cycle.client_waited_share)
            .collect();
        let waited = statistics::median(&waited);
        [
            run.contender.clone(),
            format!("{:.0}", run.client.busy_share * 100.0),
            or_missing(waited, |share| format!("{:.0}", share * 100.0)),
            format!("{:.0}", run.client.send_lag_micros_p99),
            or_missing(cost, |micros| format!("{micros:.2}")),
            or_missing(user, |share| format!("{:.0} %", share * 100.0)),
        ]
    };
    result.runs_of(scenario).map(row).collect()
}

/// The method in a paragraph.
pub fn method(config: &Config) -> String {
    let cpus = match (config.cpus.server(), config.cpus.client()) {
        (Some(server), Some(client)) => format!("servers on CPUs {server}, clients on CPUs {client}"),
        _ => "nobody pinned to CPUs".to_owned(),
    };
    let open = |scenario: &Scenario| matches!(scenario.pace, Load::Open { .. });
    let offered = match (
        config.scenarios.iter().any(open),
        config.scenarios.iter().all(open),
    ) {
        (true, true) => ", all at the same offered rate",
        (true, false) => {
            ", in open loops all at the same offered rate, in closed ones each as fast as its replies come"
        }
        (false, _) => ", each as fast as its replies come",
    };
    format!(
        "Every server and every client is a process of its own ({cpus}; {} worker(s) for each server). In a round all contenders of a \
         scenario are up with their connections established before the first slice. Then one at a time is under load, in \
         an order that changes from cycle to cycle{offered}. Figures are medians over cycles; \
         quantiles come from the sum of all cycles' histograms; response time counts from when a request was due. CPU is \
         the server's user and system time over slice and drain. In each round all servers and clients are started \
         afresh, in another order (seed {}). A ratio is formed within each cycle. A round's ratio is the median of its cycles'. \
         Shown is the mean over rounds. Its 95 % interval comes from how rounds differ, so one round has none. Of 20 such \
         intervals one misses by chance. A run that is not ok is left out of ratios. \
         Capacity is what a closed loop without think \
         time reached before the measurement. Wake-ups are voluntary context switches of the server. The user share is \
         in the kernel's ticks, so coarse. Resident memory per connection is what a server's memory grew by, over its \
         connections; it is shown from {CONNECTIONS_THAT_WEIGH} connections on, because over fewer the allocator's noise and \
         the load's own buffers weigh more than they. Every reply was checked byte by byte.",
        config.workers, config.seed
    )
}

/// The machine, fact by fact.
pub fn machine(machine: &Machine) -> Vec<(&'static str, String)> {
    let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "not known".to_owned());
    let number = |value: Option<u64>| value.map_or_else(|| "not known".to_owned(), |value| value.to_string());
    let ports = machine.port_range.map_or_else(
        || "not known".to_owned(),
        |(first, last)| format!("{first} to {last}"),
    );
    let vulnerable: Vec<_> = machine
        .mitigations
        .iter()
        .filter(|(_, state)| *state != "Not affected")
        .map(|(name, state)| format!("{name}: {state}"))
        .collect();
    vec![
        ("machine", text(&machine.identity)),
        ("CPU", text(&machine.cpu_model)),
        (
            "CPUs (those that the lab may use)",
            format!(
                "{} ({})",
                machine.cpus,
                text(&machine.cpus_allowed.as_ref().map(CpuSet::to_string))
            ),
        ),
        (
            "CPUs that share a physical core",
            or_none(machine.thread_siblings.as_deref()),
        ),
        (
            "memory",
            machine.memory_bytes.map_or_else(
                || "not known".to_owned(),
                |bytes| format!("{} MiB", mebibytes(bytes as f64)),
            ),
        ),
        ("kernel", text(&machine.kernel)),
        ("system", text(&machine.os)),
        ("virtualization", text(&machine.virtualization)),
        ("clock rate governor", text(&machine.governor)),
        ("mitigations", vulnerable.join("; ")),
        ("container", machine.container.clone()),
        ("network", machine.network.clone()),
        (
            "connection tracking",
            match machine.connections_tracked {
                Some(true) => "active",
                Some(false) => "none",
                None => "not known",
            }
            .to_owned(),
        ),
        ("congestion control", text(&machine.congestion_control)),
        ("descriptors, hard limit", number(machine.nofile_limit)),
        ("threads, limit", number(machine.threads_limit)),
        ("mappings, limit", number(machine.mappings_limit)),
        ("somaxconn", number(machine.somaxconn)),
        ("ephemeral ports", ports),
        (
            "load average at the start",
            machine
                .load_average
                .map_or_else(|| "not known".to_owned(), |load| format!("{load:.2}")),
        ),
    ]
}

fn or_none(siblings: Option<&[CpuSet]>) -> String {
    match siblings {
        None => "not known".to_owned(),
        Some([]) => "none".to_owned(),
        Some(sets) => sets.iter().map(CpuSet::to_string).collect::<Vec<_>>().join("; "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    #[test]
    fn a_rate_is_offered_in_open_loops_alone() {
        let mut config = fixture::result().config;
        let closed = Load::Closed { think_time_micros: 0 };
        let same = "all at the same offered rate";
        assert!(method(&config).contains(same) && !method(&config).contains("as fast as its replies"));
        config.scenarios[0].pace = closed;
        assert!(method(&config).contains(&format!("in open loops {same}, in closed ones each as fast")));
        config.scenarios[1].pace = closed;
        assert!(!method(&config).contains(same), "{}", method(&config));
    }
}
