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
const HUNG_AFTER: Duration = Duration::from_secs(5);

pub(super) struct Launched {
    pub(super) epoch: u64,
    /// What was asked of it last.
    pub(super) spec: Spec,
    /// Once it is started.
    pub(super) pid: Option<u32>,
    pub(super) started: Option<Timestamp>,
    outputs: Vec<OutputReport>,
    heard: Instant,
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
        }
    }

    pub(super) fn started(&mut self, pid: u32) {
        self.pid = Some(pid);
        self.started = Some(Timestamp::now());
    }

    pub(super) fn heard(&mut self, now: Instant) {
        self.heard = now;
    }

    pub(super) fn counted(&mut self, _counters: &Counters, now: Instant) {
        self.heard(now);
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

    /// When it has to have been heard of again.
    pub(super) fn deadline(&self) -> Instant {
        self.heard + HUNG_AFTER
    }

    /// Why it is to be replaced, if it is.
    pub(super) fn hangs(&self, now: Instant) -> Option<Failure> {
        let reason = || format!("hung: no report for {} s", HUNG_AFTER.as_secs());
        (self.deadline() <= now).then(|| FailureKind::Hung.because(reason()))
    }
}
