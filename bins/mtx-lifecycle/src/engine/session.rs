//! A stretch of work during which nobody else changes anything.

use std::time::Duration;

use mediamtx::timestamp::Timestamp;

use super::{Error, Lifecycle};
use crate::journal::{Journal, Lock, Record};
use crate::wanted::Wanted;

const LOCK: &str = "lock";

/// The lock and the journal.
pub(crate) struct Session<'a> {
    pub(crate) lifecycle: &'a Lifecycle,
    pub(crate) journal: Journal,
    _lock: Lock,
}

impl<'a> Session<'a> {
    pub(crate) fn begin(lifecycle: &'a Lifecycle, patience: Duration) -> Result<Self, Error> {
        let folder = &lifecycle.options.folder;
        let lock = Lock::take(folder, LOCK, patience)?;
        Ok(Self {
            lifecycle,
            journal: Journal::open(folder)?,
            _lock: lock,
        })
    }

    /// Something else is wanted from now on.
    pub(crate) fn revise(&mut self, what: String, wanted: Wanted) -> Result<(), Error> {
        let state = self.journal.state();
        let known = state.wanted();
        // Somebody may have put right what the server did not want.
        if known == wanted && state.rejected.is_empty() {
            return Ok(());
        }
        let policy = (known.policy != wanted.policy).then(|| (*wanted.policy).clone());
        let number = state.revision() + 1;
        self.journal.append(Record::Revision {
            at: Timestamp::now(),
            number,
            what,
            policy,
            uses: wanted.uses,
        })?;
        Ok(())
    }

    pub(crate) fn note(&mut self, record: Record) -> Result<(), Error> {
        Ok(self.journal.append(record)?)
    }
}
