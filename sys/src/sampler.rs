//! Samples of where this process spends its CPU: SIGPROF after every so much CPU time, and for each the registers and
//! a copy of the top of the interrupted stack.
//!
//! The handler unwinds nothing. It takes three registers and lets the kernel copy the stack (a read of
//! /proc/self/mem, which answers EIO where nothing is mapped, so no pointer of the interrupted thread is ever
//! followed). Walking frame pointers in the handler would not do: the C library's `recv` and `send` are built without
//! them and keep other things in that register, and they are where an echo server spends its time. Whoever drains
//! the samples unwinds them at leisure, on a thread of its own.
//!
//! In the handler stand only loads, stores, compare-and-swaps, and the calls clock_gettime, prctl and pread: no lock,
//! no allocation. errno is kept. Calls that the signal interrupts are restarted (SA_RESTART) or return EINTR.

mod timer;

use std::cell::UnsafeCell;
use std::fs::File;
use std::io;
use std::num::NonZeroU32;
use std::os::fd::AsRawFd;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use crate::check;

use timer::CpuTimer;

/// How much of the stack is kept. Frames further out are cut off; the deepest stacks of the engines measure about a
/// third of this in release builds.
pub const STACK_BYTES: usize = 16 * 1024;

/// How many samples may wait to be drained. One that finds no room is counted as dropped. The memory (4 MiB) is
/// reserved by the first start and becomes resident only as far as it is used.
pub const SLOTS: usize = 256;

/// What an unwinder needs of the interrupted thread's registers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Registers {
    /// The instruction that comes next (rip, pc).
    pub instruction: u64,
    /// The stack pointer (rsp, sp).
    pub stack: u64,
    /// The frame pointer, or whatever else the code keeps there (rbp, x29).
    pub frame: u64,
    /// The link register (x30); 0 where there is none.
    pub link: u64,
}

/// One sample.
pub struct Sample {
    /// The interrupted thread's registers.
    pub registers: Registers,
    cpu_nanos: u64,
    name: [u8; 16],
    stack_length: usize,
    stack: [u8; STACK_BYTES],
}

impl Sample {
    /// CPU time that the whole process used since the sample before this one. These add up to all of it, however
    /// many signals a busy machine swallows.
    pub fn cpu_time(&self) -> Duration {
        Duration::from_nanos(self.cpu_nanos)
    }

    /// The interrupted thread's name (comm; at most 15 bytes).
    pub fn thread_name(&self) -> String {
        let length = self.name.iter().position(|&byte| byte == 0);
        String::from_utf8_lossy(&self.name[..length.unwrap_or(self.name.len())]).into_owned()
    }

    /// The stack from the stack pointer outwards, at most [`STACK_BYTES`].
    pub fn stack(&self) -> &[u8] {
        &self.stack[..self.stack_length.min(STACK_BYTES)]
    }
}

/// A slot's states. A handler takes it from free to writing to full; the one who drains, from full to free.
const FREE: u32 = 0;
const WRITING: u32 = 1;
const FULL: u32 = 2;

struct Slots {
    states: [AtomicU32; SLOTS],
    samples: Box<[UnsafeCell<Sample>]>,
    memory: File,
}

// SAFETY: a sample is touched only by the one who moved its state: see FREE, WRITING, FULL.
unsafe impl Sync for Slots {}

/// Never dropped: a handler may still be running when sampling stops.
static SAMPLES: OnceLock<Slots> = OnceLock::new();
/// Whether a [`Sampler`] exists, and so the handler shall take samples.
static ACTIVE: AtomicBool = AtomicBool::new(false);
static DROPPED: AtomicU64 = AtomicU64::new(0);
/// The process's CPU clock at the last sample.
static LAST_CPU_NANOS: AtomicU64 = AtomicU64::new(0);

/// Sampling goes on as long as this lives. There is one handler in a process, so there is one of these at a time.
#[derive(Debug)]
pub struct Sampler {
    timer: Option<CpuTimer>,
}

impl Sampler {
    /// Takes a sample each 1/`hertz` seconds of CPU time that the process uses, on the thread that uses it.
    ///
    /// The kernel looks at that clock at its own ticks, so beyond its tick rate (often 250 Hz) for each busy CPU
    /// nothing is gained, and a little below it some samples are lost.
    ///
    /// # Errors
    /// `ResourceBusy` when there is a sampler already, `Unsupported` on a processor that this is not written for,
    /// and what opening /proc/self/mem, sigaction and the timer's calls report.
    pub fn start(hertz: NonZeroU32) -> io::Result<Sampler> {
        Sampler::start_with(hertz, CpuTimer::new)
    }

