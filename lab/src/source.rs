//! Where a contender's figures come from: its CPU clock and /proc when it runs here, its metrics when not.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use telemetry::names;

use crate::measure::{self, Exposition, Reading, ScrapeError, Totals};
use crate::tree::Tree;

/// The same process always shows the same start. This covers how a float is printed.
const SAME_START_SECONDS: f64 = 0.001;

/// Where a contender's figures come from.
#[derive(Debug, Clone, Default)]
pub struct Source {
    /// Its processes, when it runs on this machine and the lab started it.
    tree: Option<Rc<Tree>>,
    /// The URL of its metrics, if it has any.
    metrics: Option<String>,
    /// The first thing that was wrong with its metrics.
    fault: RefCell<Option<String>>,
    /// Whether its metrics did not answer in time. They are not asked again: each time would cost seconds.
    silent: Cell<bool>,
}

impl Source {
    /// Processes on this machine, or metrics, or both.
    pub fn new(tree: Option<Rc<Tree>>, metrics: Option<String>) -> Source {
        Source {
            tree,
            metrics,
            ..Source::default()
        }
    }

    /// The URL of its metrics, if it has any that answer.
    pub fn metrics(&self) -> Option<&str> {
        self.metrics.as_deref().filter(|_| !self.silent.get())
    }

    /// Whether its metrics did not answer in time.
    pub fn is_silent(&self) -> bool {
        self.silent.get()
    }

    /// The first thing that was wrong with its metrics: the URL, the metric, its value.
    pub fn fault(&self) -> Option<String> {
        self.fault.borrow().clone()
    }

    /// Does not ask for its metrics, which did not answer before: `fault` says so.
    pub fn silence(&self, fault: &str) {
        self.silent.set(true);
        self.note(fault.to_owned());
    }

    /// A process of it on this machine, when there is one.
    pub fn any_process(&self) -> Option<u32> {
        self.tree.as_ref()?.any()
    }

    /// CPU time only: for the instant before a slice.
    pub fn cpu_seconds(&self) -> Option<f64> {
        match &self.tree {
            Some(tree) => tree.cpu_seconds(),
            None => self.scrape()?.value(names::CPU_SECONDS.name, &[]),
        }
    }

    /// When its process started, in seconds since 1970; only a metrics page tells.
    pub fn started_at(&self) -> Option<f64> {
        self.scrape()?.value(names::START_TIME.name, &[])
    }

    /// CPU time first, then memory.
    pub fn read(&self) -> Reading {
        match &self.tree {
            Some(tree) => Reading {
                cpu_seconds: tree.cpu_seconds(),
                memory: tree.memory(),
            },
            None => self.scrape().map_or_else(Reading::default, |text| text.reading()),
        }
    }

    /// What its metrics say, completed from /proc when it runs here.
    pub fn totals(&self) -> Totals {
        let mut totals = self.scrape().map_or_else(Totals::default, |text| text.totals());
        if let Some(tree) = &self.tree {
            // A page of metrics speaks of one process.
            let single = tree.is_single();
            if !(single && totals.cpu_modes.is_some())
                && let Some(modes) = tree.modes()
            {
                totals.cpu_modes = Some((modes.user_seconds, modes.user_seconds + modes.system_seconds));
            }
            if !(single && totals.voluntary_switches.is_some()) {
                totals.voluntary_switches = tree.voluntary_switches();
            }
        }
        totals
    }

    /// Its metrics; `None` when there are none, or they cannot be read. What is wrong is kept.
    fn scrape(&self) -> Option<Exposition> {
        let url = self.metrics()?;
        let text = match measure::scrape(url) {
            Ok(text) => text,
            Err(error) => {
                self.silent.set(matches!(error, ScrapeError::Silent(_)));
                self.note(error.to_string());
                return None;
            }
        };
        if let Some(fault) = text.fault() {
            self.note(format!("{url}: {fault}"));
        } else if self.tree.is_none() && text.value(names::CPU_SECONDS.name, &[]).is_none() {
            self.note(format!(
                "{url} shows no {}: its first line is `{}`",
                names::CPU_SECONDS.name,
                text.first_line()
            ));
        }
        Some(text)
    }

    fn note(&self, fault: String) {
        self.fault.borrow_mut().get_or_insert(fault);
    }
}

/// Whether two starts are those of two processes; false when one is not known.
pub fn another(before: Option<f64>, now: Option<f64>) -> bool {
    let starts = before.zip(now);
    starts.is_some_and(|(before, now)| (now - before).abs() > SAME_START_SECONDS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpListener;

    #[test]
    fn processes_below_a_parent_can_be_read() {
        // This process is below its own parent.
        let parent = std::os::unix::process::parent_id();
        let source = Source::new(Some(Tree::new(parent, None)), None);
        let reading = source.read();
        assert!(reading.cpu_seconds.unwrap() > 0.0 && reading.memory.unwrap().resident_bytes > 0);
        let totals = source.totals();
        assert!(totals.voluntary_switches.is_some() && totals.cpu_modes.is_some());
        assert_eq!(totals.received_bytes, None);
    }

    #[test]
    fn nothing_to_read_from_is_no_error() {
        let source = Source::default();
        assert_eq!(source.read(), Reading::default());
        assert_eq!(source.totals(), Totals::default());
        assert_eq!(source.fault(), None);
    }

    /// A source whose page answers once with this.
    fn answering(status: &str, body: &str) -> Source {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/metrics", listener.local_addr().unwrap());
        let answer = format!(
            "HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            while lines.next().is_some_and(|line| !line.unwrap().is_empty()) {}
            stream.write_all(answer.as_bytes()).unwrap();
        });
        Source::new(None, Some(url))
    }

    #[test]
    fn a_page_without_figures_says_what_it_answered() {
        for (status, body, said) in [
            ("404 Not Found", "", "answered with status 404"),
            (
                "200 OK",
                "<html>\nhello",
                "shows no process_cpu_seconds_total: its first line is `<html>`",
            ),
            (
                "200 OK",
                "process_cpu_seconds_total NaN\n",
                "process_cpu_seconds_total is NaN",
            ),
        ] {
            let source = answering(status, body);
            assert_eq!(source.read().cpu_seconds, None);
            let fault = source.fault().unwrap();
            assert!(
                fault.starts_with("http://127.0.0.1:") && fault.contains(said),
                "{fault}"
            );
            assert!(!source.is_silent());
        }
        let nobody = Source::new(None, Some("http://127.0.0.1:1/metrics".to_owned()));
        assert_eq!(nobody.read(), Reading::default());
        assert!(
            nobody
                .fault()
                .unwrap()
                .contains("127.0.0.1:1/metrics cannot be read")
        );
    }

    #[test]
    fn a_page_that_hangs_is_asked_once() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/metrics", listener.local_addr().unwrap());
        let source = Source::new(None, Some(url.clone()));
        assert_eq!(source.read(), Reading::default());
        assert!(source.is_silent() && source.metrics().is_none());
        assert_eq!(
            source.fault().unwrap(),
            format!("{url} did not answer within 2 s")
        );
        // The page would hang again. Nobody has asked it twice.
        assert_eq!(source.totals(), Totals::default());
        listener.set_nonblocking(true).unwrap();
        assert!(listener.accept().is_ok());
        assert!(listener.accept().is_err());
    }
}
