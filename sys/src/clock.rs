//! CPU clocks in nanoseconds: of this thread, of this process, of another process; and the time spent waiting for a CPU.

use std::io;
use std::time::Duration;

use crate::check;

/// CPU time (user and system) that the calling thread has used.
///
/// # Errors
/// What clock_gettime reports.
pub fn thread_cpu_time() -> io::Result<Duration> {
    read(libc::CLOCK_THREAD_CPUTIME_ID)
}

/// CPU time (user and system) that all threads of this process have used, ended ones included.
///
/// # Errors
/// What clock_gettime reports.
pub fn own_cpu_time() -> io::Result<Duration> {
    read(libc::CLOCK_PROCESS_CPUTIME_ID)
}

/// CPU time (user and system) that all threads of process `pid` have used, ended ones included; read from its
/// CPU clock (clock_getcpuclockid(3)), so to the nanosecond.
///
/// # Errors
/// `NotFound` when there is no such process (any more).
pub fn process_cpu_time(pid: u32) -> io::Result<Duration> {
    let mut clock: libc::clockid_t = 0;
    // SAFETY: `clock` is exclusively borrowed.
    let failed = unsafe { libc::clock_getcpuclockid(pid as libc::pid_t, &mut clock) };
    match failed {
        0 => read(clock),
        libc::ESRCH => Err(io::Error::new(
            io::ErrorKind::NotFound,
            format!("there is no process {pid}"),
        )),
        errno => Err(io::Error::from_raw_os_error(errno)),
    }
}

/// How long the calling thread has been ready to run and had no CPU: the second figure of /proc/thread-self/schedstat
/// (the kernel's Documentation/scheduler/sched-stats.rst).
///
/// # Errors
/// What reading that file reports; `InvalidData` when it holds something else.
pub fn thread_wait_time() -> io::Result<Duration> {
    let path = "/proc/thread-self/schedstat";
    let text = std::fs::read_to_string(path)?;
    let nanos = text.split_whitespace().nth(1).and_then(|word| word.parse().ok());
    let unknown = || {
        io::Error::new(
            io::ErrorKind::InvalidData,
            format!("{path} says `{}`", text.trim()),
        )
    };
    Ok(Duration::from_nanos(nanos.ok_or_else(unknown)?))
}

fn read(clock: libc::clockid_t) -> io::Result<Duration> {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is exclusively borrowed.
    check(unsafe { libc::clock_gettime(clock, &mut time) })?;
    Ok(Duration::new(time.tv_sec as u64, time.tv_nsec as u32))
}
