//! A contender's client: connected before the first slice, told when to send, asked for its totals at the end.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use model::pace::Pace;
use model::protocol::{Command as Order, Event, Slice, Totals};

use super::child::{Child, Interrupted, NoLine, Waiter};
use model::config::Config;
use model::scenario::Scenario;

/// How long connecting may take, beside what many connections add.
const RAMP_PATIENCE: Duration = Duration::from_secs(30);
/// Connections that all clients together open in a second: half of what one CPU of a 2-CPU machine opens.
pub const RAMP_PER_SECOND: u64 = 20_000;
/// A ramp that makes fewer connections in a second has a problem of its own.
const RAMP_PER_SECOND_MIN: u64 = 500;
/// How long the last replies may be awaited after a slice; the client itself gives up earlier.
const DRAIN_PATIENCE: Duration = Duration::from_secs(60);
/// A client that is told to end has nothing to save.
const STOP_GRACE: Duration = Duration::from_secs(1);
/// How long one reply is awaited: longer than any stall that is still a measurement.
const REPLY_TIMEOUT: &str = "5s";

/// A contender's client with its connections.
pub struct Client {
    child: Child,
    /// How long connecting took.
    pub ramp_seconds: f64,
}

/// Why a client did not answer as it should.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoAnswer {
    /// The user wants to stop.
    Interrupted,
    /// It gave up or ended; its reason.
    Gone(String),
    /// It could not do what the user asked of it: what, and what to change.
    Input(String),
}

impl From<Interrupted> for NoAnswer {
    fn from(Interrupted: Interrupted) -> NoAnswer {
        NoAnswer::Interrupted
    }
}

/// A client on its way to its connections.
pub struct Connecting {
    command: Option<Command>,
    child: Option<Result<Child, String>>,
}

/// Over what time each client opens its connections: all clients over the same time, so that nobody's connections come
/// before the others'.
fn ramp(scenario: &Scenario, config: &Config) -> Duration {
    let all = scenario.connections * config.contenders.len() as u64;
    Duration::from_micros(all * 1_000_000 / RAMP_PER_SECOND)
}

impl Connecting {
    /// The client of contender number `index`, which connects to `echo` once it is told to begin.
    ///
    /// # Errors
    /// When the lab cannot find its own program.
    pub fn new(
        index: usize,
        echo: String,
        scenario: &Scenario,
        config: &Config,
    ) -> Result<Connecting, String> {
        let threads = (config.client_threads as u64).min(scenario.connections);
        let mut command = super::own_command("client")?;
        command
            .arg("--control")
            .args(["--target", &echo])
            .args(["--connections", &scenario.connections.to_string()])
            .args(["--message-bytes", &scenario.message_bytes.to_string()])
            .args(["--threads", &threads.to_string()])
            .args(["--timeout", REPLY_TIMEOUT])
            .args(["--ramp", &format!("{}us", ramp(scenario, config).as_micros())])
            .args(["--seed", &config.seed.to_string()])
            .args(["--metrics", &metrics(config, index)]);
        if let Some(cpus) = config.cpus.client() {
            command.args(["--cpus", &cpus.to_string()]);
        }
        Ok(Connecting {
            command: Some(command),
            child: None,
        })
    }

    /// Starts its process. Again does nothing.
    pub fn begin(&mut self) {
        if let Some(command) = self.command.take() {
            self.child = Some(Child::start(command, STOP_GRACE));
        }
    }

    /// Waits until all its connections are established.
    ///
    /// # Errors
    /// When it cannot connect, or the user wants to stop.
    pub fn ready(mut self, scenario: &Scenario, waiter: &Waiter) -> Result<Client, NoAnswer> {
        self.begin();
        let child = self.child.unwrap_or_else(|| Err("it was not started".to_owned()));
        let mut client = Client {
            child: child.map_err(NoAnswer::Gone)?,
            ramp_seconds: 0.0,
        };
        let patience = RAMP_PATIENCE + Duration::from_secs(scenario.connections / RAMP_PER_SECOND_MIN);
        match client.event(waiter, patience) {
            Ok(Event::Ready { ramp_seconds, .. }) => {
                client.ramp_seconds = ramp_seconds;
                Ok(client)
            }
            Ok(other) => Err(unexpected(&other)),
            Err(NoAnswer::Gone(why)) => {
                Err(in_the_labs_words(&why).map_or(NoAnswer::Gone(why), NoAnswer::Input))
            }
            Err(other) => Err(other),
        }
    }
}

