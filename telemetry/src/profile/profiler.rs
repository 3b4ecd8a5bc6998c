//! Runs the sampling on a thread of its own: at a low rate all the time when wanted, and for one recording at a time
//! on demand.

use std::io;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use nix::time::{ClockId, clock_gettime};
use tokio::sync::oneshot;

use super::category::Category;
use super::classifier::Classifier;
use super::image::{Image, images};
use super::pprof::Profile;
use super::recording::{Ending, Recording};
use super::request::Request;
use super::stacks::Unwinder;
use super::symbols::Symbolizer;
use super::{Sample, Sampler};
use crate::family::{Family, Source};
use crate::names;
use crate::observers::PROFILER;

/// Samples are fetched at least this often, so that a scrape each second shows something new.
const DRAIN_MAX: Duration = Duration::from_millis(500);
/// And not more often, whatever the rate: fetching takes CPU time as well.
const DRAIN_MIN: Duration = Duration::from_millis(10);

/// The profiler of this process. Dropping the last reference stops it.
pub struct Profiler {
    title: String,
    always: Option<NonZeroU32>,
    shared: Arc<Shared>,
    orders: Option<mpsc::Sender<Order>>,
    thread: Option<JoinHandle<()>>,
}

/// A profile, or why there is none.
pub type Outcome = Result<Profile, String>;

/// A recording is under way already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Busy {
    /// How long it still takes.
    pub left: Duration,
}

struct Order {
    request: Request,
    reply: oneshot::Sender<Outcome>,
}

#[derive(Default)]
struct Shared {
    /// Until when the recording under way takes.
    busy_until: Mutex<Option<Instant>>,
    category_nanos: [AtomicU64; Category::ALL.len()],
    samples: AtomicU64,
}

impl Profiler {
    /// Starts the thread. With `always`, `sampler` runs at this rate all the time and feeds
    /// `echolab_profile_seconds_total`; else it rests until someone asks for a profile. `title` is what flame graphs
    /// are called: the engine.
    ///
    /// # Errors
    /// When the thread or the sampling cannot start.
    pub fn start(
        title: &str,
        mut sampler: Box<dyn Sampler>,
        always: Option<NonZeroU32>,
    ) -> io::Result<Arc<Profiler>> {
        // Read now, while there are descriptors and nothing is served yet.
        let tables = always.map(|_| Tables::read()).transpose()?;
        let classifier = tables.as_ref().map(|tables| Classifier::new(&tables.images));
        if let Some(hertz) = always {
            sampler.sample(hertz)?;
        }
        let shared = Arc::new(Shared::default());
        let (orders, received) = mpsc::channel();
        let worker = Worker {
            sampler,
            always,
            classifier,
            tables,
            shared: Arc::clone(&shared),
        };
        let thread = std::thread::Builder::new()
            .name(PROFILER.to_owned())
            .spawn(move || {
                let _idle = IdleOnDrop(Arc::clone(&worker.shared));
                // Dropped before the line above: no order can come in after it.
                let received = received;
                worker.run(&received);
            })?;
        Ok(Arc::new(Profiler {
            title: title.to_owned(),
            always,
            shared,
            orders: Some(orders),
            thread: Some(thread),
        }))
    }

    /// What flame graphs are called.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// How long the recording under way still takes, if there is one.
    pub fn busy(&self) -> Option<Busy> {
        let until = *lock(&self.shared.busy_until);
        until.map(|until| Busy {
            left: until.saturating_duration_since(Instant::now()),
        })
    }

    /// Begins a recording. The profile comes when its time is over; whoever drops the receiver before cancels it.
    ///
    /// # Errors
    /// [`Busy`] when there is a recording already.
    pub fn record(&self, request: Request) -> Result<oneshot::Receiver<Outcome>, Busy> {
        let mut busy_until = lock(&self.shared.busy_until);
        let now = Instant::now();
        if let Some(until) = *busy_until {
            let left = until.saturating_duration_since(now);
            return Err(Busy { left });
        }
        let (reply, outcome) = oneshot::channel();
        let order = Order { request, reply };
        // When the thread has ended, the reply's sender is dropped, and the receiver says so.
        if self
            .orders
            .as_ref()
            .is_some_and(|orders| orders.send(order).is_ok())
        {
            *busy_until = Some(now + request.duration);
        }
        Ok(outcome)
    }
}

