//! The charts of a scenario: which figures of its runs are shown, and how each is put into words.

use super::balance;
use super::bars::{self, Bar, Part};
use super::chart::{Chart, Table};
use super::context::{Charts, doubt};
use super::forest::{self, Ratio};
use super::latency;
use super::legend::Sign;
use super::rows::Evidence;
use super::svg::colour;
use crate::report::figures::{count, decimal, kibibytes, mebibytes, missing, or_missing, significant};
use model::comparison;
use model::figure::Figure;
use model::run::Run;
use model::statistics::{self, Estimate};

impl Charts<'_> {
    /// All charts that there are figures for.
    pub fn all(&self) -> Vec<Chart> {
        [
            self.cpu(),
            self.ratio(Figure::Cpu, "ratio-cpu", "CPU per message: ratio to"),
            self.capacity(),
            latency::chart(self),
            self.ratio(Figure::ResponseP99, "ratio-p99", "Response time p99: ratio to"),
            self.memory(),
            self.memory_per_connection(),
            balance::chart(self),
            self.both_sides(),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// A bar for each run, and a row without one for each contender that was skipped.
    fn bars(&self, of_run: impl Fn(&Run) -> Option<Bar>) -> Vec<Bar> {
        let mut bars: Vec<Bar> = self
            .runs()
            .map(|run| {
                let bar = of_run(run).unwrap_or_else(|| Bar {
                    note: "not known".to_owned(),
                    ..Bar::default()
                });
                Bar {
                    name: run.contender.clone(),
                    note: bar.note + &doubt(run),
                    colour: colour(self.index(&run.contender)),
                    doubtful: !run.is_ok(),
                    ..bar
                }
            })
            .collect();
        bars.extend(self.skipped().map(|name| Bar {
            name,
            note: "skipped".to_owned(),
            ..Bar::default()
        }));
        bars
    }

    fn skipped(&self) -> impl Iterator<Item = String> {
        let skipped = self.result.skipped_of(&self.scenario.name);
        skipped.map(|skipped| skipped.contender.clone())
    }

    fn part(&self, run: &Run, value: f64, look: &str) -> Part {
        Part {
            value,
            class: format!("{}{look}", colour(self.index(&run.contender))),
            letter: String::new(),
        }
    }

    fn chart(
        &self,
        name: &str,
        title: &str,
        caption: &str,
        svg: Option<String>,
        table: Table,
    ) -> Option<Chart> {
        Some(Chart {
            id: self.chart_id(name),
            title: title.to_owned(),
            caption: caption.to_owned(),
            svg: svg?,
            table,
        })
    }

    fn cpu(&self) -> Option<Chart> {
        let bars = self.bars(|run| {
            let micros = run.server.cpu_micros_per_message?;
            let dots = cycles(run);
            let interval = comparison::over_rounds(run, Figure::Cpu).and_then(|estimate| estimate.interval);
            Some(Bar {
                note: format!("{} µs{}", decimal(micros, 2), bracketed(interval)),
                parts: vec![self.part(run, micros, " pale")],
                evidence: Some(Evidence {
                    figure: micros,
                    interval,
                    dots,
                }),
                ..Bar::default()
            })
        });
        let title = "Server CPU per message, µs";
        let spread = bars.iter().any(|bar| {
            bar.evidence
                .as_ref()
                .is_some_and(|evidence| evidence.interval.is_some())
        });
        let caption = if spread {
            "A bar is the median over cycles. Its whisker is the 95 % interval over rounds. Each dot is one cycle: the wider they lie, \
             the noisier the machine. A hollow dot lies beyond the right edge."
                .to_owned()
        } else {
            self.without_interval()
        };
        let rows = self.runs().map(|run| {
            let dots = cycles(run);
            let estimate = comparison::over_rounds(run, Figure::Cpu);
            let end = |q| or_missing(statistics::quantile(&dots, q), |micros| decimal(micros, 2));
            vec![
                run.contender.clone(),
                or_missing(run.server.cpu_micros_per_message, |micros| decimal(micros, 2)),
                interval_text(estimate),
                end(0.0),
                end(1.0),
                dots.len().to_string(),
            ]
        });
        let table = Table::new(
            title,
            &["contender", "median", "95 % interval", "least", "most", "cycles"],
            rows.collect(),
        );
        let id = self.chart_id("cpu");
        self.chart(
            "cpu",
            title,
            &caption,
            bars::draw(&bars, &[], &id, title, &caption),
            table,
        )
    }

    /// What stands below a chart whose figures have no interval.
    fn without_interval(&self) -> String {
        let most = self.runs().map(|run| run.rounds.len()).max().unwrap_or(0);
        format!(
            "Each dot is one round. There are {}, so how far chance goes is not known.",
            crate::report::figures::too_few(most)
        )
    }

    fn ratio(&self, figure: Figure, name: &str, title: &str) -> Option<Chart> {
        let baseline = &self.result.config.baseline;
        let title = format!("{title} {baseline}");
        let mut ratios: Vec<Ratio> = self
            .runs()
            .filter(|run| run.contender != *baseline)
            .map(|run| {
                let found = self
                    .result
                    .comparison(&self.scenario.name, &run.contender, figure);
                let interval = found.and_then(|found| found.low.zip(found.high));
                Ratio {
                    name: run.contender.clone(),
                    note: match found {
                        Some(found) => format!("{} ×{}", decimal(found.ratio, 2), bracketed(interval)),
                        None if run.is_ok() => "no ratio".to_owned(),
                        None => format!("left out{}", doubt(run)),
                    },
                    index: self.index(&run.contender),
                    ratio: found.map(|found| Evidence {
                        figure: found.ratio,
                        interval,
                        dots: found.rounds.clone(),
                    }),
                }
            })
            .collect();
        ratios.extend(self.skipped().map(|name| Ratio {
            name,
            note: "skipped".to_owned(),
            ..Ratio::default()
        }));
        let intervals = ratios.iter().filter_map(|row| row.ratio.as_ref()?.interval);
        let caption = if intervals.count() > 0 {
            "Ratios are formed within each cycle. Each dot is one round, in which all servers were started afresh. The sign is the \
             mean over rounds, the whisker its 95 % interval. The thick line is 1. A hollow dot lies beyond the edge. When the \
             interval holds 1, the two cannot be told apart."
                .to_owned()
        } else {
            format!("{} The thick line is 1.", self.without_interval())
        };
        let rows = ratios.iter().map(|row| {
            let interval = row.ratio.as_ref().and_then(|ratio| ratio.interval);
            vec![
                row.name.clone(),
                or_missing(row.ratio.as_ref(), |ratio| decimal(ratio.figure, 3)),
                or_missing(interval, |(low, high)| format!("{low:.3} to {high:.3}")),
                or_missing(row.ratio.as_ref(), |ratio| ratio.dots.len().to_string()),
            ]
        });
        let table = Table::new(
            &title,
            &["contender", "ratio", "95 % interval", "pairs"],
            rows.collect(),
        );
        let svg = forest::draw(&ratios, &self.chart_id(name), &title, &caption);
        self.chart(name, &title, &caption, svg, table)
    }

    fn capacity(&self) -> Option<Chart> {
        let words = |run: &Run, rate: f64| {
            format!(
                "{}{}",
                if run.capacity_is_at_least { "≥ " } else { "" },
                count(rate)
            )
        };
        let bars = self.bars(|run| {
            let rate = run.capacity_per_second?;
            Some(Bar {
                note: words(run, rate),
                parts: vec![self.part(run, rate, "")],
                at_least: run.capacity_is_at_least,
                ..Bar::default()
            })
        });
        let title = "Capacity, messages per second";
        let caption = "What a closed loop without think time reached before the measurement. ≥ and arrows: the client was the \
                       bottleneck, the server's capacity is at least this.";
        let rows = self.runs().map(|run| {
            let rate = or_missing(run.capacity_per_second, |rate| words(run, rate));
            vec![
                run.contender.clone(),
                rate,
                or_missing(run.offered_per_second, count),
            ]
        });
        let table = Table::new(
            title,
            &["contender", "capacity", "offered in the measurement"],
            rows.collect(),
        );
        let svg = bars::draw(&bars, &[], &self.chart_id("capacity"), title, caption);
        self.chart("capacity", title, caption, svg, table)
    }

    fn memory(&self) -> Option<Chart> {
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        let bars = self.bars(|run| {
            let all = run.server.resident_bytes?;
            let parts = match run.server.resident_bytes_before_connections {
                Some(before) => {
                    let before = before.min(all);
                    vec![
                        self.part(run, mib(before), ""),
                        self.part(run, mib(all - before), " pale"),
                    ]
                }
                // Neither dark nor pale: how it is divided is not known.
                None => vec![self.part(run, mib(all), " whole")],
            };
            Some(Bar {
                note: format!("{} MiB", mebibytes(all as f64)),
                parts,
                ..Bar::default()
            })
        });
        let title = "Resident memory under load, MiB";
        let caption = "Dark: before the first connection. Pale: what the connections and the load added. In between: how much of \
                       it was there before is not known.";
        let bytes = |bytes: Option<u64>| or_missing(bytes, |bytes| mebibytes(bytes as f64));
        let rows = self.runs().map(|run| {
            vec![
                run.contender.clone(),
                bytes(run.server.resident_bytes),
                bytes(run.server.resident_bytes_before_connections),
                bytes(run.server.virtual_bytes),
                or_missing(run.server.threads, |threads| threads.to_string()),
            ]
        });
        let table = Table::new(
            title,
            &[
                "contender",
                "under load",
                "before connections",
                "virtual",
                "threads",
            ],
            rows.collect(),
        );
        let svg = bars::draw(&bars, &[], &self.chart_id("memory"), title, caption);
        self.chart("memory", title, caption, svg, table)
    }

    fn memory_per_connection(&self) -> Option<Chart> {
        let of = |run: &Run| {
            run.server
                .resident_bytes_per_connection(self.scenario.connections)
        };
        let bars = self.bars(|run| {
            let bytes = of(run)?;
            Some(Bar {
                note: format!("{} KiB", kibibytes(bytes)),
                parts: vec![self.part(run, bytes / 1024.0, "")],
                ..Bar::default()
            })
        });
        let title = "Resident memory per connection, KiB";
        let caption = "What the server's memory grew by, over its connections. The kernel's socket buffers are not in it.";
        let rows = self
            .runs()
            .map(|run| vec![run.contender.clone(), or_missing(of(run), kibibytes)]);
        let table = Table::new(title, &["contender", "KiB per connection"], rows.collect());
        let svg = bars::draw(&bars, &[], &self.chart_id("memory-connection"), title, caption);
        self.chart("memory-connection", title, caption, svg, table)
    }

    /// Where the CPU went: the server's user and kernel part, and the client's cost beside it.
    fn both_sides(&self) -> Option<Chart> {
        let mut bars = Vec::new();
        for run in self.runs() {
            let user = run.server.cpu_user_share;
            let server = run.server.cpu_micros_per_message.map(|micros| match user {
                Some(share) => vec![
                    part(micros * share, "p0", "u"),
                    part(micros * (1.0 - share), "p1", "k"),
                ],
                None => vec![part(micros, "p1", "")],
            });
            let client = run
                .client
                .cpu_micros_per_message
                .map(|micros| vec![part(micros, "p2", "c")]);
            for (side, parts, micros) in [
                ("server", server, run.server.cpu_micros_per_message),
                ("client", client, run.client.cpu_micros_per_message),
            ] {
                bars.push(Bar {
                    name: format!("{}, {side}", run.contender),
                    note: micros.map_or_else(
                        || "not known".to_owned(),
                        |micros| format!("{} µs", decimal(micros, 2)),
                    ),
                    parts: parts.unwrap_or_default(),
                    doubtful: !run.is_ok(),
                    ..Bar::default()
                });
            }
        }
        let keys: Vec<_> = [
            ("p0", "u", "server, user"),
            ("p1", "k", "server, kernel"),
            ("p2", "c", "client"),
        ]
        .map(|(class, letter, name)| {
            (
                Sign::Field(format!("bar {class}"), letter.to_owned()),
                name.to_owned(),
            )
        })
        .into();
        let title = "Where the CPU went: both sides, µs per message";
        let caption = "The client pays for its own system calls and checks, and for waiting precisely until each message is due: with \
                       smooth arrivals it spins, which costs it CPU and no server anything. User and kernel parts are in the kernel's \
                       ticks, so coarse.";
        let rows = self.runs().map(|run| {
            vec![
                run.contender.clone(),
                or_missing(run.server.cpu_micros_per_message, |micros| decimal(micros, 2)),
                or_missing(run.server.cpu_user_share, |share| {
                    format!("{:.0} %", share * 100.0)
                }),
                or_missing(run.client.cpu_micros_per_message, |micros| decimal(micros, 2)),
                or_missing(run.server.context_switches_per_message, |switches| {
                    decimal(switches, 2)
                }),
                or_missing(run.server.allocations_per_message, |allocations| {
                    decimal(allocations, 2)
                }),
            ]
        });
        let columns = [
            "contender",
            "server",
            "of it user",
            "client",
            "wake-ups per message",
            "allocations per message",
        ];
        let table = Table::new(title, &columns, rows.collect());
        let svg = bars::draw(&bars, &keys, &self.chart_id("sides"), title, caption);
        self.chart("sides", title, caption, svg, table)
    }
}

/// CPU per message in each cycle.
fn cycles(run: &Run) -> Vec<f64> {
    run.cycles()
        .filter_map(model::run::Cycle::server_cpu_micros_per_message)
        .filter(|micros| micros.is_finite())
        .collect()
}

fn part(value: f64, class: &str, letter: &str) -> Part {
    Part {
        value,
        class: class.to_owned(),
        letter: letter.to_owned(),
    }
}

/// An interval after its figure; nothing when there is none.
fn bracketed(interval: Option<(f64, f64)>) -> String {
    interval.map_or_else(String::new, |(low, high)| format!(" [{low:.2}, {high:.2}]"))
}

fn interval_text(estimate: Option<Estimate>) -> String {
    estimate
        .and_then(|estimate| estimate.interval)
        .map_or_else(missing, |(low, high)| {
            format!("{} to {}", significant(low), significant(high))
        })
}
