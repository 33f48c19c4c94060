//! What others may know of the streams: a copy, never a lock on what runs.

use std::collections::BTreeMap;
use std::fmt;

use common::timestamp::Timestamp;
use mediamtx::api::Client;
use mediamtx::path::PathName;
use serde::Serialize;
use serde_json::Value;

use super::failure::FailureKind;
use super::launcher::OutputState;
use crate::declaration::{Declaration, Name, Target, Task};
use crate::stream_key::StreamKey;

/// One stream.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StreamStatus {
    pub(crate) id: StreamKey,
    /// Where it comes in; `None` for a declared stream, which comes from elsewhere.
    pub(crate) path: Option<PathName>,
    /// What the route is called that it follows; `None` for a declared stream.
    pub(crate) route: Option<String>,
    /// That route's place in the table.
    #[serde(skip)]
    pub(crate) route_number: Option<usize>,
    pub(crate) outputs: Vec<OutputStatus>,
    pub(crate) state: StreamState,
    /// Why no worker is started, whatever is asked for.
    pub(crate) blocked: Option<String>,
    /// Whether that is for what was seen when it ran, so that a start may show something else.
    #[serde(skip)]
    pub(crate) may_be_tried_again: bool,
    /// When it entered that state.
    pub(crate) since: Timestamp,
    /// Of its worker, while there is one.
    pub(crate) pid: Option<u32>,
    /// When that worker was started.
    pub(crate) started: Option<Timestamp>,
    /// What its worker reported last.
    pub(crate) worker: Option<WorkerReport>,
    /// Workers that had to be replaced.
    pub(crate) restarts: u64,
    /// Workers that ended unasked, by the kind of failure.
    pub(crate) failures: BTreeMap<FailureKind, u64>,
    /// Why its worker tries its input or an output again; while it does not, why the last worker had to be replaced.
    pub(crate) last_failure: Option<String>,
    pub(crate) breaker: BreakerStatus,
    /// What was asked for with `POST /v1/streams`; `None` for a stream that is only MediaMTX's.
    pub(crate) declared: Option<DeclaredStatus>,
    /// Whether MediaMTX has it.
    #[serde(skip)]
    pub(crate) published: bool,
    /// Resident memory of its worker.
    pub(crate) memory_bytes: Option<u64>,
    /// Who publishes it, as MediaMTX says.
    pub(crate) source: Option<Client>,
    /// Who reads what came in (its worker among them), as MediaMTX says.
    pub(crate) input_readers: Vec<Client>,
    /// Who reads what its worker publishes, as MediaMTX says.
    pub(crate) output_readers: Vec<Client>,
    /// The last 50 things that happened to it, the latest one at the end.
    pub(crate) events: Vec<StreamEvent>,
    /// How many there have been, those that are no longer among the last ones included.
    #[serde(skip)]
    pub(crate) events_ever: u64,
}

impl StreamStatus {
    /// All but its events.
    pub(crate) fn summary(&self) -> Value {
        let mut summary = serde_json::to_value(self).unwrap_or_default();
        if let Value::Object(fields) = &mut summary {
            fields.remove("events");
        }
        summary
    }
}

/// Where a stream comes out, without secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct OutputStatus {
    pub(crate) url: String,
    /// Where that is a path of MediaMTX's.
    pub(crate) path: Option<PathName>,
    /// How it fares, as its worker has reported.
    pub(crate) state: Option<OutputState>,
    /// Why it is retrying or lost.
    pub(crate) reason: Option<String>,
}

impl From<&Target> for OutputStatus {
    fn from(target: &Target) -> Self {
        Self {
            url: target.shown.clone(),
            path: target.path.clone(),
            state: None,
            reason: None,
        }
    }
}

/// A declaration without its secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DeclaredStatus {
    /// For people to read.
    pub(crate) name: Option<String>,
    pub(crate) source: String,
    pub(crate) outputs: Vec<String>,
    /// Whether it is to run, also after the next start of the orchestrator.
    pub(crate) enabled: bool,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
}

