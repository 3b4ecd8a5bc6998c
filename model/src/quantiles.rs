//! The quantiles of a distribution of times. A quantile is of all requests, also of those without a reply.

use serde::{Deserialize, Serialize};
use telemetry::latency::{Bounded, Latency};

/// The quantiles of one distribution of times, in microseconds; null when no request had a reply.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Quantiles {
    /// The mean.
    pub mean: Option<f64>,
    /// Half are faster.
    pub p50: Option<f64>,
    /// Nine of ten are faster.
    pub p90: Option<f64>,
    /// 99 of 100 are faster.
    pub p99: Option<f64>,
    /// 999 of 1,000 are faster.
    pub p999: Option<f64>,
    /// The slowest.
    pub max: Option<f64>,
    /// Which of these are lower bounds, because a request that stands below had no reply.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub at_least: Vec<Quantile>,
}

/// One figure of [`Quantiles`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Quantile {
    /// The mean.
    Mean,
    /// The median.
    P50,
    /// The 90th percentile.
    P90,
    /// The 99th percentile.
    P99,
    /// The 99.9th percentile.
    P999,
    /// The maximum.
    Max,
}

impl Quantiles {
    /// Of the times of requests with a reply, and of the `open` times of requests without. An open time is how long such a
    /// request had been waiting when it was last seen. Without any reply there are none: a time that nothing ended is no
    /// time of the server's.
    pub fn of(ended: &Latency, open: &Latency) -> Quantiles {
        let mut quantiles = Quantiles::default();
        if ended.count() == 0 {
            return quantiles;
        }
        let quantile = |share| ended.bounded_quantile(open, share);
        let mut all = ended.clone();
        all.merge(open);
        let mean = (all.count() > 0).then(|| Bounded {
            micros: all.mean_micros(),
            at_least: open.count() > 0,
        });
        for (name, bounded) in [
            (Quantile::Mean, mean),
            (Quantile::P50, quantile(0.5)),
            (Quantile::P90, quantile(0.9)),
            (Quantile::P99, quantile(0.99)),
            (Quantile::P999, quantile(0.999)),
            (Quantile::Max, quantile(1.0)),
        ] {
            *quantiles.field(name) = bounded.map(|bounded| bounded.micros);
            if bounded.is_some_and(|bounded| bounded.at_least) {
                quantiles.at_least.push(name);
            }
        }
        quantiles
    }

    /// The figure, in microseconds; `None` when nothing was counted.
    pub fn get(&self, name: Quantile) -> Option<f64> {
        match name {
            Quantile::Mean => self.mean,
            Quantile::P50 => self.p50,
            Quantile::P90 => self.p90,
            Quantile::P99 => self.p99,
            Quantile::P999 => self.p999,
            Quantile::Max => self.max,
        }
    }

    /// The figure, and whether it is a lower bound.
    pub fn bounded(&self, name: Quantile) -> Option<Bounded> {
        let micros = self.get(name)?;
        let at_least = self.at_least.contains(&name);
        Some(Bounded { micros, at_least })
    }

    fn field(&mut self, name: Quantile) -> &mut Option<f64> {
        match name {
            Quantile::Mean => &mut self.mean,
            Quantile::P50 => &mut self.p50,
            Quantile::P90 => &mut self.p90,
            Quantile::P99 => &mut self.p99,
            Quantile::P999 => &mut self.p999,
            Quantile::Max => &mut self.max,
        }
    }
}

impl From<&Latency> for Quantiles {
    fn from(latency: &Latency) -> Quantiles {
        Quantiles::of(latency, &Latency::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn times(micros: impl Iterator<Item = u64>) -> Latency {
        let mut latency = Latency::new();
        micros.for_each(|micros| latency.record(Duration::from_micros(micros)));
        latency
    }

    #[test]
    fn nothing_has_no_quantiles() {
        assert_eq!(
            Quantiles::of(&Latency::new(), &times(1..=9)),
            Quantiles::default()
        );
        let none = Quantiles::from(&Latency::new());
        assert_eq!(none, Quantiles::default());
        let text = serde_json::to_string(&none).unwrap();
        assert!(
            text.contains(r#""p50":null"#) && !text.contains("at_least"),
            "{text}"
        );
    }

    #[test]
    fn what_has_no_reply_makes_lower_bounds() {
        // Of 1,000 requests the slowest 5 have no reply after 50 µs.
        let quantiles = Quantiles::of(&times(1..=995), &times([50; 5].into_iter()));
        // Endless, they would move the median from 495 to 500 µs, and p90 from 895 to 900.
        let uncertain = [Quantile::Mean, Quantile::P50, Quantile::P999, Quantile::Max];
        assert_eq!(quantiles.at_least, uncertain);
        let late = Quantiles::of(&times(1..=995), &times([2_000; 5].into_iter()));
        assert_eq!(late.at_least, [Quantile::Mean, Quantile::P999, Quantile::Max]);
        let p999 = late.bounded(Quantile::P999).unwrap();
        assert!(
            p999.at_least && (p999.micros / 2_000.0 - 1.0).abs() < 0.001,
            "{p999:?}"
        );
        let text = serde_json::to_string(&late).unwrap();
        assert_eq!(serde_json::from_str::<Quantiles>(&text).unwrap(), late);
        assert!(text.contains(r#""at_least":["mean","p999","max"]"#), "{text}");
    }
}
