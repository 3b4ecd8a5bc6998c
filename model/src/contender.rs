//! A contender: its name, and how it is started or found.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A server under test.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contender {
    /// Its name in tables, rules and metrics. A second one of the same kind is called `name#2`.
    pub name: String,
    /// How it is started or found.
    pub origin: Origin,
    /// Threads that its server may work with, when not as many as the others'.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workers: Option<usize>,
    /// How long its server lets messages gather; null: it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub linger_micros: Option<u64>,
}

/// The server refuses to let messages wait any longer.
const LINGER_MAX: Duration = Duration::from_millis(10);

/// A linger in microseconds, as the server takes it.
///
/// # Errors
/// When it is too long, or no whole number of microseconds.
pub fn linger_micros(linger: Duration) -> Result<u64, String> {
    let shown = humantime::format_duration(linger);
    if linger > LINGER_MAX {
        return Err(format!(
            "`{shown}` is too long: each message may wait that long, so choose at most 10ms"
        ));
    }
    if !linger.subsec_nanos().is_multiple_of(1_000) {
        return Err(format!("`{shown}` should be whole microseconds, such as 50us"));
    }
    Ok(linger.as_micros() as u64)
}

/// How a contender is started or found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Origin {
    /// An engine of our own server, which the lab starts.
    Engine {
        /// Its name in the server's table of engines.
        engine: String,
    },
    /// Another server of this repository, which takes our server's flags; the lab starts it.
    External {
        /// Its name in the table of externals.
        external: String,
    },
    /// A program of the user's, which the lab starts.
    Command {
        /// Program and arguments; `{port}` and `{metrics_port}` stand for free ports.
        command: Vec<String>,
        /// Where its metrics are, if it has any; `{port}` and `{metrics_port}` likewise.
        metrics: Option<String>,
    },
    /// A server that runs already, on this machine or another.
    Running {
        /// `HOST:PORT` of its echo service.
        echo: String,
        /// The URL of its metrics, if it has any.
        metrics: Option<String>,
    },
}

/// Why a text names no contender.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ContenderError(pub String);

fn refuse<T>(why: String) -> Result<T, ContenderError> {
    Err(ContenderError(why))
}

/// The keys of a contender's definition, for messages.
const KEYS: &str = "`name`, `echo`, `command` and `metrics`";

impl Contender {
    fn new(name: &str, origin: Origin) -> Contender {
        Contender {
            name: name.to_owned(),
            origin,
            workers: None,
            linger_micros: None,
        }
    }

    /// The contender of an engine of our own.
    pub fn engine(engine: &str) -> Contender {
        let origin = Origin::Engine {
            engine: engine.to_owned(),
        };
        Contender::new(engine, origin)
    }

    /// The contender of another server of this repository.
    pub fn external(external: &str) -> Contender {
        let origin = Origin::External {
            external: external.to_owned(),
        };
        Contender::new(external, origin)
    }

    /// Reads `name=mine,echo=HOST:PORT[,metrics=URL]` or `name=mine,command="./mine --port {port}"[,metrics=URL]`.
    /// A value that holds a comma stands in double quotes.
    ///
    /// # Errors
    /// When a key is unknown, missing or given twice, or a value cannot be; the message names it.
    pub fn parse(text: &str) -> Result<Contender, ContenderError> {
        let (mut name, mut echo, mut command, mut metrics) = (None, None, None, None);
        for part in split_outside_quotes(text) {
            let Some((key, value)) = part.split_once('=') else {
                return refuse(format!(
                    "`{part}` should read key=value (put a value that holds a comma in double quotes)"
                ));
            };
            let value = unquoted(value.trim());
            let slot = match key.trim() {
                "name" => &mut name,
                "echo" => &mut echo,
                "command" => &mut command,
                "metrics" => &mut metrics,
                other => return refuse(format!("there is no key `{other}`: the keys are {KEYS}")),
            };
            if value.is_empty() {
                return refuse(format!("`{}` is empty", key.trim()));
            }
            if slot.replace(value.to_owned()).is_some() {
                return refuse(format!("`{}` stands twice", key.trim()));
            }
        }
        let Some(name) = name else {
            return refuse("`name` is missing: write name=mine,…".to_owned());
        };
        check_name(&name)?;
        if let Some(url) = &metrics {
            check_metrics(url)?;
        }
        let origin = match (echo, command) {
            (Some(echo), None) => {
                check_echo(&echo)?;
                Origin::Running { echo, metrics }
            }
            (None, Some(command)) => Origin::Command {
                command: check_command(&command)?,
                metrics,
            },
            (Some(_), Some(_)) => {
                return refuse(
                    "`echo` (it runs already) and `command` (the lab starts it) exclude each other"
                        .to_owned(),
                );
            }
            (None, None) => {
                return refuse(
                    "either `echo` (it runs already) or `command` (the lab starts it) is missing".to_owned(),
                );
            }
        };
        Ok(Contender::new(&name, origin))
    }
}

