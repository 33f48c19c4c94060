//! The workers: what they say, how they end, and when another one is started.

use std::time::Instant;

use log::Level;

use super::super::failure::{Failure, FailureKind};
use super::super::launched::Launched;
use super::super::launcher::{How, Observation, Report, Spec, Usage, WorkerKey};
use super::super::machine::{Ended, Input};
use super::super::publishers::{Search, Suspect};
use super::{Server, Supervision};
use crate::stream_key::StreamKey;

impl Supervision {
    /// Takes what is observed of a worker. What comes late, of one that has a successor, is dropped.
    pub(super) fn observed(&mut self, worker: &WorkerKey, observation: Observation) {
        let now = self.now();
        let key = &worker.stream;
        let Some(stream) = self.streams.get_mut(key) else {
            return;
        };
        let known = stream.worker.as_mut();
        let Some(known) = known.filter(|known| known.epoch == worker.epoch) else {
            return;
        };
        match observation {
            Observation::Started { pid } => {
                known.started(pid);
                stream.log(Level::Info, format_args!("worker {pid} started"));
                stream.note("started", format!("worker {pid}"));
                self.inquire();
                self.changed.insert(key.clone());
            }
            Observation::Reported(report) => self.reported(key, report, now),
            Observation::Applied { generation } if generation == known.spec.generation => {
                let count = known.spec.task.outputs.len();
                stream.note(
                    "applied",
                    format!("outputs, without another worker: {count}"),
                );
                self.changed.insert(key.clone());
            }
            Observation::Refused { generation, reason } if generation == known.spec.generation => {
                stream.log(
                    Level::Warn,
                    format_args!("worker can't change its outputs ({reason}): it is replaced"),
                );
                stream.note("refused", reason);
                // One that was told to end meanwhile does so.
                if stream.machine.may_change() {
                    self.feed(key, Input::Restart);
                }
            }
            Observation::Applied { .. } | Observation::Refused { .. } => {}
            Observation::Ended(failure) => self.ended(key, failure),
        }
    }

    fn reported(&mut self, key: &StreamKey, report: Report, now: Instant) {
        let Some(stream) = self.streams.get_mut(key) else {
            return;
        };
        let Some(worker) = stream.worker.as_mut() else {
            return;
        };
        match report {
            Report::Counters(counters, usage) => {
                worker.counted(&counters, now);
                let streaming = counters.state == "streaming";
                let excess = excess(usage, stream.plan.limits.cpu);
                stream.reported(counters, usage, now);
                self.changed.insert(key.clone());
                self.is_back(key, streaming);
                self.feed(key, Input::Reported { streaming });
                if let Some(failure) = excess {
                    self.condemn(key, failure);
                }
            }
            Report::State(state) => {
                worker.heard(now);
                let streaming = state == "streaming";
                if streaming && stream.plan.task.elsewhere().next().is_some() {
                    // If that was back to this server, it shows there at once.
                    self.poller.request();
                }
                self.is_back(key, streaming);
                self.feed(key, Input::Reported { streaming });
            }
            Report::Retrying(reason) => {
                stream.retrying = Some(reason);
                self.changed.insert(key.clone());
            }
            Report::Output(report) => {
                worker.output(report);
                self.changed.insert(key.clone());
            }
        }
    }

    /// Media flows again, so that nothing is tried anew.
    fn is_back(&mut self, key: &StreamKey, streaming: bool) {
        let stream = self.streams.get_mut(key).filter(|_| streaming);
        if stream.is_some_and(|stream| stream.retrying.take().is_some()) {
            self.changed.insert(key.clone());
        }
    }

    pub(super) fn look_after_worker(&mut self, key: &StreamKey, now: Instant) {
        let worker = self.streams.get_mut(key);
        let Some(worker) = worker.and_then(|stream| stream.worker.as_mut()) else {
            return;
        };
        if let Some(failure) = worker.hangs(now) {
            // Once is enough to say so.
            worker.excuse(now);
            self.totals.workers_hung += 1;
            self.condemn(key, failure);
        }
    }

    fn condemn(&mut self, key: &StreamKey, failure: Failure) {
        if let Some(stream) = self.streams.get_mut(key) {
            stream.log(Level::Warn, format_args!("worker {failure}: killed"));
            stream.note("condemned", failure.reason.clone());
        }
        self.feed(key, Input::Condemned(failure));
    }