impl Client {
    /// Puts the server under load for one slice, whose messages count for the spread over the connections.
    ///
    /// # Errors
    /// When the client does not come back with figures, or the user wants to stop.
    pub fn slice(&mut self, pace: Pace, duration: Duration, waiter: &Waiter) -> Result<Slice, NoAnswer> {
        self.load(pace, duration, true, waiter)
    }

    /// As [`Client::slice`], but its messages do not count: calibration, warm-up, a profile.
    ///
    /// # Errors
    /// As there.
    pub fn uncounted(&mut self, pace: Pace, duration: Duration, waiter: &Waiter) -> Result<Slice, NoAnswer> {
        self.load(pace, duration, false, waiter)
    }

    fn load(
        &mut self,
        pace: Pace,
        duration: Duration,
        counted: bool,
        waiter: &Waiter,
    ) -> Result<Slice, NoAnswer> {
        self.tell(&Order::Slice {
            pace,
            duration_micros: duration.as_micros() as u64,
            counted,
        })?;
        match self.event(waiter, duration + DRAIN_PATIENCE)? {
            Event::Slice(slice) => Ok(*slice),
            other => Err(unexpected(&other)),
        }
    }

    /// Lets it close its connections and say its totals.
    ///
    /// # Errors
    /// When it does not, or the user wants to stop.
    pub fn finish(&mut self, waiter: &Waiter) -> Result<Totals, NoAnswer> {
        self.tell(&Order::Finish)?;
        match self.event(waiter, DRAIN_PATIENCE)? {
            Event::Finished(totals) => Ok(totals),
            other => Err(unexpected(&other)),
        }
    }

    /// Its process number.
    pub fn pid(&self) -> u32 {
        self.child.pid()
    }

    /// Ends it at once.
    pub fn stop(&mut self) {
        self.child.stop();
    }

    fn tell(&mut self, command: &Order) -> Result<(), NoAnswer> {
        let line = serde_json::to_string(command).map_err(|error| NoAnswer::Gone(error.to_string()))?;
        // When it does not listen any more, its last event or its end says why.
        let _ = self.child.tell(&line);
        Ok(())
    }

    fn event(&mut self, waiter: &Waiter, patience: Duration) -> Result<Event, NoAnswer> {
        let line = match self.child.line(waiter, patience) {
            Ok(line) => line,
            Err(NoLine::Interrupted) => return Err(NoAnswer::Interrupted),
            Err(NoLine::Late) => {
                let seconds = patience.as_secs();
                return Err(NoAnswer::Gone(format!("it did not answer within {seconds} s")));
            }
            Err(NoLine::Closed) => {
                let why = self.child.obituary_soon();
                return Err(NoAnswer::Gone(
                    why.unwrap_or_else(|| "it closed its output".to_owned()),
                ));
            }
        };
        match serde_json::from_str(&line) {
            Ok(Event::Failed { why }) => Err(NoAnswer::Gone(why)),
            Ok(event) => Ok(event),
            Err(error) => Err(NoAnswer::Gone(format!("it said `{line}`: {error}"))),
        }
    }
}

fn unexpected(event: &Event) -> NoAnswer {
    NoAnswer::Gone(format!("it answered out of turn: {event:?}"))
}

/// What a client says of an address that its metrics cannot have, with the flag that the user of the lab gave; `None`
/// when it speaks of something else.
fn in_the_labs_words(why: &str) -> Option<String> {
    let (_, rest) = why.split_once("--metrics ")?;
    Some(format!("--client-metrics: its client's {rest}"))
}

fn metrics(config: &Config, index: usize) -> String {
    match config.client_metrics {
        // Port 0 is any free one, for each.
        Some(first) if first.port() == 0 => first.to_string(),
        Some(first) => {
            let port = u32::from(first.port()) + index as u32;
            // The command line was refused if the ports did not suffice.
            SocketAddr::new(first.ip(), port.min(u32::from(u16::MAX)) as u16).to_string()
        }
        None => "none".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clash_of_metrics_names_the_labs_flag() {
        let said = "exit code 2: error: --metrics 127.0.0.1:9200 cannot be listened at (Address in use): choose another";
        assert_eq!(
            in_the_labs_words(said).unwrap(),
            "--client-metrics: its client's 127.0.0.1:9200 cannot be listened at (Address in use): choose another"
        );
        assert_eq!(in_the_labs_words("exit code 1: cannot connect"), None);
    }
}