    fn start_with(hertz: NonZeroU32, timer: fn() -> io::Result<CpuTimer>) -> io::Result<Sampler> {
        if !cfg!(any(target_arch = "x86_64", target_arch = "aarch64")) {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "profiles are made on x86-64 and AArch64 alone",
            ));
        }
        let slots = match SAMPLES.get() {
            Some(slots) => slots,
            None => {
                let slots = Slots::new()?;
                SAMPLES.get_or_init(|| slots)
            }
        };
        if ACTIVE.swap(true, Ordering::AcqRel) {
            return Err(io::Error::new(
                io::ErrorKind::ResourceBusy,
                "this process is being sampled already",
            ));
        }
        // From here on, dropping it on an error undoes what was done.
        let mut sampler = Sampler { timer: None };
        slots.drain(|_| {});
        DROPPED.store(0, Ordering::Relaxed);
        LAST_CPU_NANOS.store(cpu_nanos(), Ordering::Relaxed);
        install()?;
        sampler.timer = Some(timer()?);
        sampler.set_frequency(hertz)?;
        Ok(sampler)
    }

    /// Samples at another rate from now on.
    ///
    /// # Errors
    /// What setting the timer reports.
    pub fn set_frequency(&mut self, hertz: NonZeroU32) -> io::Result<()> {
        let period = Duration::from_secs(1) / hertz.get();
        self.timer.as_ref().map_or(Ok(()), |timer| timer.set(period))
    }

    /// Hands out the samples that have come since the last time, in no particular order.
    pub fn drain(&mut self, take: impl FnMut(&Sample)) {
        if let Some(slots) = SAMPLES.get() {
            slots.drain(take);
        }
    }

    /// How many samples found no room since the start.
    pub fn dropped(&self) -> u64 {
        DROPPED.load(Ordering::Relaxed)
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        // The timer goes first. The handler stays: a signal under way would otherwise end the process.
        self.timer = None;
        ACTIVE.store(false, Ordering::Release);
    }
}

impl Slots {
    fn new() -> io::Result<Slots> {
        // SAFETY: a sample is made of integers, for which all zeroes is a value; UnsafeCell changes nothing in that.
        let samples = unsafe { Box::<[UnsafeCell<Sample>]>::new_zeroed_slice(SLOTS).assume_init() };
        Ok(Slots {
            states: [const { AtomicU32::new(FREE) }; SLOTS],
            samples,
            memory: File::open("/proc/self/mem")?,
        })
    }

    fn drain(&self, mut take: impl FnMut(&Sample)) {
        for (state, sample) in self.states.iter().zip(&self.samples) {
            if state.load(Ordering::Acquire) == FULL {
                // SAFETY: the slot is full, so no handler touches it until it is marked free again below.
                take(unsafe { &*sample.get() });
                state.store(FREE, Ordering::Release);
            }
        }
    }

    /// Runs in the signal handler.
    fn fill(&self, registers: Registers) {
        let free = self.states.iter().zip(&self.samples).find(|(state, _)| {
            state
                .compare_exchange(FREE, WRITING, Ordering::Acquire, Ordering::Relaxed)
                .is_ok()
        });
        let Some((state, sample)) = free else {
            DROPPED.fetch_add(1, Ordering::Relaxed);
            return;
        };
        // SAFETY: this handler has just marked the slot as its own.
        let sample = unsafe { &mut *sample.get() };
        sample.registers = registers;
        let now = cpu_nanos();
        sample.cpu_nanos = now.saturating_sub(LAST_CPU_NANOS.fetch_max(now, Ordering::Relaxed));
        sample.name = [0; 16];
        // SAFETY: PR_GET_NAME writes at most 16 bytes.
        unsafe { libc::prctl(libc::PR_GET_NAME, sample.name.as_mut_ptr()) };
        // SAFETY: the buffer has the length that is passed; the address in our own memory is a mere file offset.
        let copied = unsafe {
            libc::pread(
                self.memory.as_raw_fd(),
                sample.stack.as_mut_ptr().cast(),
                STACK_BYTES,
                registers.stack as libc::off_t,
            )
        };
        sample.stack_length = usize::try_from(copied).unwrap_or(0);
        state.store(FULL, Ordering::Release);
    }
}

