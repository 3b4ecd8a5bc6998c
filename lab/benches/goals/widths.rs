//! How wide the intervals of a default run are, and how long it takes.

use std::time::Instant;

use model::figure::Figure;

use crate::bench::{Bench, single};
use crate::goal::{Goal, Row};

/// Half of each interval of CPU per message, in percent of its ratio.
pub fn rows(bench: &Bench) -> Result<Vec<Row>, String> {
    let began = Instant::now();
    let result = bench.by_default(&format!("widths/{}", std::process::id()), &[])?;
    let seconds = began.elapsed().as_secs_f64();
    let mut rows = vec![Row {
        what: format!("wall time with {} contenders", result.config.contenders.len()),
        goal: Goal::AtMost(180.0),
        found: single(Some(seconds)),
        unit: " s",
    }];
    for one in result.comparisons.iter().filter(|one| one.metric == Figure::Cpu) {
        let goal = if one.scenario == "few" { 1.0 } else { 2.0 };
        rows.push(Row {
            what: format!("{}: {}, half-width", one.scenario, one.contender),
            goal: Goal::AtMost(goal),
            found: single(one.half_width().map(|share| share * 100.0)),
            unit: " %",
        });
    }
    Ok(rows)
}
