//! Brings together who may take samples (`sys`), who makes profiles of them (`telemetry`), and what is allocated.

use std::io;
use std::num::NonZeroU32;

use sys::sampler::{SLOTS, Sampler};
use telemetry::allocator::{AllocatorStatistics, Requests};
use telemetry::exporter::Extras;
use telemetry::profile::{self, Profiler, Sample};

/// What the exporter serves beside metrics: profiles, titled with the engine's name. With `hertz`, samples are taken
/// all the time.
///
/// # Errors
/// When this machine does not let the process sample itself, or no thread can be started.
pub fn extras(engine: &str, hertz: Option<NonZeroU32>) -> io::Result<Extras> {
    Ok(Extras {
        profiler: Some(Profiler::start(engine, Box::new(Process::default()), hertz)?),
        on_start: Some(sys::allocator::leave_this_thread_out),
    })
}

/// The allocator's figures, as exact as only the one who counts knows them.
pub fn allocator() -> AllocatorStatistics {
    AllocatorStatistics::new(|| {
        let counts = sys::allocator::counts();
        Requests {
            allocations: counts.allocations,
            bytes: counts.bytes,
        }
    })
}

/// This process, as something to take samples of.
#[derive(Default)]
struct Process {
    sampler: Option<Sampler>,
}

impl profile::Sampler for Process {
    fn sample(&mut self, hertz: NonZeroU32) -> io::Result<()> {
        match &mut self.sampler {
            Some(sampler) => sampler.set_frequency(hertz),
            None => {
                self.sampler = Some(Sampler::start(hertz)?);
                Ok(())
            }
        }
    }

    fn stop(&mut self) {
        self.sampler = None;
    }

    fn drain(&mut self, each: &mut dyn FnMut(Sample<'_>)) {
        let Some(sampler) = &mut self.sampler else { return };
        sampler.drain(|sample| {
            each(Sample {
                thread: &sample.thread_name(),
                instruction: sample.registers.instruction,
                stack_pointer: sample.registers.stack,
                frame_pointer: sample.registers.frame,
                link: sample.registers.link,
                stack: sample.stack(),
                cpu_time: sample.cpu_time(),
            });
        });
    }

    fn dropped(&self) -> u64 {
        self.sampler.as_ref().map_or(0, Sampler::dropped)
    }

    fn capacity(&self) -> usize {
        SLOTS
    }

    fn on_thread_start(&self) {
        sys::allocator::leave_this_thread_out();
    }
}
