//! Where the CPU goes: profiles that `go tool pprof` reads, flame graphs, and CPU by category for dashboards.
//!
//! Someone else takes the samples ([`Sampler`]; it needs unsafe code, which has no place here): for each, three
//! registers and a copy of the top of the stack. The [`Profiler`]'s thread turns them into call stacks with the unwind
//! tables of the program (`stacks`), finds the functions' names, and gives what came out to whoever asked.
//!
//! - [`profiler`] runs the sampling: a low rate all the time when wanted, and one recording at a time on demand.
//! - `image`, `stacks` and `symbols` go from registers to function names.
//! - [`pprof`], [`folded`] and [`flamegraph`] are the formats; `recording` makes the first from stacks.
//! - [`difference`] says what one profile has more of than another, beyond chance.
//! - [`category`] says what a stack was about; it works on profiles of Go programs just as well. `classifier` does
//!   the same for addresses, all the time and in little memory.
//! - `routes` are the exporter's pages below `/debug/pprof/`.

pub mod category;
mod classifier;
pub mod difference;
pub mod flamegraph;
pub mod folded;
mod image;
pub mod pprof;
pub mod profiler;
mod recording;
pub mod request;
pub(crate) mod routes;
mod stacks;
mod symbols;

use std::io;
use std::num::NonZeroU32;
use std::time::Duration;

pub use profiler::Profiler;

/// One sample, as a [`Sampler`] hands it out.
#[derive(Debug, Clone, Copy)]
pub struct Sample<'a> {
    /// The interrupted thread's name.
    pub thread: &'a str,
    /// The instruction that came next.
    pub instruction: u64,
    /// The stack pointer.
    pub stack_pointer: u64,
    /// The frame pointer, or whatever the code kept in that register.
    pub frame_pointer: u64,
    /// The link register; 0 where there is none.
    pub link: u64,
    /// The stack from the stack pointer outwards, as far as it was copied.
    pub stack: &'a [u8],
    /// CPU time of the whole process since the sample before.
    pub cpu_time: Duration,
}

/// What takes the samples of this process.
pub trait Sampler: Send {
    /// Takes a sample each 1/`hertz` seconds of CPU time from now on; changes the rate if it is sampling already.
    ///
    /// # Errors
    /// When this machine does not allow it; the message says what to change.
    fn sample(&mut self, hertz: NonZeroU32) -> io::Result<()>;

    /// Takes no more samples.
    fn stop(&mut self);

    /// Hands out what came since the last time.
    fn drain(&mut self, each: &mut dyn FnMut(Sample<'_>));

    /// Samples that found no room since sampling started.
    fn dropped(&self) -> u64;

    /// Samples that find room between two drains.
    fn capacity(&self) -> usize;

    /// Runs first on the profiler's thread: to leave it out of what is counted for each thread, for example.
    fn on_thread_start(&self) {}
}
