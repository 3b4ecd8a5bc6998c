//! What a call stack was about: reading, writing, waiting, accepting, scheduling, allocating, or something else.
//!
//! Function names of different languages don't align, so what contenders have in common is these categories. The
//! rules know the C library, Rust's standard library, tokio, mio, io-uring, jemalloc and Go's runtime. The innermost
//! frame that a rule knows decides; user code decides for `other`, so that an engine's own work is not booked on the
//! runtime that called it.

mod rules;

use crate::profile::pprof::{Profile, Stack};

/// What CPU time went into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Category {
    /// Taking bytes from a socket.
    Read,
    /// Putting bytes into a socket.
    Write,
    /// Asking the kernel what happened: epoll_wait, io_uring_enter. With io_uring the kernel reads and writes in there.
    Wait,
    /// Taking connections.
    Accept,
    /// Deciding who runs next, waking and parking threads, and what else a runtime does for itself.
    Scheduler,
    /// Memory: allocating, freeing, collecting garbage.
    Allocation,
    /// Everything else; the engine's own code, above all.
    Other,
}

impl Category {
    /// All categories with the text that stands in labels and results.
    pub const ALL: [(Category, &str); 7] = [
        (Category::Read, "read"),
        (Category::Write, "write"),
        (Category::Wait, "wait"),
        (Category::Accept, "accept"),
        (Category::Scheduler, "scheduler"),
        (Category::Allocation, "allocation"),
        (Category::Other, "other"),
    ];
}

/// What a function's name says about a stack that it is in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Mark {
    category: Option<Category>,
    /// A runtime waking a thread of its own.
    wakes: bool,
}

impl Mark {
    /// What this name says.
    pub fn of(function: &str) -> Mark {
        Mark {
            category: rules::rule(function),
            wakes: WAKES.iter().any(|part| function.contains(part)),
        }
    }
}

/// Parts of names of functions that wake a thread by writing to a descriptor.
const WAKES: &[&str] = &[
    "Waker>::wake",
    "Waker::wake",
    "waker::wake",
    "eventfd",
    "runtime.netpollBreak",
];

/// The category of a stack, whose functions are given from the innermost outwards.
pub fn categorize<'a>(functions: impl IntoIterator<Item = &'a str>) -> Category {
    decide(functions.into_iter().map(Mark::of))
}

/// As [`categorize`], when it is known already what the functions' names say.
pub fn decide(marks: impl IntoIterator<Item = Mark>) -> Category {
    let mut marks = marks.into_iter();
    let Some(category) = marks.by_ref().find_map(|mark| mark.category) else {
        return Category::Other;
    };
    match category {
        // A runtime wakes its threads by writing to a descriptor of its own.
        Category::Write | Category::Read if marks.by_ref().take(8).any(|mark| mark.wakes) => {
            Category::Scheduler
        }
        category => category,
    }
}

