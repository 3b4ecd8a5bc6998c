//! The lab's own metrics: what it is doing now, and what it has found out so far.

use model::figure::Figure;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use telemetry::family::{Family, Source};
use telemetry::names;

use model::result::LabResult;

/// What one contender is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Its server is being started.
    Starting,
    /// Its client establishes connections.
    Ramp,
    /// Its capacity is being measured.
    Calibration,
    /// Under the offered load, not counted yet.
    WarmUp,
    /// Under load and measured.
    Slice,
    /// Another one is under load.
    Idle,
    /// Under load for its profile, which is not measured.
    Profile,
    /// Its connections are being closed.
    Drain,
}

impl Phase {
    const ALL: [(Phase, &str); 8] = [
        (Phase::Starting, "starting"),
        (Phase::Ramp, "ramp"),
        (Phase::Calibration, "calibration"),
        (Phase::WarmUp, "warm-up"),
        (Phase::Slice, "slice"),
        (Phase::Idle, "idle"),
        (Phase::Profile, "profile"),
        (Phase::Drain, "drain"),
    ];
}

/// The share of each category in a contender's CPU time, 0 to 1.
pub type Shares = Vec<(&'static str, f64)>;

/// Shared between the runner, which writes, and the exporter, which reads.
#[derive(Debug, Default)]
pub struct LabMetrics(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    scenario: String,
    phases: Vec<(String, Phase)>,
    /// Of those who do not sample themselves: by contender, what their CPU goes into.
    shares: BTreeMap<String, Shares>,
    result: Option<LabResult>,
}

impl LabMetrics {
    /// Nothing yet.
    pub fn new() -> Arc<LabMetrics> {
        Arc::default()
    }

    /// A scenario begins with these contenders.
    pub fn begin(&self, scenario: &str, contenders: impl Iterator<Item = String>) {
        let mut state = self.lock();
        scenario.clone_into(&mut state.scenario);
        // Under another load, the CPU goes elsewhere.
        state.shares.clear();
        state.phases = contenders.map(|contender| (contender, Phase::Starting)).collect();
    }

    /// A contender enters a phase.
    pub fn enter(&self, contender: &str, phase: Phase) {
        let mut state = self.lock();
        if let Some(entry) = state.phases.iter_mut().find(|(name, _)| name == contender) {
            entry.1 = phase;
        }
    }

    /// A contender takes no part any more.
    pub fn leave(&self, contender: &str) {
        self.lock().phases.retain(|(name, _)| name != contender);
    }

    /// What a contender's CPU goes into in this scenario.
    pub fn divide(&self, contender: &str, shares: Shares) {
        self.lock().shares.insert(contender.to_owned(), shares);
    }

    /// What is known now.
    pub fn publish(&self, result: &LabResult) {
        self.lock().result = Some(result.clone());
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Source for LabMetrics {
    fn families(&self) -> Vec<Family> {
        let state = self.lock();
        let mut info = Family::new(&names::RUN_INFO);
        let mut phases = Family::new(&names::PHASE);
        let run_id = state.result.as_ref().map_or("", |result| &result.run_id);
        for (contender, now) in &state.phases {
            info = info.with(&[run_id, &state.scenario, contender], 1.0);
            for (phase, name) in Phase::ALL {
                let active = f64::from(u8::from(phase == *now));
                phases = phases.with(&[name, &state.scenario, contender], active);
            }
        }
        let mut shares = Family::new(&names::PROFILE_SHARE);
        for (contender, categories) in &state.shares {
            for (category, share) in categories {
                shares = shares.with(&[contender, category], *share);
            }
        }
        let mut families = vec![info, phases, shares];
        if let Some(result) = &state.result {
            families.extend(results(result));
        }
        families
    }
}

fn results(result: &LabResult) -> Vec<Family> {
    let figures = [
        (&names::RESULT_CPU_MICROS, Figure::Cpu),
        (&names::RESULT_CPU_PERCENT, Figure::CpuPercent),
        (&names::RESULT_MESSAGES_PER_SECOND, Figure::Replies),
        (&names::RESULT_CAPACITY_PER_SECOND, Figure::Capacity),
        (&names::RESULT_RESIDENT_BYTES, Figure::Resident),
    ];
    let mut families: Vec<Family> = figures
        .into_iter()
        .map(|(metric, figure)| {
            result
                .runs
                .iter()
                .fold(Family::new(metric), |family, run| match figure.of(run) {
                    Some(value) => family.with(&[&result.run_id, &run.scenario, &run.contender], value),
                    None => family,
                })
        })
        .collect();
    let mut offered = Family::new(&names::RESULT_OFFERED_PER_SECOND);
    let mut response = Family::new(&names::RESULT_RESPONSE_SECONDS);
    let mut verdicts = Family::new(&names::RESULT_VERDICT);
    for run in &result.runs {
        let labels = [result.run_id.as_str(), &run.scenario, &run.contender];
        let with = |last: &'static str| [labels[0], labels[1], labels[2], last];
        if let Some(rate) = run.offered_per_second {
            offered = offered.with(&labels, rate);
        }
        let micros = &run.response_micros;
        for (percentile, value) in [
            ("50", micros.p50),
            ("90", micros.p90),
            ("99", micros.p99),
            ("99.9", micros.p999),
            ("100", micros.max),
        ] {
            if let Some(value) = value {
                response = response.with(&with(percentile), value / 1e6);
            }
        }
        for verdict in &run.verdicts {
            verdicts = verdicts.with(&[labels[0], labels[1], labels[2], &verdict.to_string()], 1.0);
        }
    }
    let mut ratios = Family::new(&names::RESULT_RATIO);
    for one in &result.comparisons {
        for (bound, value) in [("low", one.low), ("median", Some(one.ratio)), ("high", one.high)] {
            if let Some(value) = value {
                let labels = [
                    &*result.run_id,
                    &one.scenario,
                    &one.contender,
                    &one.baseline,
                    one.metric.name(),
                    bound,
                ];
                ratios = ratios.with(&labels, value);
            }
        }
    }
    families.extend([offered, response, verdicts, ratios]);
    families
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure;
    use crate::report::fixture;
    use std::net::TcpListener;
    use telemetry::exporter::Exporter;

    #[test]
    fn a_scrape_says_what_is_going_on_and_what_was_found() {
        let metrics = LabMetrics::new();
        let result = fixture::result();
        metrics.begin("few", ["epoll", "tokio", "uring"].map(str::to_owned).into_iter());
        metrics.publish(&result);
        metrics.enter("epoll", Phase::Slice);
        metrics.leave("uring");
        metrics.divide("tokio", vec![("read", 0.25), ("write", 0.75)]);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let exporter = Exporter::start(listener, vec![metrics]).unwrap();
        let text = measure::scrape(&format!("http://{}/metrics", exporter.address())).unwrap();
        let run_id = ("run_id", result.run_id.as_str());
        for (name, labels, value) in [
            ("echolab_run_info", vec![run_id], Some(2.0)),
            (
                "echolab_phase",
                vec![("phase", "slice"), ("contender", "epoll")],
                Some(1.0),
            ),
            (
                "echolab_phase",
                vec![("phase", "starting"), ("contender", "epoll")],
                Some(0.0),
            ),
            ("echolab_phase", vec![("contender", "uring")], None),
            (
                "echolab_profile_share",
                vec![("contender", "tokio"), ("category", "write")],
                Some(0.75),
            ),
            ("echolab_profile_share", vec![("contender", "epoll")], None),
            (
                "echolab_result_cpu_micros_per_message",
                vec![run_id, ("scenario", "few"), ("contender", "tokio")],
                Some(12.5),
            ),
            (
                "echolab_result_response_seconds",
                vec![("scenario", "few"), ("contender", "epoll"), ("percentile", "99")],
                Some(0.0004),
            ),
            (
                "echolab_result_ratio",
                vec![
                    ("contender", "tokio"),
                    ("metric", "cpu_micros_per_message"),
                    ("bound", "low"),
                ],
                Some(1.25),
            ),
            (
                "echolab_result_verdict",
                vec![("contender", "threads"), ("verdict", "server-died")],
                Some(1.0),
            ),
        ] {
            // A ratio of equal cycles is what it is but for rounding.
            let found = text.value(name, &labels).map(|found| (found * 1e9).round() / 1e9);
            assert_eq!(found, value, "{name} {labels:?}");
        }
    }

    #[test]
    fn promtool_finds_nothing_to_say() {
        use std::io::Write;
        use std::process::{Command, Stdio};
        if Command::new("promtool").arg("--version").output().is_err() {
            assert!(
                std::env::var_os("CI").is_none(),
                "promtool is missing; .ci/run installs Debian's package `prometheus`"
            );
            eprintln!("not run: promtool is missing; Debian has it in the package `prometheus`");
            return;
        }
        let metrics = LabMetrics::new();
        metrics.begin("few", ["epoll", "tokio"].map(str::to_owned).into_iter());
        metrics.publish(&fixture::result());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let exporter = Exporter::start(listener, vec![metrics]).unwrap();
        let text = measure::scrape(&format!("http://{}/metrics", exporter.address())).unwrap();
        assert!(text.as_str().contains("echolab_result_response_seconds{"));
        let mut promtool = Command::new("promtool")
            .args(["check", "metrics"])
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        promtool
            .stdin
            .take()
            .unwrap()
            .write_all(text.as_str().as_bytes())
            .unwrap();
        let output = promtool.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.is_empty(), "{said}");
    }
}
