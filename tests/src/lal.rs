//! lal: an RTMP and RTSP server, here as a source over RTSP and as a sink over RTMP.

use std::fs;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::binaries::other_server;
use crate::processes::Spawned;
use crate::waiting::wait_until;
use crate::{http, ports};

/// A running lal.
pub struct Lal {
    rtsp: u16,
    rtmp: u16,
    api: u16,
    process: Spawned,
    _folder: TempDir,
}

impl Lal {
    /// Starts it on free ports.
    ///
    /// # Panics
    /// When it can't be built or does not come up.
    #[track_caller]
    pub fn start() -> Self {
        let (rtsp, rtmp, api) = (ports::tcp(), ports::tcp(), ports::tcp());
        let folder = tempfile::tempdir().expect("a temp folder");
        let address = |port: u16| format!("127.0.0.1:{port}");
        let configuration = json!({
            "conf_version": "v0.4.1",
            "rtmp": {"enable": true, "addr": address(rtmp)},
            "rtsp": {"enable": true, "addr": address(rtsp), "out_wait_key_frame_flag": true},
            "http_api": {"enable": true, "addr": address(api)},
            "log": {"level": 1, "is_to_stdout": true, "filename": "", "level_flag": true},
        });
        let file = folder.path().join("lal.json");
        fs::write(&file, configuration.to_string()).expect("a writable temp folder");
        let mut command = Command::new(other_server("lalserver"));
        command.current_dir(&folder).arg("-c").arg(file);
        let server = Self {
            rtsp,
            rtmp,
            api,
            process: Spawned::start("lal", command),
            _folder: folder,
        };
        wait_until("lal", Duration::from_secs(10), || {
            server.ask("stat/lal_info").is_some()
        });
        server
    }

    /// `rtsp://` URL of a stream.
    pub fn rtsp(&self, name: &str) -> String {
        format!("rtsp://127.0.0.1:{}/live/{name}", self.rtsp)
    }

    /// `rtmp://` URL of a stream.
    pub fn rtmp(&self, name: &str) -> String {
        format!("rtmp://127.0.0.1:{}/live/{name}", self.rtmp)
    }

    /// Whether somebody publishes a stream of this name.
    pub fn has_publisher(&self, name: &str) -> bool {
        let group = self.ask(&format!("stat/group?stream_name={name}"));
        group.is_some_and(|group| {
            let publisher = group["data"]["pub"]["session_id"].as_str();
            publisher.is_some_and(|id| !id.is_empty())
        })
    }

    /// Its log, at debug level.
    pub fn log(&self) -> String {
        self.process.output()
    }

    fn ask(&self, what: &str) -> Option<Value> {
        let url = format!("http://127.0.0.1:{}/api/{what}", self.api);
        serde_json::from_str(&http::get(&url).ok()?).ok()
    }
}
