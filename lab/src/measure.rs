//! What a contender uses: read from its CPU clock and /proc when it runs here, scraped from its metrics when not.

use std::collections::BTreeMap;
use std::time::Duration;

use sys::cpu::CpuSet;
use telemetry::names;
use telemetry::process::{ContextSwitches, CpuModes, Memory};

/// Longer than any honest scrape, shorter than a user's patience.
const SCRAPE_TIMEOUT: Duration = Duration::from_secs(5);

/// What Go's official Prometheus client calls the number of heap objects ever allocated, and their bytes.
const GO_ALLOCATIONS: &str = "go_memstats_mallocs_total";
const GO_ALLOCATED_BYTES: &str = "go_memstats_alloc_bytes_total";

/// Where a contender's figures come from.
#[derive(Debug, Clone, Default)]
pub struct Source {
    /// Its process, when it runs on this machine and the lab started it.
    pub pid: Option<u32>,
    /// The URL of its metrics, if it has any.
    pub metrics: Option<String>,
}

/// What is read around every slice.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Reading {
    /// CPU time since its start.
    pub cpu_seconds: Option<f64>,
    /// Its memory and threads.
    pub memory: Option<Memory>,
}

/// What is read once before and once after all slices: reading it costs more, or is coarse.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Totals {
    /// CPU time in user mode and in all.
    pub cpu_modes: Option<(f64, f64)>,
    /// Voluntary context switches.
    pub voluntary_switches: Option<f64>,
    /// Allocations that it asked for.
    pub allocations: Option<f64>,
    /// Bytes of those allocations.
    pub allocated_bytes: Option<f64>,
    /// Message bytes that it read.
    pub received_bytes: Option<u64>,
    /// Message bytes that it wrote.
    pub sent_bytes: Option<u64>,
    /// Each of its epolls, by the name that it has in the metrics; empty when it shows none.
    pub epolls: BTreeMap<String, EpollTotals>,
}

/// What one epoll of a contender counts.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct EpollTotals {
    /// Events that said that a connection has bytes: one for each message, unless several wait at once.
    pub readable_events: f64,
    /// Connections that it watches; 0 when it does not say.
    pub connections: f64,
}

impl Source {
    /// CPU time alone: for the instant before a slice.
    pub fn cpu_seconds(&self) -> Option<f64> {
        match (self.pid, &self.metrics) {
            (Some(pid), _) => cpu_clock(pid),
            (None, Some(url)) => scrape(url).ok()?.value(names::CPU_SECONDS.name, &[]),
            (None, None) => None,
        }
    }

    /// CPU time first, then memory.
    pub fn read(&self) -> Reading {
        match (self.pid, &self.metrics) {
            (Some(pid), _) => Reading {
                cpu_seconds: cpu_clock(pid),
                memory: Memory::of(pid).ok(),
            },
            (None, Some(url)) => scrape(url).map_or_else(|_| Reading::default(), |text| text.reading()),
            (None, None) => Reading::default(),
        }
    }

    /// What its metrics say, completed from /proc when it runs here.
    pub fn totals(&self) -> Totals {
        let scraped = self.metrics.as_ref().and_then(|url| scrape(url).ok());
        let mut totals = scraped.map_or_else(Totals::default, |text| text.totals());
        if let Some(pid) = self.pid {
            if totals.cpu_modes.is_none()
                && let Ok(modes) = CpuModes::of(pid)
            {
                totals.cpu_modes = Some((modes.user_seconds, modes.user_seconds + modes.system_seconds));
            }
            if totals.voluntary_switches.is_none() {
                totals.voluntary_switches = ContextSwitches::of(pid)
                    .ok()
                    .map(|switches| switches.voluntary as f64);
            }
        }
        totals
    }
}

fn cpu_clock(pid: u32) -> Option<f64> {
    sys::clock::process_cpu_time(pid)
        .ok()
        .map(|time| time.as_secs_f64())
}

