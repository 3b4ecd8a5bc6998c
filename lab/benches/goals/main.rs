//! `cargo bench -p lab --bench goals [-- SECTION …]`: every figure that the engines are held to, beside its goal.
//!
//! Each section is a run of the lab as anyone could start it: slices interleaved, servers and clients on cores apart.
//! What comes out is a table of figures with 95 % intervals, and beside each whether the goal is met. Run it on a machine
//! that does nothing else: a run that is not `ok` gives no figure. `GOALS_CYCLES` (40), `GOALS_RATE` (40000 messages/s)
//! and `GOALS_RUNS` (15, of the coverage sections) change the load. Results stay in `target/goals`. Sections `coverage-*` and
//! `planted` take finished results from there.

// A benchmark that cannot go on stops with what was in its way.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod bench;
mod busy;
mod choices;
mod coverage;
mod goal;
mod planted;
mod sections;
mod widths;

use std::fmt::Write;
use std::process::ExitCode;

use bench::Bench;
use sections::SECTIONS;

fn main() -> ExitCode {
    // cargo appends `--bench`.
    let wanted: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| !word.starts_with("--"))
        .collect();
    if let Some(unknown) = wanted
        .iter()
        .find(|name| SECTIONS.iter().all(|section| section.name != name.as_str()))
    {
        let names: Vec<_> = SECTIONS.iter().map(|section| section.name).collect();
        eprintln!(
            "error: there is no section `{unknown}`: choose among {}",
            names.join(", ")
        );
        return ExitCode::from(2);
    }
    let bench = Bench::from_environment();
    let mut text = String::new();
    for section in SECTIONS {
        if !wanted.is_empty() && wanted.iter().all(|name| name != section.name) {
            continue;
        }
        eprintln!("\n== {}: {}", section.name, section.about);
        let rows = match (section.rows)(&bench) {
            Ok(rows) => rows,
            Err(why) => {
                eprintln!("error: {}: {why}", section.name);
                return ExitCode::FAILURE;
            }
        };
        let _ = write!(
            text,
            "### {}: {}\n\n{}\n",
            section.name,
            section.about,
            goal::table(&rows)
        );
    }
    println!("{}", bench.conditions());
    println!("{text}");
    let path = bench.folder.join("goals.md");
    if let Err(error) = std::fs::write(&path, format!("{}\n{text}", bench.conditions())) {
        eprintln!("error: {} cannot be written: {error}", path.display());
        return ExitCode::FAILURE;
    }
    println!("Kept in {}", path.display());
    ExitCode::SUCCESS
}
