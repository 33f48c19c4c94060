//! go2rtc: the server of most home installations, here as a source over RTSP and as a sink over RTMP.

use std::fs;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::binaries::other_server;
use crate::processes::Spawned;
use crate::waiting::wait_until;
use crate::{http, ports};

/// Streams that it knows: it takes a publisher only for a name in its configuration.
const STREAMS: [&str; 2] = ["in", "out"];

/// A running go2rtc.
pub struct Go2rtc {
    rtsp: u16,
    rtmp: u16,
    api: u16,
    process: Spawned,
    _folder: TempDir,
}

impl Go2rtc {
    /// Starts it on free ports.
    ///
    /// # Panics
    /// When it can't be built or does not come up.
    #[track_caller]
    pub fn start() -> Self {
        let (rtsp, rtmp, api) = (ports::tcp(), ports::tcp(), ports::tcp());
        let folder = tempfile::tempdir().expect("a temp folder");
        let streams = STREAMS.map(|name| format!("  {name}:\n")).concat();
        let configuration = format!(
            "api: {{listen: \"127.0.0.1:{api}\"}}\n\
             rtsp: {{listen: \"127.0.0.1:{rtsp}\"}}\n\
             rtmp: {{listen: \"127.0.0.1:{rtmp}\"}}\n\
             log: {{level: debug}}\n\
             streams:\n{streams}"
        );
        let file = folder.path().join("go2rtc.yaml");
        fs::write(&file, configuration).expect("a writable temp folder");
        let mut command = Command::new(other_server("go2rtc"));
        command.current_dir(&folder).arg("-config").arg(file);
        let server = Self {
            rtsp,
            rtmp,
            api,
            process: Spawned::start("go2rtc", command),
            _folder: folder,
        };
        wait_until("go2rtc", Duration::from_secs(10), || {
            server.ask("in").is_some()
        });
        server
    }

    /// `rtsp://` URL of one of its streams, `in` or `out`.
    pub fn rtsp(&self, name: &str) -> String {
        format!("rtsp://127.0.0.1:{}/{name}", self.rtsp)
    }

    /// `rtmp://` URL of one of its streams. go2rtc looks at the application only, which is the first segment here.
    pub fn rtmp(&self, name: &str) -> String {
        format!("rtmp://127.0.0.1:{}/{name}", self.rtmp)
    }

    /// Whether somebody publishes a stream of this name, and go2rtc knows its tracks.
    pub fn has_publisher(&self, name: &str) -> bool {
        let stream = self.ask(name).unwrap_or_default();
        let producers = stream["producers"].as_array();
        producers.is_some_and(|all| all.iter().any(|producer| producer["medias"].is_array()))
    }

    /// Its log, at debug level.
    pub fn log(&self) -> String {
        self.process.output()
    }

    fn ask(&self, name: &str) -> Option<Value> {
        let url = format!("http://127.0.0.1:{}/api/streams?src={name}", self.api);
        serde_json::from_str(&http::get(&url).ok()?).ok()
    }
}
