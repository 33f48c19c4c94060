//! The one thread that owns all streams: it takes what is heard to the state machines, and does what they decide.

mod ancestry;
mod declared;
mod presence;
mod queue;
mod rerouting;
mod returns;
mod schedule;
mod workers;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use common::timestamp::Timestamp;
use log::Level;
use mediamtx::api::{ApiError, PathInfo};
use mediamtx::path::PathName;
use mediamtx::via::Via;

use super::hints::Hints;
use super::launcher::{How, Launcher, Observation, WorkerKey};
use super::machine::{Action, Input, TERMINATION};
use super::marks::{Marks, Returns};
use super::names::{Lookup, Names};
use super::policy::StartLimit;
use super::poller::Poller;
use super::publishers::Findings;
use super::status::{BreakerState, Command, StreamState, StreamStatus, Totals};
use super::stream::Stream;
use super::{RouteChanges, SupervisorConfig, View, locked};
use crate::declaration::Declaration;
use crate::routes::RouteTable;
use crate::stream_key::StreamKey;
use presence::Available;
use schedule::Schedule;

/// How long declared streams wait at the start for what MediaMTX has, which goes before them: two that feed each other
/// would otherwise be judged by who is known first.
const FIRST_LIST: Duration = Duration::from_secs(3);
/// How long workers that fail wait for a server whose API is away; the API alone may be.
const LOST: Duration = Duration::from_secs(30);
/// Without a look around for this long, it is this process that hung, and not its workers.
const STALLED: Duration = Duration::from_secs(3);
/// Messages taken at once before time is looked after.
const BATCH: usize = 256;

/// What the supervising thread is told.
pub(super) enum Message {
    /// A hook says that a stream is there, or is not.
    Hint {
        path: PathName,
        present: bool,
        at: Timestamp,
    },
    /// MediaMTX's path list, new enough for the requests up to the number `covers`.
    Paths {
        covers: u64,
        paths: Result<Vec<PathInfo>, ApiError>,
        findings: Findings,
    },
    /// The addresses of an output's host.
    Lookup(Lookup),
    Observed {
        worker: WorkerKey,
        observation: Observation,
    },
    Command {
        key: StreamKey,
        command: Command,
    },
    /// A stream was asked for, or is asked for otherwise. What follows from it shows when it is answered.
    Declare(Box<Declaration>, Sender<()>),
    /// It is wanted no more.
    Undeclare(StreamKey, Sender<()>),
    /// Other routes are in force.
    SetRoutes(Arc<RouteTable>, Sender<RouteChanges>),
    /// What they would do is wanted.
    PreviewRoutes(Arc<RouteTable>, Sender<RouteChanges>),
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
    launcher: Box<dyn Launcher>,
    poller: Poller,
    view: Arc<View>,
    routes: Arc<RouteTable>,
    /// What MediaMTX has, as far as is known.
    available: BTreeMap<PathName, Available>,
    /// The servers that workers publish to, and which of them are this one.
    names: Names,
    /// Publishers that are none of the workers, by MediaMTX's ids.
    strangers: BTreeSet<String>,
    /// Where the streams of publishers have been, by the same ids.
    via: BTreeMap<String, Via>,
    marks: Marks,
    returns: Returns,
    /// Those that follow a route, but were stopped: they stay so, also when they are away for a while.
    pub(super) stopped: BTreeSet<StreamKey>,
    streams: BTreeMap<StreamKey, Stream>,
    /// Those whose copy is out of date.
    changed: BTreeSet<StreamKey>,
    schedule: Schedule,
    hints: Hints,
    server: Server,
    /// Since when the server is lost, if it is.
    lost: Instant,
    limit: StartLimit,
    totals: Totals,
    /// The epoch of the last one that was started.
    epoch: u64,
    began: Instant,
    looked: Instant,
}

