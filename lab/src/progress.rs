//! What is running now, and how far the whole is: a bar on a terminal, plain lines elsewhere. All on stderr.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// Shows how far the lab is. Counts in milliseconds of work planned.
pub struct Progress {
    bar: Option<ProgressBar>,
    last_line: String,
}

impl Progress {
    /// For work that takes about `planned`.
    pub fn new(planned: Duration) -> Progress {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(planned.as_millis() as u64);
            let template = "{bar:30} {percent:>3} % {elapsed:>4} of about {duration}  {msg}";
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style);
            }
            bar
        });
        Progress {
            bar,
            last_line: String::new(),
        }
    }

    /// Says what is running now. `line` is shown on a terminal only; `stage`, where lines stay, once.
    pub fn now(&mut self, stage: &str, detail: &str) {
        match &self.bar {
            Some(bar) => {
                bar.set_message(format!("{stage} {detail}"));
                bar.tick();
            }
            None if self.last_line != stage => {
                eprintln!("{stage}");
                self.last_line = stage.to_owned();
            }
            None => {}
        }
    }

    /// Work that was planned to take so long is done.
    pub fn done(&mut self, planned: Duration) {
        if let Some(bar) = &self.bar {
            bar.inc(planned.as_millis() as u64);
        }
    }

    /// Says something that stays.
    pub fn say(&mut self, line: &str) {
        match &self.bar {
            Some(bar) => bar.println(line),
            None => eprintln!("{line}"),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
