//! The lab on a machine that another program keeps busy.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use model::figure::Figure;

use crate::bench::{Bench, single};
use crate::goal::{Goal, Row};
use crate::sections::words;

/// A program that uses a core until it is dropped.
struct Hog(Child);

impl Drop for Hog {
    fn drop(&mut self) {
        // It may have ended; then nothing is left to do.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs `lab run --quick` beside it.
pub fn rows(bench: &Bench) -> Result<Vec<Row>, String> {
    let output = bench.folder.join("busy");
    let mut lab = Bench::command(
        &output,
        "run",
        &words(&["--quick", "--contenders", "epoll,tokio"]),
    );
    let _hog = Hog(Command::new("sh")
        .args(["-c", "while :; do :; done"])
        .spawn()
        .map_err(|error| format!("no shell can be started: {error}"))?);
    let began = Instant::now();
    let mut lab = lab
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("the lab cannot be started: {error}"))?;
    let mut named_after = None;
    if let Some(stderr) = lab.stderr.take() {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            eprintln!("{line}");
            if named_after.is_none() && line.contains("This machine is busy: sh") {
                named_after = Some(began.elapsed().as_secs_f64());
            }
        }
    }
    lab.wait().map_err(|error| error.to_string())?;
    let result =
        lab::store::load(&output.join("latest/result.json")).map_err(|error| format!("{error:#}"))?;
    let ratios = result
        .comparisons
        .iter()
        .filter(|one| one.metric == Figure::Cpu)
        .count();
    Ok(vec![
        Row {
            what: "the program that keeps the machine busy is named".to_owned(),
            goal: Goal::AtMost(5.0),
            found: named_after
                .ok_or_else(|| "it is not named".to_owned())
                .and_then(|seconds| single(Some(seconds))),
            unit: " s",
        },
        Row {
            what: format!(
                "ratios of CPU per message, of {} asked for",
                result.config.scenarios.len()
            ),
            goal: Goal::None,
            found: single(Some(ratios as f64)),
            unit: "",
        },
    ])
}