impl Drop for Profiler {
    fn drop(&mut self) {
        drop(self.orders.take());
        if let Some(thread) = self.thread.take() {
            // A panic in there has been printed; there is nothing to add.
            let _ = thread.join();
        }
    }
}

impl Source for Profiler {
    /// Nothing unless it samples all the time: a share of the time would pass for the whole.
    fn families(&self) -> Vec<Family> {
        if self.always.is_none() {
            return vec![];
        }
        let mut seconds = Family::new(&names::PROFILE_SECONDS);
        for (category, text) in Category::ALL {
            let nanos = self.shared.category_nanos[category as usize].load(Ordering::Relaxed);
            seconds = seconds.with(&[text], nanos as f64 / 1e9);
        }
        let samples = self.shared.samples.load(Ordering::Relaxed);
        vec![seconds, Family::of(&names::PROFILE_SAMPLES, samples as f64)]
    }
}

/// How to unwind the program's stacks. There only while it is needed.
struct Tables {
    unwinder: Unwinder,
    images: Vec<Image>,
}

impl Tables {
    fn read() -> io::Result<Tables> {
        let mut images = images()?;
        Ok(Tables {
            unwinder: Unwinder::new(&mut images),
            images,
        })
    }
}

/// Takes back that a recording is under way when the thread ends, also when it panics in the middle of one: whoever asks
/// then hears that the profiler has ended, and not for ever that he must wait.
struct IdleOnDrop(Arc<Shared>);

impl Drop for IdleOnDrop {
    fn drop(&mut self) {
        *lock(&self.0.busy_until) = None;
    }
}

/// A recording under way.
struct Ongoing {
    recording: Recording,
    reply: oneshot::Sender<Outcome>,
    began: Instant,
    ends: Instant,
    cpu_before: Duration,
    dropped_before: u64,
    hertz: NonZeroU32,
}

struct Worker {
    sampler: Box<dyn Sampler>,
    always: Option<NonZeroU32>,
    /// There when it samples all the time.
    classifier: Option<Classifier>,
    /// There when it samples now.
    tables: Option<Tables>,
    shared: Arc<Shared>,
}

