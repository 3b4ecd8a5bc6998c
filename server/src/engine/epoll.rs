//! Bare epoll: each worker is a thread with an epoll of its own and serves the connections that it accepted.
//!
//! A message costs two system calls, one receive and one send, plus its share of a wait. What makes it so: a read that
//! fills less than the buffer has drained the socket, so no read ends in `WouldBlock`; a reply is sent from the
//! worker's one read buffer right away; and an epoll registration changes only when a reply has to wait, with edge
//! trigger not even then.
//!
//! [`worker`] is the loop, [`acceptor`] takes connections and pauses when it must, [`connection`] echoes on one,
//! [`table`] finds a connection by its event. A worker owns all of its state; workers share the listening socket and
//! the budget of connections, nothing else.

mod acceptor;
mod connection;
mod table;
mod worker;

use std::io;
use std::sync::Arc;

use sys::epoll::Epoll;

use self::acceptor::Budget;
use self::worker::Worker;
use super::{Capabilities, Context, Engine, Listeners, Stop, Threads};

/// The engine's row in the table.
pub const ENGINE: Engine = Engine {
    name: "epoll",
    summary: "worker threads, each a loop around an epoll of its own",
    capabilities: Capabilities {
        lingers: true,
        epoll_flags: true,
        threads: Threads::AsTold,
    },
    probe,
    serve,
};

fn probe() -> Result<(), String> {
    Epoll::new().map(drop).map_err(|error| {
        format!("no epoll can be made here ({error}): raise the limit of open files (ulimit -n)")
    })
}

fn serve(context: Context, listeners: Listeners, stop: Arc<Stop>) -> io::Result<()> {
    for listener in listeners.all() {
        listener.set_nonblocking(true)?;
    }
    let budget = Budget::new(context.max_connections);
    // Everything that can fail is made before the first thread runs.
    let workers = (0..context.workers.get())
        .map(|number| Worker::new(number, &context, &listeners, &budget, &stop))
        .collect::<io::Result<Vec<_>>>()?;
    std::thread::scope(|scope| {
        let mut outcome = Ok(());
        let mut threads = Vec::with_capacity(workers.len());
        for (number, worker) in workers.into_iter().enumerate() {
            let run = || {
                let ended = worker.run();
                // A worker ends early only when it cannot go on. Then the others end too: a server that silently lost
                // some of its workers would be measured as if it had them.
                stop.raise();
                ended
            };
            match std::thread::Builder::new()
                .name(format!("epoll-{number}"))
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
