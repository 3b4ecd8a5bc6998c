//! A child process with a guard: its lines can be waited for, its last words are kept, and it never outlives us.

use std::cell::Cell;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use sys::process::{Ending, Held};
use sys::signal::Termination;

/// How often a wait looks whether the user wants to stop.
const STOP_POLL: Duration = Duration::from_millis(50);
/// How often the end of a child is looked for.
const END_POLL: Duration = Duration::from_millis(2);
/// How much of a child's standard error is kept.
const LAST_WORDS_BYTES: usize = 4096;

/// The user wants to stop (Ctrl-C, or SIGTERM).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interrupted;

/// Why a line did not come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoLine {
    /// The user wants to stop.
    Interrupted,
    /// Not in time.
    Late,
    /// The child closed its output: it has ended or soon will.
    Closed,
}

/// Waits for things while it listens for the user's wish to stop.
pub struct Waiter {
    termination: Termination,
    interrupted: Cell<bool>,
}

impl Waiter {
    /// Listens on `termination`.
    pub fn new(termination: Termination) -> Waiter {
        Waiter {
            termination,
            interrupted: Cell::new(false),
        }
    }

    /// Whether the user wants to stop; once true, always.
    pub fn interrupted(&self) -> bool {
        // A signal that cannot be read is no wish to stop.
        if self.termination.wait(Some(Duration::ZERO)).unwrap_or(false) {
            self.interrupted.set(true);
        }
        self.interrupted.get()
    }

    /// Fails when the user wants to stop.
    ///
    /// # Errors
    /// [`Interrupted`].
    pub fn check(&self) -> Result<(), Interrupted> {
        if self.interrupted() {
            Err(Interrupted)
        } else {
            Ok(())
        }
    }

    /// Waits until `ready` says so, asking it every few milliseconds; false when `patience` ran out first.
    ///
    /// # Errors
    /// [`Interrupted`].
    pub fn until(&self, patience: Duration, mut ready: impl FnMut() -> bool) -> Result<bool, Interrupted> {
        let deadline = Instant::now() + patience;
        loop {
            if ready() {
                return Ok(true);
            }
            if Instant::now() >= deadline {
                return Ok(false);
            }
            if self.termination.wait(Some(END_POLL)).unwrap_or(false) {
                self.interrupted.set(true);
            }
            self.check()?;
        }
    }
}

/// A running child. Dropped, it is asked to end, then made to.
pub struct Child {
    process: std::process::Child,
    lines: Receiver<String>,
    last_words: Arc<Mutex<Vec<u8>>>,
    stderr_reader: Option<JoinHandle<()>>,
    status: Option<ExitStatus>,
    /// Whether nothing of it is left: its number may be another's by now.
    stopped: bool,
    grace: Duration,
}

impl Child {
    /// Starts `command` as the leader of a process group of its own, so that Ctrl-C reaches the lab alone. Call it on
    /// the main thread: the kernel ends the child when the thread that started it ends. Asked to end, it has `grace`.
    ///
    /// # Errors
    /// When it cannot be started: names the program.
    pub fn start(mut command: Command, grace: Duration) -> Result<Child, String> {
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        sys::child::reset_signals(&mut command);
        sys::child::die_with_parent(&mut command);
        let mut process = command
            .spawn()
            .map_err(|error| format!("cannot start {}: {error}", command.get_program().display()))?;
        let (sender, lines) = channel();
        if let Some(stdout) = process.stdout.take() {
            std::thread::spawn(move || {
                for line in BufReader::new(stdout).lines() {
                    // The receiver may be gone; the output is read on, or the child would block on a full pipe.
                    let Ok(line) = line else { break };
                    let _ = sender.send(line);
                }
            });
        }
        let last_words = Arc::new(Mutex::new(Vec::new()));
        let stderr_reader = process.stderr.take().map(|stderr| {
            let last_words = Arc::clone(&last_words);
            std::thread::spawn(move || keep_last_words(stderr, &last_words))
        });
        Ok(Child {
            process,
            lines,
            last_words,
            stderr_reader,
            status: None,
            stopped: false,
            grace,
        })
    }

