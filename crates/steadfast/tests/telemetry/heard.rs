//! A recorder that remembers what it is told.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder,
    SharedString, Unit,
};

/// Sums and counts, by name, and the samples of each histogram.
#[derive(Debug, Clone, Default)]
pub(crate) struct Heard {
    values: Arc<Mutex<BTreeMap<String, f64>>>,
    samples: Arc<Mutex<BTreeMap<String, Vec<f64>>>>,
}

/// One metric of it.
struct One(String, Heard);

impl One {
    fn add(&self, value: f64) {
        *self.1.values.lock().unwrap().entry(self.0.clone()).or_default() += value;
    }
}

impl CounterFn for One {
    #[allow(clippy::cast_precision_loss)]
    fn increment(&self, value: u64) {
        self.add(value as f64);
    }
    fn absolute(&self, _: u64) {}
}

impl GaugeFn for One {
    fn increment(&self, value: f64) {
        self.add(value);
    }
    fn decrement(&self, value: f64) {
        self.add(-value);
    }
    fn set(&self, value: f64) {
        self.1.values.lock().unwrap().insert(self.0.clone(), value);
    }
}

impl HistogramFn for One {
    fn record(&self, value: f64) {
        self.add(1.0);
        self.1.samples.lock().unwrap().entry(self.0.clone()).or_default().push(value);
    }
}

impl Heard {
    fn one(&self, key: &Key) -> Arc<One> {
        let labels: Vec<_> = key.labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
        let name = if labels.is_empty() {
            key.name().to_owned()
        } else {
            format!("{}{{{}}}", key.name(), labels.join(","))
        };
        Arc::new(One(name, self.clone()))
    }

    /// Everything that was shown so far, in the order of the names.
    pub(crate) fn all(&self) -> Vec<(String, f64)> {
        self.values.lock().unwrap().clone().into_iter().collect()
    }

    pub(crate) fn get(&self, name: &str) -> f64 {
        self.values.lock().unwrap().get(name).copied().unwrap_or_default()
    }

    pub(crate) fn samples(&self, name: &str) -> Vec<f64> {
        self.samples.lock().unwrap().get(name).cloned().unwrap_or_default()
    }
}

impl Recorder for Heard {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.one(key))
    }
    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.one(key))
    }
    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(self.one(key))
    }
}
