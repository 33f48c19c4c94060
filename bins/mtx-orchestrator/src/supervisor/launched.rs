//! The worker of a stream, as far as it was observed.

use std::time::{Duration, Instant};

use common::timestamp::Timestamp;

use super::failure::{Failure, FailureKind};
use super::launcher::{OutputReport, Spec};
use super::marks::Marks;
use super::output::Counters;
use super::publishers::Suspect;
use super::status::OutputStatus;
use super::stream::Plan;

/// A worker that has not reported for this long hangs.
const SILENT: Duration = Duration::from_secs(5);
/// Likewise one that passes nothing on any more, without trying its input or an output again. It takes its source for lost
/// much earlier.
const STANDSTILL: Duration = Duration::from_secs(15);
/// Likewise before the first frame of a connection: a camera may have a key frame a minute.
const NO_BEGINNING: Duration = Duration::from_secs(90);

pub(super) struct Launched {
    pub(super) epoch: u64,
    /// What was asked of it last.
    pub(super) spec: Spec,
    /// Once it is started.
    pub(super) pid: Option<u32>,
    pub(super) started: Option<Timestamp>,
    outputs: Vec<OutputReport>,
    heard: Instant,
    progress: Progress,
}

/// What it passes on.
struct Progress {
    since: Instant,
    frames: u64,
    reconnects: u64,
    /// Whether there was a frame since it was connected.
    has_begun: bool,
}

impl Progress {
    fn new(now: Instant) -> Self {
        Self {
            since: now,
            frames: 0,
            reconnects: 0,
            has_begun: false,
        }
    }

    fn counted(&mut self, counters: &Counters, now: Instant) {
        let is_new = counters.reconnects != self.reconnects;
        if is_new || counters.state == "retrying" {
            // It tries, and ends when that is in vain.
            self.has_begun = false;
            self.since = now;
        }
        if counters.frames > self.frames {
            self.has_begun = true;
            self.since = now;
        }
        self.frames = counters.frames;
        self.reconnects = counters.reconnects;
    }

    fn patience(&self) -> Duration {
        match self.has_begun {
            true => STANDSTILL,
            false => NO_BEGINNING,
        }
    }
}

impl Launched {
    /// A start was asked for.
    pub(super) fn new(epoch: u64, spec: Spec, now: Instant) -> Self {
        Self {
            epoch,
            spec,
            pid: None,
            started: None,
            outputs: Vec::new(),
            heard: now,
            progress: Progress::new(now),
        }
    }

    pub(super) fn started(&mut self, pid: u32) {
        self.pid = Some(pid);
        self.started = Some(Timestamp::now());
    }

    pub(super) fn heard(&mut self, now: Instant) {
        self.heard = now;
    }

    pub(super) fn counted(&mut self, counters: &Counters, now: Instant) {
        self.heard(now);
        self.progress.counted(counters, now);
    }

    pub(super) fn output(&mut self, report: OutputReport) {
        self.outputs.retain(|known| known.target != report.target);
        self.outputs.push(report);
    }

    /// What it is to do from now on, if it can do that without a new start: only its outputs differ.
    pub(super) fn changed(&self, plan: &Plan) -> Option<Spec> {
        let before = &self.spec;
        let is_same = before.task.input == plan.task.input
            && plan.limits.suit_process_of(before.limits)
            && plan.blocked.is_none()
            && !plan.task.outputs.is_empty();
        is_same.then(|| Spec {
            generation: before.generation + 1,
            task: plan.task.clone(),
            ..before.clone()
        })
    }

    /// How the outputs of a plan fare.
    pub(super) fn statuses(&self, plan: &Plan) -> Vec<OutputStatus> {
        let outputs = plan.task.outputs.iter();
        let statuses = outputs.map(|target| {
            let mut reports = self.outputs.iter();
            let report = reports.find(|report| report.target == *target);
            OutputStatus {
                state: report.map(|report| report.state),
                reason: report.and_then(|report| report.reason.clone()),
                ..target.into()
            }
        });
        statuses.collect()
    }

    /// Its outputs, which may be on this server.
    pub(super) fn suspects(&self, marks: Marks) -> Vec<Suspect> {
        let pid = self.pid.into_iter();
        pid.flat_map(|pid| Suspect::list(pid, &self.spec.task, marks))
            .collect()
    }

    /// This process was held up: what was not heard of it says nothing.
    pub(super) fn excuse(&mut self, now: Instant) {
        self.heard = now;
        self.progress.since = now;
    }

    /// When it has to have been heard of again, and to have passed something on.
    pub(super) fn deadline(&self) -> Instant {
        let progress = self.progress.since + self.progress.patience();
        progress.min(self.heard + SILENT)
    }

    /// Why it is to be replaced, if it is.
    pub(super) fn hangs(&self, now: Instant) -> Option<Failure> {
        let (silent, patience) = (SILENT.as_secs(), self.progress.patience());
        if self.heard + SILENT <= now {
            let reason = format!("hung: no report for {silent} s");
            return Some(FailureKind::Hung.because(reason));
        }
        let reason = || format!("stalled: no frame passed on for {} s", patience.as_secs());
        (self.progress.since + patience <= now).then(|| FailureKind::Stalled.because(reason()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counters(state: &str, frames: u64, reconnects: u64) -> Counters {
        Counters {
            state: state.to_owned(),
            frames,
            video_frames: frames,
            bytes: 0,
            bitrate: 0,
            dropped: 0,
            discontinuities: 0,
            lost: 0,
            damaged: 0,
            reconnects,
            latency_ms: 0.0,
        }
    }

    #[test]
    fn only_a_worker_that_neither_passes_on_nor_tries_again_stands_still() {
        let start = Instant::now();
        let minute = 60;
        for (what, reports, standstill) in [
            ("frames", &[("streaming", 1, 0)][..], 15),
            ("no first frame", &[("streaming", 0, 0)], 90),
            ("no connection", &[("connecting", 0, 0)], 90),
            (
                "none since it came back",
                &[("streaming", 9, 0), ("streaming", 9, 1)],
                90,
            ),
            (
                "frames since it came back",
                &[("streaming", 9, 1), ("streaming", 10, 1)],
                15,
            ),
            (
                "tries again",
                &[("streaming", 9, 0), ("retrying", 9, 0)],
                90,
            ),
        ] {
            let mut progress = Progress::new(start);
            let at = start + Duration::from_secs(minute);
            for (state, frames, reconnects) in reports {
                progress.counted(&counters(state, *frames, *reconnects), at);
            }
            let deadline = progress.since + progress.patience();
            let begun = what.starts_with("no ");
            let from = if begun { start } else { at };
            assert_eq!(deadline - from, Duration::from_secs(standstill), "{what}");
        }
    }
}