/// The CPU time that this process has used, in nanoseconds; async-signal-safe.
fn cpu_nanos() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is exclusively borrowed.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

fn install() -> io::Result<()> {
    // SAFETY: for a sigaction, all zeroes is a value: default action, empty mask, no flags.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = on_signal as *const () as libc::sighandler_t;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART;
    // SAFETY: the handler has the signature that SA_SIGINFO asks for; the old action is not wanted.
    check(unsafe { libc::sigaction(libc::SIGPROF, &action, std::ptr::null_mut()) })?;
    Ok(())
}

extern "C" fn on_signal(_: libc::c_int, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
    if !ACTIVE.load(Ordering::Acquire) {
        return;
    }
    let Some(slots) = SAMPLES.get() else { return };
    // SAFETY: the call takes nothing; errno is a thread's own, and always there.
    let place = unsafe { libc::__errno_location() };
    // SAFETY: see above.
    let errno = unsafe { *place };
    // SAFETY: with SA_SIGINFO, the third argument points to the interrupted context.
    let context = unsafe { &*context.cast::<libc::ucontext_t>() };
    slots.fill(registers(context));
    // SAFETY: see above.
    unsafe { *place = errno };
}

#[cfg(target_arch = "x86_64")]
fn registers(context: &libc::ucontext_t) -> Registers {
    let register = |number: libc::c_int| context.uc_mcontext.gregs[number as usize] as u64;
    Registers {
        instruction: register(libc::REG_RIP),
        stack: register(libc::REG_RSP),
        frame: register(libc::REG_RBP),
        link: 0,
    }
}

#[cfg(target_arch = "aarch64")]
fn registers(context: &libc::ucontext_t) -> Registers {
    let machine = &context.uc_mcontext;
    Registers {
        instruction: machine.pc,
        stack: machine.sp,
        frame: machine.regs[29],
        link: machine.regs[30],
    }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn registers(_: &libc::ucontext_t) -> Registers {
    Registers::default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hint::black_box;
    use std::time::Instant;

    /// One test, because a process has one sampler.
    #[test]
    fn samples_come_with_cpu_time_and_the_stack_around_a_local() {
        take_samples(CpuTimer::new);
        take_samples(|| Ok(CpuTimer::Ticks));
    }

    fn take_samples(timer: fn() -> io::Result<CpuTimer>) {
        let hertz = NonZeroU32::new(100).unwrap();
        let mut sampler = Sampler::start_with(hertz, timer).unwrap();
        assert_eq!(
            Sampler::start(hertz).unwrap_err().kind(),
            io::ErrorKind::ResourceBusy
        );
        let before = crate::clock::own_cpu_time().unwrap();
        let busy = std::thread::Builder::new().name("burner".to_owned()).spawn(|| {
            let marker = black_box([0x5eed_5eed_5eed_5eed_u64; 8]);
            let deadline = Instant::now() + Duration::from_secs(60);
            // A quarter of a second of CPU time, however busy the machine is.
            while crate::clock::thread_cpu_time().unwrap() < Duration::from_millis(250) {
                assert!(Instant::now() < deadline, "no CPU to be had");
            }
            black_box(marker)[0]
        });
        busy.unwrap().join().unwrap();
        let used = crate::clock::own_cpu_time().unwrap() - before;
        let (mut count, mut sum, mut burner, mut marked) = (0u32, Duration::ZERO, 0u32, 0u32);
        sampler.drain(|sample| {
            count += 1;
            sum += sample.cpu_time();
            assert!(sample.registers.instruction != 0);
            if sample.thread_name() == "burner" {
                burner += 1;
                let marker = [0xed, 0x5e].repeat(32);
                marked += u32::from(sample.stack().windows(64).any(|window| window == marker));
            }
        });
        let timer = sampler.timer.as_ref().unwrap();
        assert_eq!(sampler.dropped(), 0);
        assert!(burner >= 8, "{timer:?}: {burner} samples of 25 came");
        assert!(
            marked * 2 > burner,
            "the stack holds what stands on it: {marked} of {burner}"
        );
        assert!(sum <= used + Duration::from_millis(20), "{sum:?} of {used:?}");
        assert!(sum * 2 > used, "{timer:?}: {sum:?} of {used:?}");
        drop(sampler);
        Sampler::start(hertz).unwrap().drain(|_| count += 1000);
        assert!(count < 1000, "what came before the start is not handed out");
    }
}