fn check_name(name: &str) -> Result<(), ContenderError> {
    let first = name.starts_with(|c: char| c.is_ascii_alphanumeric());
    let rest = name
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
    if !first || !rest || name.len() > 40 {
        return refuse(format!(
            "the name `{name}` should begin with a letter or digit and go on with letters, digits, `-`, `_` and `.`, 40 at most"
        ));
    }
    if matches!(name, "all" | "engines" | "own") {
        return refuse(format!(
            "the name `{name}` is taken: it selects contenders in --contenders"
        ));
    }
    Ok(())
}

fn check_echo(echo: &str) -> Result<(), ContenderError> {
    match echo.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0) => Ok(()),
        _ => refuse(format!(
            "echo={echo} should read HOST:PORT, such as 127.0.0.1:7000"
        )),
    }
}

fn check_metrics(url: &str) -> Result<(), ContenderError> {
    if url.starts_with("http://") && url.len() > "http://".len() {
        return Ok(());
    }
    refuse(format!(
        "metrics={url} should be a URL such as http://127.0.0.1:9100/metrics"
    ))
}

fn check_command(command: &str) -> Result<Vec<String>, ContenderError> {
    let Some(words) = shlex::split(command).filter(|words| !words.is_empty()) else {
        return refuse(format!(
            "command={command} cannot be split into words: look at its quotes"
        ));
    };
    if !words.iter().any(|word| word.contains("{port}")) {
        return refuse(format!(
            "command={command} lacks {{port}}, where the lab puts the port to listen on"
        ));
    }
    Ok(words)
}

fn unquoted(value: &str) -> &str {
    value
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
        .unwrap_or(value)
}

fn split_outside_quotes(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut start, mut quoted) = (0, false);
    for (index, c) in text.char_indices() {
        match c {
            '"' => quoted = !quoted,
            ',' if !quoted => {
                parts.push(&text[start..index]);
                start = index + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_running_contender_is_described_by_its_address() {
        let contender =
            Contender::parse("name=mine,echo=127.0.0.1:7000,metrics=http://127.0.0.1:9100/metrics").unwrap();
        assert_eq!(contender.name, "mine");
        assert_eq!(
            contender.origin,
            Origin::Running {
                echo: "127.0.0.1:7000".to_owned(),
                metrics: Some("http://127.0.0.1:9100/metrics".to_owned()),
            }
        );
    }

    #[test]
    fn a_command_is_split_as_a_shell_would() {
        for text in [
            "name=mine,command=\"./mine --port {port} --title 'a, b'\"",
            "command=\"./mine --port {port} --title 'a, b'\",name=mine",
        ] {
            let Origin::Command { command, metrics } = Contender::parse(text).unwrap().origin else {
                panic!("{text} is no command");
            };
            assert_eq!(command, ["./mine", "--port", "{port}", "--title", "a, b"]);
            assert_eq!(metrics, None);
        }
        assert!(Contender::parse("name=mine,command=./mine --port {port}").is_ok());
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, named) in [
            ("", "key=value"),
            ("mine", "`mine`"),
            ("name=mine", "`echo`"),
            ("echo=127.0.0.1:7000", "`name` is missing"),
            ("name=mine,ehco=127.0.0.1:7000", "`ehco`"),
            ("name=mine,name=yours,echo=127.0.0.1:7000", "twice"),
            ("name=,echo=127.0.0.1:7000", "`name` is empty"),
            ("name=a b,echo=127.0.0.1:7000", "`a b`"),
            ("name=all,echo=127.0.0.1:7000", "`all` is taken"),
            ("name=mine,echo=7000", "echo=7000"),
            ("name=mine,echo=host:0", "echo=host:0"),
            ("name=mine,echo=host:99999", "echo=host:99999"),
            ("name=mine,echo=127.0.0.1:7000,metrics=9100", "metrics=9100"),
            ("name=mine,command=./mine", "{port}"),
            ("name=mine,command=./mine ' {port}", "quotes"),
            ("name=mine,echo=a:1,command=./mine {port}", "exclude"),
        ] {
            let error = Contender::parse(text).unwrap_err().to_string();
            assert!(error.contains(named), "{text}: {error}");
        }
    }
}
