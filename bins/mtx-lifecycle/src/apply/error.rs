//! Why something could not be done.

use std::io;

use common::timestamp::Timestamp;
use mediamtx::api::ApiError;
use mediamtx::path::PathNameError;

use crate::journal::{JournalError, LockError};
use crate::server::{ReachError, TemplateError};

/// Each says what to do, where there is something to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// The journal.
    #[error("the journal: {0}")]
    Journal(#[from] JournalError),
    /// Another process.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The server can't hold a path open.
    #[error(transparent)]
    Reach(#[from] ReachError),
    /// A path's settings come from nowhere.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// The folder for the journal.
    #[error("the journal's folder {folder}: {error}")]
    Folder {
        /// Which.
        folder: String,
        /// What is the matter.
        error: io::Error,
    },
    /// Others may read or write it.
    #[error("{0} is open to other users, and the journal there can hold passwords: chmod 700 {0}")]
    OpenFolder(String),
    /// No use case.
    #[error("there is no use case {name:?}: it is one of {known}")]
    UseCase {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// MediaMTX would not take it for one either.
    #[error(transparent)]
    Path(#[from] PathNameError),
    /// It is for many paths, or for the suite's own.
    #[error(
        "{0:?} is no path of its own: all, all_others and ~expressions are entries for many paths, and lifecycle/… \
         are mtx-lifecycle's; name one path"
    )]
    Reserved(String),
    /// There is no stream there.
    #[error(
        "{0} is a redirect (`source: redirect`), which has no stream of its own: go to where it leads, to its path on \
         that server"
    )]
    Redirect(String),
    /// A mistyped path, for example.
    #[error(
        "there is no path {0}: MediaMTX has none at the moment, and nothing was started there; mtx-lifecycle status \
         lists the paths"
    )]
    Unknown(String),
    /// A path that the journal does not know, while the server does not answer.
    #[error(
        "nothing was started on {path}, and whether MediaMTX has such a path can't be asked: {error}"
    )]
    NothingToStop {
        /// Of which path.
        path: String,
        /// Why it can't be asked.
        error: ApiError,
    },
    /// It may not change anything.
    #[error("{0}")]
    Forbidden(String),
    /// Somebody else has made the server reject everything.
    #[error(
        "MediaMTX rejects every change of any path, because it remembers one of somebody else's that it has rejected: \
         give that path a value that it accepts, or restart the server ({0})"
    )]
    Jammed(String),
    /// Somebody did not want to wait.
    #[error("interrupted")]
    Interrupted,
    /// A use case can't end before it begins.
    #[error("{0} is in the past: a use case ends in the future")]
    Moment(Timestamp),
    /// Nothing to go back to.
    #[error("there is no revision {wanted}: the journal has 0 (the server as it was){known}")]
    Revision {
        /// What was asked for.
        wanted: u64,
        /// The others, each after a comma.
        known: String,
    },
    /// What was wanted before is in none of the revisions that are kept.
    #[error(
        "what was wanted before the last change is not known any more: the revisions that are kept want the same as \
         now, and the oldest one is {oldest}; mtx-lifecycle rollback 0 gives back the server as it was"
    )]
    Forgotten {
        /// The number of that one.
        oldest: u64,
    },
    /// It answered 200, which comes before it does anything.
    #[error(
        "MediaMTX has taken the change of {entry}, but does not show it after {after:?}: see its log"
    )]
    NotShown {
        /// Which entry.
        entry: String,
        /// How long it was waited for.
        after: std::time::Duration,
    },
    /// It does not want one of the changes.
    #[error("{path}: {why}")]
    Rejected {
        /// Of which path.
        path: String,
        /// Its reason.
        why: String,
    },
    /// The stream does not come.
    #[error("{path}: its source has not come within {after:?}. {}", goes_on(path, *is_held))]
    NoSource {
        /// Of which path.
        path: String,
        /// How long it was waited for.
        after: std::time::Duration,
        /// Whether the server demands it from now on.
        is_held: bool,
    },
    /// Nothing makes the stream of a picture come.
    #[error("{0}: no picture: nobody publishes it at the moment")]
    NotPublished(String),
    /// The stream of a picture does not come.
    #[error("{path}: no picture: its source has not come within {after:?}")]
    NoPicture {
        /// Of which path.
        path: String,
        /// How long it was waited for.
        after: std::time::Duration,
    },
    /// The stream is there, its file is not.
    #[error(
        "{path}: the stream is there, but no file has been begun after {after:?}: see MediaMTX's log"
    )]
    NoFile {
        /// Of which path.
        path: String,
        /// How long it was waited for.
        after: std::time::Duration,
    },
}

fn goes_on(path: &str, is_held: bool) -> String {
    let next = match is_held {
        true => "MediaMTX goes on trying",
        false => "MediaMTX tries it again when somebody watches",
    };
    format!("It stays wanted, and {next}; mtx-lifecycle stop {path} ends that")
}

impl Error {
    /// Whether what was asked for is wrong by itself, whatever the server says.
    #[must_use]
    pub fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::UseCase { .. } | Self::Path(_) | Self::Reserved(_) | Self::Moment(_)
        )
    }

    /// Whether the server does not answer, or not as it should, or not to this program.
    #[must_use]
    pub fn is_of_server(&self) -> bool {
        self.is_outage()
            || matches!(
                self,
                Self::Api(_) | Self::Forbidden(_) | Self::NothingToStop { .. }
            )
    }

    /// Whether the server is in trouble, as opposed to what was asked of it.
    #[must_use]
    pub fn is_outage(&self) -> bool {
        match self {
            Self::Api(error) => !error.is_verdict(),
            Self::NotShown { .. } => true,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_path_that_is_held_open_is_said_to_be_tried_again_and_again() {
        let message = |is_held| {
            let error = Error::NoSource {
                path: "cam".to_owned(),
                after: std::time::Duration::from_secs(10),
                is_held,
            };
            error.to_string()
        };
        assert!(message(true).contains("MediaMTX goes on trying"));
        assert!(message(false).contains("tries it again when somebody watches"));
    }
}
