//! The right to publish to an output.

use crate::lock::{OutputLock, wait_for};
use crate::rtmp::url::RtmpUrl;
use crate::sink::SinkError;
use crate::source::{RtspSource, RtspUrl};

/// Makes sure that nobody else publishes to an output, as far as that can be known.
pub(super) struct Claim {
    url: RtmpUrl,
    /// Where readers find the output, if its server can be asked and was not yet.
    to_ask: Option<RtspUrl>,
    published_at: Option<RtspUrl>,
    lock: Option<OutputLock>,
}

impl Claim {
    pub(super) fn new(url: RtmpUrl, published_at: Option<RtspUrl>) -> Self {
        Self {
            url,
            to_ask: published_at.clone(),
            published_at,
            lock: None,
        }
    }

    /// Takes the output among the workers of this host, unless it is this worker's already; waits for one that is just
    /// ending.
    pub(super) async fn take(&mut self) -> Result<(), SinkError> {
        if self.lock.is_none() {
            let lock = OutputLock::take(&self.url).await.map_err(SinkError::Lock)?;
            self.lock = Some(lock.ok_or(SinkError::Occupied)?);
        }
        Ok(())
    }

    /// Fails if somebody else publishes there, whom a publisher would throw out (`overridePublisher` in mediamtx.yml, on by
    /// default). Asks once, and waits for whoever is just ending.
    pub(super) async fn ask_server(&mut self, source: &RtspSource) -> Result<(), SinkError> {
        if let Some(url) = &self.to_ask {
            let free = wait_for(async || (!source.is_published(url).await).then_some(()));
            free.await.ok_or(SinkError::Occupied)?;
            self.to_ask = None;
        }
        Ok(())
    }

    /// Leaves the output to whoever wants it.
    pub(super) fn release(&mut self) {
        self.to_ask.clone_from(&self.published_at);
        self.lock = None;
    }
}
