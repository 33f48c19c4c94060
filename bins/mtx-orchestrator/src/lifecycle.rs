//! The policies of the server's paths: mtx-lifecycle's library, and its watch on a thread of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Sender};
use std::thread;

use anyhow::{Context, Result};
use mtx_lifecycle::commands::{self, Options};
use mtx_lifecycle::watch::{Metrics, Watch};

/// Requests that wait for MediaMTX at the same time: a fraction of the connections that there can be, so that however
/// long they wait, there is room for MediaMTX's events.
const MOST_WAITING: usize = 32;

pub(crate) struct Lifecycle {
    commands: commands::Lifecycle,
    metrics: Arc<Metrics>,
    waiting: AtomicUsize,
    /// The watch runs for as long as there is somebody who could tell it to end. Where that is the process's own
    /// end, the journal knows what it was doing.
    _watch: Sender<()>,
}

impl Lifecycle {
    /// Watches from now on. There is one who does that for a folder.
    pub(crate) fn start(options: Options) -> Result<Self> {
        let watch = Watch::new(commands::Lifecycle::new(options.clone())?)?;
        let metrics = watch.metrics();
        let (sender, stop) = mpsc::channel();
        let thread = thread::Builder::new().name("lifecycle".to_owned());
        thread
            .spawn(move || watch.run(&stop))
            .context("no thread to watch")?;
        Ok(Self {
            commands: commands::Lifecycle::new(options)?,
            metrics,
            waiting: AtomicUsize::new(0),
            _watch: sender,
        })
    }

    /// What asks and tells MediaMTX, unless too many wait for that already.
    pub(crate) fn commands(&self) -> Option<Commands<'_>> {
        let more = |waiting: usize| (waiting < MOST_WAITING).then_some(waiting + 1);
        let order = Ordering::Relaxed;
        self.waiting.fetch_update(order, order, more).ok()?;
        Some(Commands(self))
    }

    /// What was seen so far, in Prometheus' text format.
    pub(crate) fn metrics(&self) -> String {
        self.metrics.plain_text()
    }
}

/// A place among those who wait.
pub(crate) struct Commands<'a>(&'a Lifecycle);

impl std::ops::Deref for Commands<'_> {
    type Target = commands::Lifecycle;

    fn deref(&self) -> &Self::Target {
        &self.0.commands
    }
}

impl Drop for Commands<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}