impl DeclaredStatus {
    pub(super) fn of(declaration: &Declaration, task: &Task) -> Self {
        Self {
            name: declaration.name.as_ref().map(Name::to_string),
            source: declaration.source.to_string(),
            outputs: task.outputs.iter().map(|to| to.shown.clone()).collect(),
            enabled: declaration.enabled,
            created_at: declaration.created_at,
            updated_at: declaration.updated_at,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum StreamState {
    /// A worker is about to run, or runs without media yet.
    Starting,
    /// Its worker passes media on.
    Running,
    /// The stream is away; it may come back before the grace period is over.
    Grace,
    /// Its worker failed and is started again soon.
    Backoff,
    /// Its worker failed too often: nothing is tried until the breaker half-opens.
    Broken,
    /// Told to stop.
    Stopped,
    /// It would feed itself, its outputs can't be, or there is no room: no worker is started. The last one, which tells how many there are.
    Blocked,
}

impl StreamState {
    pub(crate) const ALL: [Self; 7] = [
        Self::Starting,
        Self::Running,
        Self::Grace,
        Self::Backoff,
        Self::Broken,
        Self::Stopped,
        Self::Blocked,
    ];
}

// One that is added has to be in the list, too.
const _: () = assert!(StreamState::ALL.len() == StreamState::Blocked as usize + 1);

impl fmt::Display for StreamState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Grace => "grace",
            Self::Backoff => "backoff",
            Self::Broken => "broken",
            Self::Stopped => "stopped",
            Self::Blocked => "blocked",
        })
    }
}

/// The latest counters of a worker.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WorkerReport {
    /// connecting, streaming, retrying or ended.
    pub(crate) state: String,
    pub(crate) frames: u64,
    pub(crate) video_frames: u64,
    pub(crate) bytes: u64,
    /// Bits a second.
    pub(crate) bitrate: u64,
    /// Video frames a second.
    pub(crate) fps: f64,
    pub(crate) dropped: u64,
    /// Jumps of the source's time stamps.
    pub(crate) discontinuities: u64,
    /// Packets of the source that never came.
    pub(crate) lost: u64,
    /// Frames of the source that came incomplete or unreadable, and were left out.
    pub(crate) damaged: u64,
    pub(crate) reconnects: u64,
    pub(crate) latency_ms: f64,
    /// When a report last told of new frames.
    pub(crate) last_frame: Option<Timestamp>,
    pub(crate) last_report: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BreakerStatus {
    pub(crate) state: BreakerState,
    /// The failure that opened it.
    pub(crate) reason: Option<String>,
    #[serde(skip)]
    pub(crate) kind: Option<FailureKind>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum BreakerState {
    /// All is well.
    Closed,
    /// Nothing is tried for a while.
    Open,
    /// One worker is tried.
    HalfOpen,
}

/// Something that happened to a stream.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct StreamEvent {
    pub(crate) at: Timestamp,
    pub(crate) kind: &'static str,
    pub(crate) detail: String,
}

/// Counters over all streams since the start.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Totals {
    pub(crate) worker_starts: u64,
    /// Workers that ended unasked, hung and stalled ones included.
    pub(crate) worker_failures: u64,
    pub(crate) workers_hung: u64,
    pub(crate) breakers_opened: u64,
    /// Starts that the limit on all streams held back.
    pub(crate) starts_delayed: u64,
    pub(crate) reconciliations: u64,
    /// Times that MediaMTX's path list could not be had.
    pub(crate) reconciliation_failures: u64,
}

/// What became of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EventOutcome {
    Accepted,
    /// It has no bearing on which workers run, for this reason.
    Ignored(&'static str),
}

/// What an operator may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Command {
    Start,
    Stop,
    Restart,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CommandError {
    #[error(
        "no stream {0}: it is not declared, and MediaMTX has not had it within the grace period, or no route is for it"
    )]
    Unknown(StreamKey),
    #[error("stream {0} is blocked: {1}")]
    Blocked(StreamKey, String),
    #[error("the orchestrator is busy and has not answered yet; it will do what was asked for")]
    NoAnswer,
    #[error("the orchestrator is shutting down")]
    ShuttingDown,
}
