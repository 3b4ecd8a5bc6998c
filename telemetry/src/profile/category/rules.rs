//! What the names of functions say: of the C library, Rust's libraries and runtimes, and Go's.

use super::Category;

/// What one function's name says, if anything.
pub(super) fn rule(name: &str) -> Option<Category> {
    // A method of a trait reads `<a::B as c::D>::e`; generics end in `<…>`. Neither matters below.
    let bare = name.trim_start_matches('<');
    if let Some(category) = c_function(bare) {
        return Some(category);
    }
    let known = |(needles, category): &(&[&str], Category)| {
        needles
            .iter()
            .any(|needle| bare.starts_with(needle))
            .then_some(*category)
    };
    PREFIXES.iter().find_map(known)
}

/// Functions of the C library and jemalloc, by their exact names, the library's own prefixes taken off.
fn c_function(name: &str) -> Option<Category> {
    if name.contains(['.', ':']) {
        return None;
    }
    let name = name.trim_start_matches("__").trim_start_matches("GI_");
    let name = name.trim_start_matches("__").trim_start_matches("libc_");
    Some(match name {
        "recv" | "recvfrom" | "recvmsg" | "read" | "readv" | "pread" | "pread64" => Category::Read,
        "send" | "sendto" | "sendmsg" | "write" | "writev" | "shutdown" => Category::Write,
        "epoll_wait" | "epoll_pwait" | "epoll_pwait2" | "epoll_ctl" | "poll" | "ppoll" | "select"
        | "io_uring_enter" => Category::Wait,
        "accept" | "accept4" => Category::Accept,
        "futex_wait"
        | "futex_wake"
        | "sched_yield"
        | "nanosleep"
        | "clock_nanosleep"
        | "lll_lock_wait"
        | "lll_lock_wake"
        | "pthread_cond_wait"
        | "pthread_cond_signal"
        | "pthread_mutex_lock"
        | "clone"
        | "clone3" => Category::Scheduler,
        "malloc" | "calloc" | "realloc" | "free" | "cfree" | "posix_memalign" | "aligned_alloc" | "mmap"
        | "mmap64" | "munmap" | "madvise" | "brk" | "sbrk" => Category::Allocation,
        _ if name.starts_with("rjem_") || name.starts_with("_rjem_") || name.starts_with("rust_alloc") => {
            Category::Allocation
        }
        _ if name.starts_with("rust_dealloc") || name.starts_with("rust_realloc") => Category::Allocation,
        _ if name.starts_with("pthread_") => Category::Scheduler,
        _ => return None,
    })
}

