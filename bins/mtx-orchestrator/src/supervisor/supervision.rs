//! The one thread that owns all streams: it takes what is heard to the state machines, and does what they decide.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use mediamtx::api::{ApiError, PathInfo};
use mediamtx::path::{Leg, StreamId, StreamPath};
use mediamtx::timestamp::Timestamp;

use super::hints::{Hint, Hints};
use super::machine::{Action, Cause, Ended, Input, TERMINATION};
use super::output::{Said, WorkerId};
use super::policy::StartLimit;
use super::poller::Poller;
use super::status::{BreakerState, Command, Totals};
use super::stream::{Clients, Stream};
use super::worker::{HUNG_AFTER, Worker};
use super::{SupervisorConfig, View, locked};

/// With nothing to wait for, there is still a look around now and then.
const IDLE: Duration = Duration::from_secs(1);
/// Until something that is held back is looked at again.
const HELD_BACK: Duration = Duration::from_millis(50);
/// Without a look around for this long, it is this process that hung, and not its workers.
const STALLED: Duration = Duration::from_secs(3);
/// Messages taken at once before time is looked after.
const BATCH: usize = 256;

/// What the supervising thread is told.
pub(super) enum Message {
    /// A hook says that a stream is there, or is not.
    Hint {
        id: StreamId,
        present: bool,
        at: Timestamp,
    },
    /// MediaMTX's path list, new enough for the requests up to the number `covers`.
    Paths {
        covers: u64,
        paths: Result<Vec<PathInfo>, ApiError>,
    },
    Said {
        worker: WorkerId,
        said: Said,
    },
    Command {
        id: StreamId,
        command: Command,
    },
    /// End all workers, then answer.
    Shutdown(Sender<()>),
}

/// Whether MediaMTX can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Server {
    NeverReached,
    Reached,
    Lost,
}

pub(super) struct Supervision {
    config: SupervisorConfig,
    messages: Sender<Message>,
    poller: Poller,
    view: Arc<View>,
    streams: BTreeMap<StreamId, Stream>,
    /// Those whose copy is out of date.
    changed: BTreeSet<StreamId>,
    hints: Hints,
    server: Server,
    limit: StartLimit,
    totals: Totals,
    workers: u64,
    looked: Instant,
}

impl Supervision {
    pub(super) fn new(
        config: SupervisorConfig,
        messages: Sender<Message>,
        poller: Poller,
        view: Arc<View>,
    ) -> Self {
        let now = Instant::now();
        Self {
            limit: StartLimit::new(config.start_limit, now),
            config,
            messages,
            poller,
            view,
            streams: BTreeMap::new(),
            changed: BTreeSet::new(),
            hints: Hints::default(),
            server: Server::NeverReached,
            totals: Totals::default(),
            workers: 0,
            looked: now,
        }
    }

    /// Works until it is told to shut down.
    pub(super) fn run(mut self, inbox: &Receiver<Message>) {
        loop {
            let first = inbox.recv_timeout(self.patience());
            if matches!(first, Err(RecvTimeoutError::Disconnected)) {
                return;
            }
            for message in first.into_iter().chain(inbox.try_iter().take(BATCH)) {
                if let Message::Shutdown(done) = message {
                    self.end_all();
                    // Whoever asked may have given up waiting.
                    let _ = done.send(());
                    return;
                }
                self.take(message);
            }
            self.look_after();
            self.publish();
        }
    }

