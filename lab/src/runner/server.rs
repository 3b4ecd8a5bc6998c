//! A contender's server: started or found, watched, and stopped.

use std::fs::Metadata;
use std::net::{TcpListener, TcpStream, ToSocketAddrs};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use super::child::{Child, Interrupted, NoLine, Waiter};
use crate::cgroup::Group;
use crate::contender::external;
use crate::contender::is_epoll;
use crate::engines;
use crate::source::{Source, another};
use crate::supervise;
use crate::tree::Tree;
use model::config::Config;
use model::contender::{Contender, Origin};
use sys::cpu::CpuSet;

/// How long a server may take until it accepts connections.
const START_PATIENCE: Duration = Duration::from_secs(10);
/// How long a server that runs elsewhere may take to accept a connection.
const REACH_PATIENCE: Duration = Duration::from_secs(3);
/// Its supervisor ends all its processes within its own grace period; a little more, before the supervisor is made to end.
const STOP_GRACE: Duration = supervise::GRACE.saturating_add(Duration::from_secs(2));

/// A contender's server that accepts connections.
pub struct Server {
    child: Option<Child>,
    /// `HOST:PORT` of its echo service.
    pub echo: String,
    /// Where its figures come from.
    pub source: Source,
    /// When its process started, in seconds since 1970, as far as its metrics told when the round began.
    pub started_at: Option<f64>,
}

/// Why a contender does not take part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The user wants to stop.
    Interrupted,
    /// It cannot run here: why, and what to change.
    Cannot(String),
    /// What the user said of it is wrong: what, and what to change.
    Input(String),
}

impl From<Interrupted> for Refusal {
    fn from(Interrupted: Interrupted) -> Refusal {
        Refusal::Interrupted
    }
}

impl Server {
    /// Starts or finds a contender's server and waits until it accepts connections.
    ///
    /// # Errors
    /// When it cannot run here, or the user wants to stop.
    pub fn start(contender: &Contender, config: &Config, waiter: &Waiter) -> Result<Server, Refusal> {
        match &contender.origin {
            Origin::Engine { engine } => start_engine(engine, contender, config, waiter),
            Origin::External { external } => start_external(external, contender, config, waiter),
            Origin::Command { command, metrics } => {
                start_command(command, metrics.as_deref(), config, waiter)
            }
            Origin::Running { echo, metrics } => {
                reach(echo)?;
                Ok(Server {
                    child: None,
                    echo: echo.clone(),
                    started_at: None,
                    source: Source::new(None, metrics.clone()),
                })
            }
        }
    }

    /// How it ended; `None` while it lives. `lost` says that every connection to it was lost: a server that runs
    /// elsewhere has then ended when it does not accept new ones either.
    pub fn obituary(&mut self, lost: bool) -> Option<String> {
        match &mut self.child {
            Some(child) if lost => child.obituary_soon(),
            Some(child) => child.obituary(),
            None if lost => match reach(&self.echo) {
                Err(Refusal::Input(why)) => Some(why),
                _ => another(self.started_at, self.source.started_at())
                    .then(|| "it was restarted in the middle of a round".to_owned()),
            },
            None => None,
        }
    }

    /// Ends it, when the lab started it.
    pub fn stop(&mut self) {
        if let Some(child) = &mut self.child {
            child.stop();
        }
    }
}

fn start_engine(
    engine: &str,
    contender: &Contender,
    config: &Config,
    waiter: &Waiter,
) -> Result<Server, Refusal> {
    engines::probe(engine).map_err(Refusal::Cannot)?;
    let (mut command, group) = supervised(None)?;
    super::without_settings(&mut command);
    command
        .arg(own_program()?)
        .arg("server")
        .args(engine_flags(engine, contender, config));
    start_ready(command, group, contender, config, waiter)
}

/// What is said to our own server alone.
fn engine_flags(engine: &str, contender: &Contender, config: &Config) -> Vec<String> {
    let of_epoll = |value: Option<String>| value.filter(|_| is_epoll(contender));
    let flags = [
        ("--engine", Some(engine.to_owned())),
        (
            "--linger",
            contender.linger_micros.map(|micros| format!("{micros}us")),
        ),
        (
            "--accept",
            of_epoll(config.epoll.accept.map(|accept| accept.to_string())),
        ),
        (
            "--trigger",
            of_epoll(config.epoll.trigger.map(|trigger| trigger.to_string())),
        ),
        (
            "--events",
            of_epoll(config.epoll.events.map(|events| events.to_string())),
        ),
        ("--profile-hz", config.profile_hz.map(|hertz| hertz.to_string())),
    ];
    flags
        .into_iter()
        .filter_map(|(flag, value)| Some([flag.to_owned(), value?]))
        .flatten()
        .collect()
}

