//! What a process uses: CPU, memory, threads, context switches, descriptors.

use std::time::Duration;

use nix::sys::resource::{UsageWho, getrusage};
use nix::time::{ClockId, clock_gettime};
use procfs::process::{LimitValue, Process};

use crate::family::{Family, Source};
use crate::names;

/// Memory and threads of one process at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Memory {
    /// Resident memory (RES of top).
    pub resident_bytes: u64,
    /// Virtual memory (VIRT of top).
    pub virtual_bytes: u64,
    /// Resident memory backed by files (SHR of top).
    pub shared_bytes: u64,
    /// Threads.
    pub threads: u64,
}

impl Memory {
    /// Reads /proc/`pid`.
    ///
    /// # Errors
    /// When there is no such process (any more), or /proc is not readable.
    pub fn of(pid: u32) -> std::io::Result<Memory> {
        Memory::read(&Process::new(pid as i32).map_err(into_io)?)
    }

    fn read(process: &Process) -> std::io::Result<Memory> {
        let pages = process.statm().map_err(into_io)?;
        let page_bytes = procfs::page_size();
        Ok(Memory {
            resident_bytes: pages.resident * page_bytes,
            virtual_bytes: pages.size * page_bytes,
            shared_bytes: pages.shared * page_bytes,
            threads: process.stat().map_err(into_io)?.num_threads.max(0) as u64,
        })
    }
}

/// Context switches of a process, summed over its living threads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ContextSwitches {
    /// It waited for something: one wake-up each.
    pub voluntary: u64,
    /// It was put aside for another.
    pub involuntary: u64,
}

impl ContextSwitches {
    /// Reads /proc/`pid`/task/*/status: the file of the process itself speaks of its first thread alone.
    ///
    /// # Errors
    /// When there is no such process (any more), or /proc is not readable.
    pub fn of(pid: u32) -> std::io::Result<ContextSwitches> {
        let mut sum = ContextSwitches::default();
        for task in Process::new(pid as i32)
            .and_then(|process| process.tasks())
            .map_err(into_io)?
        {
            // A thread may end between the listing and the reading.
            let Ok(status) = task.and_then(|task| task.status()) else {
                continue;
            };
            sum.voluntary += status.voluntary_ctxt_switches.unwrap_or(0);
            sum.involuntary += status.nonvoluntary_ctxt_switches.unwrap_or(0);
        }
        Ok(sum)
    }
}

/// CPU time of a process by mode, in the kernel's ticks (10 ms mostly): coarse, so only for long stretches.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct CpuModes {
    /// In user mode.
    pub user_seconds: f64,
    /// In the kernel.
    pub system_seconds: f64,
}

impl CpuModes {
    /// Reads /proc/`pid`/stat: all threads, ended ones included.
    ///
    /// # Errors
    /// When there is no such process (any more), or /proc is not readable.
    pub fn of(pid: u32) -> std::io::Result<CpuModes> {
        let stat = Process::new(pid as i32)
            .and_then(|process| process.stat())
            .map_err(into_io)?;
        let ticks_per_second = procfs::ticks_per_second() as f64;
        Ok(CpuModes {
            user_seconds: stat.utime as f64 / ticks_per_second,
            system_seconds: stat.stime as f64 / ticks_per_second,
        })
    }
}

fn into_io(error: procfs::ProcError) -> std::io::Error {
    match error {
        procfs::ProcError::NotFound(_) => {
            std::io::Error::new(std::io::ErrorKind::NotFound, "no such process")
        }
        procfs::ProcError::Io(error, _) => error,
        error => std::io::Error::other(error.to_string()),
    }
}

/// This process, for the exporter.
pub struct OwnProcess {
    start_time_seconds: f64,
}

impl OwnProcess {
    /// Reads what never changes.
    ///
    /// # Errors
    /// When /proc is not readable.
    pub fn new() -> std::io::Result<OwnProcess> {
        let process = Process::myself().map_err(into_io)?;
        let started = process.stat().map_err(into_io)?.starttime as f64 / procfs::ticks_per_second() as f64;
        let booted = procfs::boot_time_secs().map_err(into_io)? as f64;
        Ok(OwnProcess {
            start_time_seconds: booted + started,
        })
    }
}

impl Source for OwnProcess {
    /// What cannot be read now is left out of this scrape.
    fn families(&self) -> Vec<Family> {
        let mut families = vec![Family::of(&names::START_TIME, self.start_time_seconds)];
        if let Ok(time) = clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID) {
            families.push(Family::of(
                &names::CPU_SECONDS,
                Duration::from(time).as_secs_f64(),
            ));
        }
        if let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) {
            let seconds = |time: nix::sys::time::TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
            families.push(
                Family::new(&names::CPU_MODE_SECONDS)
                    .with(&["user"], seconds(usage.user_time()))
                    .with(&["system"], seconds(usage.system_time())),
            );
            families.push(
                Family::new(&names::CONTEXT_SWITCHES)
                    .with(&["voluntary"], usage.voluntary_context_switches() as f64)
                    .with(&["involuntary"], usage.involuntary_context_switches() as f64),
            );
        }
        let Ok(process) = Process::myself() else {
            return families;
        };
        if let Ok(memory) = Memory::read(&process) {
            families.push(Family::of(&names::RESIDENT_MEMORY, memory.resident_bytes as f64));
            families.push(Family::of(&names::VIRTUAL_MEMORY, memory.virtual_bytes as f64));
            families.push(Family::of(&names::SHARED_MEMORY, memory.shared_bytes as f64));
            families.push(Family::of(&names::THREADS, memory.threads as f64));
        }
        if let Ok(limits) = process.limits() {
            let value = |limit: LimitValue| match limit {
                LimitValue::Unlimited => -1.0,
                LimitValue::Value(value) => value as f64,
            };
            families.push(Family::of(
                &names::VIRTUAL_MEMORY_MAX,
                value(limits.max_address_space.soft_limit),
            ));
            families.push(Family::of(
                &names::MAX_FDS,
                value(limits.max_open_files.soft_limit),
            ));
        }
        if let Ok(open) = process.fd_count() {
            families.push(Family::of(&names::OPEN_FDS, open as f64));
        }
        families
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory_threads_and_switches() {
        let memory = Memory::of(std::process::id()).unwrap();
        assert!(memory.resident_bytes > 0 && memory.virtual_bytes >= memory.resident_bytes);
        assert!(memory.threads >= 1);
        std::thread::yield_now();
        assert!(ContextSwitches::of(std::process::id()).is_ok());
    }

    #[test]
    fn a_process_that_is_gone_is_not_found() {
        // Process numbers end at 2^22 on Linux.
        let error = Memory::of(1 << 30).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
    }

    #[test]
    fn every_process_metric_is_there() {
        let families = OwnProcess::new().unwrap().families();
        assert_eq!(families.len(), 11);
    }
}
