//! io_uring: each worker is a thread with a ring of its own and serves the connections that it accepted.
//!
//! As a rule a message costs no system call of its own. A multishot receive, armed once for a connection's life, puts
//! arriving bytes into a buffer of the ring and reports them; the reply is queued, goes out from that same buffer with
//! the call that waits for what comes next, and reports nothing unless the socket did not take it. A quiet connection
//! owns no buffer: the ring's are shared, and the kernel takes one only when bytes are there.
//!
//! Three things keep the contract where the kernel would go on by itself. A reply that the socket does not take whole
//! is moved out of the ring into memory of its own, and receiving on that connection stops until it is sent, so that a
//! peer that does not read neither holds the others' buffers nor makes the server read on. A receive that finds no
//! buffer is armed again when some are back. And accepting takes a place in a common budget first, because a direct
//! descriptor counts in no limit of the process, and a connection that finds the ring's table full would be lost.
//!
//! `--accept`: the kernel wakes one ring for a new connection in any case, so `shared` and `exclusive` are the same
//! here. Rings that share a socket take turns: each accepts one connection and then waits behind the others. A ring
//! with a socket of its own (`reuseport`, or a single worker) accepts without being asked again.
//!
//! [`worker`] is the loop, [`acceptor`] takes connections and pauses when it must, [`table`] says what each connection
//! is about.

mod acceptor;
mod table;
mod worker;

use std::io;
use std::sync::Arc;

use self::acceptor::Budget;
use super::{Capabilities, Context, Engine, Listeners, Stop, Threads};

/// The engine's row in the table.
pub const ENGINE: Engine = Engine {
    name: "uring",
    summary: "worker threads, each a loop around an io_uring of its own",
    capabilities: Capabilities {
        lingers: true,
        epoll_flags: false,
        threads: Threads::AsTold,
    },
    probe,
    serve,
};

fn probe() -> Result<(), String> {
    sys::uring::probe().map_err(|why| why.to_string())
}

fn serve(context: Context, listeners: Listeners, stop: Arc<Stop>) -> io::Result<()> {
    let budget = Budget::new(context.max_connections, sys::limits::descriptor_limit()?.soft);
    // Everything that can fail is made before the first thread runs.
    let rings = (0..context.workers.get())
        .map(|_| worker::prepare(&context, &budget))
        .collect::<io::Result<Vec<_>>>()?;
    std::thread::scope(|scope| {
        let mut outcome = Ok(());
        let mut threads = Vec::with_capacity(context.workers.get());
        for (number, ring) in rings.into_iter().enumerate() {
            let (context, listeners, budget, stop) = (&context, &listeners, &budget, &*stop);
            let run = move || {
                let ended = worker::run(ring, number, context, listeners, budget, stop);
                // A worker ends early only when it cannot go on. Then the others end too: a server that silently lost
                // some of its workers would be measured as if it had them.
                stop.raise();
                ended
            };
            match std::thread::Builder::new()
                .name(format!("uring-{number}"))
                .spawn_scoped(scope, run)
            {
                Ok(thread) => threads.push(thread),
                Err(error) => {
                    stop.raise();
                    outcome = Err(error);
                    break;
                }
            }
        }
        for thread in threads {
            let ended = thread
                .join()
                .unwrap_or_else(|_| Err(io::Error::other("a worker panicked")));
            outcome = outcome.and(ended);
        }
        outcome
    })
}
