//! What `watch` has seen, in Prometheus' text format.

use std::collections::BTreeSet;
use std::sync::atomic::AtomicI64;
use std::sync::{Mutex, PoisonError};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// Seconds within which sources come and go.
const SHORT: [f64; 8] = [0.1, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 30.0];
/// Seconds that streams last, and outages.
const LONG: [f64; 7] = [10.0, 60.0, 300.0, 1800.0, 3600.0, 21_600.0, 86_400.0];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct State {
    pub(super) state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Result {
    pub(super) result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Kind {
    pub(super) kind: &'static str,
}

/// All of it.
#[derive(Debug)]
pub struct Metrics {
    registry: Mutex<Registry>,
    pub(super) activation: Histogram,
    pub(super) deactivation: Histogram,
    pub(super) session: Histogram,
    pub(super) recovery: Histogram,
    pub(super) segments: Family<Result, Counter>,
    pub(super) errors: Family<Kind, Counter>,
    pub(super) changes: Counter,
    pub(super) pending: Gauge<i64, AtomicI64>,
    pub(super) failing: Gauge<i64, AtomicI64>,
    pub(super) full_disks: Gauge<i64, AtomicI64>,
    pub(super) api_up: Gauge<i64, AtomicI64>,
    pub(super) paths: Family<State, Gauge>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut all = Registry::with_prefix("mtx_lifecycle");
        let histogram = |buckets: &[f64]| Histogram::new(buckets.iter().copied());
        let metrics = Self {
            registry: Mutex::default(),
            activation: histogram(&SHORT),
            deactivation: histogram(&SHORT),
            session: histogram(&LONG),
            recovery: histogram(&LONG),
            segments: Family::default(),
            errors: Family::default(),
            changes: Counter::default(),
            pending: Gauge::default(),
            failing: Gauge::default(),
            full_disks: Gauge::default(),
            api_up: Gauge::default(),
            paths: Family::default(),
        };
        metrics.register(&mut all);
        *metrics.lock() = all;
        metrics
    }
}

impl Metrics {
    fn register(&self, all: &mut Registry) {
        all.register(
            "activation_seconds",
            "From when a stream is wanted to when it is there",
            self.activation.clone(),
        );
        all.register(
            "deactivation_seconds",
            "From when a stream is stopped to when it has gone",
            self.deactivation.clone(),
        );
        all.register(
            "session_seconds",
            "From when a stream is there to when it has gone",
            self.session.clone(),
        );
        all.register(
            "recovery_seconds",
            "From when a wanted stream has gone by itself to when it is there again",
            self.recovery.clone(),
        );
        all.register(
            "segments",
            "Recorded files: begun, or overdue",
            self.segments.clone(),
        );
        all.register("errors", "What went wrong, by kind", self.errors.clone());
        all.register("changes", "Writes to the server", self.changes.clone());
        all.register(
            "pending_changes",
            "Paths with a change that waits until nobody would be hurt",
            self.pending.clone(),
        );
        all.register(
            "failing_paths",
            "Paths with a change that the server does not accept",
            self.failing.clone(),
        );
        all.register(
            "full_disks",
            "Disks of this machine that are recorded to, and have had less than a tenth left since they had 12 %",
            self.full_disks.clone(),
        );
        all.register(
            "api_up",
            "Whether MediaMTX's API answered when it was last asked",
            self.api_up.clone(),
        );
        all.register("paths", "Paths by state", self.paths.clone());
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// As Prometheus reads it.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing into a text does not fail.
        let _ = encode(&mut text, &self.lock());
        text
    }

    /// The same in version 0.0.4 of the format, to stand among others: there a counter's family is called like its
    /// lines.
    #[must_use]
    pub fn plain_text(&self) -> String {
        let text = self.text();
        let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        let counters: BTreeSet<&str> = types
            .filter_map(|line| line.strip_suffix(" counter"))
            .collect();
        let lines = text.lines().filter(|line| *line != "# EOF");
        lines
            .map(|line| plain_line(line, &counters) + "\n")
            .collect()
    }

    pub(super) fn failed(&self, kind: &'static str) {
        self.errors.get_or_create(&Kind { kind }).inc();
    }
}

fn plain_line(line: &str, counters: &BTreeSet<&str>) -> String {
    let described = ["# HELP ", "# TYPE "].iter().find_map(|head| {
        let (name, rest) = line.strip_prefix(head)?.split_once(' ')?;
        counters
            .contains(name)
            .then(|| format!("{head}{name}_total {rest}"))
    });
    described.unwrap_or_else(|| line.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_called_like_their_lines_where_others_expect_it() {
        let metrics = Metrics::default();
        metrics.failed("api");
        let text = metrics.plain_text();
        for line in [
            "# HELP mtx_lifecycle_errors_total What went wrong, by kind.",
            "# TYPE mtx_lifecycle_errors_total counter",
            "mtx_lifecycle_errors_total{kind=\"api\"} 1",
            "# TYPE mtx_lifecycle_api_up gauge",
        ] {
            assert!(text.contains(&format!("{line}\n")), "{line}{text}");
        }
        assert!(!text.contains("EOF"), "{text}");
    }
}