    /// A worker is gone, asked or unasked.
    pub(super) fn ended(&mut self, key: &StreamKey, failure: Failure) {
        let Some(stream) = self.streams.get_mut(key) else {
            return;
        };
        stream.lost_worker();
        self.changed.insert(key.clone());
        let failure = stream.machine.knows_why().cloned().unwrap_or(failure);
        stream.note("ended", failure.reason.clone());
        let asked = stream.machine.was_asked_to_end();
        let needs_mediamtx = stream.plan.task.needs_mediamtx;
        let level = if asked {
            Level::Info
        } else {
            self.totals.worker_failures += 1;
            *stream.failures.entry(failure.kind).or_default() += 1;
            stream.last_failure = Some(failure.reason.clone());
            Level::Warn
        };
        stream.log(level, format_args!("worker ended: {failure}"));
        // It may have seen before us that the stream is gone.
        self.poller.request();
        let blame = self.server != Server::Lost || !needs_mediamtx;
        let draw = fastrand::f64();
        self.feed(
            key,
            Input::Ended(Ended {
                failure,
                blame,
                draw,
            }),
        );
        self.inquire();
    }

    pub(super) fn end(&mut self, key: &StreamKey, how: How) {
        if let Some(worker) = self.worker(key) {
            self.launcher.end(&worker, how);
        }
    }

    fn worker(&self, key: &StreamKey) -> Option<WorkerKey> {
        let stream = key.clone();
        let epoch = self.streams.get(key)?.worker.as_ref()?.epoch;
        Some(WorkerKey { stream, epoch })
    }

    /// Makes what a stream's worker does what the plan says: while it runs, if only its outputs are others.
    pub(super) fn change_worker(&mut self, key: &StreamKey) {
        let Some(worker) = self.worker(key) else {
            return self.feed(key, Input::Restart);
        };
        let marks = self.marks;
        let live = self.streams.get(key).and_then(|stream| {
            let launched = stream.worker.as_ref();
            let spec = launched.and_then(|launched| launched.changed(&stream.plan));
            spec.filter(|_| stream.machine.may_change())
        });
        let Some(mut spec) = live else {
            return self.feed(key, Input::Restart);
        };
        let via = self.via(&spec.task);
        let outputs = spec.task.outputs.iter();
        spec.via = outputs.map(|to| via.through(marks.mark(to))).collect();
        if let Some(stream) = self.streams.get_mut(key)
            && let Some(launched) = &mut stream.worker
        {
            launched.spec = spec.clone();
        }
        self.launcher.apply(&worker, spec);
        self.inquire();
    }

    /// Has the running workers' outputs looked for among the publishers.
    pub(super) fn inquire(&mut self) {
        let workers = self.streams.values();
        let workers = workers.filter_map(|stream| stream.worker.as_ref());
        let suspects = workers.flat_map(|worker| worker.suspects(self.marks));
        let suspects = suspects.map(|suspect| Suspect {
            addresses: self.names.addresses(&suspect.endpoint),
            ..suspect
        });
        let mut tasks = self.streams.values().map(|stream| &stream.plan.task);
        let servers = &self.config.worker.servers;
        self.poller.search(Search {
            suspects: suspects.collect(),
            leads_elsewhere: tasks.any(|task| task.elsewhere().next().is_some())
                || self.routes.leads_elsewhere(servers),
        });
    }

    /// Whether it is known, as far as name resolution shows it in time, which outputs of a stream are on this server.
    pub(super) fn knows_names(&mut self, key: &StreamKey, now: Instant) -> bool {
        let Some(stream) = self.streams.get(key) else {
            return false;
        };
        let others = stream.plan.task.elsewhere();
        // Each has to be asked about, also when another one has to be waited for.
        let waiting = others.filter(|name| !self.names.may_start(name, now));
        waiting.count() == 0
    }

    pub(super) fn renew_names(&mut self, now: Instant) {
        let streams = &self.streams;
        self.names.renew(now, |name| {
            let mut streams = streams.values();
            streams.any(|stream| stream.plan.task.elsewhere().any(|it| it == *name))
        });
    }

    pub(super) fn spawn(&mut self, key: &StreamKey, now: Instant) {
        let Some(stream) = self.streams.get(key) else {
            return;
        };
        self.epoch += 1;
        self.totals.worker_starts += 1;
        let worker = WorkerKey {
            stream: key.clone(),
            epoch: self.epoch,
        };
        let task = stream.plan.task.clone();
        let via = self.via(&task);
        let spec = Spec {
            generation: 1,
            via: (task.outputs.iter())
                .map(|to| via.through(self.marks.mark(to)))
                .collect(),
            limits: stream.plan.limits,
            task,
        };
        if let Some(stream) = self.streams.get_mut(key) {
            stream.launched(Launched::new(worker.epoch, spec.clone(), now));
        }
        self.changed.insert(key.clone());
        self.launcher.start(&worker, spec);
    }
}

/// What a worker did wrong, if it took more of a processor than `limit` percent.
fn excess(usage: Usage, limit: u64) -> Option<Failure> {
    let percent = usage.cpu_percent.filter(|percent| *percent > limit)?;
    let reason = format!("took {percent} % of a processor, where {limit} % are allowed");
    Some(FailureKind::OverLimit.because(reason))
}
