//! Sets of CPUs: which this process may use, and pinning to some of them (sched_setaffinity(2)).

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::str::FromStr;

use crate::check;

/// The highest CPU number, plus one, that a set can hold (the C library's CPU_SETSIZE).
pub const CPU_LIMIT: usize = libc::CPU_SETSIZE as usize;

/// A set of CPUs, written as Linux writes it: `0-3,6`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CpuSet(BTreeSet<usize>);

impl CpuSet {
    /// The CPUs that the calling thread may run on.
    ///
    /// # Errors
    /// What sched_getaffinity reports.
    pub fn allowed() -> io::Result<CpuSet> {
        let mut raw = empty();
        // SAFETY: `raw` has the size that is passed and is exclusively borrowed.
        check(unsafe { libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &mut raw) })?;
        // SAFETY: `raw` is initialised and `cpu` below its size.
        Ok(CpuSet(
            (0..CPU_LIMIT)
                .filter(|&cpu| unsafe { libc::CPU_ISSET(cpu, &raw) })
                .collect(),
        ))
    }

    /// Pins the calling thread, and all threads and processes it starts later, to this set.
    ///
    /// # Errors
    /// `InvalidInput` with the CPUs that this process may not use; else what sched_setaffinity reports.
    pub fn pin_current_thread(&self) -> io::Result<()> {
        let allowed = CpuSet::allowed()?;
        let refused = CpuSet(self.0.difference(&allowed.0).copied().collect());
        if self.0.is_empty() || !refused.0.is_empty() {
            let message = format!("CPUs {refused} are not among those that this process may use ({allowed})");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        let mut raw = empty();
        for &cpu in &self.0 {
            // SAFETY: `cpu` is an allowed one, so below CPU_LIMIT.
            unsafe { libc::CPU_SET(cpu, &mut raw) };
        }
        // SAFETY: `raw` has the size that is passed.
        check(unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw) })?;
        Ok(())
    }

    /// The CPUs in rising order.
    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.0.iter().copied()
    }

    /// How many CPUs are in the set.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether no CPU is in the set.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether every CPU of this set is in `other`.
    pub fn is_subset(&self, other: &CpuSet) -> bool {
        self.0.is_subset(&other.0)
    }

    /// Whether no CPU of this set is in `other`.
    pub fn is_disjoint(&self, other: &CpuSet) -> bool {
        self.0.is_disjoint(&other.0)
    }
}

impl FromIterator<usize> for CpuSet {
    fn from_iter<T: IntoIterator<Item = usize>>(cpus: T) -> CpuSet {
        CpuSet(cpus.into_iter().collect())
    }
}

fn empty() -> libc::cpu_set_t {
    // SAFETY: a cpu_set_t is an array of integers, for which all zeroes is a value: the empty set.
    unsafe { std::mem::zeroed() }
}

/// Why a text is no set of CPUs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseCpuSetError(String);

impl fmt::Display for ParseCpuSetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ParseCpuSetError {}

impl FromStr for CpuSet {
    type Err = ParseCpuSetError;

    fn from_str(text: &str) -> Result<CpuSet, ParseCpuSetError> {
        let number = |part: &str| match part.trim().parse::<usize>() {
            Ok(cpu) if cpu < CPU_LIMIT => Ok(cpu),
            Ok(cpu) => Err(ParseCpuSetError(format!("CPU {cpu} is beyond {}", CPU_LIMIT - 1))),
            Err(_) => Err(ParseCpuSetError(format!(
                "`{part}` is no CPU number; write CPUs as `0-3,6`"
            ))),
        };
        let mut cpus = BTreeSet::new();
        for part in text.split(',') {
            match part.split_once('-') {
                Some((first, last)) => {
                    let (first, last) = (number(first)?, number(last)?);
                    if first > last {
                        return Err(ParseCpuSetError(format!("the range `{part}` runs backwards")));
                    }
                    cpus.extend(first..=last);
                }
                None => {
                    cpus.insert(number(part)?);
                }
            }
        }
        Ok(CpuSet(cpus))
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for CpuSet {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(feature = "serde")]
impl<'de> serde::Deserialize<'de> for CpuSet {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<CpuSet, D::Error> {
        let text = <String as serde::Deserialize>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl fmt::Display for CpuSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut cpus = self.0.iter().copied().peekable();
        let mut separator = "";
        while let Some(first) = cpus.next() {
            let mut last = first;
            while cpus.peek() == Some(&(last + 1)) {
                last += 1;
                cpus.next();
            }
            match last {
                _ if last == first => write!(f, "{separator}{first}")?,
                _ => write!(f, "{separator}{first}-{last}")?,
            }
            separator = ",";
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_reads_what_it_writes() {
        for text in ["0", "0-3", "0,2", "0-1,4-6,9"] {
            assert_eq!(text.parse::<CpuSet>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn nonsense_is_named() {
        for text in ["", "a", "3-1", "0-", "99999", "0;1", "-1"] {
            let error = text.parse::<CpuSet>().unwrap_err().to_string();
            assert!(!error.is_empty(), "{text}");
        }
    }

    #[test]
    fn a_cpu_that_is_not_there_is_refused_by_number() {
        let error = "1023"
            .parse::<CpuSet>()
            .unwrap()
            .pin_current_thread()
            .unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        assert!(error.to_string().contains("1023"), "{error}");
    }

    #[test]
    fn the_allowed_set_can_be_pinned_to() {
        let allowed = CpuSet::allowed().unwrap();
        assert!(!allowed.is_empty());
        std::thread::spawn(move || allowed.pin_current_thread().unwrap())
            .join()
            .unwrap();
    }
}
