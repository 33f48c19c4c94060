//! Prometheus' text format, version 0.0.4.
//!
//! Streams come and go, so only those that exist at the moment have lines of their own.

use std::collections::BTreeMap;
use std::fmt::{Display, Write as _};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use mediamtx::event::EventName;

use crate::supervisor::{
    BreakerState, EventOutcome, FailureKind, OutputState, StreamState, StreamStatus, Supervisor,
    Totals, WorkerReport,
};

/// Seconds; an event is to be answered in well under 0.01.
const BUCKETS: [f64; 7] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.1, 1.0];

/// What HTTP counts itself.
#[derive(Default)]
pub(super) struct Metrics(Mutex<Counts>);

#[derive(Default)]
struct Counts {
    /// By event and outcome.
    events: BTreeMap<(&'static str, &'static str), u64>,
    /// By status.
    answers: BTreeMap<u16, u64>,
    within: [u64; BUCKETS.len()],
    took: Duration,
    /// Requests that met a bug.
    panics: u64,
}

impl Metrics {
    pub(super) fn received(&self, name: EventName, outcome: EventOutcome) {
        let outcome = match outcome {
            EventOutcome::Accepted => "accepted",
            EventOutcome::Ignored(_) => "ignored",
        };
        self.count(name.as_str(), outcome);
    }

    /// An event that is none; perhaps not even by its name.
    pub(super) fn rejected(&self, name: Option<EventName>) {
        self.count(name.map_or("unknown", EventName::as_str), "rejected");
    }

    fn count(&self, event: &'static str, outcome: &'static str) {
        self.with(|counts| *counts.events.entry((event, outcome)).or_default() += 1);
    }

    pub(super) fn answered(&self, status: u16, took: Duration) {
        self.with(|counts| {
            *counts.answers.entry(status).or_default() += 1;
            counts.took += took;
            let bounds = BUCKETS.iter().zip(&mut counts.within);
            for (_, within) in bounds.filter(|(bound, _)| took.as_secs_f64() <= **bound) {
                *within += 1;
            }
        });
    }

    pub(super) fn panicked(&self) {
        self.with(|counts| counts.panics += 1);
    }

