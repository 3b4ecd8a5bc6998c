//! What the machine did to a run: other programs, the hypervisor, quotas, and CPU time that no account explains.

use model::machine_part::{Side, Throttling};
use model::run::Others;

use super::Record;
use crate::cgroup::Quota;
use crate::measure::MachineCpu;

impl Record {
    /// Adds what the CPUs of server and client did during the last slice, all programs together.
    pub fn add_machine(&mut self, before: MachineCpu, after: MachineCpu, seconds: f64) {
        let busy = after.busy_seconds - before.busy_seconds;
        let stolen = after.stolen_seconds - before.stolen_seconds;
        self.machine.busy_seconds += busy;
        self.machine.stolen_seconds += stolen;
        self.machine_seconds += seconds;
        let Some(cycle) = self.current().round.cycles.last_mut().filter(|_| seconds > 0.0) else {
            return;
        };
        cycle.stolen_share = Some(stolen.max(0.0) / seconds);
        let own = cycle
            .server_cpu_seconds
            .map(|server| server + cycle.client_cpu_seconds);
        cycle.others_share = own.map(|own| (busy - own).max(0.0) / seconds);
    }

    /// Adds what a quota did during the last slice, which took `seconds`.
    pub fn add_quota(&mut self, side: Side, quota: &Quota, stopped_seconds: f64, seconds: f64) {
        let file = quota.file.display().to_string();
        let known = self
            .quotas
            .iter()
            .position(|(one, _)| one.side == side && one.file == file);
        let index = known.unwrap_or(self.quotas.len());
        if known.is_none() {
            let throttling = Throttling {
                side,
                file,
                value: quota.value.clone(),
                stopped_seconds: 0.0,
                stopped_share: 0.0,
            };
            self.quotas.push((throttling, 0.0));
        }
        let (one, all_seconds) = &mut self.quotas[index];
        *all_seconds += seconds;
        one.stopped_seconds += stopped_seconds;
        one.stopped_share = one.stopped_seconds / *all_seconds;
    }

    /// Adds what the servers' CPUs did during the last slice, which took `seconds`: all but what other programs took.
    pub fn add_unaccounted(&mut self, ran_seconds: f64, seconds: f64) {
        if let Some(cycle) = self.current().round.cycles.last_mut().filter(|_| seconds > 0.0) {
            cycle.unaccounted_share = cycle.server_cpu_seconds.map(|own| (ran_seconds - own) / seconds);
        }
    }

    /// CPU time on the servers' CPUs that no account explains: the mean over the slices, as ticks are coarse.
    pub fn unaccounted_percent(&self) -> Option<f64> {
        let shares: Vec<f64> = self
            .cycles()
            .filter_map(|cycle| cycle.unaccounted_share)
            .collect();
        let mean = shares.iter().sum::<f64>() / shares.len() as f64;
        (!shares.is_empty()).then(|| (mean * 100.0).max(0.0))
    }

    /// Its quotas, with what share of the slices' time they stopped threads.
    pub(super) fn quotas(&self) -> Vec<Throttling> {
        self.quotas.iter().map(|(one, _)| one.clone()).collect()
    }

    /// What others took: all that ran less server and client. Unknown when the server's own part is.
    pub(super) fn others(&self) -> Option<Others> {
        let own = self.all_cycles().try_fold(0.0, |sum, cycle| {
            Some(sum + cycle.server_cpu_seconds? + cycle.client_cpu_seconds)
        })?;
        (self.machine_seconds > 0.0).then(|| Others {
            cpu_percent: (self.machine.busy_seconds - own).max(0.0) / self.machine_seconds * 100.0,
            stolen_percent: self.machine.stolen_seconds / self.machine_seconds * 100.0,
        })
    }
}