impl Supervision {
    pub(super) fn new(
        config: SupervisorConfig,
        routes: Arc<RouteTable>,
        launcher: Box<dyn Launcher>,
        (poller, names): (Poller, Names),
        view: Arc<View>,
    ) -> Self {
        let now = Instant::now();
        Self {
            limit: StartLimit::new(config.start_limit, now),
            config,
            launcher,
            poller,
            view,
            routes,
            available: BTreeMap::new(),
            names,
            strangers: BTreeSet::new(),
            via: BTreeMap::new(),
            marks: Marks::random(),
            returns: Returns::default(),
            stopped: BTreeSet::new(),
            streams: BTreeMap::new(),
            changed: BTreeSet::new(),
            schedule: Schedule::default(),
            hints: Hints::default(),
            server: Server::NeverReached,
            lost: now,
            totals: Totals::default(),
            epoch: 0,
            began: now,
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
                    self.end_all(inbox);
                    // Whoever asked may have given up waiting.
                    let _ = done.send(());
                    return;
                }
                self.take(message);
            }
            self.look_after();
            self.publish();
            self.view.pulse.beat(Instant::now());
        }
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Hint { path, present, at } => self.hint(path, present, at),
            Message::Paths {
                covers,
                paths,
                findings,
            } => {
                match paths {
                    Ok(paths) => self.reconcile(covers, paths, findings),
                    Err(error) => self.unreachable(covers, &error),
                }
                self.schedule.retry();
            }
            Message::Lookup(lookup) => {
                if self.names.looked_up(lookup, Instant::now()) {
                    self.plan_all_again();
                }
                self.inquire();
                self.schedule.retry();
            }
            Message::Observed {
                worker,
                observation,
            } => self.observed(&worker, observation),
            Message::Command { key, command } => self.command(&key, command),
            Message::Declare(declaration, done) => {
                self.declare(&declaration);
                self.publish();
                // Whoever asked may have given up waiting.
                let _ = done.send(());
            }
            Message::Undeclare(key, done) => {
                self.undeclare(&key);
                self.publish();
                let _ = done.send(());
            }
            Message::SetRoutes(routes, done) => {
                let changes = self.set_routes(routes);
                self.publish();
                let _ = done.send(changes);
            }
            Message::PreviewRoutes(routes, done) => {
                let _ = done.send(self.route_changes(&routes));
            }
            Message::Shutdown(_) => {}
        }
    }

    fn command(&mut self, key: &StreamKey, command: Command) {
        if command == Command::Start {
            self.forget_observations(key);
        }
        let known = self.streams.get(key);
        let is_declared = known.is_some_and(|stream| stream.declared.is_some());
        // What is wanted counts, also where the stream was forgotten since it was asked for: the store has it so.
        match command {
            Command::Start => self.stopped.remove(key),
            Command::Stop => !is_declared && self.stopped.insert(key.clone()),
            Command::Restart => false,
        };
        let Some(stream) = self.streams.get_mut(key) else {
            return;
        };
        // Only a start ends a stop.
        if command == Command::Restart && stream.machine.state() == StreamState::Stopped {
            return;
        }
        let (kind, input) = match command {
            Command::Start => ("start", Input::Start),
            Command::Stop => ("stop", Input::Stop),
            Command::Restart => ("restart", Input::Restart),
        };
        stream.note(kind, "asked for by an operator");
        self.changed.insert(key.clone());
        stream.log(Level::Info, format_args!("{kind} asked for by an operator"));
        self.feed(key, input);
    }

    /// Takes one thing to a stream's state machine, and does what that decides.
    pub(super) fn feed(&mut self, key: &StreamKey, input: Input) {
        let now = self.now();
        self.schedule.touch(key);
        let Some(stream) = self.streams.get_mut(key) else {
            return;
        };
        let breaker = stream.machine.breaker();
        let action = stream.machine.step(input, now, &stream.plan.policy);
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
            stream.log(Level::Warn, format_args!("{kind}: {reason}"));
            self.changed.insert(key.clone());
        }
        if let Some(state) = stream.new_state() {
            stream.log(Level::Info, format_args!("stream is {state}"));
            self.changed.insert(key.clone());
        }
        match action {
            None => {}
            Some(Action::Spawn) => self.spawn(key, now),
            Some(Action::Terminate) => self.end(key, How::Orderly),
            Some(Action::Kill) => self.end(key, How::Forced),
            Some(Action::Forget) => {
                stream.log(Level::Info, format_args!("stream is gone"));
                self.streams.remove(key);
                self.changed.insert(key.clone());
            }
        }
    }

    /// Renews the copies that others see.
    fn publish(&mut self) {
        if !self.changed.is_empty() {
            let mut copies = locked(&self.view.streams);
            for key in &self.changed {
                match self.streams.get(key).filter(|stream| !stream.removed) {
                    Some(stream) => copies.insert(key.clone(), self.status(stream)),
                    None => copies.remove(key),
                };
            }
            drop(copies);
            self.changed.iter().for_each(|key| self.schedule.touch(key));
            self.view.changes.add(std::mem::take(&mut self.changed));
        }
        *locked(&self.view.totals) = self.totals;
    }

    fn status(&self, stream: &Stream) -> StreamStatus {
        StreamStatus {
            may_be_tried_again: self.may_be_tried_again(stream),
            ..stream.status()
        }
    }

    fn end_all(&mut self, inbox: &Receiver<Message>) {
        let deadline = Instant::now() + TERMINATION;
        let mut workers: Vec<WorkerKey> = self
            .streams
            .iter()
            .filter_map(|(key, stream)| {
                let epoch = stream.worker.as_ref()?.epoch;
                let stream = key.clone();
                Some(WorkerKey { stream, epoch })
            })
            .collect();
        log::info!(workers = workers.len(); "shutting down");
        for worker in &workers {
            self.launcher.end(worker, How::Orderly);
        }
        while !workers.is_empty() {
            let patience = deadline.saturating_duration_since(Instant::now());
            match inbox.recv_timeout(patience) {
                Ok(Message::Observed {
                    worker,
                    observation: Observation::Ended(_),
                }) => workers.retain(|it| *it != worker),
                Ok(_) => {}
                Err(_) => break,
            }
        }
        for worker in &workers {
            self.launcher.end(worker, How::Forced);
        }
    }
}

#[cfg(test)]
mod tests;
