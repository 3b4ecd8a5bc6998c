//! The pprof format (github.com/google/pprof, proto/profile.proto), as Go serves it: gzipped protobuf.
//!
//! The messages are written out here instead of generated, so that a build needs no protobuf compiler. Fields that
//! nobody here reads or writes are left out; decoding skips them.

use std::collections::HashMap;
use std::io::{self, Read, Write};

use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use prost::Message;

/// The label that says what a thread is there for, when that is not to serve.
pub(super) const ROLE: &str = "role";
/// What it says of threads that watch the program: one that takes a profile is in the profile itself, unwinding stacks and
/// finding names. `go tool pprof -tagignore=observer` leaves them out.
pub(super) const OBSERVER: &str = "observer";

/// No profile that is believed is larger, unpacked.
const BYTES_MAX: u64 = 256 << 20;

/// A profile. Numbers that stand for texts are indices into `string_table`.
#[derive(Clone, PartialEq, Message)]
pub struct Profile {
    /// What each of a sample's values means.
    #[prost(message, repeated, tag = "1")]
    pub sample_type: Vec<ValueType>,
    /// The samples, equal stacks added up.
    #[prost(message, repeated, tag = "2")]
    pub sample: Vec<Sample>,
    /// What was mapped; the program first.
    #[prost(message, repeated, tag = "3")]
    pub mapping: Vec<Mapping>,
    /// Places in the code.
    #[prost(message, repeated, tag = "4")]
    pub location: Vec<Location>,
    /// Functions.
    #[prost(message, repeated, tag = "5")]
    pub function: Vec<Function>,
    /// All texts; the first is empty.
    #[prost(string, repeated, tag = "6")]
    pub string_table: Vec<String>,
    /// When it began, in nanoseconds since 1970.
    #[prost(int64, tag = "9")]
    pub time_nanos: i64,
    /// How long it took.
    #[prost(int64, tag = "10")]
    pub duration_nanos: i64,
    /// What lies between two samples.
    #[prost(message, optional, tag = "11")]
    pub period_type: Option<ValueType>,
    /// How much of it.
    #[prost(int64, tag = "12")]
    pub period: i64,
    /// Remarks (`go tool pprof -comments`).
    #[prost(int64, repeated, tag = "13")]
    pub comment: Vec<i64>,
    /// The value that tools show first.
    #[prost(int64, tag = "14")]
    pub default_sample_type: i64,
}

/// A quantity and its unit.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct ValueType {
    /// What is counted.
    #[prost(int64, tag = "1")]
    pub kind: i64,
    /// In what.
    #[prost(int64, tag = "2")]
    pub unit: i64,
}

/// A stack and what was counted for it.
#[derive(Clone, PartialEq, Message)]
pub struct Sample {
    /// The stack, innermost first.
    #[prost(uint64, repeated, tag = "1")]
    pub location_id: Vec<u64>,
    /// One value for each of the profile's sample types.
    #[prost(int64, repeated, tag = "2")]
    pub value: Vec<i64>,
    /// What else is known, such as the thread.
    #[prost(message, repeated, tag = "3")]
    pub label: Vec<Label>,
}

/// Something known about a sample.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct Label {
    /// What it is.
    #[prost(int64, tag = "1")]
    pub key: i64,
    /// Its text.
    #[prost(int64, tag = "2")]
    pub str: i64,
}

/// A stretch of mapped code.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct Mapping {
    /// Its number, from 1.
    #[prost(uint64, tag = "1")]
    pub id: u64,
    /// The first address.
    #[prost(uint64, tag = "2")]
    pub memory_start: u64,
    /// The address after the last.
    #[prost(uint64, tag = "3")]
    pub memory_limit: u64,
    /// Where in the file it begins.
    #[prost(uint64, tag = "4")]
    pub file_offset: u64,
    /// The file.
    #[prost(int64, tag = "5")]
    pub filename: i64,
    /// The build id.
    #[prost(int64, tag = "6")]
    pub build_id: i64,
    /// Functions are named already; tools need not look into the file.
    #[prost(bool, tag = "7")]
    pub has_functions: bool,
    /// So are source files.
    #[prost(bool, tag = "8")]
    pub has_filenames: bool,
    /// So are lines.
    #[prost(bool, tag = "9")]
    pub has_line_numbers: bool,
    /// So are inlined functions.
    #[prost(bool, tag = "10")]
    pub has_inline_frames: bool,
}

/// A place in the code.
#[derive(Clone, PartialEq, Message)]
pub struct Location {
    /// Its number, from 1.
    #[prost(uint64, tag = "1")]
    pub id: u64,
    /// The mapping; 0 when unknown.
    #[prost(uint64, tag = "2")]
    pub mapping_id: u64,
    /// The address.
    #[prost(uint64, tag = "3")]
    pub address: u64,
    /// The function there: the innermost of those that were inlined, then outwards.
    #[prost(message, repeated, tag = "4")]
    pub line: Vec<Line>,
}

