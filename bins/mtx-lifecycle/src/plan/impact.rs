//! What a write does to a running stream.

use mediamtx::api::Fields;
use mediamtx::version::ServerVersion;

use crate::server::{Busy, difference, is_on};

/// What a write does to a running stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Impact {
    /// Nothing that nobody has asked for.
    Nothing,
    /// Its recording begins anew, at the next key frame: what comes before that is in no file.
    Recording,
    /// It ends, for everybody.
    Path,
    /// Nothing holds it open for a moment, in which it may end.
    Hold,
}

impl Impact {
    /// Whom that hurts, of those who are there.
    #[must_use]
    pub fn on(self, busy: Busy) -> Busy {
        match self {
            Self::Nothing => Busy::default(),
            Self::Recording => Busy {
                recordings: busy.recordings,
                ..Busy::default()
            },
            Self::Path => busy,
            Self::Hold if busy.viewers > 0 => Busy::default(),
            Self::Hold => busy,
        }
    }

    /// Of a change of some settings of an entry.
    #[must_use]
    pub fn of(before: &Fields, after: &Fields, changed: &Fields, version: &ServerVersion) -> Self {
        let stays_recorded = is_on(before, "record") && is_on(after, "record");
        if !changed.keys().all(|name| version.is_hot(name)) {
            Self::Path
        } else if stays_recorded && !changed.is_empty() {
            Self::Recording
        } else {
            Self::Nothing
        }
    }

    /// Of a path that gets its settings from another entry, in either direction. Both have all settings of an entry.
    #[must_use]
    pub fn of_entry(model: &Fields, own: &Fields, version: &ServerVersion) -> Self {
        if !version.survives_change_of_entry() {
            return Self::Path;
        }
        let mut changed = difference(model, own);
        changed.extend(difference(own, model));
        Self::of(model, own, &changed, version)
    }
}
