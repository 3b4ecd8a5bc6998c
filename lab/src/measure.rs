//! What a contender uses, and how a page of metrics says so. The lab believes no number that makes no sense.

use std::collections::BTreeMap;
use std::time::Duration;

use sys::cpu::CpuSet;
use telemetry::names;
use telemetry::process::Memory;

/// Longer than any honest scrape, shorter than a user's patience.
const SCRAPE_TIMEOUT: Duration = Duration::from_secs(2);
/// No counter or gauge that the lab reads is larger.
const VALUE_MAX: f64 = 1e18;

/// What Go's official Prometheus client calls the number of heap objects ever allocated, and their bytes.
const GO_ALLOCATIONS: &str = "go_memstats_mallocs_total";
const GO_ALLOCATED_BYTES: &str = "go_memstats_alloc_bytes_total";

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
    /// When its process started, in seconds since 1970; only a metrics page tells.
    pub started_at: Option<f64>,
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

/// CPU time of the whole machine since it was started, over all CPUs.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct MachineCpu {
    /// Whatever program ran here. Interrupts are left out: most of them are the load's own, and no process is charged.
    pub busy_seconds: f64,
    /// What the hypervisor gave to other machines.
    pub stolen_seconds: f64,
    /// When nothing ran: idle, waiting for a disk, or stolen. The kernel counts idle time exactly, and not by ticks.
    pub away_seconds: f64,
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
        let [user, nice, system, idle, iowait, _irq, _softirq, steal, ..] = ticks[..] else {
            return None;
        };
        Some(MachineCpu {
            busy_seconds: (user + nice + system) / ticks_per_second,
            stolen_seconds: steal / ticks_per_second,
            away_seconds: (idle + iowait + steal) / ticks_per_second,
        })
    }
}

impl std::iter::Sum for MachineCpu {
    fn sum<I: Iterator<Item = MachineCpu>>(each: I) -> MachineCpu {
        each.fold(MachineCpu::default(), |sum, cpu| MachineCpu {
            busy_seconds: sum.busy_seconds + cpu.busy_seconds,
            stolen_seconds: sum.stolen_seconds + cpu.stolen_seconds,
            away_seconds: sum.away_seconds + cpu.away_seconds,
        })
    }
}

/// A scrape: Prometheus' text format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exposition(String);

/// Why a page of metrics could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScrapeError {
    /// It did not answer in time.
    #[error("{0} did not answer within {limit} s", limit = SCRAPE_TIMEOUT.as_secs())]
    Silent(String),
    /// It answered, and not with metrics; or nothing listens there.
    #[error("{0}")]
    Refused(String),
}

/// Fetches metrics.
///
/// # Errors
/// With the address: nothing listens, no answer in time, no success, no text.
pub fn scrape(url: &str) -> Result<Exposition, ScrapeError> {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_global(Some(SCRAPE_TIMEOUT))
        .build()
        .into();
    let fetched = agent
        .get(url)
        .call()
        .and_then(|mut response| response.body_mut().read_to_string());
    fetched.map(Exposition).map_err(|error| match error {
        ureq::Error::Timeout(_) => ScrapeError::Silent(url.to_owned()),
        ureq::Error::StatusCode(status) => {
            ScrapeError::Refused(format!("{url} answered with status {status}"))
        }
        error => ScrapeError::Refused(format!("{url} cannot be read: {error}")),
    })
}

impl Exposition {
    /// The text as it came.
    #[cfg(test)]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first sample that the lab would read and that is no finite number from 0 up.
    pub fn fault(&self) -> Option<String> {
        let read = READ.iter().map(|metric| metric.name);
        let mut values = read
            .chain([GO_ALLOCATIONS, GO_ALLOCATED_BYTES])
            .flat_map(|name| self.raw(name).map(move |(_, value)| (name, value)));
        let (name, value) = values.find(|(_, value)| sound(value).is_none())?;
        Some(format!(
            "{name} is {value}, not a finite number from 0 to {VALUE_MAX:e}"
        ))
    }

