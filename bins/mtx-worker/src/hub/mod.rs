//! The middle of the worker: one stream comes in, outputs take it, and come and go meanwhile.
//!
//! ```text
//! source ─> Fanout ─┬─> Queue ─> OutputTask (Claim, retries, RtmpSink) ─> server
//!           (Gop)   ├─> Queue ─> OutputTask ─> …
//!                   └─> …
//! ```
//!
//! Each output is a task of its own on the worker's one thread. What becomes of an output concerns neither the source nor
//! the other outputs.

mod claim;
mod fanout;
mod gop;
#[cfg(test)]
mod model;
mod output;
mod video_watch;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Instant;

use common::retry::RetrySchedule;
use futures_util::future::join_all;
use tokio::sync::{Notify, watch};
use tokio::task::{JoinHandle, spawn_local};

use crate::config::Config;
use crate::media::Item;
use crate::sink::SinkError;
use crate::source::RtspSource;
use crate::state::{OutputKey, Status};
use crate::stats::{Report, Stats, StreamStats, Totals};
use crate::stop::requested;
use fanout::Fanout;
use output::OutputTask;
pub(crate) use output::{Output, OutputSpec};

/// The last output that was left, and why it was lost.
pub(crate) struct LastLost {
    pub(crate) output: Rc<Output>,
    pub(crate) error: SinkError,
}

/// What the tasks of all outputs have in common.
struct Shared {
    source: Rc<RtspSource>,
    status: Rc<Status>,
    retry: RetrySchedule,
    epoch: Instant,
    /// Whether an output is no other worker's, so that the source is worth reading.
    is_claimed: watch::Sender<bool>,
    has_streamed: Cell<bool>,
    lost: Cell<Option<LastLost>>,
    has_lost: Notify,
}

/// All outputs of one worker.
pub(crate) struct Hub {
    shared: Rc<Shared>,
    fanout: Fanout,
    outputs: RefCell<BTreeMap<OutputKey, Rc<Output>>>,
    /// Of these outputs, and of removed ones that still have something to send.
    tasks: RefCell<Vec<JoinHandle<()>>>,
    next_key: Cell<u64>,
    /// Units that removed outputs left out.
    dropped: Cell<u64>,
    stats: StreamStats,
    /// Whether outputs may come and go, or are those of the start.
    may_change: bool,
}

impl Hub {
    /// Without outputs, for now. If they `may_change`, those that join later begin with the picture since the last key frame.
    pub(crate) fn new(
        config: &Config,
        may_change: bool,
        source: Rc<RtspSource>,
        status: Rc<Status>,
        epoch: Instant,
    ) -> Self {
        let shared = Shared {
            source,
            status,
            retry: config.retry.clone(),
            epoch,
            is_claimed: watch::Sender::new(false),
            has_streamed: Cell::new(false),
            lost: Cell::default(),
            has_lost: Notify::new(),
        };
        Self {
            shared: Rc::new(shared),
            fanout: Fanout::new(may_change),
            outputs: RefCell::default(),
            tasks: RefCell::default(),
            next_key: Cell::new(0),
            dropped: Cell::new(0),
            stats: StreamStats::new(epoch),
            may_change,
        }
    }

    /// Makes `wanted` the outputs: new ones start, missing ones end in an orderly way, and those with the same id and URL
    /// go on untouched. To be called within a `LocalSet`.
    pub(crate) fn apply(&self, wanted: Vec<OutputSpec>) {
        self.tasks.borrow_mut().retain(|task| !task.is_finished());
        let outputs = self.outputs();
        let is_only = wanted.len() == 1;
        let missing: Vec<_> = outputs
            .iter()
            .filter(|output| !wanted.iter().any(|spec| output.is(spec)))
            .collect();
        for spec in wanted {
            if !outputs.iter().any(|output| output.is(&spec)) {
                self.add(spec, is_only);
            }
        }
        // After the additions, since the worker is as well off as its best output.
        for output in missing {
            self.remove(output);
        }
        self.try_lost_outputs();
    }

    /// If only outputs are left that were given up, there is nothing else to go on for: they are tried again at once.
    fn try_lost_outputs(&self) {
        if !self.shared.status.is_every_output_lost() {
            return;
        }
        for (key, output) in self.outputs.borrow().iter() {
            self.shared.status.set_output_tried_again(*key);
            output.end_pause();
        }
    }

    fn add(&self, spec: OutputSpec, is_only: bool) {
        let key = OutputKey(self.next_key.replace(self.next_key.get() + 1));
        let name = match is_only && !self.may_change {
            true => "output".to_owned(),
            false => format!("output {}", spec.url()),
        };
        let shared = Rc::clone(&self.shared);
        let (queue, repeated) = self.fanout.join(key);
        let stats = Stats::new(shared.epoch, self.totals().without(repeated));
        let (output, task) = OutputTask::new(spec, (key, name), queue, stats, shared);
        let (id, shown) = (output.id.clone(), output.url.to_string());
        self.shared.status.add_output(key, id, shown);
        self.outputs.borrow_mut().insert(key, output);
        self.tasks.borrow_mut().push(spawn_local(task.run()));
    }

    fn remove(&self, output: &Output) {
        // Reports go on from its counters.
        self.totals();
        self.fanout.leave(output.key);
        self.shared.status.remove_output(output.key);
        self.outputs.borrow_mut().remove(&output.key);
        output.close();
        self.dropped
            .set(self.dropped.get() + output.queue.dropped());
    }

    /// Into the queues of all outputs; never waits.
    pub(crate) fn push(&self, item: &Item) {
        self.fanout.push(item);
    }

    /// Outputs that join before the source is back begin with what it brings then.
    pub(crate) fn source_lost(&self) {
        self.fanout.source_lost();
    }

    /// Waits until there is an output that is no other worker's: without one nothing is worth reading.
    pub(crate) async fn claimed(&self) {
        requested(&mut self.shared.is_claimed.subscribe()).await;
    }

    /// Waits until the last output that was left is lost.
    pub(crate) async fn last_lost(&self) -> LastLost {
        loop {
            if let Some(lost) = self.shared.lost.take() {
                return lost;
            }
            self.shared.has_lost.notified().await;
        }
    }

    /// Ends all outputs in an orderly way: what is queued is still sent, as far as it takes no long time.
    pub(crate) async fn close(&self) {
        for output in self.outputs.borrow().values() {
            output.close();
        }
        let tasks = self.tasks.take();
        join_all(tasks).await;
    }

    /// Whether anything ever went through.
    pub(crate) fn has_streamed(&self) -> bool {
        self.shared.has_streamed.get()
    }

    /// Those that were not removed.
    pub(crate) fn outputs(&self) -> Vec<Rc<Output>> {
        self.outputs.borrow().values().cloned().collect()
    }

    /// How many outputs there are.
    pub(crate) fn len(&self) -> usize {
        self.outputs.borrow().len()
    }

    /// Of the output that got furthest; starts a new interval.
    pub(crate) fn report(&self) -> Report {
        let now = Instant::now();
        let outputs = self.outputs.borrow();
        let outputs = outputs.values().map(|output| &output.stats);
        self.stats.report(now, outputs)
    }

    /// How many units outputs left out.
    pub(crate) fn dropped(&self) -> u64 {
        let outputs = self.outputs.borrow();
        let dropped: u64 = outputs.values().map(|output| output.queue.dropped()).sum();
        self.dropped.get() + dropped
    }

    fn totals(&self) -> Totals {
        let outputs = self.outputs.borrow();
        self.stats
            .totals(outputs.values().map(|output| &output.stats))
    }
}