/// Beginnings of names of Rust and Go; the first that fits decides, so the narrower ones come first.
const PREFIXES: &[(&[&str], Category)] = &[
    // Our own thin layer, and the calls beneath the standard library and mio.
    (
        &[
            "sys::socket::receive",
            "syscall.read",
            "syscall.recv",
            "syscall.Read",
            "internal/poll.(*FD).Read",
            "net.(*conn).Read",
            "net.(*netFD).Read",
            "std::net::tcp::TcpStream as std::io::Read",
            "&std::net::tcp::TcpStream as std::io::Read",
            "tokio::net::tcp::stream::poll_read",
            "tokio::net::tcp::stream::try_read",
            "tokio::net::tcp::stream::TcpStream>::try_read",
            "tokio::net::tcp::stream::TcpStream as tokio::io::async_read",
            "tokio::io::util::read",
        ],
        Category::Read,
    ),
    (
        &[
            "sys::socket::send",
            "syscall.write",
            "syscall.send",
            "syscall.Write",
            "internal/poll.(*FD).Write",
            "net.(*conn).Write",
            "net.(*netFD).Write",
            "std::net::tcp::TcpStream as std::io::Write",
            "&std::net::tcp::TcpStream as std::io::Write",
            "tokio::net::tcp::stream::poll_write",
            "tokio::net::tcp::stream::try_write",
            "tokio::net::tcp::stream::TcpStream>::try_write",
            "tokio::net::tcp::stream::TcpStream as tokio::io::async_write",
            "tokio::io::util::write",
        ],
        Category::Write,
    ),
    (
        &[
            "sys::socket::accept",
            "syscall.accept",
            "syscall.Accept",
            "internal/poll.accept",
            "internal/poll.(*FD).Accept",
            "net.(*TCPListener)",
            "net.(*netFD).accept",
            "std::net::tcp::TcpListener::accept",
            "tokio::net::tcp::listener",
            "mio::net::tcp::listener",
        ],
        Category::Accept,
    ),
    // Parts of what is called netpoll decide who runs, and ask the kernel nothing.
    (
        &[
            "runtime.netpollblock",
            "runtime.netpollunblock",
            "runtime.netpollready",
            "runtime.netpollgoready",
            // How a thread wakes the one that waits in epoll_wait.
            "runtime.netpollBreak",
            "runtime.netpollAdjustWaiters",
            "runtime.netpollAnyWaiters",
        ],
        Category::Scheduler,
    ),
    (
        &[
            "sys::epoll",
            "sys::uring",
            "polling::",
            "rustix::event",
            "compio_driver::",
            "monoio::driver",
            "glommio::sys",
            "glommio::iou",
            "sys::wake::wait_readable",
            "io_uring::",
            "mio::poll",
            "mio::sys::unix::selector",
            "runtime.epollwait",
            "runtime.netpoll",
            "internal/runtime/syscall.EpollWait",
            "runtime/internal/syscall.EpollWait",
            // What a program calls by itself, without the runtime's poller.
            "syscall.EpollWait",
            "syscall.EpollCtl",
            "golang.org/x/sys/unix.EpollWait",
            "golang.org/x/sys/unix.EpollCtl",
        ],
        Category::Wait,
    ),
    (
        &[
            "alloc::alloc::",
            "alloc::raw_vec::",
            "tikv_jemallocator::",
            "sys::allocator::",
            "runtime.mallocgc",
            "runtime.newobject",
            "runtime.makeslice",
            "runtime.growslice",
            "runtime.gc",
            "runtime.scan",
            "runtime.greyobject",
            "runtime.markroot",
            "runtime.sweep",
            "runtime.bgsweep",
            "runtime.bgscavenge",
            "runtime.(*mheap)",
            "runtime.(*mcache)",
            "runtime.(*mcentral)",
            "runtime.(*gcWork)",
            "runtime.(*sweepLocked)",
            "runtime.deductAssistCredit",
            "runtime.wbBufFlush",
        ],
        Category::Allocation,
    ),
    (
        &[
            "tokio::",
            "mio::",
            "tokio_uring::",
            "compio_runtime::",
            "compio_executor::",
            "compio::",
            "monoio::",
            "glommio::",
            "smol::",
            "async_io::",
            "async_executor::",
            "async_task::",
            "async_channel::",
            "event_listener::",
            "concurrent_queue::",
            "futures_lite::",
            "futures_util::",
            "parking_lot",
            "std::sys::sync::",
            "std::sys::pal::unix::futex",
            "std::sync::",
            "std::thread::",
            "core::task::wake",
            "runtime.futex",
            "runtime.schedule",
            "runtime.findRunnable",
            "runtime.mcall",
            "runtime.park_m",
            "runtime.gopark",
            "runtime.goready",
            "runtime.ready",
            "runtime.goschedImpl",
            "runtime.gosched_m",
            "runtime.execute",
            "runtime.mstart",
            "runtime.mPark",
            "runtime.notesleep",
            "runtime.notewakeup",
            "runtime.notetsleep",
            "runtime.startm",
            "runtime.stopm",
            "runtime.wakep",
            "runtime.handoffp",
            "runtime.retake",
            "runtime.sysmon",
            "runtime.usleep",
            "runtime.osyield",
            "runtime.procyield",
            "runtime.runq",
            "runtime.globrunq",
            "runtime.stealWork",
            "runtime.checkTimers",
            "runtime.casgstatus",
            "runtime.entersyscall",
            "runtime.exitsyscall",
            "runtime.reentersyscall",
            "runtime.lock",
            "runtime.unlock",
            "runtime.goroutineReady",
            "runtime.gogo",
            "runtime.goexit0",
            "runtime.newproc",
            "runtime.gfget",
            "runtime.gfput",
            "runtime.pidle",
            "runtime.injectglist",
            "runtime.resetspinning",
            "runtime.acquirep",
            "runtime.releasep",
            "runtime.preempt",
            "runtime.asyncPreempt",
            "runtime.sema",
            "runtime.selectgo",
            "runtime.chan",
            "internal/poll.(*pollDesc)",
            "internal/poll.runtime_poll",
            "internal/poll.(*fdMutex)",
            "sync.",
        ],
        Category::Scheduler,
    ),
    // An engine's own code, and what serves the metrics.
    (
        &[
            "server::",
            "rust_runtimes::",
            "main.",
            "telemetry::",
            "axum::",
            "hyper::",
        ],
        Category::Other,
    ),
];
