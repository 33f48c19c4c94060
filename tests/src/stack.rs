//! What most tests of the worker begin with: a server and a stream on it.

use std::time::Duration;

use crate::clips::Clip;
use crate::mediamtx::{Config, MediaMtx};
use crate::processes::Spawned;

/// The path tests publish to.
pub const IN: &str = "live/test/in";
/// The path the worker publishes to.
pub const OUT: &str = "live/test/out";
/// Long enough for whatever should happen at once, even on a busy machine.
pub const SOON: Duration = Duration::from_secs(10);

/// A server and a publisher over RTSP (ready at once, where ffmpeg over RTMP takes two seconds).
pub struct Stack {
    /// The server.
    pub server: MediaMtx,
    /// The publisher; dropping it ends the stream.
    pub publisher: Option<Spawned>,
    clip: Clip,
}

impl Stack {
    /// Publishes H.264 and AAC to [`IN`] of a server with the usual configuration.
    #[track_caller]
    pub fn start() -> Self {
        Self::start_with(Config::default(), Clip::h264_aac())
    }

    /// Publishes a clip to [`IN`] of a server.
    #[track_caller]
    pub fn start_with(config: Config, clip: Clip) -> Self {
        let mut stack = Self {
            server: MediaMtx::start(config),
            publisher: None,
            clip,
        };
        stack.publish();
        stack
    }

    /// Publishes (again) and waits until the stream is there.
    #[track_caller]
    pub fn publish(&mut self) {
        self.publisher = Some(self.clip.publish(&self.server.rtsp(IN)));
        self.server.wait_ready(IN, 2 * SOON);
    }

    /// Ends the stream and waits until it is gone.
    #[track_caller]
    pub fn unpublish(&mut self) {
        self.publisher = None;
        self.server.wait_gone(IN, SOON);
    }

    /// URL of [`IN`] over RTSP.
    pub fn input(&self) -> String {
        self.server.rtsp(IN)
    }

    /// URL of [`OUT`] over RTMP.
    pub fn output(&self) -> String {
        self.server.rtmp(OUT)
    }

    /// Waits until the worker's stream is there.
    #[track_caller]
    pub fn wait_out(&self) {
        self.server.wait_ready(OUT, SOON);
    }
}
