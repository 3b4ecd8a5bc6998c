//! What can be said of a run in a number: name, how it is taken, whether contenders are compared by it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::quantiles::{Quantile, Quantiles};
use crate::run::{Cycle, Round, Run};

/// A figure of a run. Its value is finite or absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Figure {
    /// CPU time of the server per reply: the figure that contenders are ranked by.
    Cpu,
    /// The 99th percentile of the response time.
    ResponseP99,
    /// Replies per second within the slices.
    Replies,
    /// Resident memory under load.
    Resident,
    /// CPU time in percent of one core.
    CpuPercent,
    /// The part of the CPU time that was spent in user mode.
    CpuUserShare,
    /// Voluntary context switches of the server per reply.
    WakeUps,
    /// Allocations of the server per reply.
    Allocations,
    /// Bytes of those allocations per reply.
    AllocatedBytes,
    /// Closed-loop capacity.
    Capacity,
    /// Virtual memory under load.
    Virtual,
    /// Threads under load.
    Threads,
    /// The median response time.
    ResponseP50,
    /// The response time that one reply in ten exceeds.
    ResponseP90,
    /// The response time that one reply in a thousand exceeds.
    ResponseP999,
    /// The longest response time.
    ResponseMax,
    /// The median service time.
    ServiceP50,
    /// The service time that one reply in ten exceeds.
    ServiceP90,
    /// The 99th percentile of the service time.
    ServiceP99,
    /// The service time that one reply in a thousand exceeds.
    ServiceP999,
    /// The longest service time.
    ServiceMax,
}

/// How often a figure is measured.
#[derive(Clone, Copy)]
pub enum Taken {
    /// In every cycle.
    EachCycle(fn(&Cycle) -> Option<f64>),
    /// Once a round.
    EachRound(fn(&Round) -> Option<f64>),
    /// Once a run, or as a quantile over the whole run.
    Once,
}

impl Figure {
    /// All figures.
    pub const ALL: [Figure; 21] = [
        Figure::Cpu,
        Figure::ResponseP99,
        Figure::Replies,
        Figure::Resident,
        Figure::CpuPercent,
        Figure::CpuUserShare,
        Figure::WakeUps,
        Figure::Allocations,
        Figure::AllocatedBytes,
        Figure::Capacity,
        Figure::Virtual,
        Figure::Threads,
        Figure::ResponseP50,
        Figure::ResponseP90,
        Figure::ResponseP999,
        Figure::ResponseMax,
        Figure::ServiceP50,
        Figure::ServiceP90,
        Figure::ServiceP99,
        Figure::ServiceP999,
        Figure::ServiceMax,
    ];

    /// Every contender is compared to the baseline by these.
    pub const COMPARED: [Figure; 4] = [
        Figure::Cpu,
        Figure::ResponseP99,
        Figure::Replies,
        Figure::Resident,
    ];

