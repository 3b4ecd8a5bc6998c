//! The workers as the main thread sees them: started, told what to do, heard.
//!
//! Everything that can happen to the main thread (a worker's answer, a signal, a line of the lab's) comes through one
//! channel, so that it waits in one place.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use sys::clock::own_cpu_time;
use sys::wake::Flag;

use crate::clock::{self, Nanos, SECOND};
use crate::failure::Failure;
use crate::ledger::{self, Ledger};
use crate::metrics::{self, Reason};
use crate::pace::Schedule;
use crate::plan;
use crate::progress::Progress;
use crate::random::mix;
use crate::worker::{Answer, Order, Setup, Worker};
use model::pace::Pace;
use model::protocol::{Slice, Spread, Totals};

/// How far in the future a slice begins, so that every thread is ready for its first request.
const LEAD: Nanos = 2_000_000;

/// What can happen to the main thread.
#[derive(Debug)]
pub enum Input {
    /// A worker says something.
    Worker(usize, Answer),
    /// SIGTERM or SIGINT.
    Stop,
    /// A line from standard input.
    Line(String),
    /// Standard input has ended.
    Ended,
}

struct Hand {
    orders: Sender<Order>,
    flag: Arc<Flag>,
    thread: Option<JoinHandle<()>>,
}

impl Hand {
    fn order(&self, order: Order) {
        // A worker that is gone has said so, and is heard in due course.
        let _ = self.orders.send(order);
        self.flag.raise();
    }
}

/// All workers, and the one channel.
pub struct Team {
    setup: Setup,
    /// When the first worker was started, and so the ramp.
    began: Nanos,
    hands: Vec<Hand>,
    inbox: Receiver<Input>,
    slices: u64,
    /// How the messages of all counted slices so far were spread.
    spread: Option<Spread>,
    /// Lines that came while something else was awaited; `None` is the end of the input.
    pub lines: VecDeque<Option<String>>,
    /// Whether a signal asked to stop.
    pub stopped: bool,
    /// The first bad reply, in words.
    pub complaint: Option<String>,
}

/// How a ramp went.
#[derive(Debug)]
pub struct Ramp {
    /// Connections that stand.
    pub connections: u64,
    /// How long it took.
    pub seconds: f64,
    /// The first error.
    pub trouble: Option<(Reason, String)>,
}

/// Sends the farewell even when the thread panics, so that nobody waits for its answer for ever.
struct Farewell(usize, Sender<Input>);

impl Drop for Farewell {
    fn drop(&mut self) {
        let _ = self.1.send(Input::Worker(self.0, Answer::Ended));
    }
}

impl Team {
    /// Starts `threads` workers, which begin to connect at once. `inbox` hears them through `mouth`.
    ///
    /// # Errors
    /// When descriptors or threads ran out.
    pub fn start(
        setup: Setup,
        threads: usize,
        (mouth, inbox): (Sender<Input>, Receiver<Input>),
    ) -> Result<Team, Failure> {
        let failed = |error| {
            Failure::runtime(format!(
                "a thread cannot be started: {error}; use fewer --threads"
            ))
        };
        let began = setup.clock.now();
        let mut hands = Vec::with_capacity(threads);
        for (number, connections) in plan::connections(setup.all_connections, threads)
            .into_iter()
            .enumerate()
        {
            let (orders, heard) = channel();
            let flag = Arc::new(Flag::new().map_err(failed)?);
            let worker =
                Worker::new(setup.clone(), number, connections, Arc::clone(&flag), heard).map_err(failed)?;
            let mouth = mouth.clone();
            let thread = std::thread::Builder::new()
                .name(format!("client-{number}"))
                .spawn(move || {
                    let farewell = Farewell(number, mouth);
                    worker.run(|answer| {
                        // Nobody is left to be told when the main thread is gone.
                        let _ = farewell.1.send(Input::Worker(number, answer));
                    });
                })
                .map_err(failed)?;
            hands.push(Hand {
                orders,
                flag,
                thread: Some(thread),
            });
        }
        Ok(Team {
            setup,
            began,
            hands,
            inbox,
            slices: 0,
            spread: None,
            lines: VecDeque::new(),
            stopped: false,
            complaint: None,
        })
    }

    /// Awaits the end of the ramp.
    ///
    /// # Errors
    /// When a worker cannot go on.
    pub fn ramp(&mut self, progress: &mut Progress) -> Result<Ramp, Failure> {
        let mut trouble = None;
        self.hear_all(Nanos::MAX, progress, |_, answer| match answer {
            Answer::Ramped(own) => {
                trouble = trouble.take().or(own);
                true
            }
            _ => false,
        })?;
        Ok(Ramp {
            connections: self.setup.board.sum(|block| &block.established),
            seconds: clock::seconds(self.setup.clock.now() - self.began),
            trouble,
        })
    }

