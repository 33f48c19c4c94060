//! A camera that comes back whenever it is thrown out.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::clips::Clip;

const LOOK: Duration = Duration::from_millis(50);
/// Between the end of a connection and the next one.
const PAUSE: Duration = Duration::from_millis(500);

/// It publishes until it is dropped.
pub struct ReconnectingCamera {
    has_ended: Arc<AtomicBool>,
    connections: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
}

impl ReconnectingCamera {
    /// Publishes H.264 and AAC to `url`, again 0.5 s after each end of its connection.
    pub fn start(url: &str) -> Self {
        let has_ended = Arc::<AtomicBool>::default();
        let connections = Arc::<AtomicUsize>::default();
        let (url, ends, count) = (url.to_owned(), has_ended.clone(), connections.clone());
        let thread = thread::spawn(move || {
            while !ends.load(Ordering::Relaxed) {
                let mut publisher = Clip::h264_aac().publish(&url);
                count.fetch_add(1, Ordering::Relaxed);
                while publisher.try_wait().is_none() && !ends.load(Ordering::Relaxed) {
                    thread::sleep(LOOK);
                }
                drop(publisher);
                thread::sleep(PAUSE);
            }
        });
        Self {
            has_ended,
            connections,
            thread: Some(thread),
        }
    }

    /// How often it has connected so far.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

impl Drop for ReconnectingCamera {
    fn drop(&mut self) {
        self.has_ended.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic in it is the test's that waits for the camera's stream.
            let _ = thread.join();
        }
    }
}
