//! The contract of an engine, tried: every case on every contender, and every case on servers that break it.
//!
//! Each contender is a real process, started with port 0 and killed when the case is over. Beside our engines, in the
//! variants that differ in code, `CONTRACT_SERVERS` may name servers from elsewhere that keep the same contract:
//! `CONTRACT_SERVERS="go-net=/path/to/go-net --tuned=false;mine=/path/to/mine"`. They get our flags appended.
//!
//! A case that a broken server passes proves nothing. So `mutants` holds a tiny server that keeps the contract and can
//! be told to break it in one way, and a table says which case must notice. Each case is there at least once, and the
//! unbroken tiny server passes all of them.

// This is a test, though the compiler is not told so for one that makes its own list.
#![allow(clippy::expect_used, clippy::unwrap_used)]

mod contract {
    pub mod cases;
    pub mod contender;
    pub mod mutants;
    pub mod peer;
    pub mod reference;
    pub mod scrape;
}

use std::process::ExitCode;

use contract::cases::{CASES, Case};
use contract::contender::Contender;
use contract::{mutants, reference};
use libtest_mimic::{Arguments, Failed, Trial};

fn main() -> ExitCode {
    if let Ok(name) = std::env::var(reference::VARIABLE) {
        return reference::main(&name);
    }
    let arguments = Arguments::from_args();
    let mut trials = Vec::new();
    for contender in Contender::all() {
        for case in CASES {
            let contender = contender.clone();
            let name = format!("{}::{}", contender.name, case.name);
            trials.push(Trial::test(name, move || run(case, &contender)));
        }
    }
    for case in CASES {
        let unbroken = Contender::tiny(reference::UNBROKEN);
        trials.push(Trial::test(format!("reference::{}", case.name), move || {
            run(case, &unbroken)
        }));
    }
    for &(mutant, case_name) in mutants::TABLE {
        let name = format!("mutants::{case_name}_kills_{mutant}");
        trials.push(Trial::test(name, move || kill(mutant, case_name)));
    }
    trials.push(Trial::test("mutants::every_case_kills_one", every_case_kills_one));
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn run(case: &Case, contender: &Contender) -> Result<(), Failed> {
    (case.run)(contender).map_err(|error| Failed::from(format!("{error:#}")))
}

/// Passes when the case fails.
fn kill(mutant: &'static str, case_name: &str) -> Result<(), Failed> {
    let case = CASES.iter().find(|case| case.name == case_name);
    let case = case.ok_or_else(|| format!("there is no case {case_name}"))?;
    match (case.run)(&Contender::tiny(mutant)) {
        Err(_) => Ok(()),
        Ok(()) => Err(format!("{case_name} did not notice that this server {mutant}").into()),
    }
}

fn every_case_kills_one() -> Result<(), Failed> {
    for case in CASES {
        if !mutants::TABLE.iter().any(|(_, killer)| *killer == case.name) {
            return Err(format!("no mutant proves {}", case.name).into());
        }
    }
    Ok(())
}
