//! Starts a contender as a process of its own, and ends it for certain.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use server::engine::ENGINES;

use super::reference;
use super::scrape::{Metrics, Scraper};

/// How long anything may take on a real contender: far beyond what it takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long a mutant may take before it counts as noticed: many hang, and each costs this.
const MUTANT_PATIENCE: Duration = Duration::from_secs(3);

/// A server under test: how it is started, and what may be asked of it.
#[derive(Clone)]
pub struct Contender {
    /// Stands in the test's name.
    pub name: String,
    program: String,
    flags: Vec<String>,
    mutant: Option<&'static str>,
    /// How long anything may take.
    pub patience: Duration,
    /// It is ours: its metrics must be there, and it keeps the stricter promises.
    pub ours: bool,
    /// It counts writes that the socket took only a part of: it is told of them, where others leave waiting to the
    /// kernel.
    pub counts_partial_writes: bool,
}

impl Contender {
    /// Our engines in all variants that differ in code, and what `CONTRACT_SERVERS` names.
    pub fn all() -> Vec<Contender> {
        let mut all = Vec::new();
        for engine in ENGINES {
            if let Err(why) = (engine.probe)() {
                eprintln!(
                    "{} is left out, because this machine refuses it: {why}",
                    engine.name
                );
                continue;
            }
            // With the defaults: a socket for each worker, edge trigger.
            all.push(Contender::ours(engine.name, engine.name, &[]));
            // Signals come at any instruction and in any call: more often than anyone would sample a real server.
            let name = format!("{}-profiled", engine.name);
            all.push(Contender::ours(&name, engine.name, &["--profile-hz", "997"]));
            if matches!(engine.name, "epoll" | "uring") {
                let name = format!("{}-linger", engine.name);
                all.push(Contender::ours(&name, engine.name, &["--linger", "300us"]));
            }
            if engine.name != "epoll" {
                let name = format!("{}-shared", engine.name);
                all.push(Contender::ours(&name, engine.name, &["--accept", "shared"]));
                continue;
            }
            for (trigger, accept) in [
                ("edge", "shared"),
                ("edge", "exclusive"),
                ("level", "shared"),
                ("level", "exclusive"),
                ("level", "reuseport"),
            ] {
                let name = format!("epoll-{trigger}-{accept}");
                let flags = ["--trigger", trigger, "--accept", accept];
                all.push(Contender::ours(&name, "epoll", &flags));
            }
        }
        let listed = std::env::var("CONTRACT_SERVERS").unwrap_or_default();
        all.extend(
            listed
                .split(';')
                .filter(|entry| !entry.trim().is_empty())
                .map(Contender::listed),
        );
        all
    }

    /// The tiny server of these tests, broken in this way.
    pub fn tiny(mutant: &'static str) -> Contender {
        let own = std::env::current_exe().expect("a running test has a path");
        let unbroken = mutant == reference::UNBROKEN;
        Contender {
            name: mutant.to_owned(),
            program: own.to_str().expect("a path in UTF-8").to_owned(),
            flags: Vec::new(),
            mutant: Some(mutant),
            patience: if unbroken { PATIENCE } else { MUTANT_PATIENCE },
            ours: true,
            counts_partial_writes: false,
        }
    }

    fn ours(name: &str, engine: &str, flags: &[&str]) -> Contender {
        let engine_flags = ["--engine", engine].into_iter().chain(flags.iter().copied());
        Contender {
            name: name.to_owned(),
            program: env!("CARGO_BIN_EXE_server").to_owned(),
            flags: engine_flags.map(str::to_owned).collect(),
            mutant: None,
            patience: PATIENCE,
            ours: true,
            counts_partial_writes: matches!(engine, "epoll" | "tokio"),
        }
    }

    fn listed(entry: &str) -> Contender {
        let (name, command) = entry
            .split_once('=')
            .expect("CONTRACT_SERVERS holds NAME=COMMAND, divided by semicolons");
        let mut words = command.split_whitespace().map(str::to_owned);
        Contender {
            name: name.trim().to_owned(),
            program: words.next().expect("CONTRACT_SERVERS names a program"),
            flags: words.collect(),
            mutant: None,
            patience: PATIENCE,
            ours: false,
            counts_partial_writes: false,
        }
    }

    /// Starts it with two workers and these flags on top.
    pub fn start(&self, flags: &[(&str, &str)]) -> Result<Running> {
        self.launch(flags, None)
    }

    /// Starts it with at most `descriptors` open files.
    pub fn start_with_descriptors(&self, descriptors: u64, flags: &[(&str, &str)]) -> Result<Running> {
        self.launch(flags, Some(descriptors))
    }

    fn launch(&self, flags: &[(&str, &str)], descriptors: Option<u64>) -> Result<Running> {
        let mut command = Command::new(&self.program);
        command
            .args(&self.flags)
            .args(["--listen", "127.0.0.1:0", "--metrics", "127.0.0.1:0"]);
        if !flags.iter().any(|(flag, _)| *flag == "--workers") {
            command.args(["--workers", "2"]);
        }
        for (flag, value) in flags {
            command.args([flag, value]);
        }
        if let Some(mutant) = self.mutant {
            command.env(reference::VARIABLE, mutant);
        }
        if let Some(descriptors) = descriptors {
            sys::child::limit_descriptors(&mut command, descriptors);
        }
        sys::child::die_with_parent(&mut command);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let child = command
            .spawn()
            .with_context(|| format!("cannot start {}", self.program))?;
        Running::new(child, self.clone())
    }
}