    /// Its process number.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Its next line of output.
    ///
    /// # Errors
    /// When it does not come, and why.
    pub fn line(&self, waiter: &Waiter, patience: Duration) -> Result<String, NoLine> {
        let deadline = Instant::now() + patience;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left.min(STOP_POLL)) {
                Ok(line) => return Ok(line),
                Err(RecvTimeoutError::Disconnected) => return Err(NoLine::Closed),
                Err(RecvTimeoutError::Timeout) if waiter.interrupted() => return Err(NoLine::Interrupted),
                Err(RecvTimeoutError::Timeout) if left.is_zero() => return Err(NoLine::Late),
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    /// Writes a line to its standard input; false when it does not listen any more.
    pub fn tell(&mut self, line: &str) -> bool {
        self.process
            .stdin
            .as_mut()
            .is_some_and(|stdin| writeln!(stdin, "{line}").and_then(|()| stdin.flush()).is_ok())
    }

    /// How it ended, and its last words; `None` while it lives.
    pub fn obituary(&mut self) -> Option<String> {
        self.look();
        let status = self.status?;
        let how = match (status.code(), status.signal()) {
            (Some(code), _) => format!("exit code {code}"),
            (None, Some(signal)) => format!("killed by signal {signal}"),
            (None, None) => "ended".to_owned(),
        };
        let words = self.last_words();
        Some(if words.is_empty() {
            how
        } else {
            format!("{how}: {words}")
        })
    }

    /// As [`Child::obituary`], but gives it a moment to end.
    pub fn obituary_soon(&mut self) -> Option<String> {
        self.wait_for_end(Duration::from_millis(500));
        self.obituary()
    }

    /// The last lines of its standard error, as one line.
    fn last_words(&mut self) -> String {
        // It has ended, so its standard error ends too, unless a grandchild holds it.
        if let Some(reader) = self.stderr_reader.take_if(|reader| reader.is_finished()) {
            let _ = reader.join();
        }
        let bytes = self.last_words.lock().unwrap_or_else(PoisonError::into_inner);
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<_> = text
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .collect();
        lines[lines.len().saturating_sub(3)..].join("; ")
    }

    /// Looks whether it has ended. It is not waited for yet, so that its number stays its own.
    fn look(&mut self) {
        if self.status.is_none() {
            // A child that is not to be found has not ended by itself.
            self.status = sys::child::ended(self.process.id()).unwrap_or_default();
        }
    }

    fn wait_for_end(&mut self, patience: Duration) {
        let deadline = Instant::now() + patience;
        self.look();
        while self.status.is_none() && Instant::now() < deadline {
            std::thread::sleep(END_POLL);
            self.look();
        }
    }

    /// Asks it to end, and makes it end when its grace is over. Once it has ended, nothing is signalled again.
    pub fn stop(&mut self) {
        if std::mem::replace(&mut self.stopped, true) {
            return;
        }
        drop(self.process.stdin.take());
        // Its number is not another's before it is waited for.
        if self.status.is_none()
            && let Ok(held) = Held::open(self.process.id())
        {
            // Gone already is as good.
            let _ = held.signal(Ending::Ask);
            self.wait_for_end(self.grace);
            let _ = held.signal(Ending::Make);
        }
        let status = self.process.wait().ok();
        self.status = self.status.or(status);
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.stop();
    }
}

fn keep_last_words(mut stderr: impl Read, last_words: &Mutex<Vec<u8>>) {
    let mut buffer = [0; 1024];
    while let Ok(read) = stderr.read(&mut buffer) {
        if read == 0 {
            break;
        }
        let mut kept = last_words.lock().unwrap_or_else(PoisonError::into_inner);
        kept.extend_from_slice(&buffer[..read]);
        let surplus = kept.len().saturating_sub(LAST_WORDS_BYTES);
        kept.drain(..surplus);
    }
}
