//! What the records come to.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use common::timestamp::Timestamp;
use url::Url;

use super::record::{Outcome, Record};
use crate::ledger::{Change, Ledger, Owned};
use crate::policy::{Current, Hold, Wanted};
use crate::server::Demand;

/// As many revisions can be gone back to; starts whose time is over make room first.
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
    /// The revision that it takes back: a start that was interrupted.
    pub undoes: Option<u64>,
}

/// All that is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    /// The journal's name, which its keepers carry; empty until something is written.
    pub id: String,
    /// The last revisions, the current one last.
    pub revisions: Vec<Revision>,
    /// What of the server is this program's.
    pub ledger: Ledger,
    /// How paths come by their streams without this program, as far as they were looked at.
    pub demands: BTreeMap<String, Demand>,
    /// What the server did not want of which entry.
    pub rejected: BTreeMap<String, String>,
    /// Paths that commands hold open, by the holds' names.
    pub holds: BTreeMap<String, Hold>,
    /// Paths on which a hold or the time of a use case has ended, and which have not been converged since.
    pub ended: BTreeSet<String>,
    /// Paths whose source does not come any more.
    pub degraded: BTreeSet<String>,
    /// When a source was first missed that was demanded, by its path.
    pub missing: BTreeMap<String, Timestamp>,
    /// Where the server reaches its own paths, if anybody has ever said.
    pub rtsp: Option<Url>,
    /// How long the file was when it was last written anew.
    pub(super) length: u64,
    /// What was known of the entries that are being written.
    open: BTreeMap<String, (Change, Option<Owned>)>,
}

impl State {
    /// What is wanted; nothing, as long as nobody has said anything.
    #[must_use]
    pub fn wanted(&self) -> Wanted {
        let last = self.revisions.last();
        last.map(|revision| revision.wanted.clone())
            .unwrap_or_default()
    }

    /// What of it holds now, with what commands hold open.
    #[must_use]
    pub fn current(&self) -> Current {
        let holds = self.holds.values().cloned().collect();
        self.wanted().at(Timestamp::now(), holds)
    }