    /// Puts the server under load for `duration` and awaits the last replies. When it is `counted`, so are the messages
    /// of each connection.
    ///
    /// # Errors
    /// When a worker cannot go on.
    pub fn slice(
        &mut self,
        pace: &Pace,
        duration: Duration,
        counted: bool,
        progress: &mut Progress,
    ) -> Result<Slice, Failure> {
        let board = Arc::clone(&self.setup.board);
        let standing: Vec<usize> = (0..self.hands.len())
            .map(|thread| board.block(thread).established.get() as usize)
            .collect();
        let cpu_before = cpu_time()?;
        let start = self.setup.clock.now() + LEAD;
        let end = start.saturating_add(clock::nanos(duration));
        if let Pace::Open { rate_per_second, .. } = pace {
            board.set_offered(rate_per_second.per_second());
        }
        for (hand, share) in self.hands.iter().zip(plan::shares(&standing)) {
            let seed = mix(mix(self.setup.seed ^ mix(self.slices)).wrapping_add(share.thread as u64));
            let schedule = Schedule::new(pace, share, (start, end), seed);
            hand.order(Order::Slice {
                schedule,
                start,
                end,
                counted,
            });
        }
        self.slices += 1;
        progress.begin(start, end);
        if self.stopped {
            self.order_all(|| Order::Cut);
        }
        let mut ledgers: Vec<Ledger> = Vec::with_capacity(self.hands.len());
        self.hear_all(end, progress, |_, answer| match answer {
            Answer::Slice(ledger) => {
                ledgers.push(*ledger);
                true
            }
            _ => false,
        })?;
        let cpu = cpu_time()?.saturating_sub(cpu_before);
        board.set_offered(0.0);
        let complaint = ledgers.iter_mut().find_map(|ledger| ledger.complaint.take());
        self.complaint = self.complaint.take().or(complaint);
        // Each thread's is that of all slices so far.
        self.spread = ledgers
            .iter()
            .filter_map(|ledger| ledger.spread)
            .reduce(Spread::and);
        Ok(ledger::merge(&ledgers, cpu))
    }

    /// Closes all connections, ends the threads, and says what they did in their lives.
    ///
    /// # Errors
    /// When a worker failed instead of ending.
    pub fn finish(mut self) -> Result<Totals, Failure> {
        self.order_all(|| Order::Finish);
        self.hear_all(Nanos::MAX, &mut Progress::none(), |_, answer| {
            matches!(answer, Answer::Ended)
        })?;
        for hand in &mut self.hands {
            if let Some(thread) = hand.thread.take() {
                // A panic has been printed, and its farewell heard.
                let _ = thread.join();
            }
        }
        let board = &self.setup.board;
        Ok(Totals {
            connections: board.sum(|block| &block.closed),
            sent: board.sum(|block| &block.requests),
            replies: board.sum(|block| &block.replies),
            errors: metrics::named(&board.errors()),
            sent_bytes: board.sum(|block| &block.sent_bytes),
            received_bytes: board.sum(|block| &block.received_bytes),
            cpu_seconds: cpu_time()?.as_secs_f64(),
            spread: self.spread,
        })
    }

    /// The next line of standard input, `None` at its end or when a signal asks to stop.
    ///
    /// # Errors
    /// When a worker cannot go on.
    pub fn next_line(&mut self) -> Result<Option<String>, Failure> {
        loop {
            if self.stopped {
                return Ok(None);
            }
            if let Some(line) = self.lines.pop_front() {
                return Ok(line);
            }
            match self.inbox.recv() {
                Ok(Input::Worker(_, answer)) => refuse(answer)?,
                Ok(input) => self.take(input),
                Err(_) => return Ok(None),
            }
        }
    }

    /// Hears every worker once: `accept` says whether an answer is the awaited one. From `first_nudge` on the flags are
    /// raised from time to time, so that workers look at the clock.
    fn hear_all(
        &mut self,
        first_nudge: Nanos,
        progress: &mut Progress,
        mut accept: impl FnMut(usize, Answer) -> bool,
    ) -> Result<(), Failure> {
        let clock = self.setup.clock;
        // Overdue replies are looked for this often; a timeout is noticed late by as much at most.
        let period = (self.setup.timeout / 4).clamp(SECOND / 100, SECOND);
        let mut next_nudge = first_nudge.min(clock.now().saturating_add(period));
        let mut awaited = self.hands.len();
        while awaited > 0 {
            let now = clock.now();
            if now >= next_nudge {
                self.hands.iter().for_each(|hand| hand.flag.raise());
                next_nudge = match now < first_nudge {
                    true => first_nudge.min(now + period),
                    false => now + period,
                };
            }
            let next = progress.tick(now, &self.setup.board).min(next_nudge);
            match self
                .inbox
                .recv_timeout(Duration::from_nanos(next.saturating_sub(now)))
            {
                Ok(Input::Worker(number, answer)) => match answer {
                    Answer::Failed(why) => return Err(Failure::runtime(why)),
                    answer => {
                        let ended = matches!(answer, Answer::Ended);
                        if accept(number, answer) {
                            awaited -= 1;
                        } else if ended {
                            return Err(Failure::runtime(BUG));
                        }
                    }
                },
                Ok(input) => self.take(input),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(Failure::runtime(BUG)),
            }
        }
        Ok(())
    }

    fn take(&mut self, input: Input) {
        match input {
            Input::Stop => {
                self.stopped = true;
                self.order_all(|| Order::Cut);
            }
            Input::Line(line) => self.lines.push_back(Some(line)),
            Input::Ended => self.lines.push_back(None),
            Input::Worker(..) => {}
        }
    }

    fn order_all(&self, order: impl Fn() -> Order) {
        self.hands.iter().for_each(|hand| hand.order(order()));
    }
}

/// What is said when a thread is gone that should not be.
const BUG: &str = "a thread of the client ended too early; this is a bug, please report it";

fn refuse(answer: Answer) -> Result<(), Failure> {
    match answer {
        Answer::Failed(why) => Err(Failure::runtime(why)),
        Answer::Ended => Err(Failure::runtime(BUG)),
        Answer::Ramped(_) | Answer::Slice(_) => Ok(()),
    }
}

fn cpu_time() -> Result<Duration, Failure> {
    own_cpu_time()
        .map_err(|error| Failure::runtime(format!("the process's CPU clock cannot be read: {error}")))
}
