//! A figure beside its goal, and whether it meets it.

use model::statistics::Estimate;

/// What a figure should be.
#[derive(Debug, Clone, Copy)]
pub enum Goal {
    /// No more than this.
    AtMost(f64),
    /// No less than this.
    AtLeast(f64),
    /// No less than the first, no more than the second.
    Between(f64, f64),
    /// The interval holds 1 and lies within 1 ± this.
    OneWithin(f64),
    /// Shown for comparison.
    None,
}

/// One line of a table.
pub struct Row {
    /// What was measured.
    pub what: String,
    /// What it should be.
    pub goal: Goal,
    /// What it is; or why there is no figure.
    pub found: Result<Estimate, String>,
    /// Its unit, with the blank before it; empty for ratios.
    pub unit: &'static str,
}

impl Row {
    fn verdict(&self) -> &'static str {
        let Ok(found) = &self.found else {
            return "no figure";
        };
        let (low, high) = found.interval.unwrap_or((found.median, found.median));
        match self.goal {
            Goal::None => "",
            Goal::AtMost(goal) if high <= goal => "met",
            Goal::AtMost(goal) if low > goal => "**missed**",
            Goal::AtLeast(goal) if low >= goal => "met",
            Goal::AtLeast(goal) if high < goal => "**missed**",
            Goal::Between(least, most) if low >= least && high <= most => "met",
            Goal::Between(least, most) if high < least || low > most => "**missed**",
            Goal::OneWithin(within) if low <= 1.0 && high >= 1.0 => {
                if low >= 1.0 - within && high <= 1.0 + within {
                    "met"
                } else {
                    "holds 1, but is wider"
                }
            }
            Goal::OneWithin(_) => "**missed**",
            Goal::AtMost(_) | Goal::AtLeast(_) | Goal::Between(..) => "too close to tell",
        }
    }

    fn found(&self) -> String {
        match &self.found {
            Ok(found) => match found.interval {
                Some((low, high)) => {
                    format!("{:.3} [{low:.3}, {high:.3}]{}", found.median, self.unit)
                }
                None => format!("{:.3}{}", found.median, self.unit),
            },
            Err(why) => why.clone(),
        }
    }

    fn goal(&self) -> String {
        match self.goal {
            Goal::AtMost(goal) => format!("≤ {goal}{}", self.unit),
            Goal::AtLeast(goal) => format!("≥ {goal}{}", self.unit),
            Goal::Between(least, most) => format!("{least} to {most}{}", self.unit),
            Goal::OneWithin(within) => format!("1 ± {within}"),
            Goal::None => String::new(),
        }
    }
}

/// The rows as a table in markdown.
pub fn table(rows: &[Row]) -> String {
    let mut text = String::from("| figure | goal | found | |\n| --- | --- | --- | --- |\n");
    for row in rows {
        text += &format!(
            "| {} | {} | {} | {} |\n",
            row.what,
            row.goal(),
            row.found(),
            row.verdict()
        );
    }
    text
}