fn start_external(
    name: &str,
    contender: &Contender,
    config: &Config,
    waiter: &Waiter,
) -> Result<Server, Refusal> {
    let external = external::find(name)
        .ok_or_else(|| Refusal::Cannot(format!("the lab knows no server called `{name}`")))?;
    let (mut command, group) = supervised(None)?;
    super::without_settings(&mut command);
    command
        .arg(external.program().map_err(Refusal::Cannot)?)
        .args(external.flags);
    start_ready(command, group, contender, config, waiter)
}

/// The lab's own program.
fn own_program() -> Result<PathBuf, Refusal> {
    std::env::current_exe()
        .map_err(|error| Refusal::Cannot(format!("the lab cannot find its own program: {error}")))
}

/// A command that looks after the program that is added to it, pinned to `cpus`, and the group that counts its CPU time.
fn supervised(cpus: Option<&CpuSet>) -> Result<(Command, Option<Group>), Refusal> {
    let group = Group::new();
    let mut command = Command::new(own_program()?);
    command
        .arg(supervise::NAME)
        .arg(cpus.map_or_else(|| supervise::ANYWHERE.to_owned(), CpuSet::to_string));
    match &group {
        Some(group) => command.arg(group.entrance()),
        None => command.arg(supervise::NO_GROUP),
    };
    Ok((command, group))
}

/// Starts a server that takes our flags and says where it listens when it is ready.
fn start_ready(
    mut command: Command,
    group: Option<Group>,
    contender: &Contender,
    config: &Config,
    waiter: &Waiter,
) -> Result<Server, Refusal> {
    let workers = contender.workers.unwrap_or(config.workers);
    command
        .args(["--listen", "127.0.0.1:0", "--metrics", "127.0.0.1:0"])
        .args(["--workers", &workers.to_string()]);
    if let Some(cpus) = config.cpus.server() {
        command.args(["--cpus", &cpus.to_string()]);
    }
    let mut child = Child::start(command, STOP_GRACE).map_err(Refusal::Cannot)?;
    let line = match child.line(waiter, START_PATIENCE) {
        Ok(line) => line,
        Err(NoLine::Interrupted) => return Err(Refusal::Interrupted),
        Err(NoLine::Late) => {
            let seconds = START_PATIENCE.as_secs();
            return Err(Refusal::Cannot(format!(
                "its server was not ready within {seconds} s"
            )));
        }
        Err(NoLine::Closed) => {
            let why = child
                .obituary_soon()
                .unwrap_or_else(|| "no reason given".to_owned());
            return Err(Refusal::Cannot(format!("its server did not start ({why})")));
        }
    };
    let Some((echo, metrics)) = parse_ready(&line) else {
        return Err(Refusal::Cannot(format!(
            "its server said `{line}` where it should say where it listens"
        )));
    };
    Ok(Server {
        echo,
        source: Source::new(Some(Tree::new(child.pid(), group)), metrics),
        child: Some(child),
        started_at: None,
    })
}

/// Reads `ready echo=127.0.0.1:40001 metrics=127.0.0.1:40002`.
fn parse_ready(line: &str) -> Option<(String, Option<String>)> {
    let mut echo = None;
    let mut metrics = None;
    let mut words = line.split_whitespace();
    if words.next() != Some("ready") {
        return None;
    }
    for word in words {
        match word.split_once('=')? {
            ("echo", address) => echo = Some(address.to_owned()),
            ("metrics", "none") => {}
            ("metrics", address) => metrics = Some(format!("http://{address}/metrics")),
            _ => {}
        }
    }
    Some((echo?, metrics))
}

fn start_command(
    words: &[String],
    metrics: Option<&str>,
    config: &Config,
    waiter: &Waiter,
) -> Result<Server, Refusal> {
    if let Some(program) = words.first()
        && let Err(why) = find_program(program)
    {
        return Err(Refusal::Input(format!(
            "{why}; correct command=\"{}\"",
            words.join(" ")
        )));
    }
    let port = free_port()?;
    let metrics_port = free_port()?;
    let filled = |text: &str| {
        text.replace("{port}", &port.to_string())
            .replace("{metrics_port}", &metrics_port.to_string())
    };
    let (mut command, group) = supervised(config.cpus.server())?;
    command.args(words.iter().map(|word| filled(word)));
    // Its own environment is the user's business, and it may need it. What the lab shares with our own server is not
    // meant for it: METRICS is where the lab's metrics are.
    for name in ::server::variables() {
        command.env_remove(name);
    }
    let mut child = Child::start(command, STOP_GRACE).map_err(Refusal::Cannot)?;
    let echo = format!("127.0.0.1:{port}");
    let accepts = waiter.until(START_PATIENCE, || {
        TcpStream::connect(&echo).is_ok() || child.obituary().is_some()
    })?;
    if let Some(why) = child.obituary() {
        return Err(Refusal::Cannot(format!(
            "`{}` did not stay ({why})",
            words.join(" ")
        )));
    }
    if !accepts {
        return Err(Refusal::Cannot(format!(
            "`{}` did not accept connections on {echo} within {} s: it should listen on {{port}}",
            words.join(" "),
            START_PATIENCE.as_secs()
        )));
    }
    Ok(Server {
        echo,
        source: Source::new(Some(Tree::new(child.pid(), group)), metrics.map(filled)),
        child: Some(child),
        started_at: None,
    })
}