/// A place in a function.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct Line {
    /// The function's number.
    #[prost(uint64, tag = "1")]
    pub function_id: u64,
    /// The line in its file.
    #[prost(int64, tag = "2")]
    pub line: i64,
}

/// A function.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct Function {
    /// Its number, from 1.
    #[prost(uint64, tag = "1")]
    pub id: u64,
    /// Its name, to read.
    #[prost(int64, tag = "2")]
    pub name: i64,
    /// Its name, for linkers.
    #[prost(int64, tag = "3")]
    pub system_name: i64,
    /// Its source file.
    #[prost(int64, tag = "4")]
    pub filename: i64,
}

/// A sample with its numbers turned into texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stack<'a> {
    /// The thread's name; empty when the profile does not say.
    pub thread: &'a str,
    /// The functions, innermost first, inlined ones included.
    pub functions: Vec<&'a str>,
    /// How many samples.
    pub samples: i64,
    /// How much CPU time they stand for.
    pub cpu_nanos: i64,
}

impl Profile {
    /// The file as tools read it.
    pub fn to_gzip(&self) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        // A Vec takes whatever is written to it.
        let _ = encoder.write_all(&self.encode_to_vec());
        encoder.finish().unwrap_or_default()
    }

    /// Reads such a file, from whatever program; also one that is not zipped.
    ///
    /// # Errors
    /// `InvalidData` when it is no profile.
    pub fn from_bytes(bytes: &[u8]) -> io::Result<Profile> {
        let invalid = |why: String| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                format!("this is no pprof file: {why}"),
            )
        };
        let mut unpacked = Vec::new();
        if bytes.starts_with(&[0x1f, 0x8b]) {
            let read = MultiGzDecoder::new(bytes)
                .take(BYTES_MAX)
                .read_to_end(&mut unpacked);
            read.map_err(|error| invalid(error.to_string()))?;
        } else {
            unpacked.extend_from_slice(bytes);
        }
        let profile = Profile::decode(unpacked.as_slice()).map_err(|error| invalid(error.to_string()))?;
        if profile.string_table.first().is_none_or(|first| !first.is_empty()) {
            return Err(invalid(
                "its table of texts does not begin with the empty one".to_owned(),
            ));
        }
        Ok(profile)
    }

    /// The text with this index; empty when there is none.
    pub fn text(&self, index: i64) -> &str {
        let text = usize::try_from(index)
            .ok()
            .and_then(|index| self.string_table.get(index));
        text.map(String::as_str).unwrap_or_default()
    }

    /// The samples, in words. What refers to nothing is left out.
    pub fn stacks(&self) -> Vec<Stack<'_>> {
        let functions: HashMap<u64, &str> = self
            .function
            .iter()
            .map(|function| (function.id, self.text(function.name)))
            .collect();
        let locations: HashMap<u64, &Location> = self
            .location
            .iter()
            .map(|location| (location.id, location))
            .collect();
        let values = Values::of(self);
        let mut stacks = Vec::with_capacity(self.sample.len());
        for sample in &self.sample {
            let places = sample.location_id.iter().filter_map(|id| locations.get(id));
            let lines = places.flat_map(|location| &location.line);
            let thread = sample.label.iter().find(|label| self.text(label.key) == "thread");
            stacks.push(Stack {
                thread: thread.map(|label| self.text(label.str)).unwrap_or_default(),
                functions: lines
                    .filter_map(|line| functions.get(&line.function_id).copied())
                    .collect(),
                samples: values.samples(sample),
                cpu_nanos: values.cpu_nanos(sample),
            });
        }
        stacks
    }

    /// The same without what our own threads did to observe the program. Profiles of other programs stay as they are.
    pub fn without_observers(&self) -> Profile {
        let observes = |label: &Label| self.text(label.key) == ROLE && self.text(label.str) == OBSERVER;
        let mut served = self.clone();
        served.sample.retain(|sample| !sample.label.iter().any(observes));
        served
    }

    /// Whether it says how much CPU time was used, and not only how much memory, for example.
    pub fn has_cpu_time(&self) -> bool {
        Values::of(self).nanos.is_some()
    }

    /// The remarks.
    pub fn comments(&self) -> Vec<&str> {
        self.comment.iter().map(|&index| self.text(index)).collect()
    }
}

/// Which of a sample's values are what. Programs differ: some count samples alone and say what each stands for.
struct Values {
    samples: Option<usize>,
    /// Which value, and how many nanoseconds one of it is.
    nanos: Option<(usize, i64)>,
    /// What lies between two samples, in nanoseconds; 0 when unknown.
    period_nanos: i64,
}

