//! Keeps it true: puts right what others have changed, writes what has waited, and has an eye on the streams.

mod breaker;
mod disks;
mod health;
mod metrics;
mod observe;
mod seen;
mod segments;
mod server;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use common::http;

use crate::apply::{Refused, Scope};
use crate::commands::{Error, Lifecycle, Report, Session};
use crate::journal::{Lock, LockError, WATCH_LOCK};
use breaker::{Breaker, Event};
use disks::Disks;
use observe::Observed;

pub use metrics::Metrics;

const INTERVAL: Duration = Duration::from_secs(2);
/// A command is done within moments, or waits for its source without the lock.
const PATIENCE: Duration = Duration::from_millis(500);
/// A command that has the lock for longer than that is stuck, or stopped.
const LONGEST_COMMAND: Duration = Duration::from_secs(30);
/// Questions about recorded files at each look: each makes the server read a folder.
const QUESTIONS: usize = 5;

/// Watches one server.
pub struct Watch {
    lifecycle: Lifecycle,
    metrics: Arc<Metrics>,
    breaker: Breaker,
    observed: Observed,
    disks: Disks,
    /// What was said last about each path, so that it is said once.
    said: BTreeMap<String, Vec<String>>,
    /// What the server has rejected at the last look.
    refused: Vec<Refused>,
    down_since: Option<Instant>,
    kept_out_since: Option<Instant>,
    _lock: Lock,
}

impl Watch {
    /// Takes the place of the one that watches.
    ///
    /// # Errors
    /// When another one does.
    pub fn new(lifecycle: Lifecycle) -> Result<Self, Error> {
        let lock = Lock::take(&lifecycle.options().folder, WATCH_LOCK, Duration::ZERO)?;
        Ok(Self {
            lifecycle,
            metrics: Arc::default(),
            breaker: Breaker::new(),
            observed: Observed::default(),
            disks: Disks::default(),
            said: BTreeMap::new(),
            refused: Vec::new(),
            down_since: None,
            kept_out_since: None,
            _lock: lock,
        })
    }

    /// Answers `GET /metrics` from now on.
    ///
    /// # Errors
    /// When the address can't be had.
    pub fn serve_metrics(&self, address: SocketAddr) -> Result<(), http::ServerError> {
        let page = Arc::new(server::Page(Arc::clone(&self.metrics)));
        http::serve(http::bind(address)?, page)
    }

    /// What it has seen so far.
    #[must_use]
    pub fn metrics(&self) -> Arc<Metrics> {
        Arc::clone(&self.metrics)
    }

    /// Watches until something comes over `stop`, or its sender has gone.
    pub fn run(mut self, stop: &Receiver<()>) {
        log::info!("watching {}", self.lifecycle.options().api.url());
        loop {
            self.tick();
            match stop.recv_timeout(INTERVAL) {
                Err(RecvTimeoutError::Timeout) => {}
                Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn tick(&mut self) {
        let now = Instant::now();
        self.breaker = self.breaker.on(Event::Tick, now);
        if !self.breaker.may_ask() {
            return;
        }
        match self.look() {
            Ok(()) => self.succeeded(now),
            Err(Error::Lock(error @ LockError::Taken { .. })) => self.kept_out(&error, now),
            Err(error) if error.is_of_server() => self.failed(&error, now),
            Err(error) => {
                self.metrics.failed("internal");
                for text in self.news("", vec![error.to_string()]) {
                    log::error!("{text}");
                }
            }
        }
    }

    /// A command is at work; it leaves things as they should be, unless it is stuck.
    fn kept_out(&mut self, error: &LockError, now: Instant) {
        let since = *self.kept_out_since.get_or_insert(now);
        if now < since + LONGEST_COMMAND {
            return;
        }
        for text in self.news("", vec![error.to_string()]) {
            self.metrics.failed("lock");
            log::error!("nothing can be looked after: {text}");
        }
    }

    fn look(&mut self) -> Result<(), Error> {
        let mut session = Session::begin(&self.lifecycle, PATIENCE)?;
        self.kept_out_since = None;
        let server = self.lifecycle.server();
        let mut view = server.look()?;
        let resting: BTreeSet<String> = self.observed.resting(session.state());
        let scope = Scope {
            resting: Some(&resting),
            questions: Some(QUESTIONS),
            refused: &self.refused,
            ..Scope::default()
        };
        let report = session.converge(&view, &scope)?;
        self.refused.clone_from(&report.refused);
        if !report.written.is_empty() {
            view = server.look()?;
        }
        let notes = self.observed.look(&view, session.state(), &self.metrics);
        for note in notes {
            session.note(note)?;
        }
        drop(session);
        self.observed.look_at_files(server, &view, &self.metrics);
        self.disks.look(&self.lifecycle, &view, &self.metrics);
        self.tell(&report);
        Ok(())
    }

    fn tell(&mut self, report: &Report) {
        let pending = report
            .paths
            .iter()
            .filter(|path| !path.pending.is_empty())
            .count();
        self.metrics
            .pending
            .set(i64::try_from(pending).unwrap_or(i64::MAX));
        let failing = report.paths.iter().filter(|path| path.failed.is_some());
        self.metrics
            .failing
            .set(i64::try_from(failing.count()).unwrap_or(i64::MAX));
        let reported = |path: &String| report.paths.iter().any(|it| it.path == *path);
        self.said.retain(|path, _| reported(path));
        for path in &report.paths {
            for done in &path.done {
                self.metrics.changes.inc();
                log::info!(path = path.path.as_str(); "{done}");
            }
            let pending = path.pending.iter().map(ToString::to_string);
            let now = pending.chain(path.failed.clone()).collect();
            for text in self.news(&path.path, now) {
                if path.failed.as_ref() == Some(&text) {
                    self.metrics.failed("rejected");
                }
                log::warn!(path = path.path.as_str(); "{text}");
            }
        }
    }

    /// What of this was not said of the path last time.
    fn news(&mut self, path: &str, now: Vec<String>) -> Vec<String> {
        let before = self.said.insert(path.to_owned(), now.clone());
        let before = before.unwrap_or_default();
        // How many somebody waits for changes all the time.
        let what = |text: &str| text.split("(waits for ").next().map(str::to_owned);
        let before: Vec<_> = before.iter().map(|text| what(text)).collect();
        let fresh = now.into_iter().filter(|text| !before.contains(&what(text)));
        fresh.collect()
    }

    fn succeeded(&mut self, now: Instant) {
        self.said.remove("");
        self.breaker = self.breaker.on(Event::Success, now);
        self.metrics.api_up.set(1);
        if let Some(since) = self.down_since.take() {
            let seconds = now.duration_since(since).as_secs();
            log::info!(seconds = seconds; "MediaMTX's API answers again, and the server is as it is wanted");
        }
    }

    fn failed(&mut self, error: &Error, now: Instant) {
        let was_closed = self.breaker.is_closed();
        self.breaker = self.breaker.on(Event::Failure, now);
        self.metrics.failed("api");
        self.metrics.api_up.set(0);
        self.down_since.get_or_insert(now);
        if !was_closed || self.breaker.is_closed() {
            return;
        }
        match self.lifecycle.write_fallback() {
            Ok(file) => log::error!(
                "{error}. It is asked again now and then; what is wanted of it is in {}, for its mediamtx.yml",
                file.display()
            ),
            Err(why) => log::error!("{error}. It is asked again now and then ({why})"),
        }
    }
}
