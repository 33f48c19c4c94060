//! Everything about one stream, and the copy of it that others see.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::time::Instant;

use common::timestamp::Timestamp;
use mediamtx::api::Client;

use super::failure::FailureKind;
use super::launched::Launched;
use super::launcher::Usage;
use super::machine::Machine;
use super::output::Counters;
use super::platform::Limits;
use super::policy::Policy;
use super::status::{DeclaredStatus, StreamEvent, StreamState, StreamStatus, WorkerReport};
use crate::declaration::Task;
use crate::stream_key::StreamKey;

const EVENTS: usize = 50;

/// Who MediaMTX says is connected to a stream.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Clients {
    /// Whether its path is there.
    pub(super) published: bool,
    pub(super) source: Option<Client>,
    pub(super) input_readers: Vec<Client>,
    pub(super) output_readers: Vec<Client>,
}

/// What its next worker has to do, and how it is dealt with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) task: Task,
    pub(super) limits: Limits,
    pub(super) policy: Policy,
    /// The route that it follows, and what that is called; `None` if it is declared.
    pub(super) route: Option<(usize, String)>,
    /// Why there may be no worker.
    pub(super) blocked: Option<String>,
}

impl Plan {
    /// Whether a worker that was started for the other one is still right.
    pub(super) fn suits_worker_of(&self, other: &Self) -> bool {
        self.task == other.task
            && self.limits.suit_process_of(other.limits)
            && self.blocked.is_some() == other.blocked.is_some()
    }

    /// Whether it comes to the same, by whatever route.
    pub(super) fn comes_to(&self, other: &Self) -> bool {
        self.suits_worker_of(other) && self.limits == other.limits && self.policy == other.policy
    }
}

pub(super) struct Stream {
    pub(super) machine: Machine,
    pub(super) plan: Plan,
    /// The stream that it is a result of, where that is known.
    pub(super) parent: Option<StreamKey>,
    /// What was asked for, if it was.
    pub(super) declared: Option<DeclaredStatus>,
    /// It is none any more, but its worker has not ended yet.
    pub(super) removed: bool,
    pub(super) worker: Option<Launched>,
    pub(super) clients: Clients,
    /// Why there is no room for a worker, if it waits for that.
    pub(super) crowded: Option<String>,
    /// The limit on all streams holds its start back.
    pub(super) delayed: bool,
    pub(super) restarts: u64,
    /// Workers that ended unasked.
    pub(super) failures: BTreeMap<FailureKind, u64>,
    /// Why the last worker had to be replaced.
    pub(super) last_failure: Option<String>,
    /// Why its worker tries anew, until media flows again.
    pub(super) retrying: Option<String>,
    key: StreamKey,
    state: StreamState,
    since: Timestamp,
    report: Option<(WorkerReport, Instant)>,
    memory: Option<u64>,
    events: VecDeque<StreamEvent>,
    events_ever: u64,
}

impl Stream {
    pub(super) fn new(key: StreamKey, plan: Plan, now: Instant) -> Self {
        let machine = Machine::new(now);
        Self {
            key,
            state: machine.state(),
            machine,
            plan,
            parent: None,
            declared: None,
            removed: false,
            worker: None,
            clients: Clients::default(),
            crowded: None,
            delayed: false,
            restarts: 0,
            failures: BTreeMap::new(),
            last_failure: None,
            retrying: None,
            since: Timestamp::now(),
            report: None,
            memory: None,
            events: VecDeque::new(),
            events_ever: 0,
        }
    }

    /// Writes something about it into the log.
    pub(super) fn log(&self, level: log::Level, message: fmt::Arguments<'_>) {
        match (self.plan.task.path(), self.key.short_id()) {
            (Some(path), Some(id)) => log::log!(level, path:% = path, streamId:% = id; "{message}"),
            (None, Some(id)) => log::log!(level, streamId:% = id; "{message}"),
            (_, None) => log::log!(level, path:% = self.key.path(); "{message}"),
        }
    }

