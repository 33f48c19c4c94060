//! The stream as each output gets it, whatever comes and goes beside it: random histories against a model.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use proptest::prelude::*;

use super::fanout::Fanout;
use crate::media::{AccessUnit, EntryPoint, Item, Medium, TrackId};
use crate::sink::Queue;
use crate::state::OutputKey;

const FRAME: i64 = 40_000_000;

#[derive(Clone, Debug)]
enum Event {
    /// The next picture, which is one to start at or not.
    Picture {
        is_key: bool,
    },
    Join,
    /// One of the outputs, by number, is removed.
    Leave(usize),
    /// Its connection is lost, and begins anew.
    Reconnect(usize),
    /// It takes some of what is queued.
    Take(usize, usize),
    /// The source is lost, and comes back with other tracks.
    SourceLost,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        10 => prop::bool::weighted(0.15).prop_map(|is_key| Event::Picture { is_key }),
        2 => Just(Event::Join),
        1 => (0..4usize).prop_map(Event::Leave),
        1 => (0..4usize).prop_map(Event::Reconnect),
        6 => (0..4usize, 1..20usize).prop_map(|(output, count)| Event::Take(output, count)),
        1 => Just(Event::SourceLost),
    ]
}

/// What one output got.
struct Reader {
    queue: Rc<Queue>,
    /// Whether something may be missing before the next picture: at the start, after a loss and after a drop.
    may_start_anew: bool,
    has_tracks: bool,
    last: Option<i64>,
    dropped: u64,
}

impl Reader {
    fn new(queue: Rc<Queue>) -> Self {
        Self {
            queue,
            may_start_anew: true,
            has_tracks: false,
            last: None,
            dropped: 0,
        }
    }

    /// Each picture follows the one before it, but for one to start at after something was lost.
    fn take(&mut self, keys: &[bool]) -> Result<bool, TestCaseError> {
        let Some(item) = self.queue.try_pop() else {
            return Ok(false);
        };
        let unit = match item {
            Item::Tracks(_) => {
                self.has_tracks = true;
                return Ok(true);
            }
            Item::Unit(unit) => unit,
        };
        prop_assert!(self.has_tracks, "media before its tracks");
        let number = unit.dts / FRAME;
        let is_next = self.last.is_some_and(|last| number == last + 1);
        if self.may_start_anew || !is_next {
            let has_dropped = self.queue.dropped() > self.dropped;
            prop_assert!(self.may_start_anew || has_dropped, "a gap before {number}");
            prop_assert!(keys[number as usize], "{number} can't be decoded");
            prop_assert!(
                self.last.is_none_or(|last| number > last),
                "{number} came again"
            );
        }
        self.may_start_anew = false;
        self.dropped = self.queue.dropped();
        self.last = Some(number);
        Ok(true)
    }
}

fn picture(number: usize, is_key: bool) -> Item {
    let time = number as i64 * FRAME;
    Item::Unit(AccessUnit {
        track: TrackId::first(Medium::Video),
        pts: time,
        dts: time,
        entry: if is_key {
            EntryPoint::Closed
        } else {
            EntryPoint::None
        },
        data: vec![0; 10].into(),
        arrival: time,
    })
}

#[derive(Default)]
struct History {
    keys: Vec<bool>,
    readers: BTreeMap<OutputKey, Reader>,
    left: Vec<std::rc::Weak<Queue>>,
    next_key: u64,
    /// Whether the stream since the last start of the source can be decoded from somewhere on.
    has_gop: bool,
}

impl History {
    fn chosen(&mut self, number: usize) -> Option<(OutputKey, &mut Reader)> {
        let count = self.readers.len().max(1);
        let chosen = self.readers.iter_mut().nth(number % count);
        chosen.map(|(key, reader)| (*key, reader))
    }

    fn make(&mut self, fanout: &Fanout, event: Event) -> Result<(), TestCaseError> {
        match event {
            Event::Picture { is_key } => {
                fanout.push(&picture(self.keys.len(), is_key));
                self.keys.push(is_key);
                self.has_gop |= is_key;
            }
            Event::Join => {
                let key = OutputKey(self.next_key);
                self.next_key += 1;
                let (queue, repeated) = fanout.join(key);
                let last_key = self.keys.iter().rposition(|is_key| *is_key);
                let last_key = last_key.filter(|_| self.has_gop);
                let since = last_key.map_or(0, |at| self.keys.len() - at);
                prop_assert_eq!(repeated.frames, since as u64);
                let mut reader = Reader::new(queue);
                // Neither waits for the next key frame.
                if self.has_gop {
                    prop_assert!(reader.take(&self.keys)?, "no tracks");
                    prop_assert!(reader.take(&self.keys)?, "no picture at once");
                }
                self.readers.insert(key, reader);
            }
            Event::Leave(number) => {
                if let Some((key, reader)) = self.chosen(number) {
                    let queue = Rc::downgrade(&reader.queue);
                    fanout.leave(key);
                    self.readers.remove(&key);
                    self.left.push(queue);
                }
            }
            Event::Reconnect(number) => {
                if let Some((_, reader)) = self.chosen(number) {
                    reader.queue.restart();
                    reader.may_start_anew = true;
                }
            }
            Event::Take(number, count) => {
                let keys = self.keys.clone();
                if let Some((_, reader)) = self.chosen(number) {
                    for _ in 0..count {
                        reader.take(&keys)?;
                    }
                }
            }
            Event::SourceLost => {
                fanout.source_lost();
                fanout.push(&Item::Tracks(Arc::default()));
                self.has_gop = false;
            }
        }
        Ok(())
    }
}

proptest! {
    #[test]
    fn each_output_gets_the_stream_without_a_gap_whoever_comes_and_goes(events in prop::collection::vec(event(), 0..300)) {
        let fanout = Fanout::new(true);
        fanout.push(&Item::Tracks(Arc::default()));
        let mut history = History::default();
        for event in events {
            history.make(&fanout, event)?;
        }
        let keys = history.keys.clone();
        for reader in history.readers.values_mut() {
            while reader.take(&keys)? {}
            let is_waiting = reader.may_start_anew || reader.queue.dropped() > reader.dropped;
            let is_at_end = reader.last.is_some_and(|last| last as usize + 1 == keys.len());
            prop_assert!(is_waiting || is_at_end, "the end of the stream is missing");
        }
        prop_assert!(history.left.iter().all(|queue| queue.upgrade().is_none()), "a removed queue is kept");
    }
}
