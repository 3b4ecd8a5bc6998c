//! Asks a server for a profile of itself, and finds out whether there is any use in asking.

use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use telemetry::names;
use telemetry::profile::pprof::Profile;

use super::Session;
use super::child::Interrupted;
use crate::measure;
use crate::profile::fetch;
use model::scenario::Scenario;

/// The load is on for so long before the profile is asked for.
pub const LEAD: Duration = Duration::from_millis(250);
/// And so long after it should be over.
pub const TAIL: Duration = Duration::from_secs(1);
/// Seconds of the first try, without load, which shows whether there is anything to ask.
pub const TRY_SECONDS: u32 = 1;

/// A profile as it came.
pub struct Answer {
    /// When it was asked for.
    pub asked: Instant,
    /// The file, or why there is none.
    file: Result<Vec<u8>, String>,
}

impl Answer {
    /// The file, and what is in it.
    pub fn read(self) -> Result<(Vec<u8>, Profile), String> {
        let file = self.file?;
        let profile =
            Profile::from_bytes(&file).map_err(|error| format!("what it served cannot be used: {error}"))?;
        Ok((file, profile))
    }
}

/// Whether dashboards want a profile of a contender, because it does not sample itself as our servers do with
/// `--profile-hz`, and can have it: a first one is taken here, without load. Asked before memory is read and connections
/// are made, so that what its profiler keeps, like our sampler, is there before and counts as no connection's.
pub fn wanted(
    session: &mut Session<'_>,
    scenario: &Scenario,
    contender: &str,
    metrics: Option<&str>,
) -> Result<bool, Interrupted> {
    let (Some(_), Some(metrics)) = (session.config.profile_hz, metrics) else {
        return Ok(false);
    };
    let samples_itself =
        measure::scrape(metrics).is_ok_and(|text| text.value(names::PROFILE_SECONDS.name, &[]).is_some());
    if samples_itself {
        return Ok(false);
    }
    let first = ask(metrics, TRY_SECONDS, Duration::ZERO);
    let answer = await_answer(session, &first, TRY_SECONDS)?.read();
    if let Err(why) = &answer {
        cannot_show(session, scenario, contender, why);
    }
    Ok(answer.is_ok())
}

/// Says that dashboards lack the profile of a contender.
pub fn cannot_show(session: &mut Session<'_>, scenario: &Scenario, contender: &str, why: &str) {
    session.progress.say(&format!(
        "{}: dashboards cannot show what the CPU of {contender} goes into: {why}",
        scenario.name
    ));
}

/// Asks for a profile after `lead`, on a thread of its own: it ends by itself, at the latest when the server does or
/// patience runs out.
pub fn ask(metrics: &str, seconds: u32, lead: Duration) -> Receiver<Answer> {
    let url = fetch::url(metrics, seconds);
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        std::thread::sleep(lead);
        let asked = Instant::now();
        let file = fetch::fetch(&url, fetch::patience(seconds));
        // Nobody waits for it any more when the server died or the user wants to stop.
        let _ = sender.send(Answer { asked, file });
    });
    receiver
}

/// Waits for what [`ask`] brings, as long as it may take.
pub fn await_answer(
    session: &Session<'_>,
    receiver: &Receiver<Answer>,
    seconds: u32,
) -> Result<Answer, Interrupted> {
    let mut answer = None;
    let patience = LEAD + fetch::patience(seconds) + TAIL;
    session.waiter.until(patience, || {
        answer = receiver.try_recv().ok();
        answer.is_some()
    })?;
    Ok(answer.unwrap_or_else(|| Answer {
        asked: Instant::now(),
        file: Err("it did not answer in time".to_owned()),
    }))
}
