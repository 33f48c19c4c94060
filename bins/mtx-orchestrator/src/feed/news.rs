//! What is new about the streams, as messages.

use std::collections::BTreeMap;

use common::timestamp::Timestamp;
use serde_json::{Value, json};
use tungstenite::Utf8Bytes;

use crate::stream_key::StreamKey;
use crate::supervisor::StreamStatus;

/// What was told of each stream.
#[derive(Default)]
pub(super) struct News {
    told: BTreeMap<StreamKey, Told>,
}

struct Told {
    gist: Value,
    events: u64,
    report: Option<Timestamp>,
}

impl Told {
    fn of(status: &StreamStatus) -> Self {
        Self {
            gist: gist(status),
            events: status.events_ever,
            report: status.worker.as_ref().map(|report| report.last_report),
        }
    }
}

impl News {
    /// All of this is known.
    pub(super) fn after(streams: &[StreamStatus]) -> Self {
        let told = streams
            .iter()
            .map(|status| (status.id.clone(), Told::of(status)));
        Self {
            told: told.collect(),
        }
    }

    /// Adds messages for what has changed about a stream; without a status, there is no such stream any more.
    pub(super) fn of(
        &mut self,
        id: &StreamKey,
        status: Option<&StreamStatus>,
        messages: &mut Vec<Utf8Bytes>,
    ) {
        let Some(status) = status else {
            if self.told.remove(id).is_some() {
                messages.push(message("stream:gone", json!({ "id": id })));
            }
            return;
        };
        let now = Told::of(status);
        let before = self.told.get(id);
        if before.is_none_or(|before| before.gist != now.gist) {
            messages.push(self::status(status));
        }
        // A stream that went and came back between two looks counts its events anew.
        let known = before.map_or(0, |before| before.events);
        let fresh = now.events.checked_sub(known).unwrap_or(now.events);
        let fresh = usize::try_from(fresh).unwrap_or(usize::MAX);
        let old = status.events.len().saturating_sub(fresh);
        for event in status.events.iter().skip(old) {
            messages.push(message("stream:event", json!({ "id": id, "event": event })));
        }
        if now.report.is_some() && before.and_then(|before| before.report) != now.report {
            messages.push(report(status));
        }
        self.told.insert(id.clone(), now);
    }
}

/// All but the counters, which change with each report.
fn gist(status: &StreamStatus) -> Value {
    let mut gist = status.summary();
    gist["memoryBytes"] = Value::Null;
    gist["worker"] = gist["worker"]["state"].take();
    gist
}

/// How a stream is.
pub(super) fn status(status: &StreamStatus) -> Utf8Bytes {
    message("stream:status", json!({ "stream": status.summary() }))
}

fn report(status: &StreamStatus) -> Utf8Bytes {
    let body = json!({
        "id": status.id,
        "worker": status.worker,
        "memoryBytes": status.memory_bytes,
    });
    message("stream:report", body)
}

/// That a stream is still known, and the least there is to say about it.
pub(super) fn heartbeat(status: &StreamStatus) -> Utf8Bytes {
    let now = Timestamp::now().as_millisecond();
    let uptime = |started: Timestamp| (now - started.as_millisecond()).max(0) / 1000;
    let worker = status.worker.as_ref();
    let body = json!({
        "id": status.id,
        "state": status.state,
        "uptime": status.started.map(uptime),
        "lastFrame": worker.and_then(|worker| worker.last_frame),
        "fps": worker.map(|worker| worker.fps),
        "bitrate": worker.map(|worker| worker.bitrate),
    });
    message("stream:heartbeat", body)
}

fn message(kind: &str, mut body: Value) -> Utf8Bytes {
    body["type"] = kind.into();
    body["at"] = Timestamp::now().to_string().into();
    body.to_string().into()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::supervisor::{BreakerState, BreakerStatus, StreamEvent, StreamState, WorkerReport};
    use mediamtx::path::PathName;

    fn at(second: u64) -> Timestamp {
        let text = format!("2026-11-21T04:18:{second:02}.000Z");
        text.parse().unwrap()
    }

    /// A stream after so many events, with the frames that its worker has reported.
    pub(crate) fn stream(events: u64, frames: Option<u64>) -> StreamStatus {
        let event = |number| StreamEvent {
            at: at(0),
            kind: "found",
            detail: format!("{number}"),
        };
        let report = |frames| WorkerReport {
            state: "streaming".to_owned(),
            frames,
            video_frames: frames,
            bytes: frames,
            bitrate: frames,
            fps: 25.0,
            dropped: 0,
            discontinuities: 0,
            lost: 0,
            damaged: 0,
            reconnects: 0,
            latency_ms: 0.0,
            last_frame: None,
            last_report: at(frames),
        };
        StreamStatus {
            id: "a".parse::<PathName>().unwrap().into(),
            path: None,
            route: None,
            route_number: None,
            outputs: Vec::new(),
            blocked: None,
            may_be_tried_again: false,
            state: StreamState::Running,
            since: at(0),
            pid: Some(1),
            started: Some(at(0)),
            worker: frames.map(report),
            restarts: 0,
            failures: Default::default(),
            last_failure: None,
            breaker: BreakerStatus {
                state: BreakerState::Closed,
                reason: None,
                kind: None,
            },
            declared: None,
            published: true,
            memory_bytes: frames,
            source: None,
            input_readers: Vec::new(),
            output_readers: Vec::new(),
            events: (events.saturating_sub(50)..events).map(event).collect(),
            events_ever: events,
        }
    }

    fn kinds(news: &mut News, status: Option<&StreamStatus>) -> Vec<String> {
        let mut messages = Vec::new();
        news.of(
            &"a".parse::<PathName>().unwrap().into(),
            status,
            &mut messages,
        );
        let kind = |message: &Utf8Bytes| {
            let message: Value = serde_json::from_str(message).unwrap();
            message["type"].as_str().unwrap()["stream:".len()..].to_owned()
        };
        messages.iter().map(kind).collect()
    }

    #[test]
    fn only_what_is_new_is_told() {
        let mut stopped = stream(2, None);
        stopped.state = StreamState::Stopped;
        let mut news = News::default();
        for (what, status, told) in [
            (
                "one that is new",
                Some(stream(1, None)),
                &["status", "event"][..],
            ),
            ("the same", Some(stream(1, None)), &[]),
            (
                "its first report",
                Some(stream(1, Some(1))),
                &["status", "report"],
            ),
            ("more frames", Some(stream(1, Some(2))), &["report"]),
            ("the same report", Some(stream(1, Some(2))), &[]),
            ("another state", Some(stopped), &["status", "event"]),
            ("no such stream", None, &["gone"]),
            ("still none", None, &[]),
        ] {
            assert_eq!(kinds(&mut news, status.as_ref()), told, "{what}");
        }
    }

    #[test]
    fn each_event_is_told_once_also_when_some_were_missed_or_counting_began_anew() {
        let mut news = News::after(&[stream(3, None)]);
        for (ever, told) in [(3, 0), (5, 2), (200, 50), (201, 1), (2, 2)] {
            let found = kinds(&mut news, Some(&stream(ever, None)));
            assert_eq!(found.len(), told, "{ever} events");
        }
    }
}
