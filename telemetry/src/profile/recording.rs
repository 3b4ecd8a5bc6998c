//! The samples of one recording, added up, and the profile that comes of them.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::pprof::{Function, Label, Line, Location, Mapping, Profile, Sample, ValueType};
use super::pprof::{OBSERVER, ROLE};
use super::symbols::{self, CUT_OFF, Symbolizer};
use crate::observers::OBSERVERS;

/// What has been recorded so far.
pub struct Recording {
    started: SystemTime,
    hertz: NonZeroU32,
    stacks: HashMap<(String, Vec<u64>), Tally>,
    samples: u64,
}

/// What was counted for one stack.
#[derive(Default, PartialEq, Eq, PartialOrd, Ord)]
struct Tally {
    samples: i64,
    cpu_nanos: i64,
}

/// What is known when a recording ends.
pub struct Ending {
    /// How long it took.
    pub duration: Duration,
    /// CPU time that the process used meanwhile.
    pub cpu_time: Duration,
    /// Samples that found no room.
    pub dropped: u64,
}

impl Recording {
    /// Nothing recorded yet.
    pub fn new(started: SystemTime, hertz: NonZeroU32) -> Recording {
        Recording {
            started,
            hertz,
            stacks: HashMap::new(),
            samples: 0,
        }
    }

    /// Counts a sample with this stack. `whole` is false when its outer part is missing.
    ///
    /// A sample stands for the CPU time since the one before, not for a fixed period: so a profile adds up to the
    /// process's CPU time also where the kernel misses ticks.
    pub fn add(&mut self, sample: &super::Sample<'_>, mut addresses: Vec<u64>, whole: bool) {
        if !whole {
            addresses.push(CUT_OFF);
        }
        let tally = self
            .stacks
            .entry((sample.thread.to_owned(), addresses))
            .or_default();
        tally.samples += 1;
        tally.cpu_nanos += nanos(sample.cpu_time);
        self.samples += 1;
    }

    /// The profile, with names for everything.
    pub fn into_profile(self, symbolizer: &mut Symbolizer<'_>, ending: &Ending) -> Profile {
        let mut builder = Builder::default();
        let cpu = ValueType {
            kind: builder.text("cpu"),
            unit: builder.text("nanoseconds"),
        };
        let count = ValueType {
            kind: builder.text("samples"),
            unit: builder.text("count"),
        };
        let thread_key = builder.text("thread");
        let period = 1_000_000_000 / i64::from(self.hertz.get());
        let comment = self.comment(ending);
        builder.profile.comment = comment.iter().map(|remark| builder.text(remark)).collect();
        builder.add_mappings(symbolizer);
        let mut stacks: Vec<_> = self.stacks.into_iter().collect();
        stacks.sort();
        for ((thread, addresses), tally) in stacks {
            let location_id = addresses
                .iter()
                .map(|&address| builder.location(address, symbolizer))
                .collect();
            let label = |key, text| Label { key, str: text };
            let mut labels = vec![label(thread_key, builder.text(&thread))];
            if OBSERVERS.contains(&thread.as_str()) {
                labels.push(label(builder.text(ROLE), builder.text(OBSERVER)));
            }
            builder.profile.sample.push(Sample {
                location_id,
                value: vec![tally.samples, tally.cpu_nanos],
                label: labels,
            });
        }
        Profile {
            sample_type: vec![count, cpu],
            period_type: Some(cpu),
            period,
            default_sample_type: cpu.kind,
            time_nanos: nanos(self.started.duration_since(UNIX_EPOCH).unwrap_or_default()),
            duration_nanos: nanos(ending.duration),
            ..builder.profile
        }
    }

    /// How much the samples may be believed: how many came, and how many the CPU time implies.
    fn comment(&self, ending: &Ending) -> Vec<String> {
        let cpu_seconds = ending.cpu_time.as_secs_f64();
        let implied = cpu_seconds * f64::from(self.hertz.get());
        let share = if implied > 0.0 {
            100.0 * self.samples as f64 / implied
        } else {
            0.0
        };
        let mut comment = vec![format!(
            "{} samples at {} Hz in {:.1} s; the process used {cpu_seconds:.3} s of CPU, which implies {implied:.0} \
             ({share:.0} %)",
            self.samples,
            self.hertz,
            ending.duration.as_secs_f64(),
        )];
        if ending.dropped > 0 {
            comment.push(format!(
                "{} samples found no room: take fewer (frequency={})",
                ending.dropped,
                (self.hertz.get() / 2).max(1),
            ));
        }
        comment
    }
}

fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

/// Gives numbers to texts, functions and places.
#[derive(Default)]
struct Builder {
    profile: Profile,
    texts: HashMap<String, i64>,
    functions: HashMap<(i64, i64, i64), u64>,
    locations: HashMap<u64, u64>,
}

impl Builder {
    fn text(&mut self, text: &str) -> i64 {
        let table = &mut self.profile.string_table;
        if table.is_empty() {
            table.push(String::new());
            self.texts.insert(String::new(), 0);
        }
        if let Some(&index) = self.texts.get(text) {
            return index;
        }
        let index = table.len() as i64;
        table.push(text.to_owned());
        self.texts.insert(text.to_owned(), index);
        index
    }

    fn add_mappings(&mut self, symbolizer: &Symbolizer<'_>) {
        for (index, image) in symbolizer.images().iter().enumerate() {
            let mapping = Mapping {
                id: index as u64 + 1,
                memory_start: image.code.start,
                memory_limit: image.code.end,
                file_offset: image.file_offset,
                filename: self.text(&image.name),
                build_id: self.text(&image.build_id),
                has_functions: true,
                has_filenames: true,
                has_line_numbers: true,
                has_inline_frames: true,
            };
            self.profile.mapping.push(mapping);
        }
    }

    fn location(&mut self, address: u64, symbolizer: &mut Symbolizer<'_>) -> u64 {
        if let Some(&id) = self.locations.get(&address) {
            return id;
        }
        let place = symbolizer.place(address);
        let line = place
            .lines
            .iter()
            .map(|line| Line {
                function_id: self.function(line),
                line: line.line.into(),
            })
            .collect();
        let id = self.profile.location.len() as u64 + 1;
        self.profile.location.push(Location {
            id,
            mapping_id: place.image.map_or(0, |index| index as u64 + 1),
            address,
            line,
        });
        self.locations.insert(address, id);
        id
    }

    fn function(&mut self, line: &symbols::Line) -> u64 {
        let key = (
            self.text(&line.function),
            self.text(&line.symbol),
            self.text(&line.file),
        );
        if let Some(&id) = self.functions.get(&key) {
            return id;
        }
        let id = self.profile.function.len() as u64 + 1;
        self.profile.function.push(Function {
            id,
            name: key.0,
            system_name: key.1,
            filename: key.2,
        });
        self.functions.insert(key, id);
        id
    }
}