impl Worker {
    fn run(mut self, orders: &mpsc::Receiver<Order>) {
        self.sampler.on_thread_start();
        let mut ongoing: Option<Ongoing> = None;
        loop {
            let order = match (&ongoing, self.always) {
                (None, None) => orders.recv().map_err(|_| RecvTimeoutError::Disconnected),
                (None, Some(hertz)) => orders.recv_timeout(self.pause(hertz)),
                (Some(ongoing), _) => {
                    let left = ongoing.ends.saturating_duration_since(Instant::now());
                    orders.recv_timeout(self.pause(ongoing.hertz).min(left))
                }
            };
            self.drain(ongoing.as_mut());
            match order {
                Ok(order) => ongoing = self.begin(order),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            let over = |ongoing: &mut Ongoing| ongoing.ends <= Instant::now() || ongoing.reply.is_closed();
            if let Some(ended) = ongoing.take_if(over) {
                self.end(ended);
            }
        }
        self.sampler.stop();
    }

    /// How long samples may wait: at most a quarter of the room is taken then, should every CPU be busy.
    fn pause(&self, hertz: NonZeroU32) -> Duration {
        let cpus = std::thread::available_parallelism().map_or(1, |cpus| cpus.get());
        let per_second = f64::from(hertz.get()) * cpus as f64;
        Duration::from_secs_f64(self.sampler.capacity() as f64 / 4.0 / per_second).clamp(DRAIN_MIN, DRAIN_MAX)
    }

    fn begin(&mut self, order: Order) -> Option<Ongoing> {
        let Order { request, reply } = order;
        // Before the clock starts: reading the tables takes CPU time that is not the program's.
        let ready = match self.tables {
            Some(_) => Ok(()),
            None => Tables::read().map(|tables| self.tables = Some(tables)),
        };
        if let Err(error) = ready.and_then(|()| self.sampler.sample(request.hertz)) {
            self.answer(reply, Err(format!("samples cannot be taken here: {error}")));
            return None;
        }
        let began = Instant::now();
        let ends = began + request.duration;
        *lock(&self.shared.busy_until) = Some(ends);
        Some(Ongoing {
            recording: Recording::new(SystemTime::now(), request.hertz),
            reply,
            began,
            ends,
            cpu_before: cpu_time(),
            dropped_before: self.sampler.dropped(),
            hertz: request.hertz,
        })
    }

    fn end(&mut self, mut ended: Ongoing) {
        let ending = Ending {
            duration: ended.began.elapsed(),
            cpu_time: cpu_time().saturating_sub(ended.cpu_before),
            dropped: self.sampler.dropped().saturating_sub(ended.dropped_before),
        };
        let went_on = match self.always {
            Some(hertz) => self.sampler.sample(hertz),
            None => Ok(()),
        };
        if let Err(error) = went_on {
            eprintln!("the profiler could not go on after a recording: {error}");
        }
        self.drain(Some(&mut ended));
        if self.always.is_none() {
            self.sampler.stop();
        }
        let outcome = match &self.tables {
            // Line tables take dozens of megabytes, so they are there for this moment only.
            Some(Tables { images, .. }) if !ended.reply.is_closed() => Ok(ended
                .recording
                .into_profile(&mut Symbolizer::new(images), &ending)),
            _ => Err("the recording was cancelled".to_owned()),
        };
        if self.always.is_none() {
            self.tables = None;
        }
        self.answer(ended.reply, outcome);
    }

    /// The next one may begin as soon as this one has its answer.
    fn answer(&self, reply: oneshot::Sender<Outcome>, outcome: Outcome) {
        *lock(&self.shared.busy_until) = None;
        // Whoever asked may have gone.
        let _ = reply.send(outcome);
    }

    fn drain(&mut self, mut ongoing: Option<&mut Ongoing>) {
        // Without tables nothing is sampled.
        let Some(tables) = &mut self.tables else { return };
        self.sampler.drain(&mut |sample: Sample<'_>| {
            let (addresses, whole) = tables.unwinder.unwind(&sample);
            if let Some(classifier) = &self.classifier {
                let category = classifier.categorize(&addresses);
                let nanos = u64::try_from(sample.cpu_time.as_nanos()).unwrap_or(u64::MAX);
                self.shared.category_nanos[category as usize].fetch_add(nanos, Ordering::Relaxed);
                self.shared.samples.fetch_add(1, Ordering::Relaxed);
            }
            if let Some(ongoing) = ongoing.as_mut() {
                ongoing.recording.add(&sample, addresses, whole);
            }
        });
    }
}

/// CPU time that this process has used.
fn cpu_time() -> Duration {
    clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID)
        .map(Duration::from)
        .unwrap_or_default()
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A sampler that breaks as soon as there is something to record.
    struct Broken;

    impl Sampler for Broken {
        fn sample(&mut self, _: NonZeroU32) -> io::Result<()> {
            Ok(())
        }

        fn stop(&mut self) {}

        fn drain(&mut self, _: &mut dyn FnMut(Sample<'_>)) {
            panic!("it breaks on purpose");
        }

        fn dropped(&self) -> u64 {
            0
        }

        fn capacity(&self) -> usize {
            1
        }
    }

    #[test]
    fn a_profiler_that_broke_says_so_instead_of_being_busy_for_ever() {
        let profiler = Profiler::start("test", Box::new(Broken), None).unwrap();
        let request = Request {
            duration: Duration::from_secs(300),
            hertz: NonZeroU32::MIN,
        };
        let outcome = profiler.record(request).unwrap();
        assert!(outcome.blocking_recv().is_err(), "nobody answers");
        let deadline = Instant::now() + Duration::from_secs(60);
        // The thread may still be on its way out.
        while profiler.busy().is_some() {
            assert!(Instant::now() < deadline, "it is busy for ever");
            std::thread::yield_now();
        }
        let again = profiler.record(request).expect("it is not busy");
        assert!(again.blocking_recv().is_err());
        assert_eq!(profiler.busy(), None);
    }
}
