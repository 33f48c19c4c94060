//! By what this orchestrator's outputs are recognised wherever they come out, and where that has been.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use mediamtx::path::PathName;
use mediamtx::via::Mark;

use crate::declaration::{Endpoint, Target};

/// Gives each place that workers publish to a mark of its own.
#[derive(Debug, Clone, Copy)]
pub(super) struct Marks {
    /// Another orchestrator has another one.
    seed: u64,
}

impl Marks {
    pub(super) fn random() -> Self {
        let seed = fastrand::u64(..);
        Self { seed }
    }

    /// The same for all URLs of one place, and for each worker that publishes there.
    pub(super) fn mark(self, target: &Target) -> Mark {
        let mut hasher = DefaultHasher::new();
        (self.seed, target.endpoint(), target.any_path()).hash(&mut hasher);
        Mark(hasher.finish())
    }
}

/// Paths of this server on which other servers were seen to send outputs back.
#[derive(Debug, Default)]
pub(super) struct Returns(BTreeMap<(Endpoint, String), BTreeSet<PathName>>);

impl Returns {
    /// Takes note that an output comes back. Returns whether that is new.
    pub(super) fn add(&mut self, target: &Target, path: PathName) -> bool {
        self.0.entry(place(target)).or_default().insert(path)
    }

    pub(super) fn contains(&self, target: &Target, path: &PathName) -> bool {
        let paths = self.0.get(&place(target));
        paths.is_some_and(|paths| paths.contains(path))
    }

    pub(super) fn forget(&mut self, target: &Target) {
        self.0.remove(&place(target));
    }
}

fn place(target: &Target) -> (Endpoint, String) {
    (target.endpoint(), target.any_path().to_owned())
}
