//! Room in the kernel's connection tracking. When its table is full, nobody can connect.

use std::time::Duration;

use model::scenario::Scenario;

use super::Session;
use super::child::Interrupted;
use crate::machine;

/// The kernel forgets a connection that ended in order after two minutes.
const PATIENCE: Duration = Duration::from_secs(150);

/// Waits until the table has room for the connections of all contenders. Does nothing when the kernel does not track
/// connections. A table that is too small for all of them is noted, and nothing waits for it.
///
/// # Errors
/// When the user wants to stop.
pub fn await_room(session: &mut Session<'_>, scenario: &Scenario, round: u32) -> Result<(), Interrupted> {
    let needed = scenario.connections * session.config.contenders.len() as u64;
    let Some((most, room)) =
        machine::tracking().filter(|_| session.result.machine.connections_tracked == Some(true))
    else {
        return Ok(());
    };
    if most < needed {
        if round == 0 {
            session.note(format!(
                "{}: the kernel tracks at most {most} connections and this scenario makes {needed}: raise net.netfilter.nf_conntrack_max, or choose fewer contenders or --connections",
                scenario.name
            ));
        }
        return Ok(());
    }
    if room >= needed {
        return Ok(());
    }
    session.progress.say(&format!(
        "{}: waits until the kernel's connection tracking has room for {needed} connections",
        scenario.name
    ));
    let enough = || machine::tracking().is_none_or(|(_, room)| room >= needed);
    if !session.waiter.until(PATIENCE, enough)? {
        session.note(format!(
            "{}: the kernel's connection tracking has no room for {needed} connections: end what else holds connections, or raise net.netfilter.nf_conntrack_max",
            scenario.name
        ));
    }
    Ok(())
}
