//! Questions beside the status: where a stream is read, how long its files are kept, whether somebody watches.

use std::time::Duration;

use url::Url;

use super::{Error, Lifecycle};
use crate::journal::{Journal, Lock, LockError, WATCH_LOCK};
use crate::server::{is_on, text};
use crate::span::Span;

/// How long recorded files are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// MediaMTX deletes them then; zero is never.
    pub delete_after: Span,
    /// A new file begins then.
    pub length: Span,
}

impl Lifecycle {
    /// Where this machine reads a stream: below `from`, or where the API is, at the server's RTSP port.
    ///
    /// # Errors
    /// When the server does not say where it speaks RTSP.
    pub fn stream_url(&self, path: &str, from: Option<&Url>) -> Result<String, Error> {
        let below = match from {
            Some(url) => url.clone(),
            None => self.own_url()?,
        };
        Ok(format!("{}/{path}", below.as_str().trim_end_matches('/')))
    }

    fn own_url(&self) -> Result<Url, Error> {
        let options = self.options();
        let state = Journal::peek(&options.folder)?;
        let given = options.rtsp.as_ref().or(state.rtsp.as_ref());
        let api = options.api.url().parse::<Url>().ok();
        let host = api.as_ref().and_then(Url::host_str).unwrap_or("127.0.0.1");
        Ok(self.server().look()?.reach.from_here(host, given)?)
    }

    /// How long the recorded files of a path are kept, if it is recorded.
    ///
    /// # Errors
    /// When the server can't be asked.
    pub fn retention(&self, path: &str) -> Result<Option<Retention>, Error> {
        let view = self.server().look()?;
        let Some(entry) = view.governing(path) else {
            return Ok(None);
        };
        let span = |name| text(entry, name).parse().ok();
        let spans = (span("recordDeleteAfter"), span("recordSegmentDuration"));
        Ok(match spans {
            (Some(delete_after), Some(length)) if is_on(entry, "record") => Some(Retention {
                delete_after,
                length,
            }),
            _ => None,
        })
    }

    /// Whether somebody watches with the same journal.
    #[must_use]
    pub fn is_watched(&self) -> bool {
        let lock = Lock::take(&self.options().folder, WATCH_LOCK, Duration::ZERO);
        matches!(lock, Err(LockError::Taken { .. }))
    }
}

impl std::fmt::Display for Retention {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            delete_after,
            length,
        } = self;
        write!(f, "a new file every {length}; ")?;
        if delete_after.is_zero() {
            return write!(f, "MediaMTX never deletes them (recordDeleteAfter: 0s)");
        }
        write!(
            f,
            "MediaMTX deletes them after {delete_after} (recordDeleteAfter)"
        )
    }
}