/// The CPU time of a profile by category, in nanoseconds, in the order of [`Category::ALL`].
pub fn cpu_nanos_by_category(profile: &Profile) -> [u64; Category::ALL.len()] {
    let mut nanos = [0; Category::ALL.len()];
    for Stack {
        functions, cpu_nanos, ..
    } in profile.stacks()
    {
        nanos[categorize(functions) as usize] += cpu_nanos.max(0) as u64;
    }
    nanos
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_innermost_known_frame_decides() {
        let cases: &[(&[&str], Category)] = &[
            (
                &[
                    "__libc_recv",
                    "sys::socket::receive",
                    "server::engine::epoll::run",
                ],
                Category::Read,
            ),
            (&["recv"], Category::Read),
            (&["__send", "std::net::tcp::TcpStream::write"], Category::Write),
            (
                &["epoll_wait", "mio::sys::unix::selector::Selector::select"],
                Category::Wait,
            ),
            (&["syscall", "io_uring::sys::io_uring_enter"], Category::Wait),
            (
                &["syscall", "std::sys::pal::unix::futex::futex_wait"],
                Category::Scheduler,
            ),
            (&["accept4", "sys::socket::accept"], Category::Accept),
            (
                &["arena_malloc_hard", "_rjem_malloc", "server::engine::x"],
                Category::Allocation,
            ),
            (&["__GI___libc_malloc"], Category::Allocation),
            (
                &["write", "mio::sys::unix::waker::Waker::wake", "tokio::runtime::x"],
                Category::Scheduler,
            ),
            (&["memcpy", "server::engine::epoll::run"], Category::Other),
            (
                &["server::engine::tokio::echo", "tokio::runtime::task::raw::poll"],
                Category::Other,
            ),
            (
                &["core::slice::get", "tokio::runtime::task::harness::poll"],
                Category::Scheduler,
            ),
            (
                &[
                    "internal/runtime/syscall.Syscall6",
                    "syscall.RawSyscall6",
                    "syscall.Syscall",
                    "syscall.read",
                ],
                Category::Read,
            ),
            (
                &[
                    "internal/runtime/syscall.Syscall6",
                    "internal/runtime/syscall.EpollWait",
                    "runtime.netpoll",
                ],
                Category::Wait,
            ),
            (
                &[
                    "internal/runtime/syscall.Syscall6",
                    "syscall.RawSyscall6",
                    "syscall.Syscall6",
                    "syscall.EpollWait",
                    "main.loop",
                ],
                Category::Wait,
            ),
            (
                &[
                    "internal/runtime/syscall.Syscall6",
                    "syscall.RawSyscall6",
                    "golang.org/x/sys/unix.EpollWait",
                ],
                Category::Wait,
            ),
            (
                &["runtime.memclrNoHeapPointers", "runtime.mallocgc", "main.echo"],
                Category::Allocation,
            ),
            (&["runtime.futex", "runtime.futexwakeup"], Category::Scheduler),
            (
                &[
                    "runtime.netpollblock",
                    "internal/poll.runtime_pollWait",
                    "internal/poll.(*FD).Read",
                ],
                Category::Scheduler,
            ),
            (
                &[
                    "runtime.epollwait",
                    "runtime.netpoll",
                    "runtime.findRunnable",
                    "runtime.mcall",
                ],
                Category::Wait,
            ),
            (
                &[
                    "runtime.netpollBreak",
                    "runtime.wakeNetPoller",
                    "runtime.resetTimer",
                ],
                Category::Scheduler,
            ),
            (
                &["runtime.write1", "runtime.netpollBreak", "runtime.wakeNetPoller"],
                Category::Scheduler,
            ),
            (
                &["runtime.casgstatus", "runtime.park_m", "runtime.mcall"],
                Category::Scheduler,
            ),
            (
                &[
                    "runtime.memmove",
                    "internal/poll.(*FD).Write",
                    "net.(*conn).Write",
                ],
                Category::Write,
            ),
            (
                &[
                    "runtime.greyobject",
                    "runtime.scanobject",
                    "runtime.gcDrainN",
                    "runtime.systemstack",
                ],
                Category::Allocation,
            ),
            (
                &[
                    "runtime/internal/syscall.Syscall6",
                    "syscall.accept4",
                    "internal/poll.accept",
                ],
                Category::Accept,
            ),
            (
                &[
                    "syscall",
                    "<polling::epoll::Poller>::wait",
                    "async_io::reactor::Reactor::react",
                ],
                Category::Wait,
            ),
            (
                &[
                    "syscall",
                    "compio_driver::sys::iour::Driver::poll",
                    "compio_runtime::runtime::poll",
                ],
                Category::Wait,
            ),
            (&["glommio::executor::LocalExecutor::run"], Category::Scheduler),
            (
                &[
                    "<async_task::raw::RawTask<F> as core::ops::drop::Drop>::drop",
                    "smol::main",
                ],
                Category::Scheduler,
            ),
            (&["main.echo", "runtime.goexit"], Category::Other),
            (&["[unknown]"], Category::Other),
            (&[], Category::Other),
        ];
        for (functions, category) in cases {
            assert_eq!(categorize(functions.iter().copied()), *category, "{functions:?}");
        }
    }

    #[test]
    fn the_order_of_all_is_the_order_of_the_variants() {
        for (index, (category, _)) in Category::ALL.iter().enumerate() {
            assert_eq!(*category as usize, index);
        }
    }
}
