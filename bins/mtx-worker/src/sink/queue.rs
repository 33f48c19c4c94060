//! The bounded queue between a source and a sink.
//!
//! A sink that is slow or away never holds up the source: when the queue is full, it is emptied, and
//! goes on with the next key frame. What that loses is counted.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::Notify;

use crate::entry::Entries;
use crate::media::{AccessUnit, Item, Tracks};

/// Media held for a sink, in time and in bytes. Three seconds bridge a short stall; more would only
/// be stale. They fit in at 85 Mbit/s.
const MAX_BYTES: usize = 32 * 1024 * 1024;
const MAX_SPAN: i64 = 3_000_000_000;

#[derive(Default)]
struct Inner {
    items: VecDeque<Item>,
    bytes: usize,
    tracks: Option<Arc<Tracks>>,
    /// How far a decoder behind the sink can follow the video.
    entries: Entries,
}

/// A queue within one thread.
#[derive(Default)]
pub(crate) struct Queue {
    inner: RefCell<Inner>,
    filled: Notify,
    is_closed: Cell<bool>,
    dropped: Cell<u64>,
}

impl Queue {
    /// Adds an item; never waits.
    pub(crate) fn push(&self, item: Item) {
        if self.is_closed.get() {
            return;
        }
        let mut inner = self.inner.borrow_mut();
        match &item {
            Item::Tracks(tracks) => inner.tracks = Some(tracks.clone()),
            Item::Unit(unit) => {
                if inner.is_full(unit) {
                    self.count(inner.forget_units());
                }
                if !inner.entries.admits(unit) {
                    self.count(1);
                    return;
                }
                inner.bytes += unit.data.len();
            }
        }
        inner.items.push_back(item);
        drop(inner);
        self.filled.notify_one();
    }

    /// Adds items in this order; never waits.
    pub(crate) fn extend(&self, items: impl IntoIterator<Item = Item>) {
        for item in items {
            self.push(item);
        }
    }

    /// The next item, in order; waits for one. `None` once the queue is closed and empty.
    pub(crate) async fn pop(&self) -> Option<Item> {
        loop {
            let item = self.try_pop();
            if item.is_some() || self.is_closed.get() {
                return item;
            }
            self.filled.notified().await;
        }
    }

    /// Nothing is added any more.
    pub(crate) fn close(&self) {
        self.is_closed.set(true);
        self.filled.notify_one();
    }

    /// The next item, if there is one.
    pub(crate) fn try_pop(&self) -> Option<Item> {
        let mut inner = self.inner.borrow_mut();
        let item = inner.items.pop_front()?;
        if let Item::Unit(unit) = &item {
            inner.bytes -= unit.data.len();
        }
        Some(item)
    }

    /// The tracks of what comes next; waits until they are known.
    pub(crate) async fn tracks(&self) -> Arc<Tracks> {
        loop {
            if let Some(tracks) = self.inner.borrow().next_tracks() {
                return tracks;
            }
            self.filled.notified().await;
        }
    }

    /// Waits until there is media.
    pub(crate) async fn has_media(&self) {
        while self.inner.borrow().bytes == 0 {
            self.filled.notified().await;
        }
    }

    /// Whether no video of what comes next can be decoded before a key frame comes.
    pub(crate) fn awaits_key_frame(&self) -> bool {
        self.inner.borrow().entries.is_waiting()
    }

    /// Gives back tracks that were popped, to be the next item again.
    pub(crate) fn put_back(&self, tracks: Arc<Tracks>) {
        self.inner
            .borrow_mut()
            .items
            .push_front(Item::Tracks(tracks));
    }

    /// Prepares for a sink that starts anew: the tracks first, then the next key frame.
    pub(crate) fn restart(&self) {
        let mut inner = self.inner.borrow_mut();
        let lost = inner.forget_units();
        self.count(lost);
        inner.items.clear();
        if let Some(tracks) = inner.tracks.clone() {
            inner.items.push_back(Item::Tracks(tracks));
        }
    }

    /// Prepares likewise for a sink that starts with a unit that was popped: what it belongs to is known by it.
    pub(crate) fn restart_with(&self, unit: AccessUnit) {
        self.restart();
        let mut inner = self.inner.borrow_mut();
        inner.bytes += unit.data.len();
        inner.items.push_back(Item::Unit(unit));
    }

    /// How many units were left out so far.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.get()
    }

    /// Counts units that were left out, here or behind the queue.
    pub(super) fn count(&self, lost: u64) {
        self.dropped.set(self.dropped.get() + lost);
    }
}

impl Inner {
    fn next_tracks(&self) -> Option<Arc<Tracks>> {
        match self.items.front() {
            Some(Item::Tracks(tracks)) => Some(tracks.clone()),
            _ => self.tracks.clone(),
        }
    }

    fn is_full(&self, next: &AccessUnit) -> bool {
        let oldest = self.items.iter().find_map(|item| match item {
            Item::Unit(unit) => Some(unit.arrival),
            Item::Tracks(_) => None,
        });
        self.bytes + next.data.len() > MAX_BYTES
            || oldest.is_some_and(|oldest| next.arrival - oldest > MAX_SPAN)
    }