/// A running contender; killed when dropped.
pub struct Running {
    child: Child,
    contender: Contender,
    said: Arc<Mutex<String>>,
    scraper: Option<Mutex<Scraper>>,
    /// Where it echoes.
    pub echo: SocketAddr,
    /// How long anything may take.
    pub patience: Duration,
}

impl Running {
    fn new(mut child: Child, contender: Contender) -> Result<Running> {
        let stdout = child.stdout.take().context("stdout is piped")?;
        let stderr = child.stderr.take().context("stderr is piped")?;
        let said = Arc::new(Mutex::new(String::new()));
        let mut running = Running {
            child,
            patience: contender.patience,
            contender,
            said: Arc::clone(&said),
            scraper: None,
            echo: SocketAddr::from(([0; 4], 0)),
        };
        // Ends with the process, whose end of the pipe it reads.
        std::thread::spawn(move || keep(stderr, &said));
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let Some((echo, metrics)) = addresses(&line) else {
            bail!(
                "it said `{}` where `ready echo=… metrics=…` belongs; {}",
                line.trim(),
                running.said()
            );
        };
        running.echo = echo;
        // Connected now, so that it can be scraped also when it is out of descriptors.
        running.scraper = match metrics {
            Some(metrics) => Some(Mutex::new(Scraper::connect(metrics, running.patience)?)),
            None => None,
        };
        Ok(running)
    }

    /// What it said on standard error.
    fn said(&self) -> String {
        format!(
            "on standard error: `{}`",
            self.said.lock().expect("no thread panics with it").trim()
        )
    }

    /// Its process number.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Everything that it counts now; `None` when it has no metrics, which ours must have.
    pub fn metrics(&self) -> Result<Option<Metrics>> {
        match &self.scraper {
            Some(scraper) => scraper
                .lock()
                .expect("no thread panics with it")
                .scrape()
                .map(Some),
            None if self.contender.ours => bail!("it has no metrics"),
            None => Ok(None),
        }
    }

    /// Waits until the metric has a value that is `right`. A contender from elsewhere may lack it.
    pub fn await_metric(&self, name: &str, right: impl Fn(f64) -> bool) -> Result<()> {
        self.await_metrics(name, |metrics| metrics.get(name).map(&right))
    }

    /// Waits until the metrics are `right`; `None` from it means that one is missing.
    pub fn await_metrics(&self, what: &str, right: impl Fn(&Metrics) -> Option<bool>) -> Result<()> {
        self.poll(what, || {
            let Some(metrics) = self.metrics()? else {
                return Ok(true);
            };
            match right(&metrics) {
                Some(right) => Ok(right),
                None if self.contender.ours => bail!("{what} is missing"),
                None => Ok(true),
            }
        })
        .with_context(|| match self.metrics() {
            Ok(Some(metrics)) => format!("the metrics are\n{metrics}"),
            _ => "there are no metrics".to_owned(),
        })
    }

    /// Waits until `done` says so.
    pub fn poll(&self, what: &str, mut done: impl FnMut() -> Result<bool>) -> Result<()> {
        let deadline = Instant::now() + self.patience;
        while !done()? {
            ensure!(
                Instant::now() < deadline,
                "waited too long for {what}; {}",
                self.said()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Asks it to stop.
    pub fn terminate(&self) -> Result<()> {
        Ok(sys::child::terminate(self.pid())?)
    }

    /// Waits until it has ended with exit code 0, at most `patience`.
    pub fn expect_orderly_end(&mut self, patience: Duration) -> Result<()> {
        let deadline = Instant::now() + patience;
        let status: ExitStatus = loop {
            if let Some(status) = self.child.try_wait()? {
                break status;
            }
            ensure!(
                Instant::now() < deadline,
                "it still ran {patience:?} after SIGTERM"
            );
            std::thread::sleep(Duration::from_millis(5));
        };
        ensure!(status.success(), "it ended with {status}; {}", self.said());
        Ok(())
    }

    /// Whether it is one of ours.
    pub fn is_ours(&self) -> bool {
        self.contender.ours
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn keep(mut from: impl Read, into: &Mutex<String>) {
    let mut buffer = [0; 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        let mut said = into.lock().expect("no thread panics with it");
        if said.len() < 16 * 1024 {
            said.push_str(&String::from_utf8_lossy(&buffer[..length]));
        }
    }
}

/// Reads `ready echo=ADDR metrics=ADDR|none`.
fn addresses(line: &str) -> Option<(SocketAddr, Option<SocketAddr>)> {
    let mut words = line.strip_prefix("ready ")?.split_whitespace();
    let echo = words.next()?.strip_prefix("echo=")?.parse().ok()?;
    match words.next()?.strip_prefix("metrics=")? {
        "none" => Some((echo, None)),
        metrics => Some((echo, Some(metrics.parse().ok()?))),
    }
}
