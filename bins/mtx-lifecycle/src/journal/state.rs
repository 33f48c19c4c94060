//! What the records come to.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use mediamtx::timestamp::Timestamp;

use super::record::{Outcome, Record};
use crate::plan::Touched;
use crate::wanted::Wanted;

/// As many revisions can be gone back to.
const KEPT_REVISIONS: usize = 50;

/// What was wanted from some moment on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revision {
    /// Its number.
    pub number: u64,
    /// Since when.
    pub at: Timestamp,
    /// By which command.
    pub what: String,
    /// What.
    pub wanted: Wanted,
}

/// All that is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    /// The last revisions, the current one last.
    pub revisions: Vec<Revision>,
    /// What was changed of which entry.
    pub touched: BTreeMap<String, Touched>,
    /// What the server did not want of which entry.
    pub rejected: BTreeMap<String, String>,
    /// Paths that are held open for a moment, and until when, in milliseconds since 1970.
    pub warm: BTreeMap<String, i64>,
    /// Paths whose source does not come any more.
    pub degraded: BTreeSet<String>,
}

impl State {
    /// What is wanted now; nothing, as long as nobody has said anything.
    #[must_use]
    pub fn wanted(&self) -> Wanted {
        let last = self.revisions.last();
        last.map(|revision| revision.wanted.clone())
            .unwrap_or_default()
    }

    /// The current revision's number; 0 is how the server was without this program.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.revisions.last().map_or(0, |revision| revision.number)
    }

    /// Whether a path is held open at the moment, though no use case says so.
    #[must_use]
    pub fn is_warm(&self, path: &str) -> bool {
        let now = Timestamp::now().as_millisecond();
        self.warm.get(path).is_some_and(|until| now < *until)
    }

    /// Takes a record in.
    pub fn fold(&mut self, record: Record) {
        match record {
            Record::Revision {
                at,
                number,
                what,
                policy,
                uses,
            } => {
                let policy = match policy {
                    Some(policy) => Arc::new(policy),
                    None => self.wanted().policy,
                };
                let wanted = Wanted { policy, uses };
                self.revisions.push(Revision {
                    number,
                    at,
                    what,
                    wanted,
                });
                self.forget_interlude();
                let surplus = self.revisions.len().saturating_sub(KEPT_REVISIONS);
                self.revisions.drain(..surplus);
                self.rejected.clear();
            }
            Record::Intent { entry, touched, .. } => {
                if let Some(touched) = touched {
                    self.touched.insert(entry, touched);
                }
            }
            Record::Done {
                entry,
                outcome,
                touched,
                ..
            } => self.done(entry, outcome, touched),
            Record::Warm { path, until } => {
                self.warm.insert(path, until);
            }
            Record::Degraded { path, .. } => {
                self.degraded.insert(path);
            }
            Record::Recovered { path, .. } => {
                self.degraded.remove(&path);
            }
        }
    }

    /// What was started and ended at once, a snapshot, is nothing to go back to; there can be one a minute.
    fn forget_interlude(&mut self) {
        let [before @ .., start, end] = &self.revisions[..] else {
            return;
        };
        let same = before
            .last()
            .map_or_else(Wanted::default, |it| it.wanted.clone())
            == end.wanted;
        let started = start.what.strip_prefix("start ");
        if same && started.is_some() && started == end.what.strip_prefix("end ") {
            self.revisions.truncate(before.len());
        }
    }

    fn done(&mut self, entry: String, outcome: Outcome, touched: Option<Touched>) {
        // It is not offered to the server again before something else is wanted.
        if let Outcome::Rejected(why) = outcome {
            self.rejected.insert(entry.clone(), why);
        }
        match touched {
            Some(touched) => self.touched.insert(entry, touched),
            None => self.touched.remove(&entry),
        };
    }

    /// The fewest records that come to the same.
    #[must_use]
    pub fn records(&self) -> Vec<Record> {
        let at = Timestamp::now();
        let mut records = Vec::new();
        let mut policy = None;
        for revision in &self.revisions {
            let wanted = &revision.wanted;
            let other = policy != Some(&wanted.policy);
            policy = Some(&wanted.policy);
            records.push(Record::Revision {
                at: revision.at,
                number: revision.number,
                what: revision.what.clone(),
                policy: other.then(|| (*wanted.policy).clone()),
                uses: wanted.uses.clone(),
            });
        }
        let touched = self.touched.iter();
        records.extend(touched.map(|(entry, touched)| Record::Done {
            at,
            entry: entry.clone(),
            outcome: Outcome::Holds,
            touched: Some(touched.clone()),
        }));
        let rejected = self.rejected.iter();
        records.extend(rejected.map(|(entry, why)| Record::Done {
            at,
            entry: entry.clone(),
            outcome: Outcome::Rejected(why.clone()),
            touched: self.touched.get(entry).cloned(),
        }));
        let warm = self.warm.iter().filter(|(path, _)| self.is_warm(path));
        records.extend(warm.map(|(path, until)| Record::Warm {
            path: path.clone(),
            until: *until,
        }));
        let degraded = self.degraded.iter().cloned();
        records.extend(degraded.map(|path| Record::Degraded { at, path }));
        records
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wanted::Use;

    fn revision(number: u64, what: &str, paths: &[&str]) -> Record {
        let used = |path: &&str| ((*path).to_owned(), Use::default());
        Record::Revision {
            at: Timestamp::now(),
            number,
            what: what.to_owned(),
            policy: None,
            uses: paths.iter().map(used).collect(),
        }
    }

    #[test]
    fn a_snapshot_leaves_no_revision() {
        let mut state = State::default();
        state.fold(revision(1, "start recording a", &["a"]));
        state.fold(revision(2, "start snapshot b", &["a", "b"]));
        state.fold(revision(3, "end snapshot b", &["a"]));
        assert_eq!(state.revision(), 1);
        state.fold(revision(2, "start viewing b", &["a", "b"]));
        state.fold(revision(3, "stop b: enough", &["a"]));
        assert_eq!(state.revision(), 3);
    }
}
