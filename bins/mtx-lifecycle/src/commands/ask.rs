//! Questions beside the status: where a stream is read, whether somebody watches.

use std::time::Duration;

use url::Url;

use super::{Error, Lifecycle};
use crate::journal::{Journal, Lock, LockError, WATCH_LOCK};

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

    /// Whether somebody watches with the same journal.
    #[must_use]
    pub fn is_watched(&self) -> bool {
        let lock = Lock::take(&self.options().folder, WATCH_LOCK, Duration::ZERO);
        matches!(lock, Err(LockError::Taken { .. }))
    }
}
