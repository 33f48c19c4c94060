//! One worker process per stream: which ones run follows from MediaMTX's path list.

mod changes;
mod failure;
mod hints;
mod launched;
mod launcher;
mod machine;
mod marks;
mod names;
mod output;
mod platform;
mod policy;
mod poller;
mod processes;
mod publishers;
mod pulse;
mod routing;
mod sockets;
mod status;
mod stream;
mod supervision;
mod usage;
mod worker;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use mediamtx::api::Api;
use mediamtx::event::{Event, EventKind};
use mediamtx::path::PathName;

pub(crate) use failure::FailureKind;
pub(crate) use launcher::OutputState;
pub(crate) use platform::confine;
pub(crate) use policy::{BreakerPolicy, Policy, Recovery};
pub(crate) use routing::RouteChanges;
pub(crate) use status::{
    BreakerState, Command, CommandError, EventOutcome, StreamState, StreamStatus, Totals,
    WorkerReport,
};
#[cfg(test)]
pub(crate) use status::{BreakerStatus, StreamEvent};
pub(crate) use worker::{Limits, Template};

use crate::declaration::Declaration;
use crate::routes::RouteTable;
use crate::stream_key::{Address, StreamKey};
use changes::Changes;
use names::Names;
use poller::Poller;
use processes::Processes;
use pulse::Pulse;
use supervision::{Message, Supervision};

/// Longer than a worker may take to end.
const SHUTDOWN: Duration = Duration::from_millis(2500);
/// The supervising thread never waits; only a machine that stands still takes so long.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the supervisor needs to know.
pub(crate) struct SupervisorConfig {
    pub(crate) api: Api,
    pub(crate) worker: Template,
    pub(crate) policy: Policy,
    /// What a worker may take where its route does not say otherwise.
    pub(crate) limits: Limits,
    /// Starts a second, over all streams.
    pub(crate) start_limit: u32,
    /// Workers at a time.
    pub(crate) max_streams: usize,
}

/// Cheap to clone; every call returns at once, whatever the workers do.
#[derive(Clone)]
pub(crate) struct Supervisor {
    messages: Sender<Message>,
    view: Arc<View>,
}

/// What the supervising thread lets others see.
struct View {
    streams: Mutex<BTreeMap<StreamKey, StreamStatus>>,
    routes: Mutex<Arc<RouteTable>>,
    changes: Changes,
    totals: Mutex<Totals>,
    pulse: Pulse,
    /// Or why the path list is not known.
    ready: Mutex<Result<(), String>>,
}

impl Supervisor {
    /// Starts to supervise: from now on the right workers run, those of the declared streams first, and none for the
    /// paths that are stopped.
    pub(crate) fn start(
        config: SupervisorConfig,
        routes: Arc<RouteTable>,
        declared: Vec<Declaration>,
        stopped: Vec<PathName>,
    ) -> Result<Self> {
        platform::raise_file_limit();
        let (messages, inbox) = mpsc::channel();
        for declaration in declared {
            let nobody = mpsc::channel().0;
            messages.send(Message::Declare(Box::new(declaration), nobody))?;
        }
        let view = Arc::new(View {
            streams: Mutex::default(),
            routes: Mutex::new(Arc::clone(&routes)),
            changes: Changes::default(),
            totals: Mutex::default(),
            pulse: Pulse::new(Instant::now()),
            ready: Mutex::new(Err("MediaMTX has not been asked yet".to_owned())),
        });
        let poller = Poller::start(config.api.clone(), messages.clone())?;
        let server = config.worker.servers.rtmp_endpoint();
        let names = Names::start(server, names::resolve, messages.clone())?;
        let template = Arc::new(config.worker.clone());
        let launcher = Box::new(Processes::new(template, messages.clone()));
        let mut supervision =
            Supervision::new(config, routes, launcher, (poller, names), Arc::clone(&view));
        supervision.stopped = stopped.into_iter().map(StreamKey::from).collect();
        // It lives as long as the process does: the end of the thread that started them ends the workers.
        thread::Builder::new()
            .name("supervision".to_owned())
            .spawn(move || supervision.run(&inbox))
            .context("can't start the supervising thread")?;
        Ok(Self { messages, view })
    }

    /// Takes note of an event. It is a hint to look at MediaMTX's path list, which is the truth.
    pub(crate) fn event(&self, event: &Event) -> EventOutcome {
        let (source, present) = match &event.kind {
            EventKind::Ready(source) | EventKind::Online(source) => (source, true),
            EventKind::NotReady(source) | EventKind::Offline(source) => (source, false),
            _ => return EventOutcome::Ignored("it says nothing about whether a stream is there"),
        };
        if self.routes().find(&source.path).is_none() {
            return EventOutcome::Ignored("no route is for this path");
        }
        let hint = Message::Hint {
            path: source.path.clone(),
            present,
            at: event.timestamp,
        };
        match self.messages.send(hint) {
            Ok(()) => EventOutcome::Accepted,
            Err(_) => EventOutcome::Ignored("the orchestrator is shutting down"),
        }
    }

