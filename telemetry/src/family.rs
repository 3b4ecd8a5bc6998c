//! Samples of one metric on their way to the exporter. The only file that builds Prometheus types.

use prometheus::proto;

use crate::names::{Kind, Metric};

/// Something that can be scraped.
pub trait Source: Send + Sync {
    /// What it has to say now. Called on the exporter's thread at every scrape.
    fn families(&self) -> Vec<Family>;
}

/// All samples of one metric.
#[derive(Debug, Clone)]
pub struct Family {
    metric: &'static Metric,
    samples: Vec<proto::Metric>,
}

/// Observations counted by size, as Prometheus shows them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Buckets {
    /// Upper bounds, rising, each with the number of observations up to it (cumulative).
    pub cumulative: Vec<(f64, u64)>,
    /// The number of all observations.
    pub count: u64,
    /// The sum of all observations.
    pub sum: f64,
}

impl Family {
    /// No samples yet.
    pub fn new(metric: &'static Metric) -> Family {
        Family {
            metric,
            samples: Vec::new(),
        }
    }

    /// One unlabelled sample.
    pub fn of(metric: &'static Metric, value: f64) -> Family {
        Family::new(metric).with(&[], value)
    }

    /// Adds a counter's or gauge's sample; `labels` are the values of the metric's labels in their order.
    #[must_use]
    pub fn with(mut self, labels: &[&str], value: f64) -> Family {
        let mut sample = self.sample(labels);
        match self.metric.kind {
            Kind::Counter => {
                let mut counter = proto::Counter::default();
                counter.set_value(value);
                sample.set_counter(counter);
            }
            Kind::Gauge | Kind::Histogram => {
                let mut gauge = proto::Gauge::default();
                gauge.set_value(value);
                sample.set_gauge(gauge);
            }
        }
        self.samples.push(sample);
        self
    }

    /// Adds a histogram's sample.
    #[must_use]
    pub fn with_buckets(mut self, labels: &[&str], buckets: &Buckets) -> Family {
        let mut sample = self.sample(labels);
        let mut histogram = proto::Histogram::default();
        let bucket = |&(upper, cumulative): &(f64, u64)| {
            let mut bucket = proto::Bucket::default();
            bucket.set_upper_bound(upper);
            bucket.set_cumulative_count(cumulative);
            bucket
        };
        histogram.set_bucket(buckets.cumulative.iter().map(bucket).collect());
        histogram.set_sample_count(buckets.count);
        histogram.set_sample_sum(buckets.sum);
        sample.set_histogram(histogram);
        self.samples.push(sample);
        self
    }

    fn sample(&self, labels: &[&str]) -> proto::Metric {
        debug_assert_eq!(labels.len(), self.metric.labels.len(), "{}", self.metric.name);
        let pair = |(name, value): (&&str, &&str)| {
            let mut pair = proto::LabelPair::default();
            pair.set_name((*name).to_owned());
            pair.set_value((*value).to_owned());
            pair
        };
        proto::Metric::from_label(self.metric.labels.iter().zip(labels).map(pair).collect())
    }

    pub(crate) fn into_proto(self) -> proto::MetricFamily {
        let mut family = proto::MetricFamily::default();
        family.set_name(self.metric.name.to_owned());
        family.set_help(self.metric.help.to_owned());
        family.set_field_type(match self.metric.kind {
            Kind::Counter => proto::MetricType::COUNTER,
            Kind::Gauge => proto::MetricType::GAUGE,
            Kind::Histogram => proto::MetricType::HISTOGRAM,
        });
        family.set_metric(self.samples);
        family
    }
}

/// The sources' families in Prometheus' text format. A metric that two sources expose is one family.
pub(crate) fn encode(sources: &[std::sync::Arc<dyn Source>]) -> Result<String, prometheus::Error> {
    let mut families: Vec<Family> = Vec::new();
    for family in sources.iter().flat_map(|source| source.families()) {
        match families
            .iter_mut()
            .find(|known| known.metric.name == family.metric.name)
        {
            Some(known) => known.samples.extend(family.samples),
            None => families.push(family),
        }
    }
    families.retain(|family| !family.samples.is_empty());
    let families: Vec<_> = families.into_iter().map(Family::into_proto).collect();
    prometheus::TextEncoder::new().encode_to_string(&families)
}
