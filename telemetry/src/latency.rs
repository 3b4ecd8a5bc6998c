//! Exact latencies: the only user of the HDR histogram. Every quantile of a report comes from here.

mod tally;

pub use tally::Tally;

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer, V2Serializer};

/// The longest time that is told apart from longer ones: an hour, in nanoseconds.
const LONGEST_NANOS: u64 = 3_600_000_000_000;
/// Three significant figures: a value is off by 0.1 % at most.
const SIGNIFICANT_FIGURES: u8 = 3;

/// A quantile is known when endless open times would move it by no more than this share.
const NEGLIGIBLE: f64 = 0.01;

/// Times, counted to three significant figures between a nanosecond and an hour.
#[derive(Debug, Clone, PartialEq)]
pub struct Latency {
    histogram: Histogram<u64>,
}

/// A quantile of times of which some are only known to be longer than a certain time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bounded {
    /// In microseconds.
    pub micros: f64,
    /// Whether the quantile is this or more: a time that stands below it may be longer than is known.
    pub at_least: bool,
}

/// Why a text is no histogram.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// The text is not base64.
    #[error("the histogram is not base64: {0}")]
    Base64(#[from] base64::DecodeError),
    /// The bytes are not a histogram in the V2 format.
    #[error("the histogram is not in HDR's V2 format: {0:?}")]
    Format(hdrhistogram::serialization::DeserializeError),
    /// The histogram counts other things than ours do.
    #[error("the histogram's range or precision is another one: {0}")]
    Range(#[from] hdrhistogram::errors::AdditionError),
}

impl Default for Latency {
    fn default() -> Latency {
        Latency::new()
    }
}

impl Latency {
    /// An empty one.
    pub fn new() -> Latency {
        match Histogram::new_with_bounds(1, LONGEST_NANOS, SIGNIFICANT_FIGURES) {
            Ok(histogram) => Latency { histogram },
            Err(error) => unreachable!("constant bounds are valid: {error}"),
        }
    }

    /// Counts one time; what is longer than an hour counts as an hour.
    #[inline]
    pub fn record(&mut self, time: Duration) {
        self.record_many(time, 1);
    }

    /// Counts one time as often as `count` says.
    fn record_many(&mut self, time: Duration, count: u64) {
        self.histogram
            .saturating_record_n(time.as_nanos().min(u128::from(LONGEST_NANOS)) as u64, count);
    }

    /// The time that a share `quantile` (0 to 1) of these and of the `open` times does not exceed. An open time is at least
    /// as long as it stands there: its end was not seen. The result is a lower bound, unless it stays within 1 % when the
    /// open times are endless. `None` when both are empty.
    pub fn bounded_quantile(&self, open: &Latency, quantile: f64) -> Option<Bounded> {
        let mut all = self.clone();
        all.merge(open);
        if all.count() == 0 {
            return None;
        }
        let nanos = all.histogram.value_at_quantile(quantile);
        let rank = (quantile * all.count() as f64).ceil().max(1.0);
        let ended = self.count() as f64;
        // Half a rank less, so that rounding cannot reach the next one.
        let most = (rank <= ended).then(|| self.histogram.value_at_quantile((rank - 0.5) / ended));
        Some(Bounded {
            micros: nanos as f64 / 1e3,
            at_least: most.is_none_or(|most| most as f64 > nanos as f64 * (1.0 + NEGLIGIBLE)),
        })
    }

    /// Adds all times of `other`.
    pub fn merge(&mut self, other: &Latency) {
        // Both have the same constant bounds, so nothing can be out of range.
        let added = self.histogram.add(&other.histogram);
        debug_assert!(added.is_ok());
    }

    /// How many times were counted.
    pub fn count(&self) -> u64 {
        self.histogram.len()
    }

    /// The time that a share `quantile` (0 to 1) of all times does not exceed, in microseconds; 0 when empty.
    pub fn quantile_micros(&self, quantile: f64) -> f64 {
        self.histogram.value_at_quantile(quantile) as f64 / 1e3
    }

    /// The longest time in microseconds; 0 when empty.
    pub fn max_micros(&self) -> f64 {
        self.histogram.max() as f64 / 1e3
    }

    /// The mean in microseconds; 0 when empty.
    pub fn mean_micros(&self) -> f64 {
        if self.histogram.is_empty() {
            0.0
        } else {
            self.histogram.mean() / 1e3
        }
    }

    /// HDR's V2 serialisation in base64, from which runs can be merged exactly.
    pub fn to_base64(&self) -> String {
        let mut bytes = Vec::new();
        // Writing into a vector cannot fail.
        let written = V2Serializer::new().serialize(&self.histogram, &mut bytes);
        debug_assert!(written.is_ok());
        STANDARD.encode(bytes)
    }

    /// Reads what [`Latency::to_base64`] wrote.
    ///
    /// # Errors
    /// When the text is damaged or was written with other bounds.
    pub fn from_base64(text: &str) -> Result<Latency, DecodeError> {
        let bytes = STANDARD.decode(text)?;
        let read: Histogram<u64> = Deserializer::new()
            .deserialize(&mut bytes.as_slice())
            .map_err(DecodeError::Format)?;
        let mut latency = Latency::new();
        latency.histogram.add(&read)?;
        Ok(latency)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_within_the_precision() {
        let mut latency = Latency::new();
        for micros in 1..=1000 {
            latency.record(Duration::from_micros(micros));
        }
        for (quantile, micros) in [(0.5, 500.0), (0.99, 990.0), (0.999, 999.0)] {
            let value = latency.quantile_micros(quantile);
            assert!((value / micros - 1.0f64).abs() < 0.001, "{quantile}: {value}");
        }
        assert!((latency.max_micros() / 1000.0 - 1.0).abs() < 0.001);
    }

    #[test]
    fn open_times_make_quantiles_lower_bounds_where_they_count() {
        let (mut ended, mut open) = (Latency::new(), Latency::new());
        for micros in [1, 1, 1, 10, 10, 10, 10] {
            ended.record(Duration::from_micros(micros));
        }
        let found = |ended: &Latency, open: &Latency, quantile| {
            let bounded = ended.bounded_quantile(open, quantile)?;
            Some((bounded.micros.round(), bounded.at_least))
        };
        assert_eq!(found(&ended, &open, 1.0), Some((10.0, false)));
        open.record(Duration::from_micros(2));
        assert_eq!(found(&ended, &open, 0.3), Some((1.0, false)));
        // The fourth of eight is the open one, or one of 10 µs.
        assert_eq!(found(&ended, &open, 0.5), Some((2.0, true)));
        assert_eq!(found(&ended, &open, 0.75), Some((10.0, false)));
        assert_eq!(found(&ended, &open, 1.0), Some((10.0, true)));
        let none = Latency::new();
        assert_eq!(found(&none, &open, 0.5), Some((2.0, true)));
        assert_eq!(found(&none, &none, 0.5), None);
    }

    #[test]
    fn a_histogram_survives_its_text_and_merges_exactly() {
        let (mut a, mut b) = (Latency::new(), Latency::new());
        for nanos in [1, 999, 123_456, 3_000_000_000] {
            a.record(Duration::from_nanos(nanos));
            b.record(Duration::from_nanos(nanos * 7));
        }
        let mut both = Latency::from_base64(&a.to_base64()).unwrap();
        both.merge(&Latency::from_base64(&b.to_base64()).unwrap());
        a.merge(&b);
        assert_eq!(both.count(), 8);
        for quantile in [0.1, 0.5, 0.9, 1.0] {
            assert_eq!(both.quantile_micros(quantile), a.quantile_micros(quantile));
        }
    }

    #[test]
    fn damage_is_an_error() {
        assert!(Latency::from_base64("not base64!").is_err());
        assert!(Latency::from_base64("AAAA").is_err());
    }
}
