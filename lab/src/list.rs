//! `lab list`: contenders and scenarios, and for what cannot run here, why and what to change.

use std::fmt::Write;

use crate::contender::external::EXTERNALS;
use crate::scenarios;
use crate::{engines, preflight};
use model::contender::Contender;
use model::machine::Machine;
use model::scenario::Scenario;

/// The list as text.
pub fn render() -> String {
    let mut out = String::from("Contenders\n");
    for name in engines::names().into_iter().chain(engines::yardsticks()) {
        let _ = match engines::probe(name) {
            Ok(()) => writeln!(out, "  {name:<10} {}", engines::summary(name)),
            Err(why) => writeln!(out, "  {name:<10} cannot run here: {why}"),
        };
    }
    out.push_str("Contenders that are built apart; `--contenders all` takes them, too\n");
    for external in EXTERNALS {
        let name = external.name;
        let _ = match external.probe() {
            Ok(()) => writeln!(out, "  {name:<20} {}", external.summary),
            Err(why) => writeln!(out, "  {name:<20} cannot run here: {why}"),
        };
    }
    out.push_str("Contenders of yours\n");
    out.push_str("  yours      --contender name=mine,echo=HOST:PORT,metrics=URL, or name=mine,command=\"./mine --port {port}\"\n");
    out.push_str("\nScenarios\n");
    let machine = crate::machine::read(None);
    for (name, _) in scenarios::BUILT_IN {
        match scenarios::find(name) {
            Ok(scenario) => describe(&mut out, &scenario, &machine),
            Err(error) => {
                let _ = writeln!(out, "  {name:<10} {error}");
            }
        }
    }
    out.push_str("  yours      --scenario FILE.toml\n");
    out
}

fn describe(out: &mut String, scenario: &Scenario, machine: &Machine) {
    let _ = writeln!(
        out,
        "  {:<10} {}\n             {} connections, messages of {} bytes, {}",
        scenario.name, scenario.about, scenario.connections, scenario.message_bytes, scenario.pace
    );
    for name in engines::names() {
        if let Some(why) = preflight::obstacle(&Contender::engine(name), scenario, machine) {
            let _ = writeln!(out, "             not with {name}: {why}");
        }
    }
}
