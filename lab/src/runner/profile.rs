//! Profiles: before or after all measured slices, one slice of its own for each contender, so that sampling costs no
//! figure anything.

use std::time::{Duration, Instant};

use model::pace::Pace;
use telemetry::profile::pprof::Profile;

use super::inquiry::{LEAD, TAIL, TRY_SECONDS, ask, await_answer, cannot_show};
use super::lane::Lane;
use super::{Session, Stop};
use crate::metrics::Phase;
use crate::profile::files;
use crate::profile::record::{self, Taken};
use model::profile::ProfileRecord;
use model::scenario::Scenario;

/// Seconds of the profile of those who do not sample themselves.
const SHARES_SECONDS: u32 = 2;

/// What it takes for each contender, for the estimate.
pub fn planned(seconds: u32) -> Duration {
    Duration::from_secs((TRY_SECONDS + seconds).into()) + LEAD + TAIL
}

/// Takes a profile of every living contender under the offered load, when the configuration says so. Whatever goes
/// wrong becomes a record that says why. Pictures are drawn with the reports, at whatever moment the run ends.
pub fn profiles(
    session: &mut Session<'_>,
    scenario: &Scenario,
    lanes: &mut [Lane],
    pace: Pace,
) -> Result<(), Stop> {
    let Some(seconds) = session.config.profile_seconds else {
        return Ok(());
    };
    for lane in lanes.iter_mut().filter(|lane| lane.lives()) {
        let name = lane.record.contender.clone();
        session.enter(scenario, &name, Phase::Profile);
        let record = take(session, scenario, lane, pace, seconds)?.unwrap_or_else(|why| {
            let record = record::missing(&scenario.name, &name, why.clone());
            session
                .progress
                .say(&format!("{}: no profile of {name}: {why}", scenario.name));
            record
        });
        session.result.profiles.push(record);
        if lane.lives() {
            session.metrics.enter(&name, Phase::Idle);
        } else {
            session.metrics.leave(&name);
        }
        session.done(planned(seconds));
        session.save()?;
    }
    Ok(())
}

/// Finds out what the CPU of those goes into of whom a profile is [`wanted`](super::inquiry::wanted), for dashboards to show it beside what our
/// servers say of themselves. Done before anything is measured, so that no figure holds it.
pub fn shares(
    session: &mut Session<'_>,
    scenario: &Scenario,
    lanes: &mut [Lane],
    pace: Pace,
) -> Result<(), Stop> {
    for lane in lanes.iter_mut().filter(|lane| lane.lives() && lane.wants_profile) {
        let Some(metrics) = lane.metrics().map(str::to_owned) else {
            continue;
        };
        let name = lane.record.contender.clone();
        session.enter(scenario, &name, Phase::Profile);
        let answer = ask(&metrics, SHARES_SECONDS, LEAD);
        let load = LEAD + Duration::from_secs(SHARES_SECONDS.into()) + TAIL;
        lane.rehearse(session, pace, load)?;
        if !lane.lives() {
            session.metrics.leave(&name);
            continue;
        }
        let answer = await_answer(session, &answer, SHARES_SECONDS)?.read();
        match answer.and_then(|(_, profile)| record::shares(&profile)) {
            Ok(shares) => session.metrics.divide(&name, shares),
            Err(why) => cannot_show(session, scenario, &name, &why),
        }
        session.metrics.enter(&name, Phase::Idle);
    }
    Ok(())
}

/// One contender's profile, or why there is none.
fn take(
    session: &mut Session<'_>,
    scenario: &Scenario,
    lane: &mut Lane,
    pace: Pace,
    seconds: u32,
) -> Result<Result<ProfileRecord, String>, Stop> {
    let Some(metrics) = lane.metrics().map(str::to_owned) else {
        let why = "it has no metrics, beside which its profile would be (metrics=URL)";
        return Ok(Err(why.to_owned()));
    };
    let first = ask(&metrics, TRY_SECONDS, Duration::ZERO);
    if let Err(why) = await_answer(session, &first, TRY_SECONDS)?.read() {
        return Ok(Err(why));
    }
    let answer = ask(&metrics, seconds, LEAD);
    let load = LEAD + Duration::from_secs(seconds.into()) + TAIL;
    let began = Instant::now();
    let slice = match lane.profiled(session, pace, load)? {
        Ok(slice) => slice,
        Err(why) => return Ok(Err(why)),
    };
    let answer = await_answer(session, &answer, seconds)?;
    let asked = answer.asked;
    let (file, profile) = match answer.read() {
        Ok(read) => read,
        Err(why) => return Ok(Err(why)),
    };
    // The rate of replies times the profile's own duration: more exact than counting replies between two instants of
    // ours, since the recording begins and ends in the server. Load that ended before it does not count.
    let under_load = (began + Duration::from_secs_f64(slice.seconds)).saturating_duration_since(asked);
    let messages = slice.replies_in_time as f64 / slice.seconds.max(f64::MIN_POSITIVE)
        * recorded(&profile, seconds).min(under_load).as_secs_f64();
    let contender = &lane.record.contender;
    let name = files::pprof(&scenario.name, contender);
    let taken = Taken {
        scenario: &scenario.name,
        contender,
        messages: messages as u64,
        nanos_per_message: lane.record.cpu_micros_per_message().map(|micros| micros * 1e3),
        cost_relative_error: lane.record.cpu_relative_error(),
        pprof: &name,
    };
    let record = record::record(&profile, &taken);
    if record.is_ok() {
        files::keep(session.store.folder(), &name, &file).map_err(Stop::Failed)?;
    }
    Ok(record)
}

/// How long a profile was recorded: what it says, or what was asked for.
fn recorded(profile: &Profile, seconds: u32) -> Duration {
    match u64::try_from(profile.duration_nanos) {
        Ok(nanos @ 1..) => Duration::from_nanos(nanos),
        _ => Duration::from_secs(seconds.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_says_how_long_it_took_or_took_what_was_asked() {
        let of = |duration_nanos| Profile {
            duration_nanos,
            ..Profile::default()
        };
        assert_eq!(recorded(&of(5_100_000_000), 5), Duration::from_millis(5_100));
        assert_eq!(recorded(&of(0), 5), Duration::from_secs(5));
        assert_eq!(recorded(&of(-1), 5), Duration::from_secs(5));
    }
}