impl Values {
    fn of(profile: &Profile) -> Values {
        let nanos_of = |unit: &ValueType| match profile.text(unit.unit) {
            "nanoseconds" => Some(1),
            "microseconds" => Some(1_000),
            "milliseconds" => Some(1_000_000),
            "seconds" => Some(1_000_000_000),
            _ => None,
        };
        let period_unit = profile.period_type.as_ref().and_then(nanos_of).unwrap_or(0);
        let period_nanos = profile.period.saturating_mul(period_unit).max(0);
        let kinds = || profile.sample_type.iter().enumerate();
        let samples = kinds().find(|(_, kind)| profile.text(kind.unit) == "count");
        let samples = samples.map(|(index, _)| index);
        // Time that is not CPU time, such as of waiting for a lock, may stand beside it.
        let timed: Vec<_> = kinds()
            .filter_map(|(index, kind)| Some((profile.text(kind.kind), index, nanos_of(kind)?)))
            .collect();
        let cpu = timed.iter().find(|(kind, ..)| *kind == "cpu").or(timed.first());
        let nanos = match (cpu, samples) {
            (Some(&(_, index, unit)), _) => Some((index, unit)),
            (None, Some(index)) if period_nanos > 0 => Some((index, period_nanos)),
            (None, _) => None,
        };
        Values {
            samples,
            nanos,
            period_nanos,
        }
    }

    fn samples(&self, sample: &Sample) -> i64 {
        let value = self.samples.and_then(|index| sample.value.get(index));
        match value {
            Some(&samples) => samples,
            None if self.period_nanos > 0 => self.cpu_nanos(sample) / self.period_nanos,
            None => 0,
        }
    }

    fn cpu_nanos(&self, sample: &Sample) -> i64 {
        let (index, unit) = self.nanos.unwrap_or_default();
        let value = sample.value.get(index).copied().unwrap_or(0);
        value.saturating_mul(unit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A profile with one sample, of these types and values.
    fn of(types: &[(i64, i64)], values: &[i64], period: Option<(i64, i64)>) -> Profile {
        let texts = [
            "",
            "cpu",
            "nanoseconds",
            "microseconds",
            "samples",
            "count",
            "delay",
            "bytes",
        ];
        Profile {
            string_table: texts.map(str::to_owned).to_vec(),
            sample_type: types
                .iter()
                .map(|&(kind, unit)| ValueType { kind, unit })
                .collect(),
            sample: vec![Sample {
                value: values.to_vec(),
                ..Sample::default()
            }],
            period_type: period.map(|(unit, _)| ValueType { kind: 1, unit }),
            period: period.map_or(0, |(_, period)| period),
            ..Profile::default()
        }
    }

    #[test]
    fn samples_and_time_are_found_however_a_program_writes_them() {
        for (profile, samples, nanos) in [
            (of(&[(4, 5), (1, 2)], &[3, 70], None), 3, 70),
            (of(&[(1, 3)], &[70], Some((3, 10))), 7, 70_000),
            (of(&[(4, 5)], &[3], Some((2, 10))), 3, 30),
            (of(&[(6, 2), (1, 2)], &[9, 70], None), 0, 70),
            (of(&[(1, 2)], &[], None), 0, 0),
            (of(&[(1, 3)], &[i64::MAX], None), 0, i64::MAX),
        ] {
            assert!(profile.has_cpu_time());
            let stacks = profile.stacks();
            assert_eq!(
                (stacks[0].samples, stacks[0].cpu_nanos),
                (samples, nanos),
                "{profile:?}"
            );
        }
        for profile in [of(&[(4, 5)], &[3], None), of(&[(4, 7)], &[3], None)] {
            assert!(!profile.has_cpu_time());
            assert_eq!(profile.stacks()[0].cpu_nanos, 0);
        }
    }

    #[test]
    fn what_is_no_profile_is_refused() {
        for bytes in [
            &b""[..],
            b"\x1f\x8b",
            b"\x1f\x8bxxxxxxxx",
            b"<html>",
            b"\xff\xff\xff\xff",
        ] {
            let error = Profile::from_bytes(bytes).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{bytes:?}");
            assert!(error.to_string().contains("no pprof file"), "{error}");
        }
    }

    #[test]
    fn a_profile_reads_what_it_writes() {
        let profile = Profile {
            string_table: ["", "cpu", "nanoseconds", "thread", "epoll-0", "echo"]
                .map(str::to_owned)
                .to_vec(),
            sample_type: vec![ValueType { kind: 1, unit: 2 }],
            sample: vec![Sample {
                location_id: vec![1, 99],
                value: vec![70],
                label: vec![Label { key: 3, str: 4 }],
            }],
            location: vec![Location {
                id: 1,
                line: vec![Line {
                    function_id: 1,
                    line: 7,
                }],
                ..Location::default()
            }],
            function: vec![Function {
                id: 1,
                name: 5,
                ..Function::default()
            }],
            ..Profile::default()
        };
        let packed = profile.to_gzip();
        assert_eq!(packed[..2], [0x1f, 0x8b]);
        let read = Profile::from_bytes(&packed).unwrap();
        assert_eq!(read, profile);
        let stack = Stack {
            thread: "epoll-0",
            functions: vec!["echo"],
            samples: 0,
            cpu_nanos: 70,
        };
        assert_eq!(read.stacks(), vec![stack]);
    }
}