    /// Puts something into its list of events.
    pub(super) fn note(&mut self, kind: &'static str, detail: impl Into<String>) {
        if self.events.len() == EVENTS {
            self.events.pop_front();
        }
        self.events_ever += 1;
        self.events.push_back(StreamEvent {
            at: Timestamp::now(),
            kind,
            detail: detail.into(),
        });
    }

    /// The state it is in since just now, if that is another one.
    pub(super) fn new_state(&mut self) -> Option<StreamState> {
        let state = match self.machine.state() {
            StreamState::Starting | StreamState::Backoff | StreamState::Broken
                if self.is_blocked() || self.crowded.is_some() =>
            {
                StreamState::Blocked
            }
            state => state,
        };
        if state == self.state {
            return None;
        }
        self.state = state;
        self.since = Timestamp::now();
        Some(state)
    }

    /// Whether no worker may be started.
    pub(super) fn is_blocked(&self) -> bool {
        self.plan.blocked.is_some()
    }

    /// A new worker's counters start anew.
    pub(super) fn launched(&mut self, worker: Launched) {
        self.worker = Some(worker);
        self.report = None;
        self.memory = None;
    }

    /// Its worker is gone.
    pub(super) fn lost_worker(&mut self) {
        self.worker = None;
        self.retrying = None;
        self.report = None;
        self.memory = None;
    }

    pub(super) fn reported(&mut self, counters: Counters, usage: Usage, now: Instant) {
        let last_report = Timestamp::now();
        let before = self.report.take();
        let (frames, video_frames, seconds, last_frame) = match &before {
            Some((before, at)) => {
                let seconds = now.saturating_duration_since(*at).as_secs_f64();
                (
                    before.frames,
                    before.video_frames,
                    seconds,
                    before.last_frame,
                )
            }
            None => (0, 0, 1.0, None),
        };
        let new_video = counters.video_frames.saturating_sub(video_frames);
        let fps = new_video as f64 / seconds.max(0.001);
        let last_frame = if counters.frames > frames {
            Some(last_report)
        } else {
            last_frame
        };
        let report = WorkerReport {
            state: counters.state,
            frames: counters.frames,
            video_frames: counters.video_frames,
            bytes: counters.bytes,
            bitrate: counters.bitrate,
            fps: (fps * 10.0).round() / 10.0,
            dropped: counters.dropped,
            discontinuities: counters.discontinuities,
            lost: counters.lost,
            damaged: counters.damaged,
            reconnects: counters.reconnects,
            latency_ms: counters.latency_ms,
            last_frame,
            last_report,
        };
        self.report = Some((report, now));
        self.memory = usage.memory_bytes;
    }

    pub(super) fn status(&self) -> StreamStatus {
        StreamStatus {
            id: self.key.clone(),
            path: self.declared.is_none().then(|| self.key.path().clone()),
            route: self.plan.route.as_ref().map(|(_, label)| label.clone()),
            route_number: self.plan.route.as_ref().map(|(number, _)| *number),
            outputs: match &self.worker {
                Some(worker) => worker.statuses(&self.plan),
                None => self.plan.task.outputs.iter().map(Into::into).collect(),
            },
            blocked: (self.plan.blocked.as_ref())
                .or(self.crowded.as_ref())
                .cloned(),
            may_be_tried_again: false,
            state: self.state,
            since: self.since,
            pid: self.worker.as_ref().and_then(|worker| worker.pid),
            started: self.worker.as_ref().and_then(|worker| worker.started),
            worker: self.report.as_ref().map(|(report, _)| report.clone()),
            restarts: self.restarts,
            failures: self.failures.clone(),
            last_failure: self
                .retrying
                .as_ref()
                .or(self.last_failure.as_ref())
                .cloned(),
            breaker: self.machine.breaker(),
            declared: self.declared.clone(),
            published: self.clients.published,
            memory_bytes: self.memory,
            source: self.clients.source.clone(),
            input_readers: self.clients.input_readers.clone(),
            output_readers: self.clients.output_readers.clone(),
            events: self.events.iter().cloned().collect(),
            events_ever: self.events_ever,
        }
    }
}