    /// How long nothing has to be done unless something is heard.
    fn patience(&self) -> Duration {
        let now = Instant::now();
        let of_stream = |stream: &Stream| {
            let look = stream.worker.as_ref().map(|worker| worker.next_look(now));
            // What is due already was held back.
            let due = stream.machine.deadline().map(|at| at.max(now + HELD_BACK));
            look.into_iter().chain(due).min()
        };
        let next = self.streams.values().filter_map(of_stream).min();
        next.map_or(IDLE, |at| at.saturating_duration_since(now).min(IDLE))
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Hint { id, present, at } => self.hint(id, present, at),
            Message::Paths { covers, paths } => match paths {
                Ok(paths) => self.reconcile(covers, paths),
                Err(error) => self.unreachable(covers, &error),
            },
            Message::Said { worker, said } => self.said(&worker, said),
            Message::Command { id, command } => self.command(&id, command),
            Message::Shutdown(_) => {}
        }
    }

    /// A hook is believed only where MediaMTX can't be asked.
    fn hint(&mut self, id: StreamId, present: bool, at: Timestamp) {
        let request = self.poller.request();
        self.hints.add(Hint {
            request,
            id,
            present,
            at,
        });
    }

    fn reconcile(&mut self, covers: u64, paths: Vec<PathInfo>) {
        self.totals.reconciliations += 1;
        if self.server != Server::Reached {
            log::info!(url = self.config.api.url(); "MediaMTX is reached");
            self.server = Server::Reached;
            *locked(&self.view.ready) = Ok(());
        }
        let hints = self.hints.answered(covers);
        let mut present = clients_by_stream(paths);
        let known: Vec<StreamId> = self.streams.keys().cloned().collect();
        for id in known {
            match present.remove(&id) {
                Some(clients) => self.is_present(&id, clients),
                None => self.is_absent(&id),
            }
        }
        for (id, clients) in present {
            self.is_present(&id, clients);
        }
        hints.iter().for_each(|hint| self.note_hint(hint));
    }

    fn note_hint(&mut self, hint: &Hint) {
        if let Some(stream) = self.streams.get_mut(&hint.id) {
            let kind = if hint.present { "ready" } else { "not-ready" };
            stream.note(kind, format!("hook of {}", hint.at));
            self.changed.insert(hint.id.clone());
        }
    }

    /// What runs goes on running: nobody knows better.
    fn unreachable(&mut self, covers: u64, error: &ApiError) {
        self.totals.reconciliation_failures += 1;
        let ready = Err(error.to_string());
        if *locked(&self.view.ready) != ready {
            log::warn!("{error}: workers are left as they are");
        }
        *locked(&self.view.ready) = ready;
        if self.server == Server::Reached {
            self.server = Server::Lost;
        }
        for hint in self.hints.unanswered(covers) {
            if hint.present {
                self.is_present(&hint.id, Clients::default());
            } else {
                self.is_absent(&hint.id);
            }
            self.note_hint(&hint);
        }
    }

    fn is_present(&mut self, id: &StreamId, clients: Clients) {
        let now = Instant::now();
        if !self.streams.contains_key(id) {
            let mut stream = Stream::new(id.clone(), now);
            stream.note("found", "the stream is there");
            log_of(log::Level::Info, id, format_args!("stream is there"));
            self.streams.insert(id.clone(), stream);
        }
        self.changed.insert(id.clone());
        if let Some(stream) = self.streams.get_mut(id) {
            stream.clients = clients;
            if !stream.machine.is_present() {
                stream.note("found", "the stream is back");
                self.feed(id, Input::Present);
            }
        }
    }

    fn is_absent(&mut self, id: &StreamId) {
        if let Some(stream) = self.streams.get_mut(id)
            && stream.machine.is_present()
        {
            stream.clients = Clients::default();
            stream.note("lost", "the stream is away");
            self.feed(id, Input::Absent);
        }
    }

    fn said(&mut self, worker: &WorkerId, said: Said) {
        let now = Instant::now();
        let id = &worker.stream;
        let Some(stream) = self.streams.get_mut(id) else {
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
            Said::Trouble(_) | Said::Nothing => None,
        };
        let mut excess = None;
        match said {
            Said::Report(counters) => {
                process.heard(now);
                excess = process.excess(self.config.worker.limits.cpu, now);
                stream.reported(counters, now);
                self.changed.insert(id.clone());
            }
            Said::State(_) => process.heard(now),
            Said::Trouble(reason) => process.in_trouble(reason),
            Said::Nothing => process.fell_silent(),
        }
        if let Some(state) = state {
            let streaming = state == "streaming";
            self.feed(id, Input::Reported { streaming });
        }
        if let Some(reason) = excess {
            self.condemn(id, reason);
        }
    }

    fn command(&mut self, id: &StreamId, command: Command) {
        let Some(stream) = self.streams.get_mut(id) else {
            return;
        };
        let (kind, input) = match command {
            Command::Start => ("start", Input::Start),
            Command::Stop => ("stop", Input::Stop),
            Command::Restart => ("restart", Input::Restart),
        };
        stream.note(kind, "asked for by an operator");
        log_of(
            log::Level::Info,
            id,
            format_args!("{kind} asked for by an operator"),
        );
        self.feed(id, input);
    }

    /// What time brings: workers that have ended or hang, deadlines, starts that are due.
    fn look_after(&mut self) {
        let stalled = self.looked.elapsed() >= STALLED;
        self.looked = Instant::now();
        if stalled {
            log::warn!("this process was held up; workers are given time to report");
            let workers = self.streams.values_mut();
            let workers = workers.filter_map(|stream| stream.worker.as_mut());
            workers.for_each(|worker| worker.heard(self.looked));
        }
        let ids: Vec<StreamId> = self.streams.keys().cloned().collect();
        for id in ids {
            let now = Instant::now();
            self.look_after_worker(&id, now);
            self.feed(&id, Input::Time);
            let wanted = self
                .streams
                .get(&id)
                .and_then(|stream| stream.machine.wants_start(now));
            if let Some(cause) = wanted {
                self.start_if_allowed(&id, cause, now);
            }
        }
    }

    fn look_after_worker(&mut self, id: &StreamId, now: Instant) {
        let Some(stream) = self.streams.get_mut(id) else {
            return;
        };
        let Some(worker) = stream.worker.as_mut() else {
            return;
        };
        let ended = worker.ended(now);
        if let Some(reason) = ended {
            self.ended(id, reason);
        } else if worker.hangs(now) {
            // Once is enough to say so.
            worker.heard(now);
            self.totals.workers_hung += 1;
            self.condemn(
                id,
                format!("hung: no report for {} s", HUNG_AFTER.as_secs()),
            );
        }
    }

    fn condemn(&mut self, id: &StreamId, reason: String) {
        log_of(
            log::Level::Warn,
            id,
            format_args!("worker {reason}: killed"),
        );
        if let Some(stream) = self.streams.get_mut(id) {
            stream.note("condemned", reason.clone());
        }
        self.feed(id, Input::Condemned { reason });
    }

    /// A worker is gone, asked or unasked.
    fn ended(&mut self, id: &StreamId, reason: String) {
        let Some(stream) = self.streams.get_mut(id) else {
            return;
        };
        stream.lost_worker();
        let reason = stream.machine.knows_why().map_or(reason, str::to_owned);
        stream.note("ended", reason.clone());
        let asked = stream.machine.was_asked_to_end();
        let level = if asked {
            log::Level::Info
        } else {
            self.totals.worker_failures += 1;
            stream.last_failure = Some(reason.clone());
            log::Level::Warn
        };
        log_of(level, id, format_args!("worker ended: {reason}"));
        // It may have seen before us that the stream is gone.
        self.poller.request();
        let blame = self.server != Server::Lost;
        let draw = fastrand::f64();
        self.feed(
            id,
            Input::Ended(Ended {
                reason,
                blame,
                draw,
            }),
        );
    }

    fn start_if_allowed(&mut self, id: &StreamId, cause: Cause, now: Instant) {
        // A worker that failed along with its server would only fail again.
        if self.server == Server::Lost && cause != Cause::Wanted {
            return;
        }
        let Some(stream) = self.streams.get_mut(id) else {
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
        self.feed(id, Input::MayStart);
    }

    /// Takes one thing to a stream's state machine, and does what that decides.
    fn feed(&mut self, id: &StreamId, input: Input) {
        let now = Instant::now();
        let Some(stream) = self.streams.get_mut(id) else {
            return;
        };
        let breaker = stream.machine.breaker();
        let action = stream.machine.step(input, now, &self.config.policy);
        let after = stream.machine.breaker();
        if after != breaker {
            let reason = after.reason.clone().or(breaker.reason).unwrap_or_default();
            let kind = match after.state {
                BreakerState::Closed => "breaker-closed",
                BreakerState::Open => "breaker-open",
                BreakerState::HalfOpen => "breaker-half-open",
            };
            self.totals.breakers_opened += u64::from(after.state == BreakerState::Open);
            stream.note(kind, reason.clone());
            log_of(log::Level::Warn, id, format_args!("{kind}: {reason}"));
            self.changed.insert(id.clone());
        }
        if let Some(state) = stream.new_state() {
            log_of(log::Level::Info, id, format_args!("stream is {state}"));
            self.changed.insert(id.clone());
        }
        match action {
            None => {}
            Some(Action::Spawn) => self.spawn(id, now),
            Some(Action::Terminate) => self.with_worker(id, Worker::terminate),
            Some(Action::Kill) => self.with_worker(id, Worker::kill),
            Some(Action::Forget) => {
                log_of(log::Level::Info, id, format_args!("stream is gone"));
                self.streams.remove(id);
                self.changed.insert(id.clone());
            }
        }
    }

    fn with_worker(&mut self, id: &StreamId, act: impl FnOnce(&mut Worker)) {
        if let Some(worker) = self
            .streams
            .get_mut(id)
            .and_then(|stream| stream.worker.as_mut())
        {
            act(worker);
        }
    }

    fn spawn(&mut self, id: &StreamId, now: Instant) {
        self.workers += 1;
        self.totals.worker_starts += 1;
        let worker = WorkerId {
            stream: id.clone(),
            number: self.workers,
        };
        match Worker::start(&self.config.worker, &worker, &self.messages, now) {
            Ok(worker) => {
                let pid = worker.pid();
                log_of(log::Level::Info, id, format_args!("worker {pid} started"));
                if let Some(stream) = self.streams.get_mut(id) {
                    stream.note("started", format!("worker {pid}"));
                    stream.started(worker);
                }
                self.changed.insert(id.clone());
            }
            Err(error) => self.ended(id, format!("{error:#}")),
        }
    }

    /// Renews the copies that others see.
    fn publish(&mut self) {
        if !self.changed.is_empty() {
            let mut copies = locked(&self.view.streams);
            for id in &self.changed {
                match self.streams.get(id) {
                    Some(stream) => copies.insert(id.clone(), stream.status()),
                    None => copies.remove(id),
                };
            }
            drop(copies);
            self.view.changes.add(std::mem::take(&mut self.changed));
        }
        *locked(&self.view.totals) = self.totals;
    }

    fn end_all(&mut self) {
        let start = Instant::now();
        let mut workers: Vec<Worker> = self
            .streams
            .values_mut()
            .filter_map(|stream| stream.worker.take())
            .collect();
        log::info!(workers = workers.len(); "shutting down");
        workers.iter_mut().for_each(Worker::terminate);
        while !workers.is_empty() {
            if start.elapsed() >= TERMINATION {
                workers.iter_mut().for_each(Worker::kill);
                return;
            }
            workers.retain_mut(|worker| !worker.has_exited());
            thread::sleep(Duration::from_millis(10));
        }
    }
}

fn log_of(level: log::Level, id: &StreamId, message: std::fmt::Arguments<'_>) {
    let path = StreamPath {
        id: id.clone(),
        leg: Leg::In,
    };
    log::log!(level, path:% = path, streamId:% = id; "{message}");
}

/// The streams that are there; paths that are none of the suite's are nobody's here.
fn clients_by_stream(paths: Vec<PathInfo>) -> BTreeMap<StreamId, Clients> {
    let mut streams = BTreeMap::<StreamId, Clients>::new();
    let mut outputs = Vec::new();
    for info in paths.into_iter().filter(PathInfo::is_available) {
        let Ok(path) = info.name.parse::<StreamPath>() else {
            continue;
        };
        match path.leg {
            Leg::In => {
                let clients = streams.entry(path.id).or_default();
                clients.source = info.source;
                clients.input_readers = info.readers;
            }
            Leg::Out => outputs.push((path.id, info.readers)),
        }
    }
    for (id, readers) in outputs {
        if let Some(clients) = streams.get_mut(&id) {
            clients.output_readers = readers;
        }
    }
    streams
}