/// CPU time of the whole machine since it was started, over all CPUs.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct MachineCpu {
    /// Whatever program ran here. Interrupts are left out: most of them are the load's own, and no process is charged.
    pub busy_seconds: f64,
    /// What the hypervisor gave to other machines.
    pub stolen_seconds: f64,
}

impl MachineCpu {
    /// Reads /proc/stat, of these CPUs or of all; `None` where it cannot be read.
    pub fn now(cpus: Option<&CpuSet>) -> Option<MachineCpu> {
        let text = std::fs::read_to_string("/proc/stat").ok()?;
        let ticks = procfs::ticks_per_second() as f64;
        let Some(cpus) = cpus else {
            return MachineCpu::parse(text.lines().next()?, "cpu ", ticks);
        };
        let each = cpus.iter().map(|cpu| {
            let head = format!("cpu{cpu} ");
            let line = text.lines().find(|line| line.starts_with(&head))?;
            MachineCpu::parse(line, &head, ticks)
        });
        each.sum()
    }

    /// A line: user, nice, system, idle, iowait, irq, softirq, steal (proc_stat(5)), in ticks.
    fn parse(line: &str, head: &str, ticks_per_second: f64) -> Option<MachineCpu> {
        let ticks: Vec<f64> = line
            .strip_prefix(head)?
            .split_whitespace()
            .map_while(|word| word.parse().ok())
            .collect();
        let [user, nice, system, _idle, _iowait, _irq, _softirq, steal, ..] = ticks[..] else {
            return None;
        };
        Some(MachineCpu {
            busy_seconds: (user + nice + system) / ticks_per_second,
            stolen_seconds: steal / ticks_per_second,
        })
    }
}

impl std::iter::Sum for MachineCpu {
    fn sum<I: Iterator<Item = MachineCpu>>(each: I) -> MachineCpu {
        each.fold(MachineCpu::default(), |sum, cpu| MachineCpu {
            busy_seconds: sum.busy_seconds + cpu.busy_seconds,
            stolen_seconds: sum.stolen_seconds + cpu.stolen_seconds,
        })
    }
}

/// A scrape: Prometheus' text format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exposition(String);

/// Fetches metrics.
///
/// # Errors
/// In plain words: nothing listens, no answer in time, no success, no text.
pub fn scrape(url: &str) -> Result<Exposition, String> {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_global(Some(SCRAPE_TIMEOUT))
        .build()
        .into();
    let fetched = agent
        .get(url)
        .call()
        .and_then(|mut response| response.body_mut().read_to_string());
    fetched
        .map(Exposition)
        .map_err(|error| format!("cannot scrape {url}: {error}"))
}