    /// What stands in its first line, shortened.
    pub fn first_line(&self) -> String {
        let line = self.0.lines().find(|line| !line.trim().is_empty());
        line.unwrap_or("").trim().chars().take(60).collect()
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

    /// All samples of a metric whose value makes sense.
    fn samples<'a>(&'a self, name: &str) -> impl Iterator<Item = Sample<'a>> {
        self.raw(name).filter_map(|(labels, value)| {
            let value = sound(value)?;
            Some(Sample { labels, value })
        })
    }

    /// Labels and value of all samples of a metric, as they stand there.
    fn raw<'a>(&'a self, name: &str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.0.lines().filter_map(move |line| {
            let rest = line.strip_prefix(name)?;
            let (labels, value) = match rest.strip_prefix('{') {
                Some(rest) => rest.rsplit_once('}')?,
                None if rest.starts_with(char::is_whitespace) => ("", rest),
                None => return None,
            };
            Some((labels, value.split_whitespace().next().unwrap_or("")))
        })
    }

    /// The value of the first of these metrics that is there.
    fn first(&self, names: &[&str]) -> Option<f64> {
        names.iter().find_map(|name| self.value(name, &[]))
    }

    /// What is read around every slice.
    pub fn reading(&self) -> Reading {
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

    /// What is read once before and once after all slices.
    pub fn totals(&self) -> Totals {
        let mode = |mode| self.value(names::CPU_MODE_SECONDS.name, &[("mode", mode)]);
        Totals {
            started_at: self.value(names::START_TIME.name, &[]),
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

/// Every metric that the lab reads from a page.
const READ: [&names::Metric; 13] = [
    &names::CPU_SECONDS,
    &names::CPU_MODE_SECONDS,
    &names::RESIDENT_MEMORY,
    &names::VIRTUAL_MEMORY,
    &names::SHARED_MEMORY,
    &names::THREADS,
    &names::START_TIME,
    &names::CONTEXT_SWITCHES,
    &names::ALLOCATIONS,
    &names::ALLOCATION_BYTES,
    &names::RECEIVED_BYTES,
    &names::SENT_BYTES,
    &names::EPOLL_EVENTS,
];

/// A value that a counter or gauge may have.
fn sound(text: &str) -> Option<f64> {
    let value: f64 = text.parse().ok()?;
    (0.0..=VALUE_MAX).contains(&value).then_some(value)
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
    fn what_is_no_number_is_refused_with_its_name() {
        for value in ["NaN", "+Inf", "-1", "1e300", "twelve", ""] {
            let text = Exposition(format!(
                "process_cpu_seconds_total {value}\nprocess_resident_memory_bytes 4096\n"
            ));
            let fault = text.fault().unwrap();
            assert!(
                fault.starts_with(&format!("process_cpu_seconds_total is {value}")),
                "{fault}"
            );
            let reading = text.reading();
            assert_eq!(reading.cpu_seconds, None, "{value}");
            assert_eq!(reading.memory.unwrap().resident_bytes, 4096);
        }
        assert_eq!(Exposition(TEXT.to_owned()).fault(), None);
        // What the lab does not read may be what it likes.
        assert_eq!(Exposition("temperature NaN\n".to_owned()).fault(), None);
        assert_eq!(Exposition("\n <html>\n".to_owned()).first_line(), "<html>");
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
    fn the_machines_cpu_is_read_line_by_line() {
        let line = "cpu  100 20 30 4000 50 6 7 80 0 0";
        let cpu = MachineCpu::parse(line, "cpu ", 100.0).unwrap();
        assert_eq!(
            (cpu.busy_seconds, cpu.stolen_seconds, cpu.away_seconds),
            (1.5, 0.8, 41.3)
        );
        assert_eq!(MachineCpu::parse("nonsense", "cpu ", 100.0), None);
        let all = MachineCpu::now(None).unwrap();
        let first = MachineCpu::now(Some(&"0".parse().unwrap())).unwrap();
        assert!(all.busy_seconds > 0.0 && first.busy_seconds > 0.0);
        assert_eq!(MachineCpu::now(Some(&"1023".parse().unwrap())), None);
    }
}
