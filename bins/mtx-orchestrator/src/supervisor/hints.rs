//! What hooks said while MediaMTX's path list was not known.

use std::collections::BTreeMap;

use common::timestamp::Timestamp;
use mediamtx::path::PathName;

/// Beyond this the path list has to do.
const MOST: usize = 10_000;

/// Hooks get lost, doubled and reordered: each waits for a look at the path list that began after it.
#[derive(Default)]
pub(super) struct Hints {
    waiting: Vec<Hint>,
    /// The latest hook that was believed, by path, until the path list is known again.
    believed: BTreeMap<PathName, Timestamp>,
}

/// One hook.
pub(super) struct Hint {
    /// The number of the look at the path list that was asked for because of it.
    pub(super) request: u64,
    pub(super) path: PathName,
    pub(super) present: bool,
    pub(super) at: Timestamp,
}

impl Hints {
    /// Remembers a hook until its request is answered.
    pub(super) fn add(&mut self, hint: Hint) {
        if self.waiting.len() < MOST {
            self.waiting.push(hint);
        }
    }

    /// The path list is known as of the request number `covers`. Returns what waited for it.
    pub(super) fn answered(&mut self, covers: u64) -> Vec<Hint> {
        self.believed.clear();
        self.take_until(covers)
    }

    fn take_until(&mut self, covers: u64) -> Vec<Hint> {
        let (due, later) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition(|hint| hint.request <= covers);
        self.waiting = later;
        due
    }

    /// The path list could not be had: hooks are the best there is. Returns those to be believed, in their order.
    pub(super) fn unanswered(&mut self, covers: u64) -> Vec<Hint> {
        let mut due = self.take_until(covers);
        due.sort_by_key(|hint| hint.at);
        due.retain(|hint| {
            self.believed
                .get(&hint.path)
                .is_none_or(|last| *last < hint.at)
        });
        if self.believed.len() < MOST {
            let latest = due.iter().map(|hint| (hint.path.clone(), hint.at));
            self.believed.extend(latest);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hints(given: &[(u64, bool, u32)]) -> Hints {
        let mut hints = Hints::default();
        for (request, present, second) in given {
            hints.add(Hint {
                request: *request,
                path: "a".parse().unwrap(),
                present: *present,
                at: format!("2026-11-21T04:18:{second:02}.000Z")
                    .parse()
                    .unwrap(),
            });
        }
        hints
    }

    fn believed(hints: &mut Hints, covers: u64) -> Vec<bool> {
        let believed = hints.unanswered(covers).into_iter();
        believed.map(|hint| hint.present).collect()
    }

    #[test]
    fn nothing_is_believed_where_the_path_list_is_known() {
        let mut hints = hints(&[(1, true, 1), (2, false, 2)]);
        hints.answered(2);
        assert!(believed(&mut hints, 9).is_empty());
    }

    #[test]
    fn a_hook_waits_for_a_look_that_began_after_it() {
        let mut hints = hints(&[(1, true, 1), (2, false, 2)]);
        assert_eq!(believed(&mut hints, 1), [true]);
        assert_eq!(believed(&mut hints, 2), [false]);
    }

    #[test]
    fn reordered_and_doubled_hooks_end_with_the_latest() {
        let mut together = hints(&[(1, false, 2), (2, true, 1), (3, false, 2)]);
        assert_eq!(believed(&mut together, 3).last(), Some(&false));
        let mut apart = hints(&[(1, false, 2), (2, true, 1), (3, false, 2)]);
        assert_eq!(believed(&mut apart, 1), [false]);
        assert!(believed(&mut apart, 3).is_empty());
    }
}
