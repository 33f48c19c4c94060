//! Which streams there is something new to tell of.

use std::collections::BTreeSet;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use super::locked;
use crate::stream_key::StreamKey;

/// A set, so that it stays small however long nobody asks, and whoever adds to it never waits.
#[derive(Default)]
pub(super) struct Changes {
    streams: Mutex<BTreeSet<StreamKey>>,
    added: Condvar,
}

impl Changes {
    pub(super) fn add(&self, mut streams: BTreeSet<StreamKey>) {
        locked(&self.streams).append(&mut streams);
        self.added.notify_one();
    }

    /// Takes what there is, or what comes within `patience`.
    pub(super) fn wait(&self, patience: Duration) -> BTreeSet<StreamKey> {
        let none = |streams: &mut BTreeSet<StreamKey>| streams.is_empty();
        let waited = self
            .added
            .wait_timeout_while(locked(&self.streams), patience, none);
        let (mut streams, _) = waited.unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *streams)
    }
}