    /// Its name in rules and results.
    pub fn name(self) -> &'static str {
        match self {
            Figure::Cpu => "cpu_micros_per_message",
            Figure::ResponseP99 => "response_micros.p99",
            Figure::Replies => "replies_per_second",
            Figure::Resident => "resident_bytes",
            Figure::CpuPercent => "cpu_percent",
            Figure::CpuUserShare => "cpu_user_share",
            Figure::WakeUps => "context_switches_per_message",
            Figure::Allocations => "allocations_per_message",
            Figure::AllocatedBytes => "allocated_bytes_per_message",
            Figure::Capacity => "capacity_per_second",
            Figure::Virtual => "virtual_bytes",
            Figure::Threads => "threads",
            Figure::ResponseP50 => "response_micros.p50",
            Figure::ResponseP90 => "response_micros.p90",
            Figure::ResponseP999 => "response_micros.p999",
            Figure::ResponseMax => "response_micros.max",
            Figure::ServiceP50 => "service_micros.p50",
            Figure::ServiceP90 => "service_micros.p90",
            Figure::ServiceP99 => "service_micros.p99",
            Figure::ServiceP999 => "service_micros.p999",
            Figure::ServiceMax => "service_micros.max",
        }
    }

    /// Its value for the run; absent when the run does not have it, or when what it has is no finite number.
    pub fn of(self, run: &Run) -> Option<f64> {
        let bytes = |bytes: Option<u64>| bytes.map(|bytes| bytes as f64);
        let value = match self {
            Figure::Cpu => run.server.cpu_micros_per_message,
            Figure::Replies => Some(run.replies_per_second),
            Figure::Resident => bytes(run.server.resident_bytes),
            Figure::CpuPercent => run.server.cpu_percent,
            Figure::CpuUserShare => run.server.cpu_user_share,
            Figure::WakeUps => run.server.context_switches_per_message,
            Figure::Allocations => run.server.allocations_per_message,
            Figure::AllocatedBytes => run.server.allocated_bytes_per_message,
            Figure::Capacity => run.capacity_per_second,
            Figure::Virtual => bytes(run.server.virtual_bytes),
            Figure::Threads => run.server.threads.map(|threads| threads as f64),
            Figure::ResponseP50 => run.response_micros.p50,
            Figure::ResponseP90 => run.response_micros.p90,
            Figure::ResponseP99 => run.response_micros.p99,
            Figure::ResponseP999 => run.response_micros.p999,
            Figure::ResponseMax => run.response_micros.max,
            Figure::ServiceP50 => run.service_micros.p50,
            Figure::ServiceP90 => run.service_micros.p90,
            Figure::ServiceP99 => run.service_micros.p99,
            Figure::ServiceP999 => run.service_micros.p999,
            Figure::ServiceMax => run.service_micros.max,
        };
        value.filter(|value| value.is_finite())
    }

    /// How often it is measured, and what its values for comparisons are taken from.
    pub fn taken(self) -> Taken {
        match self {
            Figure::Cpu => Taken::EachCycle(Cycle::server_cpu_micros_per_message),
            Figure::Replies => Taken::EachCycle(Cycle::replies_per_second),
            Figure::ResponseP50 => Taken::EachCycle(|cycle| cycle.response_micros_p50),
            Figure::ResponseP99 => Taken::EachCycle(|cycle| cycle.response_micros_p99),
            Figure::Resident => Taken::EachRound(|round| round.resident_bytes.map(|bytes| bytes as f64)),
            _ => Taken::Once,
        }
    }

    /// Whether it is measured once a run, so that it has no interval.
    pub fn is_once(self) -> bool {
        matches!(self.taken(), Taken::Once)
    }

    /// Whether a run's value is that of a typical cycle or round, so that the interval over rounds is the value's own. A
    /// quantile of the whole run is none.
    pub fn is_typical(self) -> bool {
        matches!(self, Figure::Cpu | Figure::Replies | Figure::Resident)
    }

    /// Whether the run's value is only known to be at least what it says: the capacity of a server whose client was the
    /// bottleneck, or a quantile of requests of which some had no reply. It has no ratio to anything.
    pub fn is_at_least(self, run: &Run) -> bool {
        let of = |quantiles: &Quantiles, name| quantiles.at_least.contains(&name);
        let (response, service) = (&run.response_micros, &run.service_micros);
        match self {
            Figure::Capacity => run.capacity_is_at_least,
            Figure::ResponseP50 => of(response, Quantile::P50),
            Figure::ResponseP90 => of(response, Quantile::P90),
            Figure::ResponseP99 => of(response, Quantile::P99),
            Figure::ResponseP999 => of(response, Quantile::P999),
            Figure::ResponseMax => of(response, Quantile::Max),
            Figure::ServiceP50 => of(service, Quantile::P50),
            Figure::ServiceP90 => of(service, Quantile::P90),
            Figure::ServiceP99 => of(service, Quantile::P99),
            Figure::ServiceP999 => of(service, Quantile::P999),
            Figure::ServiceMax => of(service, Quantile::Max),
            _ => false,
        }
    }
}

/// Why a text names no figure.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no figure `{0}` (there are {all})", all = Figure::ALL.map(Figure::name).join(", "))]
pub struct UnknownFigure(String);

impl FromStr for Figure {
    type Err = UnknownFigure;

    fn from_str(text: &str) -> Result<Figure, UnknownFigure> {
        let mut all = Figure::ALL.into_iter();
        all.find(|figure| figure.name() == text)
            .ok_or_else(|| UnknownFigure(text.to_owned()))
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for Figure {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Figure {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Figure, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_figure_is_found_by_its_name() {
        for figure in Figure::ALL {
            assert_eq!(figure.name().parse(), Ok(figure));
        }
        let error = "cpu".parse::<Figure>().unwrap_err().to_string();
        assert!(
            error.contains("`cpu`") && error.contains("cpu_percent"),
            "{error}"
        );
    }

    #[test]
    fn a_value_is_finite_or_absent() {
        let mut run = Run {
            replies: 1,
            ..Run::default()
        };
        for (value, found) in [(2.0, Some(2.0)), (f64::NAN, None), (f64::INFINITY, None)] {
            run.server.cpu_micros_per_message = Some(value);
            assert_eq!(Figure::Cpu.of(&run), found);
        }
    }

    #[test]
    fn without_a_reply_there_is_no_latency() {
        assert_eq!(Figure::ResponseP50.of(&Run::default()), None);
    }
}