impl Exposition {
    /// The text as it came.
    #[cfg(test)]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The sum of all samples of a metric that carry these labels; `None` when there is none.
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let carried = self.samples(name).filter(|sample| sample.carries(labels));
        carried.fold(None, |sum, sample| Some(sum.unwrap_or(0.0) + sample.value))
    }

    /// The samples of a metric that carry these labels, summed by the value of another label.
    fn by_label(&self, name: &str, labels: &[(&str, &str)], by: &str) -> BTreeMap<String, f64> {
        let mut sums = BTreeMap::new();
        for sample in self.samples(name).filter(|sample| sample.carries(labels)) {
            if let Some(value) = sample.label(by) {
                *sums.entry(value.to_owned()).or_default() += sample.value;
            }
        }
        sums
    }

    /// All samples of a metric.
    fn samples<'a>(&'a self, name: &str) -> impl Iterator<Item = Sample<'a>> {
        self.0.lines().filter_map(move |line| {
            let rest = line.strip_prefix(name)?;
            let (labels, value) = match rest.strip_prefix('{') {
                Some(rest) => rest.rsplit_once('}')?,
                None if rest.starts_with(char::is_whitespace) => ("", rest),
                None => return None,
            };
            let value = value.split_whitespace().next()?.parse().ok()?;
            Some(Sample { labels, value })
        })
    }

    /// The value of the first of these metrics that is there.
    fn first(&self, names: &[&str]) -> Option<f64> {
        names.iter().find_map(|name| self.value(name, &[]))
    }

    fn reading(&self) -> Reading {
        let whole = |metric: &names::Metric| self.value(metric.name, &[]).map(|value| value as u64);
        Reading {
            cpu_seconds: self.value(names::CPU_SECONDS.name, &[]),
            memory: whole(&names::RESIDENT_MEMORY).map(|resident_bytes| Memory {
                resident_bytes,
                virtual_bytes: whole(&names::VIRTUAL_MEMORY).unwrap_or(0),
                shared_bytes: whole(&names::SHARED_MEMORY).unwrap_or(0),
                threads: whole(&names::THREADS).unwrap_or(0),
            }),
        }
    }

    /// Each epoll's totals, as far as its events are shown.
    fn epolls(&self) -> BTreeMap<String, EpollTotals> {
        let readable = [("kind", "readable")];
        let events = self.by_label(names::EPOLL_EVENTS.name, &readable, "epoll");
        let connections = self.by_label(names::EPOLL_CONNECTIONS.name, &[], "epoll");
        let totals = events.into_iter().map(|(epoll, readable_events)| {
            let connections = connections.get(&epoll).copied().unwrap_or(0.0);
            let totals = EpollTotals {
                readable_events,
                connections,
            };
            (epoll, totals)
        });
        totals.collect()
    }

    fn totals(&self) -> Totals {
        let mode = |mode| self.value(names::CPU_MODE_SECONDS.name, &[("mode", mode)]);
        Totals {
            cpu_modes: mode("user")
                .zip(mode("system"))
                .map(|(user, system)| (user, user + system)),
            voluntary_switches: self.value(names::CONTEXT_SWITCHES.name, &[("kind", "voluntary")]),
            allocations: self.first(&[names::ALLOCATIONS.name, GO_ALLOCATIONS]),
            allocated_bytes: self.first(&[names::ALLOCATION_BYTES.name, GO_ALLOCATED_BYTES]),
            received_bytes: self
                .value(names::RECEIVED_BYTES.name, &[])
                .map(|bytes| bytes as u64),
            sent_bytes: self.value(names::SENT_BYTES.name, &[]).map(|bytes| bytes as u64),
            epolls: self.epolls(),
        }
    }
}

/// One line of a scrape.
struct Sample<'a> {
    /// What stands in the braces.
    labels: &'a str,
    value: f64,
}