    /// The current revision's number; 0 is how the server was without this program.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.revisions.last().map_or(0, |revision| revision.number)
    }

    /// Takes a record in.
    pub fn fold(&mut self, record: Record) {
        match record {
            Record::Journal { id, length } => (self.id, self.length) = (id, length),
            Record::Revision {
                at,
                number,
                what,
                policy,
                uses,
                undoes,
            } => {
                let policy = match policy {
                    Some(policy) => Arc::new(policy),
                    None => self.wanted().policy,
                };
                self.revise(Revision {
                    number,
                    at,
                    what,
                    wanted: Wanted { policy, uses },
                    undoes,
                });
            }
            Record::Write {
                entry,
                change,
                originals,
                ..
            } => {
                let before = self.ledger.get(&entry).cloned();
                self.ledger.may_be_written(&entry, &change, &originals);
                self.open.insert(entry, (change, before));
            }
            Record::Written { entry, outcome, .. } => self.written(&entry, &outcome),
            Record::Owned { entry, owned } => self.ledger.set(&entry, Some(owned)),
            Record::Disowned { entry } => self.ledger.disown(&entry),
            Record::Demands { paths } => self.demands.extend(paths),
            Record::Rejected { entry, why } => {
                self.rejected.insert(entry, why);
            }
            Record::Held { id, hold } => {
                self.holds.insert(id, hold);
            }
            Record::Released { id } => {
                let hold = self.holds.remove(&id);
                self.ended.extend(hold.map(|hold| hold.path));
            }
            Record::Ended { paths } => self.ended = paths,
            Record::Rtsp { url } => self.rtsp = Some(url),
            Record::Missing { at, path } => {
                self.missing.entry(path).or_insert(at);
            }
            Record::Degraded { at, path } => {
                self.missing.entry(path.clone()).or_insert(at);
                self.degraded.insert(path);
            }
            Record::Recovered { path, .. } => {
                self.missing.remove(&path);
                self.degraded.remove(&path);
            }
        }
    }

    fn revise(&mut self, revision: Revision) {
        self.revisions.push(revision);
        if self.revisions.len() > KEPT_REVISIONS {
            let dispensable = self.dispensable_revision().unwrap_or(0);
            self.revisions.remove(dispensable);
        }
        // What the server did not want may be wanted otherwise by now.
        self.rejected.clear();
        let wanted = self.wanted();
        let named = wanted.named();
        self.missing.retain(|path, _| named.contains(path.as_str()));
    }

    /// The numbers of starts that were interrupted.
    #[must_use]
    pub fn undone(&self) -> BTreeSet<u64> {
        self.revisions.iter().filter_map(|it| it.undoes).collect()
    }

    /// The oldest revision that nobody goes back to: an interrupted start, or one that wants the same as the one
    /// before it, since the time of a start is over. Neither the first one nor the current one.
    fn dispensable_revision(&self) -> Option<usize> {
        let now = self.revisions.last()?.at;
        let undone = self.undone();
        let wanted = |it: &Revision| it.wanted.clone().without_what_is_over(now);
        let earlier = self.revisions.len() - 1;
        let mut pairs = self.revisions[..earlier].windows(2);
        let found = pairs.position(|pair| {
            undone.contains(&pair[1].number) || wanted(&pair[0]) == wanted(&pair[1])
        });
        found.map(|before| before + 1)
    }

    fn written(&mut self, entry: &str, outcome: &Outcome) {
        let Some((change, before)) = self.open.remove(entry) else {
            return;
        };
        match outcome {
            Outcome::Holds => {
                self.ledger.is_written(entry, &change);
                if change == Change::Remove {
                    self.demands.remove(entry);
                }
            }
            Outcome::Undone => self.ledger.set(entry, before),
        }
    }

    /// The fewest records that come to the same.
    #[must_use]
    pub fn records(&self) -> Vec<Record> {
        let at = Timestamp::now();
        let mut records = vec![Record::Journal {
            id: self.id.clone(),
            length: 0,
        }];
        let mut policy = None;
        for revision in &self.revisions {
            let wanted = &revision.wanted;
            let is_other = policy != Some(&wanted.policy);
            policy = Some(&wanted.policy);
            records.push(Record::Revision {
                at: revision.at,
                number: revision.number,
                what: revision.what.clone(),
                policy: is_other.then(|| (*wanted.policy).clone()),
                uses: wanted.uses.clone(),
                undoes: revision.undoes,
            });
        }
        records.extend(self.ledger.iter().map(|(entry, owned)| Record::Owned {
            entry: entry.clone(),
            owned: owned.clone(),
        }));
        let wanted = self.wanted();
        let named = wanted.named();
        let concerns = |path: &str| named.contains(path) || self.ledger.get(path).is_some();
        let demands = self.demands.iter().filter(|(path, _)| concerns(path));
        let demands: BTreeMap<_, _> = demands
            .map(|(path, demand)| (path.clone(), *demand))
            .collect();
        if !demands.is_empty() {
            records.push(Record::Demands { paths: demands });
        }
        let rejected = self.rejected.iter();
        records.extend(rejected.map(|(entry, why)| Record::Rejected {
            entry: entry.clone(),
            why: why.clone(),
        }));
        let holds = self.holds.iter();
        records.extend(holds.map(|(id, hold)| Record::Held {
            id: id.clone(),
            hold: hold.clone(),
        }));
        if !self.ended.is_empty() {
            let paths = self.ended.clone();
            records.push(Record::Ended { paths });
        }
        records.extend(self.rtsp.clone().map(|url| Record::Rtsp { url }));
        let missing = self.missing.clone().into_iter();
        records.extend(missing.map(|(path, at)| Record::Missing { at, path }));
        let degraded = self.degraded.iter().cloned();
        records.extend(degraded.map(|path| Record::Degraded { at, path }));
        records
    }
}