/// Whether there is such a program, where a shell would look for it.
fn find_program(program: &str) -> Result<(), String> {
    let places: Vec<PathBuf> = if program.contains('/') {
        vec![PathBuf::from(program)]
    } else {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path)
            .map(|folder| folder.join(program))
            .collect()
    };
    let files: Vec<_> = places
        .iter()
        .filter_map(|place| Some((place, place.metadata().ok()?)))
        .collect();
    let executable = |metadata: &Metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0;
    if files.iter().any(|(_, metadata)| executable(metadata)) {
        return Ok(());
    }
    Err(match files.first() {
        Some((place, _)) => format!("{} is no program that may be started", place.display()),
        None if program.contains('/') => format!("there is no program {program}"),
        None => format!("there is no program {program} in any folder of PATH"),
    })
}

/// A port that is free now. Another program could take it before the contender does; then the contender says so.
fn free_port() -> Result<u16, Refusal> {
    TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(|error| Refusal::Cannot(format!("no port is free on 127.0.0.1: {error}")))
}

/// Fails when nothing accepts connections at `echo`.
pub fn reach(echo: &str) -> Result<(), Refusal> {
    let cannot = |why: String| Refusal::Input(format!("{why}; start it, or correct echo={echo}"));
    let addresses = echo
        .to_socket_addrs()
        .map_err(|error| cannot(format!("`{echo}` cannot be resolved: {error}")))?;
    let mut why = "it has no address".to_owned();
    for address in addresses {
        match TcpStream::connect_timeout(&address, REACH_PATIENCE) {
            Ok(_) => return Ok(()),
            Err(error) => why = format!("nothing accepts connections on {address}: {error}"),
        }
    }
    Err(cannot(why))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ready_line_says_where() {
        assert_eq!(
            parse_ready("ready echo=127.0.0.1:1 metrics=127.0.0.1:2"),
            Some((
                "127.0.0.1:1".to_owned(),
                Some("http://127.0.0.1:2/metrics".to_owned())
            ))
        );
        assert_eq!(
            parse_ready("ready echo=127.0.0.1:1 metrics=none"),
            Some(("127.0.0.1:1".to_owned(), None))
        );
        for line in ["", "ready", "ready metrics=none", "echo=127.0.0.1:1"] {
            assert_eq!(parse_ready(line), None, "{line}");
        }
    }

    #[test]
    fn what_was_asked_of_an_engine_is_said_to_its_server() {
        let mut config = crate::report::fixture::result().config;
        let mut contender = config.contenders[0].clone();
        assert_eq!(engine_flags("epoll", &contender, &config), ["--engine", "epoll"]);
        contender.linger_micros = Some(50);
        config.epoll.trigger = Some(model::epoll::Trigger::Level);
        config.epoll.events = Some(7);
        assert_eq!(
            engine_flags("epoll", &contender, &config).join(" "),
            "--engine epoll --linger 50us --trigger level --events 7"
        );
        config.epoll.accept = Some(model::epoll::Accept::Shared);
        let flags = |engine: &str| engine_flags(engine, &Contender::engine(engine), &config).join(" ");
        assert_eq!(
            flags("bare"),
            "--engine bare --accept shared --trigger level --events 7"
        );
        for other in ["uring", "tokio", "threads"] {
            assert_eq!(flags(other), format!("--engine {other}"));
        }
    }

    #[test]
    fn an_address_where_nobody_is_says_what_to_do() {
        let Err(Refusal::Input(why)) = reach("127.0.0.1:1") else {
            panic!("somebody listens on port 1");
        };
        assert!(why.contains("127.0.0.1:1") && why.contains("start it"), "{why}");
    }

    #[test]
    fn a_program_is_found_as_a_shell_finds_it() {
        assert_eq!(find_program("sh"), Ok(()));
        assert_eq!(find_program("/bin/sh"), Ok(()));
        for (program, named) in [
            ("./no-such-program", "there is no program ./no-such-program"),
            ("no-such-program", "PATH"),
            ("/etc/passwd", "/etc/passwd is no program"),
            ("/etc", "/etc is no program"),
        ] {
            let why = find_program(program).unwrap_err();
            assert!(why.contains(named), "{program}: {why}");
        }
    }
}
