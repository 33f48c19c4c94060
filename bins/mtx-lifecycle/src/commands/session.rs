//! A stretch of work during which nobody else changes anything.

use std::collections::BTreeSet;
use std::sync::MutexGuard;
use std::time::Duration;

use common::timestamp::Timestamp;

use super::{Error, Lifecycle, Report, hold};
use crate::apply::{Applier, Scope};
use crate::journal::{Journal, Lock, Record, State};
use crate::policy::Wanted;
use crate::server::View;

const LOCK: &str = "lock";
const ID_LENGTH: usize = 8;

/// The lock and the journal.
pub(crate) struct Session<'a> {
    pub(crate) lifecycle: &'a Lifecycle,
    journal: MutexGuard<'a, Journal>,
    _lock: Lock,
}

impl<'a> Session<'a> {
    /// Takes the lock, reads the journal, and ends what is over: holds of commands that have died, and use cases that
    /// were started for a time. The journal has their paths until they are converged, which they are with any other.
    pub(crate) fn begin(lifecycle: &'a Lifecycle, patience: Duration) -> Result<Self, Error> {
        let folder = &lifecycle.options.folder;
        let lock = Lock::take(folder, LOCK, patience)?;
        let mut session = Self {
            lifecycle,
            journal: lifecycle.journal()?,
            _lock: lock,
        };
        session.introduce()?;
        for id in hold::abandoned(folder, session.state()) {
            session.note(Record::Released { id })?;
        }
        session.end_what_is_over()?;
        Ok(session)
    }

    /// The journal gets an id, and knows where the server reaches itself.
    fn introduce(&mut self) -> Result<(), Error> {
        if self.state().id.is_empty() {
            const LETTERS: &[u8] = b"abcdefghijkmnpqrstuvwxyz23456789";
            let letter = |_| char::from(LETTERS[fastrand::usize(..LETTERS.len())]);
            let id = (0..ID_LENGTH).map(letter).collect();
            self.note(Record::Journal { id, length: 0 })?;
        }
        let given = self.lifecycle.options.rtsp.clone();
        let given = given.filter(|url| self.state().rtsp.as_ref() != Some(url));
        let Some(url) = given else {
            return Ok(());
        };
        // A mistyped login must not replace one that works. A server that is away can't tell.
        if !url.username().is_empty()
            && let Ok(view) = self.lifecycle.server().look()
        {
            view.reach.check_user(&url)?;
        }
        self.note(Record::Rtsp { url })
    }

    fn end_what_is_over(&mut self) -> Result<(), Error> {
        let mut wanted = self.state().wanted();
        let over = wanted.end_what_is_over(Timestamp::now());
        if over.is_empty() {
            return Ok(());
        }
        let what: Vec<_> = over
            .iter()
            .map(|(use_case, path)| format!("{use_case} {path}"))
            .collect();
        let mut paths = self.state().ended.clone();
        paths.extend(over.into_iter().map(|(_, path)| path));
        self.note(Record::Ended { paths })?;
        self.revise(format!("the time of {} is over", what.join(", ")), wanted)
    }

    pub(crate) fn state(&self) -> &State {
        self.journal.state()
    }

    /// Something else is wanted from now on.
    pub(crate) fn revise(&mut self, what: String, wanted: Wanted) -> Result<(), Error> {
        self.revise_undoing(what, wanted, None)
    }

    /// The same, which takes a revision back.
    pub(crate) fn revise_undoing(
        &mut self,
        what: String,
        wanted: Wanted,
        undoes: Option<u64>,
    ) -> Result<(), Error> {
        let state = self.state();
        let known = state.wanted();
        // Somebody may have put right what the server did not want.
        if known == wanted && state.rejected.is_empty() {
            return Ok(());
        }
        let policy = (known.policy != wanted.policy).then(|| (*wanted.policy).clone());
        let number = state.revision() + 1;
        self.note(Record::Revision {
            at: Timestamp::now(),
            number,
            what,
            policy,
            uses: wanted.uses,
            undoes,
        })
    }

    pub(crate) fn note(&mut self, record: Record) -> Result<(), Error> {
        Ok(self.journal.append(record)?)
    }

    /// The source of a path is there, or nobody misses it any more.
    pub(crate) fn note_recovered(&mut self, path: &str) -> Result<(), Error> {
        let state = self.state();
        if !state.missing.contains_key(path) && !state.degraded.contains(path) {
            return Ok(());
        }
        let at = Timestamp::now();
        let path = path.to_owned();
        self.note(Record::Recovered { at, path })
    }

    /// Makes the server do without what is over, where the command itself comes to nothing.
    pub(crate) fn converge_ended(&mut self) {
        let Some(path) = self.state().ended.first().cloned() else {
            return;
        };
        if let Err(error) = self.look_and_converge(&Scope::one(&path)) {
            log::warn!(path = path.as_str(); "what was started there is over, but {error}");
        }
    }

    /// Makes the server be as it is wanted, as far as nobody is hurt.
    pub(crate) fn converge(&mut self, view: &View, scope: &Scope<'_>) -> Result<Report, Error> {
        let server = self.lifecycle.server();
        let report = Applier::new(server, &mut self.journal, scope.force).converge(view, scope)?;
        if report.jammed.is_none() && !self.state().ended.is_empty() {
            let paths = BTreeSet::new();
            self.note(Record::Ended { paths })?;
        }
        Ok(report)
    }

    /// The same from a look of its own.
    pub(crate) fn look_and_converge(&mut self, scope: &Scope<'_>) -> Result<Report, Error> {
        let view = self.lifecycle.server().look()?;
        self.converge(&view, scope)
    }
}
