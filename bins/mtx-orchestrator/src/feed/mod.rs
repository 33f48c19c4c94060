//! What happens to the streams, told to whoever listens on a WebSocket.

mod news;
mod socket;

use std::collections::BTreeMap;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tungstenite::Utf8Bytes;

use crate::supervisor::Supervisor;
use news::News;

#[cfg(test)]
pub(crate) use news::tests::stream;
pub(crate) use socket::serve;

/// Each costs a thread and a connection, of which hooks and operators need the others.
pub(crate) const MOST_SUBSCRIBERS: usize = 64;
/// Batches that a subscriber may be behind; at most 20 come in a second.
const QUEUE: usize = 200;
/// Changes that follow each other closely are told together.
const PACE: Duration = Duration::from_millis(50);
const HEARTBEAT: Duration = Duration::from_secs(10);
/// For farewells.
const ENDING: Duration = Duration::from_secs(1);

/// Messages as they go out, shared by all who get them.
type Batch = Arc<[Utf8Bytes]>;

/// Cheap to clone.
#[derive(Clone)]
pub(crate) struct Feed {
    supervisor: Supervisor,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    left: Condvar,
}

#[derive(Default)]
struct State {
    next: u64,
    queues: BTreeMap<u64, SyncSender<Batch>>,
    /// Those who have not left yet, whether or not they are still told anything.
    present: usize,
    news: News,
    closing: bool,
}

/// Why nobody more can listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("{MOST_SUBSCRIBERS} WebSockets are open already, and more are not allowed")]
    Full,
    #[error("the orchestrator is shutting down")]
    ShuttingDown,
}

impl Feed {
    /// From now on the supervisor's streams are followed.
    pub(crate) fn start(supervisor: Supervisor) -> Result<Self> {
        let feed = Self {
            supervisor,
            shared: Arc::default(),
        };
        let follower = feed.clone();
        thread::Builder::new()
            .name("feed".to_owned())
            .spawn(move || follower.follow())
            .context("can't start the thread that follows the streams")?;
        Ok(feed)
    }

    fn follow(&self) {
        let mut heartbeat = Instant::now() + HEARTBEAT;
        loop {
            let patience = heartbeat.saturating_duration_since(Instant::now());
            let changed = self.supervisor.changed(patience);
            let due = Instant::now() >= heartbeat;
            if due {
                // After a time without running there is one, and not all that were missed.
                heartbeat = (heartbeat + HEARTBEAT).max(Instant::now());
            }
            let mut state = self.lock();
            if !state.queues.is_empty() {
                let mut batch = Vec::new();
                for id in &changed {
                    let status = self.supervisor.stream(id);
                    state.news.of(id, status.as_ref(), &mut batch);
                }
                if due {
                    let streams = self.supervisor.streams();
                    batch.extend(streams.iter().map(news::heartbeat));
                }
                state.tell(batch.into());
            }
            drop(state);
            thread::sleep(PACE);
        }
    }

    /// Has one more told of everything, beginning with how it is now.
    pub(crate) fn subscribe(&self) -> Result<Subscription, Refusal> {
        let mut state = self.lock();
        if state.closing {
            return Err(Refusal::ShuttingDown);
        }
        if state.present >= MOST_SUBSCRIBERS {
            return Err(Refusal::Full);
        }
        let streams = self.supervisor.streams();
        if state.queues.is_empty() {
            // Nobody has listened, so nobody has kept up with what there is.
            state.news = News::after(&streams);
        }
        let (queue, batches) = mpsc::sync_channel(QUEUE);
        let now: Batch = streams.iter().map(news::status).collect();
        // A new queue has room.
        let _ = queue.try_send(now);
        state.next += 1;
        state.present += 1;
        let number = state.next;
        state.queues.insert(number, queue);
        Ok(Subscription {
            shared: Arc::clone(&self.shared),
            number,
            batches,
        })
    }

    /// Bids all farewell, and returns when they are gone, or soon anyway.
    pub(crate) fn shutdown(&self) {
        let mut state = self.lock();
        state.closing = true;
        state.queues.clear();
        let anybody = |state: &mut State| state.present > 0;
        drop(self.shared.left.wait_timeout_while(state, ENDING, anybody));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.lock()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Nobody is waited for: whoever is too far behind is told no more.
    fn tell(&mut self, batch: Batch) {
        if !batch.is_empty() {
            self.queues
                .retain(|_, queue| queue.try_send(Arc::clone(&batch)).is_ok());
        }
    }
}

/// One who listens.
pub(crate) struct Subscription {
    shared: Arc<Shared>,
    number: u64,
    /// Ends when it was too slow, or when the process ends.
    batches: Receiver<Batch>,
}

impl Subscription {
    fn is_closing(&self) -> bool {
        self.shared.lock().closing
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.queues.remove(&self.number);
        state.present -= 1;
        drop(state);
        self.shared.left.notify_all();
    }
}
