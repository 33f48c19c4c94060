//! Many streams that cost little: the server reads one publisher's stream again and again.

use std::time::Duration;

use crate::binaries::suite_binary;
use crate::clips::Clip;
use crate::mediamtx::{Config, MediaMtx, Ports};
use crate::ports;
use crate::processes::Spawned;
use crate::streams::ingest;

/// Where the one publisher goes.
const FEED: &str = "feed";
/// A source that was not there at first is looked for every 5 s.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server with many streams, whose hooks tell an orchestrator of them.
pub struct Fan {
    /// The server.
    pub server: MediaMtx,
    /// Where its hooks go.
    pub port: u16,
    /// The streams' names.
    pub streams: Vec<String>,
    _publisher: Spawned,
}

impl Fan {
    /// Starts the server and waits until all streams are there.
    ///
    /// # Panics
    /// When one of them does not come.
    #[track_caller]
    pub fn start(count: usize) -> Self {
        let (all, port) = (Ports::choose(), ports::tcp());
        let streams: Vec<String> = (0..count).map(|number| format!("s{number:02}")).collect();
        let hook = suite_binary("mtx-hook");
        let settings = format!(
            "source: rtsp://127.0.0.1:{}/{FEED}\nrtspTransport: tcp\n\
             runOnAvailable: {hook} ready\nrunOnUnavailable: {hook} not-ready\n",
            all.rtsp,
            hook = hook.display()
        );
        let config = streams.iter().fold(Config::default(), |config, stream| {
            config.path(&ingest(stream), &settings)
        });
        let url = format!("http://127.0.0.1:{port}");
        let server = MediaMtx::start_on(all, config.env("ORCHESTRATOR_URL", url));
        let fan = Self {
            _publisher: Clip::h264_aac().publish(&server.rtsp(FEED)),
            server,
            port,
            streams,
        };
        for stream in &fan.streams {
            fan.server.wait_ready(&ingest(stream), PATIENCE);
        }
        fan
    }
}
