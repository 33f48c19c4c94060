//! mtx-orchestrator with policies, and what is asked of it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::clips::{Clip, Video};
use crate::lifecycle::{Lifecycle, publishing_hook, segments};
use crate::mediamtx::{Config, MediaMtx};
use crate::orchestrator::Orchestrator;
use crate::ports;
use crate::raw_http::{Answer, call_within};

const PATIENCE: Duration = Duration::from_secs(60);
/// What a body is.
pub const JSON: (&str, &str) = ("Content-Type", "application/json");
/// What a policy is.
pub const YAML: (&str, &str) = ("Content-Type", "application/yaml");

/// A server with on-demand cameras that are recorded into a folder, and an orchestrator that shares its journal with
/// mtx-lifecycle's commands.
pub struct Policies {
    /// The server.
    pub server: MediaMtx,
    /// mtx-lifecycle's commands on the same journal.
    pub commands: Lifecycle,
    /// Where the orchestrator listens.
    pub address: SocketAddr,
    /// The orchestrator.
    pub orchestrator: Orchestrator,
    recordings: TempDir,
}

impl Policies {
    /// With one camera, `cam`.
    #[track_caller]
    pub fn start() -> Self {
        Self::start_with(&[], |_, _| {})
    }

    /// With these cameras besides `cam`, and an orchestrator with more flags or another environment.
    ///
    /// # Panics
    /// When something of it does not come up.
    #[track_caller]
    pub fn start_with(cameras: &[&str], change: impl FnOnce(&MediaMtx, &mut Command)) -> Self {
        let recordings = tempfile::tempdir().expect("a temp folder");
        let camera = camera(recordings.path());
        let config = Config::default().path("cam", &camera);
        let config = cameras
            .iter()
            .fold(config, |config, name| config.path(name, &camera));
        let server = MediaMtx::start(config);
        let commands = Lifecycle::of(&server);
        let port = ports::tcp();
        let orchestrator = Orchestrator::start_on(port, &server, |command| {
            command.env_remove("ORCHESTRATOR_TOKEN");
            command.arg("--lifecycle-state").arg(commands.state_dir());
            change(&server, command);
        });
        Self {
            server,
            recordings,
            commands,
            address: address(port),
            orchestrator,
        }
    }

    /// What a request below `/v1/lifecycle/` is answered.
    #[track_caller]
    pub fn ask(&self, method: &str, path: &str, header: (&str, &str), body: &str) -> Answer {
        let path = format!("/v1/lifecycle/{path}");
        call_within(PATIENCE, self.address, method, &path, &[header], body)
    }

    /// What a request says that has to be answered with this status.
    ///
    /// # Panics
    /// When it is answered otherwise.
    #[track_caller]
    pub fn told(&self, status: u16, method: &str, path: &str, body: &str) -> Value {
        let header = if method == "PUT" { YAML } else { JSON };
        let answer = self.ask(method, path, header, body);
        assert_eq!(answer.status, status, "{method} {path}: {answer:?}");
        answer.json()
    }

    /// How a path stands.
    #[track_caller]
    pub fn status(&self, path: &str) -> Value {
        self.told(200, "GET", &format!("paths/{path}"), "")["paths"][0].take()
    }

    /// The recorded files of a path.
    pub fn segments(&self, path: &str) -> Vec<PathBuf> {
        segments(self.recordings.path(), path)
    }

    /// A path's settings on the server.
    pub fn entry(&self, name: &str) -> Value {
        self.server
            .get(&format!("/v3/config/paths/get/{name}"))
            .unwrap_or_default()
    }
}

/// A port of this machine.
pub fn address(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn camera(folder: &Path) -> String {
    format!(
        "{}\nrecordPath: {}/%path/%Y-%m-%d_%H-%M-%S-%f\nrecordPartDuration: 200ms\nrunOnDemandCloseAfter: 1s",
        publishing_hook(&Clip::new(Video::H264, None)),
        folder.display()
    )
}