    fn with<T>(&self, act: impl FnOnce(&mut Counts) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn text(&self, supervisor: &Supervisor) -> String {
        let mut page = Page::default();
        page.family("build_info", "gauge", "Always 1; its label is the version.");
        page.line("build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1);
        self.with(|counts| counts.put(&mut page));
        totals(&mut page, &supervisor.totals());
        let streams = supervisor.streams();
        states(&mut page, &streams);
        each(&mut page, &streams);
        page.0
    }
}

impl Counts {
    fn put(&self, page: &mut Page) {
        let name = "events_total";
        page.family(
            name,
            "counter",
            "Events of MediaMTX by name and by what became of them.",
        );
        for ((event, outcome), count) in &self.events {
            page.line(name, &[("event", event), ("outcome", outcome)], count);
        }
        let name = "http_responses_total";
        page.family(name, "counter", "Answers to HTTP requests by status.");
        for (status, count) in &self.answers {
            page.line(name, &[("code", &status.to_string())], count);
        }
        let help = "Time from a request's head to its written answer.";
        page.family("http_request_duration_seconds", "histogram", help);
        let bucket = "http_request_duration_seconds_bucket";
        for (bound, within) in BUCKETS.iter().zip(self.within) {
            page.line(bucket, &[("le", &bound.to_string())], within);
        }
        let all: u64 = self.answers.values().sum();
        page.line(bucket, &[("le", "+Inf")], all);
        page.line(
            "http_request_duration_seconds_sum",
            &[],
            self.took.as_secs_f64(),
        );
        page.line("http_request_duration_seconds_count", &[], all);
        let name = "request_panics_total";
        page.family(
            name,
            "counter",
            "Requests that met a bug, which the log tells more about.",
        );
        page.line(name, &[], self.panics);
    }
}

fn totals(page: &mut Page, totals: &Totals) {
    for (name, value, help) in [
        (
            "worker_starts_total",
            totals.worker_starts,
            "Workers started.",
        ),
        (
            "worker_failures_total",
            totals.worker_failures,
            "Workers that ended unasked, hung and stalled ones included.",
        ),
        (
            "workers_hung_total",
            totals.workers_hung,
            "Workers killed because they reported nothing, or passed nothing on.",
        ),
        (
            "breakers_opened_total",
            totals.breakers_opened,
            "Circuit breakers that opened.",
        ),
        (
            "starts_delayed_total",
            totals.starts_delayed,
            "Starts of workers that the limit over all streams held back.",
        ),
        (
            "reconciliations_total",
            totals.reconciliations,
            "Comparisons of the workers with MediaMTX's path list.",
        ),
        (
            "reconciliation_failures_total",
            totals.reconciliation_failures,
            "Times that MediaMTX's path list could not be had.",
        ),
    ] {
        page.family(name, "counter", help);
        page.line(name, &[], value);
    }
}

fn states(page: &mut Page, streams: &[StreamStatus]) {
    page.family("streams", "gauge", "Streams by state.");
    for state in StreamState::ALL {
        let count = streams
            .iter()
            .filter(|stream| stream.state == state)
            .count();
        page.line("streams", &[("state", &state.to_string())], count);
    }
    let name = "stream_breaker_open";
    page.family(
        name,
        "gauge",
        "1 for each stream whose circuit breaker is open or half open, with the kind of failure that opened it.",
    );
    for stream in streams {
        if stream.breaker.state != BreakerState::Closed {
            let reason = stream.breaker.kind.map_or("", FailureKind::as_str);
            page.line(
                name,
                &[("stream", &stream.id.to_string()), ("reason", reason)],
                1,
            );
        }
    }
}

/// What a worker's report says.
type Value = fn(&WorkerReport) -> f64;

/// Name, type and help of what is told of each worker.
const OF_WORKER: [(&str, &str, &str, Value); 10] = [
    (
        "stream_frames_total",
        "counter",
        "Frames passed on by the stream's worker.",
        |of| whole(of.frames),
    ),
    (
        "stream_bytes_total",
        "counter",
        "Bytes passed on by the stream's worker.",
        |of| whole(of.bytes),
    ),
    (
        "stream_dropped_frames_total",
        "counter",
        "Frames dropped by the stream's worker.",
        |of| whole(of.dropped),
    ),
    (
        "stream_discontinuities_total",
        "counter",
        "Jumps of the source's time stamps, as the stream's worker counts them.",
        |of| whole(of.discontinuities),
    ),
    (
        "stream_lost_packets_total",
        "counter",
        "Packets of the source that never came, as the stream's worker counts them.",
        |of| whole(of.lost),
    ),
    (
        "stream_damaged_frames_total",
        "counter",
        "Frames of the source that came incomplete or unreadable, and were left out.",
        |of| whole(of.damaged),
    ),
    (
        "stream_reconnects_total",
        "counter",
        "Reconnections of the stream's worker.",
        |of| whole(of.reconnects),
    ),
    (
        "stream_bytes_per_second",
        "gauge",
        "What the stream's worker passes on.",
        |of| whole(of.bitrate) / 8.0,
    ),
    (
        "stream_frames_per_second",
        "gauge",
        "Video frames that the stream's worker passes on.",
        |of| of.fps,
    ),
    (
        "stream_latency_seconds",
        "gauge",
        "What the stream's worker adds.",
        |of| of.latency_ms / 1000.0,
    ),
];

fn each(page: &mut Page, streams: &[StreamStatus]) {
    for (name, kind, help, value) in OF_WORKER {
        page.family(name, kind, help);
        for stream in streams {
            if let Some(report) = &stream.worker {
                page.line(name, &[("stream", &stream.id.to_string())], value(report));
            }
        }
    }
    let name = "stream_restarts_total";
    page.family(
        name,
        "counter",
        "Workers of the stream that had to be replaced.",
    );
    for stream in streams {
        page.line(name, &[("stream", &stream.id.to_string())], stream.restarts);
    }
    let name = "stream_failures_total";
    page.family(
        name,
        "counter",
        "Workers of the stream that ended unasked, by the kind of failure.",
    );
    for stream in streams {
        let id = stream.id.to_string();
        for (kind, count) in &stream.failures {
            page.line(name, &[("stream", &id), ("kind", kind.as_str())], count);
        }
    }
    let name = "stream_output_up";
    page.family(
        name,
        "gauge",
        "1 for each output that media flows to, 0 for each other one.",
    );
    for stream in streams {
        let id = stream.id.to_string();
        for (number, output) in stream.outputs.iter().enumerate() {
            let up = u8::from(output.state == Some(OutputState::Streaming));
            // Two keys of one platform look the same.
            let number = number.to_string();
            let labels = [
                ("stream", id.as_str()),
                ("number", &number),
                ("output", &output.url),
            ];
            page.line(name, &labels, up);
        }
    }
    let name = "stream_worker_memory_bytes";
    page.family(name, "gauge", "Resident memory of the stream's worker.");
    for stream in streams {
        if let Some(bytes) = stream.memory_bytes {
            page.line(name, &[("stream", &stream.id.to_string())], bytes);
        }
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "Prometheus has no other numbers"
)]
fn whole(count: u64) -> f64 {
    count as f64
}

/// The text as it grows.
#[derive(Default)]
struct Page(String);

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let name = format!("mtx_orchestrator_{name}");
        let _ = write!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    fn line(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        let _ = write!(self.0, "mtx_orchestrator_{name}");
        for (number, (key, text)) in labels.iter().enumerate() {
            let before = if number == 0 { '{' } else { ',' };
            let _ = write!(self.0, "{before}{key}=\"{}\"", escape(text));
        }
        let after = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.0, "{after} {value}");
    }
}

