//! The workers: what they say, how they end, and when another one is started.

use std::time::Instant;

use log::Level;

use super::super::failure::{Failure, FailureKind};
use super::super::machine::{Cause, Ended, Input};
use super::super::output::{Said, WorkerId};
use super::super::publishers::{Search, Suspect};
use super::super::worker::{HUNG_AFTER, Worker};
use super::{FIRST_LIST, LOST, STALLED, Server, Supervision};
use crate::stream_key::StreamKey;

impl Supervision {
    pub(super) fn said(&mut self, worker: &WorkerId, said: Said) {
        let now = Instant::now();
        let key = &worker.stream;
        let Some(stream) = self.streams.get_mut(key) else {
            return;
        };
        let Some(process) = stream
            .worker
            .as_mut()
            .filter(|known| known.number == worker.number)
        else {
            return;
        };
        let state = match &said {
            Said::Report(counters) => Some(counters.state.clone()),
            Said::State(state) => Some(state.clone()),
            Said::Retrying(_) | Said::Trouble(_) | Said::Nothing => None,
        };
        let goes_elsewhere = stream.plan.task.elsewhere().next().is_some();
        if state.as_deref() == Some("streaming") && matches!(said, Said::State(_)) && goes_elsewhere
        {
            // If that was back to this server, it shows there at once.
            self.poller.request();
        }
        let mut excess = None;
        match said {
            Said::Report(counters) => {
                process.heard(now);
                excess = process.excess(stream.plan.limits.cpu, now);
                stream.reported(counters, now);
                self.changed.insert(key.clone());
            }
            Said::State(_) => process.heard(now),
            Said::Retrying(reason) => {
                process.in_trouble(reason.clone());
                stream.retrying = Some(reason);
                self.changed.insert(key.clone());
            }
            Said::Trouble(reason) => process.in_trouble(reason),
            Said::Nothing => process.fell_silent(),
        }
        if let Some(state) = state {
            let streaming = state == "streaming";
            self.is_back(key, streaming);
            self.feed(key, Input::Reported { streaming });
        }
        if let Some(failure) = excess {
            self.condemn(key, failure);
        }
    }

    /// Media flows again, so that nothing is tried anew.
    fn is_back(&mut self, key: &StreamKey, streaming: bool) {
        let stream = self.streams.get_mut(key).filter(|_| streaming);
        if stream.is_some_and(|stream| stream.retrying.take().is_some()) {
            self.changed.insert(key.clone());
        }
    }

    /// What time brings: workers that have ended or hang, deadlines, starts that are due.
    pub(super) fn look_after(&mut self) {
        let stalled = self.looked.elapsed() >= STALLED;
        self.looked = Instant::now();
        if stalled {
            log::warn!("this process was held up; workers are given time to report");
            let workers = self.streams.values_mut();
            let workers = workers.filter_map(|stream| stream.worker.as_mut());
            workers.for_each(|worker| worker.heard(self.looked));
        }
        self.renew_names(self.looked);
        let keys: Vec<StreamKey> = self.streams.keys().cloned().collect();
        for key in keys {
            let now = Instant::now();
            self.look_after_worker(&key, now);
            self.feed(&key, Input::Time);
            let wanted = self
                .streams
                .get(&key)
                .and_then(|stream| stream.machine.wants_start(now));
            if let Some(cause) = wanted {
                self.start_if_allowed(&key, cause, now);
            }
        }
    }

    fn look_after_worker(&mut self, key: &StreamKey, now: Instant) {
        let Some(stream) = self.streams.get_mut(key) else {
            return;
        };
        let Some(worker) = stream.worker.as_mut() else {
            return;
        };
        let ended = worker.ended(now);
        if let Some(failure) = ended {
            self.ended(key, failure);
        } else if worker.hangs(now) {
            // Once is enough to say so.
            worker.heard(now);
            self.totals.workers_hung += 1;
            let reason = format!("hung: no report for {} s", HUNG_AFTER.as_secs());
            self.condemn(key, FailureKind::Hung.because(reason));
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

    fn start_if_allowed(&mut self, key: &StreamKey, cause: Cause, now: Instant) {
        let Some(stream) = self.streams.get_mut(key) else {
            return;
        };
        if stream.is_blocked() {
            return;
        }
        // A worker that failed along with its server would only fail again, unless it is the API alone that is away.
        let is_lost = self.server == Server::Lost && now - self.lost < LOST;
        let waits = is_lost && stream.plan.task.needs_mediamtx;
        if waits && cause != Cause::Wanted {
            return;
        }
        let is_early = self.server == Server::NeverReached && now - self.began < FIRST_LIST;
        if is_early && stream.declared.is_some() && stream.plan.task.needs_mediamtx {
            return;
        }
        if !self.knows_names(key, now) {
            return;
        }
        let Some(stream) = self.streams.get_mut(key) else {
            return;
        };
        if !self.limit.take(now) {
            // It is looked at again and again, but delayed once.
            self.totals.starts_delayed += u64::from(!stream.delayed);
            stream.delayed = true;
            return;
        }
        stream.delayed = false;
        stream.restarts += u64::from(cause != Cause::Wanted);
        self.feed(key, Input::MayStart);
    }

    pub(super) fn with_worker(&mut self, key: &StreamKey, act: impl FnOnce(&mut Worker)) {
        if let Some(worker) = self
            .streams
            .get_mut(key)
            .and_then(|stream| stream.worker.as_mut())
        {
            act(worker);
        }
    }

    /// Has the running workers' outputs looked for among the publishers.
    pub(super) fn inquire(&mut self) {
        let workers = self.streams.values();
        let workers = workers.filter_map(|stream| stream.worker.as_ref());
        let suspects = workers.flat_map(|worker| worker.suspects.iter().cloned());
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
    fn knows_names(&mut self, key: &StreamKey, now: Instant) -> bool {
        let Some(stream) = self.streams.get(key) else {
            return false;
        };
        let others = stream.plan.task.elsewhere();
        // Each has to be asked about, also when another one has to be waited for.
        let waiting = others.filter(|name| !self.names.may_start(name, now));
        waiting.count() == 0
    }

    fn renew_names(&mut self, now: Instant) {
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
        self.workers += 1;
        self.totals.worker_starts += 1;
        let worker = WorkerId {
            stream: key.clone(),
            number: self.workers,
        };
        let task = &stream.plan.task;
        match Worker::start(
            &self.config.worker,
            (task, stream.plan.limits),
            (self.marks, self.via(task)),
            &worker,
            &self.messages,
            now,
        ) {
            Ok(worker) => {
                let pid = worker.pid();
                if let Some(stream) = self.streams.get_mut(key) {
                    stream.log(Level::Info, format_args!("worker {pid} started"));
                    stream.note("started", format!("worker {pid}"));
                    stream.started(worker);
                }
                self.inquire();
                self.changed.insert(key.clone());
            }
            Err(error) => self.ended(key, FailureKind::NotStarted.because(format!("{error:#}"))),
        }
    }
}
