//! The lab's remote control: commands come in by standard input, events go out by standard output, a line of JSON each.
//! The words are those of [`crate::summary`].

use std::io::{BufRead, Write};
use std::sync::mpsc::Sender;
use std::time::Duration;

use crate::failure::Failure;
use crate::progress::Progress;
use crate::team::{Input, Team};
use model::protocol::{Command, Event};

/// Reads lines on a thread of its own, so that a signal is heard while none comes. The thread ends with the process.
///
/// # Errors
/// When threads ran out.
pub fn listen(mouth: Sender<Input>) -> Result<(), Failure> {
    let read = move || {
        for line in std::io::stdin().lock().lines() {
            // What cannot be read is the end, as nothing can follow.
            let Ok(line) = line else { break };
            if mouth.send(Input::Line(line)).is_err() {
                return;
            }
        }
        let _ = mouth.send(Input::Ended);
    };
    match std::thread::Builder::new().name("control".to_owned()).spawn(read) {
        Ok(_) => Ok(()),
        Err(error) => Err(Failure::runtime(format!("a thread cannot be started: {error}"))),
    }
}

/// Obeys until the lab is done: says that the connections stand, runs slices, closes, and says the totals.
///
/// # Errors
/// A command that is none, or a worker that cannot go on.
pub fn obey(mut team: Team, connections: u64, ramp_seconds: f64) -> Result<(), Failure> {
    say(&Event::Ready {
        connections,
        ramp_seconds,
    });
    while let Some(line) = team.next_line()? {
        match understand(&line)? {
            None => {}
            Some(Command::Finish) => break,
            Some(Command::Slice {
                pace,
                duration_micros,
                counted,
            }) => {
                let duration = Duration::from_micros(duration_micros);
                let slice = team.slice(&pace, duration, counted, &mut Progress::none())?;
                if let Some(complaint) = team.complaint.take() {
                    eprintln!("client: {complaint}");
                }
                say(&Event::Slice(Box::new(slice)));
            }
        }
    }
    say(&Event::Finished(team.finish()?));
    Ok(())
}

/// Tells the lab why nothing more will come.
pub fn say_failed(failure: &Failure) {
    say(&Event::Failed {
        why: failure.to_string(),
    });
}

/// A command, or nothing for an empty line. What a command says must make sense, as a flag must.
fn understand(line: &str) -> Result<Option<Command>, Failure> {
    if line.trim().is_empty() {
        return Ok(None);
    }
    let command = serde_json::from_str(line)
        .map_err(|error| Failure::input(format!("the command `{line}` is not understood: {error}")))?;
    if let Command::Slice { duration_micros, .. } = &command {
        let bad = |what| Failure::input(format!("the command `{line}` makes no sense: {what}"));
        if *duration_micros == 0 {
            return Err(bad("duration_micros must be above 0"));
        }
    }
    Ok(Some(command))
}

fn say(event: &Event) {
    let mut out = std::io::stdout().lock();
    // A lab that no longer listens will not be told so either; the end of its commands ends us.
    if let Ok(line) = serde_json::to_string(event) {
        let _ = writeln!(out, "{line}").and_then(|()| out.flush());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonsense_is_named() {
        for line in [
            "run",
            "{}",
            r#"{"command":"dance"}"#,
            r#"{"command":"slice","pace":{"kind":"closed","think_time_micros":0},"duration_micros":0}"#,
            r#"{"command":"slice","pace":{"kind":"open","rate_per_second":0,"arrivals":"smooth"},"duration_micros":9}"#,
            r#"{"command":"slice","pace":{"kind":"open","rate_per_second":-1,"arrivals":"smooth"},"duration_micros":9}"#,
            r#"{"command":"slice","pace":{"kind":"open","rate_per_second":1,"arrivals":"rough"},"duration_micros":9}"#,
        ] {
            let message = understand(line).unwrap_err().to_string();
            assert!(message.contains(line), "{message}");
        }
        assert_eq!(understand("  ").unwrap(), None);
        assert_eq!(
            understand(r#"{"command":"finish"}"#).unwrap(),
            Some(Command::Finish)
        );
    }
}