    fn forget_units(&mut self) -> u64 {
        let units = self
            .items
            .iter()
            .filter(|item| matches!(item, Item::Unit(_)));
        let lost = units.count();
        // Of the tracks, only the last matter to what comes next.
        let tracks = self
            .items
            .iter()
            .rev()
            .find(|item| matches!(item, Item::Tracks(_)));
        self.items = tracks.cloned().into_iter().collect();
        self.bytes = 0;
        self.entries = Entries::default();
        lost as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::{AudioCodec, Description, EntryPoint, Medium, Track, TrackId};
    use crate::rtmp::flv::tests::audio;
    use bytes::Bytes;

    fn unit(medium: Medium, second: i64, key: bool, size: usize) -> Item {
        let time = second * 1_000_000_000;
        Item::Unit(AccessUnit {
            track: TrackId::first(medium),
            pts: time,
            dts: time,
            entry: if key {
                EntryPoint::Closed
            } else {
                EntryPoint::None
            },
            data: vec![0; size].into(),
            arrival: time,
        })
    }

    fn units(queue: &Queue) -> Vec<(Medium, i64)> {
        std::iter::from_fn(|| queue.try_pop())
            .filter_map(|item| match item {
                Item::Unit(unit) => Some((unit.track.medium, unit.pts / 1_000_000_000)),
                Item::Tracks(_) => None,
            })
            .collect()
    }

    #[test]
    fn a_slow_sink_goes_on_at_the_next_key_frame_and_the_loss_is_counted() {
        let queue = Queue::default();
        for second in 0..4 {
            queue.push(unit(Medium::Video, second, second == 0, 10));
        }
        queue.push(unit(Medium::Video, 4, false, 10));
        queue.push(unit(Medium::Audio, 4, true, 10));
        queue.push(unit(Medium::Video, 5, true, 10));
        queue.push(unit(Medium::Video, 6, false, 10));
        assert_eq!(
            units(&queue),
            [(Medium::Audio, 4), (Medium::Video, 5), (Medium::Video, 6)]
        );
        assert_eq!(queue.dropped(), 5);
    }

    #[test]
    fn bytes_are_bounded() {
        let queue = Queue::default();
        for _ in 0..3 {
            queue.push(unit(Medium::Video, 0, true, MAX_BYTES / 2));
        }
        assert_eq!(units(&queue).len(), 1);
        queue.push(unit(Medium::Video, 0, true, MAX_BYTES / 2));
        assert_eq!(units(&queue).len(), 1, "popping frees the room");
    }

    #[test]
    fn a_sink_that_starts_anew_hears_of_the_tracks_first() {
        let queue = Queue::default();
        queue.push(Item::Tracks(Arc::default()));
        queue.push(unit(Medium::Video, 0, true, 1));
        assert!(matches!(queue.try_pop(), Some(Item::Tracks(_))));
        queue.restart();
        queue.push(unit(Medium::Video, 1, false, 1));
        queue.push(unit(Medium::Video, 2, true, 1));
        assert!(matches!(queue.try_pop(), Some(Item::Tracks(_))));
        assert_eq!(units(&queue), [(Medium::Video, 2)]);
        assert_eq!(queue.dropped(), 2);
    }

    #[test]
    fn a_sink_that_starts_anew_for_a_unit_gets_it_first() {
        let queue = Queue::default();
        queue.push(Item::Tracks(Arc::default()));
        queue.push(unit(Medium::Audio, 0, true, 1));
        queue.push(unit(Medium::Video, 0, true, 1));
        let late = [queue.try_pop(), queue.try_pop()].into_iter().flatten();
        let Some(Item::Unit(late)) = late.last() else {
            panic!("no unit");
        };
        queue.restart_with(late);
        queue.push(unit(Medium::Video, 1, true, 1));
        assert!(matches!(queue.try_pop(), Some(Item::Tracks(_))));
        assert_eq!(units(&queue), [(Medium::Audio, 0), (Medium::Video, 1)]);
    }

    #[tokio::test]
    async fn a_sink_opens_for_the_tracks_of_what_comes_next() {
        let sound = Tracks(vec![Track {
            id: TrackId::first(Medium::Audio),
            description: Description::Audio(audio(AudioCodec::Opus, 2)),
        }]);
        let queue = Queue::default();
        queue.push(Item::Tracks(Arc::default()));
        queue.push(unit(Medium::Video, 0, true, 1));
        queue.push(Item::Tracks(Arc::new(sound.clone())));
        assert_eq!(*queue.tracks().await, Tracks::default());
        queue.push(unit(Medium::Audio, 4, true, 1));
        assert_eq!(*queue.tracks().await, sound, "the queue was emptied");
    }

    #[tokio::test]
    async fn a_closed_queue_gives_what_it_has_and_takes_no_more() {
        let queue = Queue::default();
        queue.push(unit(Medium::Video, 0, true, 1));
        queue.close();
        queue.push(unit(Medium::Video, 1, true, 1));
        assert!(matches!(queue.pop().await, Some(Item::Unit(unit)) if unit.pts == 0));
        assert!(queue.pop().await.is_none());
    }

    #[test]
    fn an_empty_unit_passes() {
        let queue = Queue::default();
        let empty = AccessUnit {
            track: TrackId::first(Medium::Audio),
            pts: 0,
            dts: 0,
            entry: EntryPoint::Closed,
            data: Bytes::new(),
            arrival: 0,
        };
        queue.push(Item::Unit(empty));
        assert!(queue.try_pop().is_some());
    }
}
