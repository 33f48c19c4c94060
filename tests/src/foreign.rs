//! A MediaMTX that somebody else has configured, with nothing in it that the suite would have chosen.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_yaml::{Mapping, Value};
use tempfile::TempDir;

use crate::binaries::{mediamtx, suite_binary};
use crate::mediamtx::Ports;
use crate::orchestrator::Orchestrator;
use crate::packets::{Kind, Reader};
use crate::processes::Spawned;
use crate::waiting::wait_until;
use crate::{clips::Clip, ports};

const PATIENCE: Duration = Duration::from_secs(20);

/// Their `mediamtx.yml` on free ports of this machine. Its hooks find the suite's programs in the server's `PATH`.
pub struct Foreign {
    /// Where it listens.
    pub ports: Ports,
    /// The port of RTSP over TLS.
    pub rtsps: u16,
    file: String,
    folder: TempDir,
    environment: Vec<(String, String)>,
}

impl Foreign {
    /// Takes over a `mediamtx.yml`, in which `%rtsp%`, `%rtmp%`, `%rtmps%`, `%api%` and `%folder%` stand for the
    /// test's free ports and its folder.
    pub fn configured(file: &str) -> Self {
        let mut foreign = Self {
            ports: Ports::choose(),
            rtsps: ports::tcp(),
            file: String::new(),
            folder: tempfile::tempdir().expect("a temp folder"),
            environment: Vec::new(),
        };
        foreign.file = foreign.on_its_ports(file);
        foreign
    }

    /// Sets a variable of the server's environment, which its hooks inherit.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        let value = self.on_its_ports(value);
        self.environment.push((name.to_owned(), value));
        self
    }

    /// Where its configuration, certificates and keys lie.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A text with this server's ports and folder in it.
    pub fn on_its_ports(&self, text: &str) -> String {
        let Ports {
            rtsp,
            rtmp,
            rtmps,
            api,
            ..
        } = self.ports;
        [
            ("rtsp", rtsp),
            ("rtmp", rtmp),
            ("rtmps", rtmps),
            ("rtsps", self.rtsps),
            ("api", api),
        ]
        .iter()
        .fold(text.to_owned(), |text, (name, port)| {
            text.replace(&format!("%{name}%"), &port.to_string())
        })
        .replace("%folder%", &self.folder.path().display().to_string())
    }

    /// Starts it, and waits until it listens.
    ///
    /// # Panics
    /// When it does not come up.
    #[track_caller]
    pub fn start(self) -> Running {
        let yaml = self.complete();
        fs::write(self.folder.path().join("mediamtx.yml"), &yaml).expect("a writable folder");
        let mut command = Command::new(mediamtx());
        command.arg("mediamtx.yml").current_dir(self.folder.path());
        let binaries = ["mtx-hook", "mtx-worker"].map(suite_binary);
        let folders = binaries.iter().filter_map(|binary| binary.parent());
        let path = std::env::join_paths(folders).expect("no colon in the path");
        command.env("PATH", path).envs(self.environment.clone());
        let process = Spawned::start("mediamtx", command);
        let api = SocketAddr::from(([127, 0, 0, 1], self.ports.api));
        wait_until("MediaMTX's API, which it opens last", PATIENCE, || {
            TcpStream::connect(api).is_ok()
        });
        Running {
            process,
            foreign: self,
        }
    }

    /// Their file, moved to free ports where it says nothing of its own.
    fn complete(&self) -> String {
        let mut file: Mapping = serde_yaml::from_str(&self.file).expect("their file is YAML");
        let Ports {
            rtsp,
            rtp,
            rtmp,
            rtmps,
            api,
            ..
        } = self.ports;
        let local = |port: u16| Value::from(format!("127.0.0.1:{port}"));
        for (name, value) in [
            ("rtspAddress", local(rtsp)),
            ("rtspsAddress", local(self.rtsps)),
            ("rtpAddress", local(rtp)),
            ("rtcpAddress", local(rtp + 1)),
            ("rtmpAddress", local(rtmp)),
            ("rtmpsAddress", local(rtmps)),
            ("api", true.into()),
            ("apiAddress", local(api)),
            ("hls", false.into()),
            ("webrtc", false.into()),
            ("srt", false.into()),
            ("moq", false.into()),
        ] {
            file.entry(name.into()).or_insert(value);
        }
        serde_yaml::to_string(&file).expect("it was read")
    }
}

/// It runs; when dropped, it ends with its hooks.
pub struct Running {
    foreign: Foreign,
    process: Spawned,
}

impl Running {
    /// What it runs with.
    pub fn foreign(&self) -> &Foreign {
        &self.foreign
    }

    /// Its process and its log, which its hooks write into.
    pub fn process(&self) -> &Spawned {
        &self.process
    }

    /// Its RTSP URL of a path; `login` is `user:password@` or nothing.
    pub fn rtsp(&self, login: &str, path: &str) -> String {
        format!("rtsp://{login}127.0.0.1:{}/{path}", self.foreign.ports.rtsp)
    }

    /// An orchestrator for it on a chosen port, with further flags or another environment.
    #[track_caller]
    pub fn orchestrator(&self, port: u16, change: impl FnOnce(&mut Command)) -> Orchestrator {
        let at = |url| self.foreign.on_its_ports(url);
        Orchestrator::start_at(port, |command| {
            command
                .env("MEDIAMTX_API_URL", at("http://127.0.0.1:%api%"))
                .env("MEDIAMTX_RTSP_URL", at("rtsp://127.0.0.1:%rtsp%"))
                .env("MEDIAMTX_RTMP_URL", at("rtmp://127.0.0.1:%rtmp%"));
            change(command);
        })
    }

    /// Publishes H.264 and AAC there over RTSP.
    #[track_caller]
    pub fn publish(&self, login: &str, path: &str) -> Spawned {
        let url = self.rtsp(login, path);
        let publisher = Clip::h264_aac().publish(&url);
        self.process
            .wait_for_line(&format!("[path {path}] stream is available"), PATIENCE);
        publisher
    }

    /// Waits until a stream comes out at a path, and reads a second of it.
    ///
    /// # Panics
    /// When none comes.
    #[track_caller]
    pub fn comes_out(&self, login: &str, path: &str) {
        self.process
            .wait_for_line(&format!("[path {path}] stream is available"), PATIENCE);
        Reader::start(&self.rtsp(login, path)).collect(Kind::Video, 25, PATIENCE);
    }

    /// The paths on which a stream has become available so far.
    pub fn available(&self) -> Vec<String> {
        let path = |line: crate::processes::Line| {
            let (_, rest) = line.text.split_once("[path ")?;
            let (path, what) = rest.split_once("] ")?;
            what.starts_with("stream is available")
                .then(|| path.to_owned())
        };
        self.process.lines().into_iter().filter_map(path).collect()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.process.stop(Duration::from_secs(2));
    }
}
