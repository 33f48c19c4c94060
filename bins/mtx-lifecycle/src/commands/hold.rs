//! Holding a path open for as long as a command runs.
//!
//! It is no wish of anybody's, so it is no revision: what was stopped stays stopped. It is in force for as long as its
//! command has a lock, which ends with the command's process, however that ends. The next command, or who watches,
//! takes back what a dead one has left.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::{Error, Lifecycle, Report, Session};
use crate::apply::Scope;
use crate::journal::{Lock, Record, State};
use crate::policy::Hold;

static COUNTER: AtomicU32 = AtomicU32::new(0);

/// A path that is held open until this is released.
#[derive(Debug)]
pub struct Holding<'a> {
    lifecycle: &'a Lifecycle,
    id: String,
    path: String,
    lock: Option<Lock>,
}

impl<'a> Holding<'a> {
    /// Notes the hold; converging makes it true.
    pub(super) fn begin(session: &mut Session<'a>, hold: Hold) -> Result<Self, Error> {
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        // Containers that share the folder can have the same process ids.
        let id = format!(
            "hold-{}-{number}-{:08x}",
            std::process::id(),
            fastrand::u32(..)
        );
        let lifecycle = session.lifecycle;
        let folder = &lifecycle.options().folder;
        let lock = Lock::take(folder, &id, Duration::ZERO)?;
        let path = hold.path.clone();
        session.note(Record::Held {
            id: id.clone(),
            hold,
        })?;
        Ok(Self {
            lifecycle,
            id,
            path,
            lock: Some(lock),
        })
    }

    /// Ends it, and says what was written for that, and what waits.
    ///
    /// # Errors
    /// When the server can't be told; who comes next does it then.
    pub fn release(mut self) -> Result<Report, Error> {
        let mut session = Session::begin(self.lifecycle, self.lifecycle.options().timeout)?;
        self.let_go();
        let id = self.id.clone();
        session.note(Record::Released { id })?;
        session.look_and_converge(&Scope::one(&self.path))
    }

    fn let_go(&mut self) {
        if self.lock.take().is_some() {
            let _ = fs::remove_file(file(&self.lifecycle.options().folder, &self.id));
        }
    }
}

impl Drop for Holding<'_> {
    fn drop(&mut self) {
        self.let_go();
    }
}

fn file(folder: &Path, id: &str) -> PathBuf {
    folder.join(id)
}

/// The holds whose commands are dead.
pub(super) fn abandoned(folder: &Path, state: &State) -> Vec<String> {
    let is_dead = |id: &&String| {
        let file = file(folder, id);
        if !file.exists() {
            return true;
        }
        let is_free = Lock::take(folder, id, Duration::ZERO).is_ok();
        if is_free {
            let _ = fs::remove_file(file);
        }
        is_free
    };
    state.holds.keys().filter(is_dead).cloned().collect()
}
