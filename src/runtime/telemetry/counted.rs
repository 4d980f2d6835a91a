//! A histogram whose observations come already counted by bucket: the hot path counts in plain integers, and hands over once a batch.
//!
//! Exported exactly as any histogram of Prometheus. Checked by: the test below.

use prometheus::core::{Collector, Desc};
use prometheus::proto::{self, MetricFamily, MetricType};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

/// One histogram for each value of its one label.
#[derive(Clone)]
pub(super) struct CountedHistogram {
    desc: Desc,
    label: &'static str,
    bounds: &'static [f64],
    series: Arc<Mutex<BTreeMap<String, Series>>>,
}

#[derive(Clone, Default)]
struct Series {
    /// Within each bound and above the one before; then those beyond the last.
    counts: Vec<u64>,
    sum: f64,
}

impl CountedHistogram {
    pub(super) fn new(
        name: &str,
        help: &str,
        label: &'static str,
        bounds: &'static [f64],
    ) -> CountedHistogram {
        let desc = Desc::new(name.into(), help.into(), vec![label.into()], HashMap::new());
        CountedHistogram {
            desc: desc.expect("the catalogue holds legal names"),
            label,
            bounds,
            series: Arc::default(),
        }
    }

    /// Adds counts, by bucket, and the sum of what was observed.
    pub(super) fn add(&self, value: &str, counts: &[u64], sum: f64) {
        debug_assert_eq!(counts.len(), self.bounds.len() + 1);
        let mut series = self.series.lock().unwrap_or_else(PoisonError::into_inner);
        if !series.contains_key(value) {
            series.insert(value.into(), Series::default());
        }
        let one = series
            .get_mut(value)
            .expect("it was put there if it was not");
        one.counts.resize(counts.len(), 0);
        for (held, more) in one.counts.iter_mut().zip(counts) {
            *held += more;
        }
        one.sum += sum;
    }

    /// Exports a series that nothing was observed for.
    pub(super) fn begin_at_zero(&self, value: &str) {
        self.add(value, &vec![0; self.bounds.len() + 1], 0.0);
    }

    fn metric(&self, value: &str, series: &Series) -> proto::Metric {
        let mut histogram = proto::Histogram::default();
        let mut cumulative = 0;
        let mut buckets = Vec::with_capacity(self.bounds.len());
        for (bound, count) in self.bounds.iter().zip(&series.counts) {
            cumulative += count;
            let mut bucket = proto::Bucket::default();
            bucket.set_upper_bound(*bound);
            bucket.set_cumulative_count(cumulative);
            buckets.push(bucket);
        }
        histogram.set_bucket(buckets);
        histogram.set_sample_sum(series.sum);
        histogram.set_sample_count(series.counts.iter().sum());
        let mut label = proto::LabelPair::default();
        label.set_name(self.label.into());
        label.set_value(value.into());
        let mut metric = proto::Metric::from_label(vec![label]);
        metric.set_histogram(histogram);
        metric
    }
}

impl Collector for CountedHistogram {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.desc]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let series = self.series.lock().unwrap_or_else(PoisonError::into_inner);
        let mut family = MetricFamily::default();
        family.set_name(self.desc.fq_name.clone());
        family.set_help(self.desc.help.clone());
        family.set_field_type(MetricType::HISTOGRAM);
        family.set_metric(
            series
                .iter()
                .map(|(value, one)| self.metric(value, one))
                .collect(),
        );
        vec![family]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus::{HistogramOpts, HistogramVec, Registry, TextEncoder};

    #[test]
    fn it_is_exported_as_one_that_observed_each_value() {
        let exposition = |collector: Box<dyn Collector>| {
            let registry = Registry::new();
            registry.register(collector).unwrap();
            TextEncoder::new()
                .encode_to_string(&registry.gather())
                .unwrap()
        };
        let counted = CountedHistogram::new("h", "x.", "job_id", &[0.0, 1.0, 5.0]);
        counted.begin_at_zero("a");
        counted.add("a", &[2, 1, 0, 1], 7.5);
        counted.add("a", &[1, 0, 0, 0], 0.0);
        let options = HistogramOpts::new("h", "x.").buckets(vec![0.0, 1.0, 5.0]);
        let usual = HistogramVec::new(options, &["job_id"]).unwrap();
        for value in [0.0, 0.0, 0.5, 7.0, 0.0] {
            usual.with_label_values(&["a"]).observe(value);
        }
        assert_eq!(exposition(Box::new(counted)), exposition(Box::new(usual)));
    }
}
