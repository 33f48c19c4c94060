//! One write to the server: noted, made, noted.

use common::timestamp::Timestamp;
use mediamtx::api::ApiError;

use super::{Applier, Error};
use crate::journal::{Outcome, Record};
use crate::ledger::Change;
use crate::plan::{Impact, Step};
use crate::server::{Busy, Keeper, View};

/// How a step went.
pub(super) enum Executed {
    /// The server has it.
    Written,
    /// Somebody has come in the last moment.
    InTheWay(Busy),
    /// The entry is not removed: it is somebody else's now, who has changed these settings.
    Left { changed: Vec<String> },
    /// There are recorded files that MediaMTX would delete otherwise, or not at all.
    FilesLeft,
    /// The server does not want it so.
    Rejected(String),
    /// It wants no change of anything, since it remembers one of somebody else's that it has rejected.
    Jammed(String),
}

impl Applier<'_> {
    /// Executes a step; it is held back if it would hurt somebody by now, unless by force.
    pub(super) fn execute(&mut self, step: &Step, view: &View) -> Result<Executed, Error> {
        if step.ends_retention && !self.force && self.has_files(&step.path)? {
            return Ok(Executed::FilesLeft);
        }
        if step.change == Change::Remove {
            let changed = self.changed_by_others(step, view)?;
            if !changed.is_empty() {
                let entry = step.entry.clone();
                self.note(Record::Disowned { entry })?;
                return Ok(Executed::Left { changed });
            }
        }
        self.note(Record::Write {
            at: Timestamp::now(),
            entry: step.entry.clone(),
            change: step.change.clone(),
            originals: step.originals.clone(),
        })?;
        // Last thing before the write: between this look and the write somebody can still come, but hardly does.
        if step.impact != Impact::Nothing && !self.force {
            let busy = self.busy_now(step, view)?;
            if !busy.is_idle() {
                self.written(&step.entry, Outcome::Undone)?;
                return Ok(Executed::InTheWay(busy));
            }
        }
        match self.write(&step.entry, &step.change) {
            Ok(()) => {
                self.written(&step.entry, Outcome::Holds)?;
                Ok(Executed::Written)
            }
            Err(error) if error.is_verdict() => self.rejected(step, view, &error),
            // Nobody knows whether it was written: the next look will tell.
            Err(error) => Err(error.into()),
        }
    }

    fn busy_now(&self, step: &Step, view: &View) -> Result<Busy, Error> {
        let view = View {
            live: self.server.live()?,
            ..view.clone()
        };
        let id = &self.journal.state().id;
        let busy = if Keeper::parse(&step.entry).is_some() {
            view.busy(&step.path, id)
        } else {
            view.busy_of_entry(&step.entry, id)
        };
        Ok(step.impact.on(busy))
    }

    /// Whether a path has recorded files, or nobody may ask any more.
    fn has_files(&mut self, path: &str) -> Result<bool, Error> {
        if let Some(questions) = &mut self.questions {
            let Some(left) = questions.checked_sub(1) else {
                return Ok(true);
            };
            *questions = left;
        }
        Ok(!self.server.recordings(path)?.segments.is_empty())
    }

    /// The settings of an entry that was added which somebody else has changed since: it is not removed then.
    fn changed_by_others(&self, step: &Step, view: &View) -> Result<Vec<String>, Error> {
        if Keeper::parse(&step.entry).is_some() {
            return Ok(Vec::new());
        }
        let Some(mut current) = self.server.entry(&step.entry)? else {
            return Ok(Vec::new());
        };
        current.remove("name");
        let owned = self.journal.state().ledger.get(&step.entry);
        let others = owned.map(|owned| owned.others(&current, &view.defaults));
        Ok(others.unwrap_or_default())
    }

    /// MediaMTX remembers a PATCH that it rejects: it then rejects every change of any path, until that entry gets
    /// values that it accepts.
    fn rejected(&mut self, step: &Step, view: &View, error: &ApiError) -> Result<Executed, Error> {
        let why = error.to_string();
        if matches!(error, ApiError::Refused { .. }) {
            self.written(&step.entry, Outcome::Undone)?;
            return Err(Error::Forbidden(why));
        }
        let taken_back = match &step.change {
            Change::Patch(fields) => {
                let current = self.server.entry(&step.entry)?.unwrap_or_default();
                let known = current.into_iter();
                let back = known
                    .filter(|(name, _)| fields.contains_key(name))
                    .collect();
                self.server.patch(&step.entry, &back)
            }
            // A change of nothing is rejected only on behalf of another one.
            _ => match view.entries.keys().find(|name| **name != step.entry) {
                Some(name) => self.server.patch(name, &mediamtx::api::Fields::new()),
                None => Ok(()),
            },
        };
        match taken_back {
            Ok(()) | Err(ApiError::NotFound { .. }) => {
                self.written(&step.entry, Outcome::Undone)?;
                Ok(Executed::Rejected(why))
            }
            Err(ApiError::Rejected { .. }) => Ok(Executed::Jammed(why)),
            Err(error) => Err(error.into()),
        }
    }

    fn written(&mut self, entry: &str, outcome: Outcome) -> Result<(), Error> {
        self.note(Record::Written {
            at: Timestamp::now(),
            entry: entry.to_owned(),
            outcome,
        })
    }

    fn write(&self, entry: &str, change: &Change) -> Result<(), ApiError> {
        match change {
            Change::Add(fields) => self.server.add(entry, fields),
            Change::Patch(fields) => self.server.patch(entry, fields),
            Change::Remove => match self.server.remove(entry) {
                Err(ApiError::NotFound { .. }) => Ok(()),
                other => other,
            },
        }
    }
}
