//! The workers' threads: start, watch, join.

use std::io;
use std::net::TcpListener;
use std::os::fd::AsFd;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use sys::cpu::CpuSet;
use sys::signal::Termination;
use sys::wake::{self, Flag};

use crate::shared::Shared;
use crate::worker::Worker;
use crate::{Contender, Failure};

/// How long a runtime may take to start.
const START_PATIENCE: Duration = Duration::from_secs(10);

/// What a worker has to tell.
#[derive(Debug)]
pub enum Event {
    /// Its runtime is up.
    Up,
    /// It has ended.
    Ended(io::Result<()>),
}

/// The workers' threads.
pub struct Crew {
    events: Receiver<Event>,
    /// Raised when a worker has ended.
    ended: Arc<Flag>,
    /// How many have not.
    running: usize,
}

impl Crew {
    /// Starts a worker for each listener and waits until their runtimes are up.
    ///
    /// # Errors
    /// When a thread or a runtime cannot be made.
    pub(crate) fn start(
        contender: &Contender,
        shared: &Arc<Shared>,
        listeners: Vec<TcpListener>,
    ) -> Result<Crew, Failure> {
        let failed = |error: io::Error| Failure::Failed(format!("a worker cannot start: {error}"));
        let (sender, events) = mpsc::channel();
        let mut crew = Crew {
            events,
            ended: Arc::new(Flag::new().map_err(failed)?),
            running: 0,
        };
        let own_cpus = own_cpus(contender, shared, listeners.len());
        for (index, listener) in listeners.into_iter().enumerate() {
            let worker = Worker::new(index, Arc::clone(shared), sender.clone());
            let (work, cpu) = (contender.work, own_cpus.get(index).cloned());
            let (sender, ended) = (sender.clone(), Arc::clone(&crew.ended));
            let body = move || {
                let pinned = cpu.map_or(Ok(()), |cpu| cpu.pin_current_thread());
                // Some runtimes panic where others return an error.
                let served = std::panic::catch_unwind(AssertUnwindSafe(|| {
                    pinned.and_then(|()| work(worker, listener))
                }));
                let outcome =
                    served.unwrap_or_else(|_| Err(io::Error::other("the runtime panicked (see above)")));
                // The receiver is gone only when the process ends.
                let _ = sender.send(Event::Ended(outcome));
                ended.raise();
            };
            thread::Builder::new()
                .name(format!("worker-{index}"))
                .spawn(body)
                .map_err(failed)?;
            crew.running += 1;
        }
        let mut down = crew.running;
        while down > 0 {
            match crew.events.recv_timeout(START_PATIENCE) {
                Ok(Event::Up) => down -= 1,
                Ok(Event::Ended(outcome)) => {
                    let error = outcome
                        .err()
                        .unwrap_or_else(|| io::Error::other("it ended at once"));
                    return Err(failed(error));
                }
                Err(_) => {
                    return Err(failed(io::Error::other(format!(
                        "it is not up after {START_PATIENCE:?}"
                    ))));
                }
            }
        }
        Ok(crew)
    }

    /// Waits for a signal, or for a worker that ends without one.
    ///
    /// # Errors
    /// When a worker ended: why.
    pub(crate) fn watch(&mut self, termination: &Termination) -> Result<(), Failure> {
        loop {
            let [signalled, ended] = wake::wait_readable([termination.as_fd(), self.ended.as_fd()], None)
                .map_err(|error| Failure::Failed(format!("cannot wait for signals: {error}")))?;
            if signalled {
                return Ok(());
            }
            if ended {
                let why = match self.events.try_recv() {
                    Ok(Event::Ended(Err(error))) => error.to_string(),
                    _ => "for no reason that it knows".to_owned(),
                };
                self.running -= 1;
                return Err(Failure::Failed(format!("a worker ended: {why}")));
            }
        }
    }

    /// Waits until the workers have ended, as long as the grace period lasts.
    pub(crate) fn join(mut self, shared: &Shared) {
        let end = shared.deadline().unwrap_or_else(Instant::now) + Duration::from_millis(50);
        while self.running > 0 {
            match self
                .events
                .recv_timeout(end.saturating_duration_since(Instant::now()))
            {
                Ok(Event::Up) => {}
                Ok(Event::Ended(_)) => self.running -= 1,
                // They end with the process.
                Err(_) => return,
            }
        }
    }
}

/// A CPU for each worker, for runtimes made for a thread per core and where `--cpus` has enough of them.
fn own_cpus(contender: &Contender, shared: &Shared, workers: usize) -> Vec<CpuSet> {
    match &shared.config.cpus {
        Some(cpus) if contender.thread_per_core && workers > 1 && cpus.len() >= workers => {
            cpus.iter().map(|cpu| CpuSet::from_iter([cpu])).collect()
        }
        _ => Vec::new(),
    }
}
