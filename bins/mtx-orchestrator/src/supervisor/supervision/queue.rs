//! Streams in the order of something that each of them has: a time, or a rank.

use std::collections::{BTreeMap, BTreeSet};

use crate::stream_key::StreamKey;

pub(super) struct Queue<P> {
    order: BTreeSet<(P, StreamKey)>,
    places: BTreeMap<StreamKey, P>,
}

impl<P> Default for Queue<P> {
    fn default() -> Self {
        Self {
            order: BTreeSet::new(),
            places: BTreeMap::new(),
        }
    }
}

impl<P: Ord + Copy> Queue<P> {
    /// Puts a stream into its place, or out of the queue. Returns whether it was in it before.
    pub(super) fn set(&mut self, key: &StreamKey, place: Option<P>) -> bool {
        let before = match place {
            Some(place) => self.places.insert(key.clone(), place),
            None => self.places.remove(key),
        };
        if before == place {
            return before.is_some();
        }
        if let Some(before) = before {
            self.order.remove(&(before, key.clone()));
        }
        self.order.extend(place.map(|place| (place, key.clone())));
        before.is_some()
    }

    pub(super) fn first(&self) -> Option<&(P, StreamKey)> {
        self.order.first()
    }
}

#[cfg(test)]
mod tests {
    use mediamtx::path::PathName;

    use super::*;

    fn key(number: u8) -> StreamKey {
        format!("s{number}").parse::<PathName>().unwrap().into()
    }

    proptest::proptest! {
        #[test]
        fn the_first_is_the_one_with_the_lowest_place(
            changes in proptest::collection::vec((0_u8..6, proptest::option::of(0_u32..5)), 0..40),
        ) {
            let mut queue = Queue::default();
            let mut model = BTreeMap::new();
            for (number, place) in changes {
                let was_in = queue.set(&key(number), place);
                proptest::prop_assert_eq!(was_in, model.remove(&key(number)).is_some());
                model.extend(place.map(|place| (key(number), place)));
                let first = model.iter().map(|(key, place)| (*place, key.clone())).min();
                proptest::prop_assert_eq!(queue.first(), first.as_ref());
            }
        }
    }
}