impl<'a> Sample<'a> {
    fn label(&self, name: &str) -> Option<&'a str> {
        let mut labels = self.labels.split(',');
        labels.find_map(|label| {
            let value = label.trim().strip_prefix(name)?.strip_prefix("=\"")?;
            value.strip_suffix('"')
        })
    }

    fn carries(&self, labels: &[(&str, &str)]) -> bool {
        labels.iter().all(|(name, value)| self.label(name) == Some(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
# HELP process_cpu_seconds_total User and system CPU time in seconds.
# TYPE process_cpu_seconds_total counter
process_cpu_seconds_total 12.5
process_cpu_seconds_total_more 99
process_resident_memory_bytes 4.096e+06
echolab_cpu_seconds_total{mode=\"user\"} 2.5
echolab_cpu_seconds_total{mode=\"system\"} 10
echolab_context_switches_total{kind=\"voluntary\"} 7
echolab_context_switches_total{kind=\"involuntary\"} 100
echolab_received_bytes_total 100
echolab_epoll_waits_total{epoll=\"0\"} 3 1700000000000
echolab_epoll_waits_total{epoll=\"1\"} 4
";

    #[test]
    fn figures_are_found_by_name_and_label() {
        let text = Exposition(TEXT.to_owned());
        assert_eq!(text.value("echolab_epoll_waits_total", &[]), Some(7.0));
        assert_eq!(
            text.value("echolab_epoll_waits_total", &[("epoll", "1")]),
            Some(4.0)
        );
        assert_eq!(text.value("nothing", &[]), None);
        let reading = text.reading();
        assert_eq!(reading.cpu_seconds, Some(12.5));
        assert_eq!(reading.memory.unwrap().resident_bytes, 4_096_000);
        let totals = text.totals();
        assert_eq!(totals.cpu_modes, Some((2.5, 12.5)));
        assert_eq!(totals.voluntary_switches, Some(7.0));
        assert_eq!((totals.received_bytes, totals.sent_bytes), (Some(100), None));
        assert_eq!((totals.allocations, totals.allocated_bytes), (None, None));
    }

    #[test]
    fn each_epoll_has_its_figures() {
        let text = "\
echolab_epoll_connections{epoll=\"0\"} 12
echolab_epoll_connections{epoll=\"1\"} 8
echolab_epoll_events_total{epoll=\"0\",kind=\"accept\"} 70
echolab_epoll_events_total{epoll=\"0\",kind=\"readable\"} 600
echolab_epoll_events_total{epoll=\"1\",kind=\"readable\"} 400
echolab_epoll_events_total{epoll=\"late\",kind=\"readable\"} 1
";
        let epolls = Exposition(text.to_owned()).totals().epolls;
        let found = |epoll: &str| (epolls[epoll].readable_events, epolls[epoll].connections);
        assert_eq!(found("0"), (600.0, 12.0));
        assert_eq!(found("1"), (400.0, 8.0));
        assert_eq!(found("late"), (1.0, 0.0));
        assert_eq!(epolls.len(), 3);
        assert!(Exposition(TEXT.to_owned()).totals().epolls.is_empty());
    }

    #[test]
    fn allocations_are_found_in_our_words_and_in_gos() {
        for (text, found) in [
            (
                "echolab_allocations_total 3\necholab_allocation_bytes_total 64\n",
                (3.0, 64.0),
            ),
            (
                "go_memstats_mallocs_total 5\ngo_memstats_alloc_bytes_total 1.04e+03\n",
                (5.0, 1_040.0),
            ),
        ] {
            let totals = Exposition(text.to_owned()).totals();
            assert_eq!(
                totals.allocations.zip(totals.allocated_bytes),
                Some(found),
                "{text}"
            );
        }
    }

    #[test]
    fn this_process_can_be_read_by_its_number() {
        let source = Source {
            pid: Some(std::process::id()),
            metrics: None,
        };
        let reading = source.read();
        assert!(reading.cpu_seconds.unwrap() > 0.0 && reading.memory.unwrap().resident_bytes > 0);
        let totals = source.totals();
        assert!(totals.voluntary_switches.is_some() && totals.cpu_modes.is_some());
        assert_eq!(totals.received_bytes, None);
    }

    #[test]
    fn the_machines_cpu_is_read_line_by_line() {
        let line = "cpu  100 20 30 4000 50 6 7 80 0 0";
        let cpu = MachineCpu::parse(line, "cpu ", 100.0).unwrap();
        assert_eq!((cpu.busy_seconds, cpu.stolen_seconds), (1.5, 0.8));
        assert_eq!(MachineCpu::parse("nonsense", "cpu ", 100.0), None);
        let all = MachineCpu::now(None).unwrap();
        let first = MachineCpu::now(Some(&"0".parse().unwrap())).unwrap();
        assert!(all.busy_seconds > 0.0 && first.busy_seconds > 0.0);
        assert_eq!(MachineCpu::now(Some(&"1023".parse().unwrap())), None);
    }

    #[test]
    fn nothing_to_read_from_is_no_error() {
        let source = Source::default();
        assert_eq!(source.read(), Reading::default());
        assert_eq!(source.totals(), Totals::default());
        assert!(
            scrape("http://127.0.0.1:1/metrics")
                .unwrap_err()
                .contains("127.0.0.1:1")
        );
    }
}