fn escape(text: &str) -> String {
    text.replace('\\', r"\\")
        .replace('"', "\\\"")
        .replace('\n', r"\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feed::stream;

    #[test]
    fn labels_are_escaped() {
        let mut page = Page::default();
        page.line("x", &[("a", "q\"\\\n"), ("b", "c")], 1.5);
        assert_eq!(
            page.0,
            "mtx_orchestrator_x{a=\"q\\\"\\\\\\n\",b=\"c\"} 1.5\n"
        );
    }

    #[test]
    fn every_stream_is_in_one_state() {
        let streams = StreamState::ALL.map(|state| StreamStatus {
            state,
            ..stream(0, None)
        });
        let mut page = Page::default();
        states(&mut page, &streams);
        for state in StreamState::ALL {
            let line = format!("mtx_orchestrator_streams{{state=\"{state}\"}} 1\n");
            assert!(page.0.contains(&line), "{line}{}", page.0);
        }
    }

    #[test]
    fn every_answer_is_in_the_histogram_once() {
        let metrics = Metrics::default();
        metrics.answered(202, Duration::from_micros(700));
        metrics.answered(400, Duration::from_secs(2));
        metrics.rejected(None);
        let mut page = Page::default();
        metrics.with(|counts| counts.put(&mut page));
        for line in [
            "events_total{event=\"unknown\",outcome=\"rejected\"} 1",
            "http_responses_total{code=\"202\"} 1",
            "http_request_duration_seconds_bucket{le=\"0.0005\"} 0",
            "http_request_duration_seconds_bucket{le=\"0.001\"} 1",
            "http_request_duration_seconds_bucket{le=\"1\"} 1",
            "http_request_duration_seconds_bucket{le=\"+Inf\"} 2",
            "http_request_duration_seconds_count 2",
        ] {
            let line = format!("mtx_orchestrator_{line}\n");
            assert!(page.0.contains(&line), "{line}{}", page.0);
        }
    }
}
