//! One stream into the queues of all outputs.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use super::gop::Gop;
use crate::media::Item;
use crate::sink::Queue;
use crate::state::OutputKey;
use crate::stats::Totals;

/// The queues of all outputs, and what a new one begins with.
pub(super) struct Fanout {
    queues: RefCell<BTreeMap<OutputKey, Rc<Queue>>>,
    /// Kept only where outputs may join in the middle: it takes the memory of a group of pictures.
    gop: Option<RefCell<Gop>>,
}

impl Fanout {
    pub(super) fn new(may_be_joined: bool) -> Self {
        Self {
            queues: RefCell::default(),
            gop: may_be_joined.then(RefCell::default),
        }
    }

    /// A queue for one more output; it begins with the last entry point of the stream, if there was one. Also counts what
    /// other outputs got already.
    pub(super) fn join(&self, output: OutputKey) -> (Rc<Queue>, Totals) {
        let queue = Rc::new(Queue::default());
        let mut repeated = Totals::default();
        if let Some(gop) = &self.gop {
            let gop = gop.borrow();
            queue.extend(gop.tracks().cloned().map(Item::Tracks));
            queue.extend(
                gop.units()
                    .inspect(|unit| repeated.add(unit))
                    .map(Item::Unit),
            );
        }
        self.queues.borrow_mut().insert(output, Rc::clone(&queue));
        (queue, repeated)
    }

    /// Nothing more comes into its queue.
    pub(super) fn leave(&self, output: OutputKey) {
        self.queues.borrow_mut().remove(&output);
    }

    pub(super) fn push(&self, item: &Item) {
        if let Some(gop) = &self.gop {
            match item {
                Item::Tracks(tracks) => gop.borrow_mut().set_tracks(tracks.clone()),
                Item::Unit(unit) => gop.borrow_mut().add(unit),
            }
        }
        for queue in self.queues.borrow().values() {
            queue.push(item.clone());
        }
    }

    /// Whoever joins while the source is away begins with what comes next.
    pub(super) fn source_lost(&self) {
        if let Some(gop) = &self.gop {
            gop.borrow_mut().clear();
        }
    }
}