    /// Every stream that is known, by name.
    pub(crate) fn streams(&self) -> Vec<StreamStatus> {
        locked(&self.view.streams).values().cloned().collect()
    }

    /// Looks at every stream without copying them; they stand still meanwhile.
    pub(crate) fn look_at_each(&self, look: impl FnMut(&StreamStatus)) {
        locked(&self.view.streams).values().for_each(look);
    }

    pub(crate) fn stream(&self, key: &StreamKey) -> Option<StreamStatus> {
        locked(&self.view.streams).get(key).cloned()
    }

    /// The stream that is meant, whether there is one or not.
    pub(crate) fn resolve(&self, address: Address) -> StreamKey {
        let streams = locked(&self.view.streams);
        match address.otherwise {
            Some(other) if !streams.contains_key(&address.key) && streams.contains_key(&other) => {
                other
            }
            _ => address.key,
        }
    }

    /// The routes in force.
    pub(crate) fn routes(&self) -> Arc<RouteTable> {
        Arc::clone(&locked(&self.view.routes))
    }

    /// Has other routes in force. Returns what that does, once it shows in [`Supervisor::stream`].
    pub(crate) fn set_routes(&self, routes: Arc<RouteTable>) -> Result<RouteChanges, CommandError> {
        self.ask(|done| Message::SetRoutes(routes, done))
    }

    /// What other routes would do.
    pub(crate) fn preview_routes(
        &self,
        routes: Arc<RouteTable>,
    ) -> Result<RouteChanges, CommandError> {
        self.ask(|done| Message::PreviewRoutes(routes, done))
    }

    /// Waits, at most for `patience`, until something is told anew of a stream; returns which streams those are.
    /// There may be only one who does.
    pub(crate) fn changed(&self, patience: Duration) -> BTreeSet<StreamKey> {
        self.view.changes.wait(patience)
    }

    /// The stream that a command is for, if it can be followed.
    pub(crate) fn check_command(
        &self,
        key: &StreamKey,
        command: Command,
    ) -> Result<StreamStatus, CommandError> {
        let Some(status) = self.stream(key) else {
            return Err(CommandError::Unknown(key.clone()));
        };
        let is_possible = match command {
            Command::Start => status.may_be_tried_again,
            Command::Stop => true,
            Command::Restart => false,
        };
        match &status.blocked {
            Some(why) if !is_possible => Err(CommandError::Blocked(key.clone(), why.clone())),
            _ => Ok(status),
        }
    }

    /// Has something done about a stream, soon. Nothing is where there is no such stream.
    pub(crate) fn command(&self, key: &StreamKey, command: Command) -> Result<(), CommandError> {
        let message = Message::Command {
            key: key.clone(),
            command,
        };
        self.messages
            .send(message)
            .map_err(|_| CommandError::ShuttingDown)
    }

    /// Has a stream run as it is declared, whether it was declared before or not.
    pub(crate) fn declare(&self, declaration: Declaration) -> Result<(), CommandError> {
        self.ask(|done| Message::Declare(Box::new(declaration), done))
    }

    /// Has a stream that was declared forgotten.
    pub(crate) fn undeclare(&self, key: &StreamKey) -> Result<(), CommandError> {
        self.ask(|done| Message::Undeclare(key.clone(), done))
    }

    /// Returns when what was asked for shows in [`Supervisor::stream`].
    fn ask<T>(&self, message: impl FnOnce(Sender<T>) -> Message) -> Result<T, CommandError> {
        let (done, wait) = mpsc::channel();
        let sent = self.messages.send(message(done));
        sent.map_err(|_| CommandError::ShuttingDown)?;
        wait.recv_timeout(PATIENCE).map_err(|error| match error {
            RecvTimeoutError::Timeout => CommandError::NoAnswer,
            RecvTimeoutError::Disconnected => CommandError::ShuttingDown,
        })
    }

    pub(crate) fn totals(&self) -> Totals {
        *locked(&self.view.totals)
    }

    /// Whether anybody looks after the streams; if not, what is wrong.
    pub(crate) fn is_alive(&self) -> Result<(), String> {
        self.view.pulse.check(Instant::now())
    }

    /// Whether MediaMTX's path list is known as of now; if not, why.
    pub(crate) fn is_ready(&self) -> Result<(), String> {
        locked(&self.view.ready).clone()
    }

    /// Ends all workers, the slow ones by force, and returns when they are gone.
    pub(crate) fn shutdown(&self) {
        let (done, wait) = mpsc::channel();
        if self.messages.send(Message::Shutdown(done)).is_ok() {
            // Gone without an answer is gone as well.
            let _ = wait.recv_timeout(SHUTDOWN);
        }
    }
}

/// No holder leaves anything half done.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
