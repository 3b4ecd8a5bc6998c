//! How long this machine stops a thread that wants to run: a thread spins on each CPU and reads the clock.

use std::thread;
use std::time::{Duration, Instant};

use model::stalls::Stalls;
use sys::cpu::CpuSet;

/// A shorter gap between two readings is the reading itself, or an interrupt that any program meets.
const STOP_MIN: Duration = Duration::from_micros(5);
/// More stops than that in a second do not occur; beyond, memory would grow.
const STOPS_MAX: usize = 200_000;

/// Watches these CPUs for so long. `None` when a thread cannot be pinned, so that nothing is known.
pub fn watch(cpus: &CpuSet, duration: Duration) -> Option<Stalls> {
    let began = Instant::now();
    let spinning: Vec<_> = cpus
        .iter()
        .map(|cpu| (cpu, thread::spawn(move || stops_of(cpu, duration))))
        .collect();
    // All are joined, also when one of them failed.
    let stops: Vec<_> = spinning
        .into_iter()
        .map(|(cpu, thread)| (cpu as u32, thread.join().ok().flatten()))
        .collect();
    let seconds = began.elapsed().as_secs_f64();
    let stops: Option<Vec<_>> = stops
        .into_iter()
        .map(|(cpu, stops)| Some((cpu, stops?)))
        .collect();
    Some(Stalls::of(seconds, &stops?))
}

/// The stops of a thread that spins on one CPU, in microseconds.
fn stops_of(cpu: usize, duration: Duration) -> Option<Vec<f64>> {
    let only: CpuSet = cpu.to_string().parse().ok()?;
    only.pin_current_thread().ok()?;
    let mut stops = Vec::new();
    let began = Instant::now();
    let mut last = began;
    while last - began < duration {
        let now = Instant::now();
        if now - last >= STOP_MIN && stops.len() < STOPS_MAX {
            stops.push((now - last).as_secs_f64() * 1e6);
        }
        last = now;
    }
    Some(stops)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_on_the_same_cpu_is_seen_as_stops() {
        let allowed = CpuSet::allowed().unwrap();
        let cpu = allowed.iter().next().unwrap();
        let only: CpuSet = cpu.to_string().parse().unwrap();
        let other = thread::spawn(move || stops_of(cpu, Duration::from_millis(400)));
        let stalls = watch(&only, Duration::from_millis(300)).unwrap();
        other.join().unwrap();
        // Two threads on one CPU: each runs about half of the time.
        assert!(stalls.longest_micros() > 500.0, "{stalls:?}");
        assert!(stalls.cpus[0].stopped_share > 0.05, "{stalls:?}");
    }

    #[test]
    fn a_cpu_that_is_not_there_tells_nothing() {
        assert_eq!(watch(&"1023".parse().unwrap(), Duration::from_millis(1)), None);
    }
}
