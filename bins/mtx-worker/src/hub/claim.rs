//! The right to publish to an output.

use crate::lock::{OutputLock, wait_for};
use crate::rtmp::url::RtmpUrl;
use crate::sink::SinkError;
use crate::source::{RtspSource, RtspUrl};

/// Makes sure that nobody else publishes to an output, as far as that can be known.
pub(super) struct Claim {
    url: RtmpUrl,
    /// Where readers find the output, if its server can be asked.
    published_at: Option<RtspUrl>,
    lock: Option<OutputLock>,
}

impl Claim {
    pub(super) fn new(url: RtmpUrl, published_at: Option<RtspUrl>) -> Self {
        Self {
            url,
            published_at,
            lock: None,
        }
    }

    /// Takes the output, unless it is this worker's already; waits for a worker that is just ending.
    pub(super) async fn take(&mut self, source: &RtspSource) -> Result<(), SinkError> {
        if self.lock.is_some() {
            return Ok(());
        }
        let lock = OutputLock::take(&self.url).await.map_err(SinkError::Lock)?;
        let lock = lock.ok_or(SinkError::Occupied)?;
        if let Some(url) = &self.published_at {
            let free = wait_for(async || (!source.is_published(url).await).then_some(()));
            free.await.ok_or(SinkError::Occupied)?;
        }
        self.lock = Some(lock);
        Ok(())
    }

    /// Leaves the output to whoever wants it.
    pub(super) fn release(&mut self) {
        self.lock = None;
    }
}
