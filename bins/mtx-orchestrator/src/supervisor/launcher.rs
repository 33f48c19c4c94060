//! What runs the streams' workers, seen from the supervision: orders that never block, and observations that come back.

use std::fmt;

use mediamtx::via::Via;

use super::failure::Failure;
use super::output::Counters;
use super::platform::Limits;
use crate::declaration::{Target, Task};
use crate::stream_key::StreamKey;

/// One worker among all that were ever started. Of two with the same stream, only the one with the higher epoch counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct WorkerKey {
    pub(super) stream: StreamKey,
    /// A fencing number: never given twice.
    pub(super) epoch: u64,
}

/// What a worker is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Spec {
    /// Grows with each change for one worker.
    pub(super) generation: u64,
    pub(super) task: Task,
    pub(super) limits: Limits,
    /// Where each of the outputs will have been.
    pub(super) via: Vec<Via>,
}

/// How a worker is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    /// With what it has queued.
    Orderly,
    /// At once.
    Forced,
}

/// Starts, changes and ends workers. What comes of it is told as [`Observation`]s, in the order in which it happens for each
/// worker.
pub(super) trait Launcher: Send {
    /// Answered by [`Observation::Started`], and by [`Observation::Ended`] in any case.
    fn start(&mut self, key: &WorkerKey, spec: Spec);

    /// Gives a running worker other outputs; all else has to be as it was. Answered by [`Observation::Applied`] or
    /// [`Observation::Refused`], unless the worker ends.
    fn apply(&mut self, key: &WorkerKey, spec: Spec);

    /// Answered by [`Observation::Ended`], also if it is gone already.
    fn end(&mut self, key: &WorkerKey, how: How);
}

/// What is observed of a worker.
#[derive(Debug)]
pub(super) enum Observation {
    Started {
        pid: u32,
    },
    Reported(Report),
    /// Its outputs are those of the spec of this generation.
    Applied {
        generation: u64,
    },
    /// They can't be that while it runs: start another one.
    Refused {
        generation: u64,
        reason: String,
    },
    /// It is gone, or could not be started. Nothing follows.
    Ended(Failure),
}

/// What a worker tells of itself.
#[derive(Debug)]
pub(super) enum Report {
    Counters(Counters, Usage),
    /// Its state has changed.
    State(String),
    /// Why it has lost its input or an output, which it tries again.
    Retrying(String),
    Output(OutputReport),
}

/// What a worker takes.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Usage {
    /// Resident.
    pub(super) memory_bytes: Option<u64>,
    /// Of one processor, over a while; `None` while that while lasts.
    pub(super) cpu_percent: Option<u64>,
}

/// How one output fares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OutputReport {
    pub(super) target: Target,
    pub(super) state: OutputState,
    pub(super) reason: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum OutputState {
    Connecting,
    /// Media flows from the input to it.
    Streaming,
    /// It or the input is lost, and tried again.
    Retrying,
    /// Its retries are used up: it is tried again after a pause.
    Lost,
}

impl fmt::Display for OutputState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connecting => "connecting",
            Self::Streaming => "streaming",
            Self::Retrying => "retrying",
            Self::Lost => "lost",
        })
    }
}
