//! Notices that an output gets no video.

use std::cell::Cell;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// When an output whose stream carries video got some last.
pub(super) struct VideoWatch {
    last: Cell<Instant>,
    has_sent: Notify,
}

impl Default for VideoWatch {
    fn default() -> Self {
        Self {
            last: Cell::new(Instant::now()),
            has_sent: Notify::new(),
        }
    }
}

impl VideoWatch {
    /// Longer than most cameras take from one key frame to the next.
    pub(super) const LIMIT: Duration = Duration::from_secs(10);

    /// Video was sent.
    pub(super) fn sent(&self) {
        self.last.set(Instant::now());
        self.has_sent.notify_waiters();
    }

    /// Waits until none was sent for the limit, and it `is_awaited`.
    pub(super) async fn is_missing(&self, is_awaited: impl Fn() -> bool) {
        loop {
            sleep_until(self.last.get() + Self::LIMIT).await;
            if Instant::now() < self.last.get() + Self::LIMIT {
                continue;
            }
            if is_awaited() {
                return;
            }
            self.last.set(Instant::now());
        }
    }

    /// Waits until some is sent.
    pub(super) async fn is_back(&self) {
        self.has_sent.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::{sleep, timeout};

    #[tokio::test(start_paused = true)]
    async fn video_is_missing_once_none_was_sent_for_the_limit() {
        let video = VideoWatch::default();
        for _ in 0..3 {
            let nearly = VideoWatch::LIMIT - Duration::from_secs(1);
            assert!(timeout(nearly, video.is_missing(|| true)).await.is_err());
            video.sent();
        }
        let start = Instant::now();
        video.is_missing(|| true).await;
        assert_eq!(start.elapsed(), VideoWatch::LIMIT);
        tokio::join!(video.is_back(), async {
            sleep(Duration::from_secs(1)).await;
            video.sent();
        });
    }

    #[tokio::test(start_paused = true)]
    async fn video_that_is_not_awaited_is_not_missing() {
        let video = VideoWatch::default();
        let long = 5 * VideoWatch::LIMIT;
        assert!(timeout(long, video.is_missing(|| false)).await.is_err());
        video.is_missing(|| true).await;
    }
}
