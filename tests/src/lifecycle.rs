//! The program under test: mtx-lifecycle, with a journal of its own.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::binaries::{delivered_binary, suite_binary};
use crate::clips::Clip;
use crate::mediamtx::MediaMtx;
use crate::processes::Spawned;
use crate::waiting::poll;

/// Runs its commands against one server.
pub struct Lifecycle {
    folder: TempDir,
    api: String,
    binary: PathBuf,
}

/// What a command has written, and how it has ended.
#[derive(Debug)]
pub struct Done {
    /// Its exit code; `None` if a signal has ended it.
    pub code: Option<i32>,
    /// What it said.
    pub stdout: String,
    /// What it complained about.
    pub stderr: String,
}

impl Lifecycle {
    /// With an empty journal.
    ///
    /// # Panics
    /// When there is no temp folder.
    pub fn of(server: &MediaMtx) -> Self {
        Self::with_api(&server.api(""))
    }

    /// With an empty journal, for the API at this address.
    ///
    /// # Panics
    /// When there is no temp folder.
    pub fn with_api(api: &str) -> Self {
        Self::with_state(api, tempfile::tempdir().expect("a temp folder"))
    }

    /// With the journal in `state` below this folder, for the API at this address.
    pub fn with_state(api: &str, folder: TempDir) -> Self {
        Self {
            folder,
            api: api.to_owned(),
            // Built now, so that no test measures how long that takes.
            binary: suite_binary("mtx-lifecycle"),
        }
    }

    /// The binary as it is handed out, for what depends on that.
    #[must_use]
    pub fn delivered(mut self) -> Self {
        self.binary = delivered_binary("mtx-lifecycle");
        self
    }

    /// The same journal, for the API at another address.
    #[must_use]
    pub fn through(mut self, api: &str) -> Self {
        api.clone_into(&mut self.api);
        self
    }

    /// Where its journal is.
    pub fn state_dir(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    /// Writes a file beside the journal's folder, for instance a policy, and says where.
    ///
    /// # Panics
    /// When it can't be written.
    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).expect("the temp folder is writable");
        path
    }

    /// A command that has not been started yet.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command
            .args(arguments)
            .env("MEDIAMTX_API_URL", &self.api)
            .env("MTX_LIFECYCLE_STATE", self.state_dir())
            .env_remove("MEDIAMTX_RTSP_URL");
        command
    }

    /// Runs a command to its end, whatever that is.
    ///
    /// # Panics
    /// When it can't be started.
    pub fn run(&self, arguments: &[&str]) -> Done {
        let output = self.command(arguments).output().expect("it can be started");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Done {
            code: output.status.code(),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
        }
    }

    /// Runs a command that has to succeed, and returns what it said.
    ///
    /// # Panics
    /// When it fails.
    #[track_caller]
    pub fn ok(&self, arguments: &[&str]) -> String {
        let done = self.run(arguments);
        assert_eq!(done.code, Some(0), "{arguments:?}: {done:?}");
        done.stdout
    }

    /// Runs a command that has to fail with this code, and returns what it complained about.
    ///
    /// # Panics
    /// When it does not.
    #[track_caller]
    pub fn fails(&self, code: i32, arguments: &[&str]) -> String {
        let done = self.run(arguments);
        assert_eq!(done.code, Some(code), "{arguments:?}: {done:?}");
        done.stderr
    }

    /// How a path stands.
    ///
    /// # Panics
    /// When the status can't be had.
    #[track_caller]
    pub fn status(&self, path: &str) -> Value {
        let text = self.ok(&["status", path, "--json"]);
        let mut json: Value = serde_json::from_str(&text).expect("JSON");
        json["paths"][0].take()
    }

    /// Waits until the status of a path is as it should be.
    ///
    /// # Panics
    /// When it is not within `timeout`.
    #[track_caller]
    pub fn wait_status(&self, path: &str, timeout: Duration, is_so: impl Fn(&Value) -> bool) {
        let mut last = Value::Null;
        let found = poll(timeout, || {
            last = self.status(path);
            is_so(&last).then_some(())
        });
        assert!(found.is_ok(), "{path} stays {last:#}");
    }

    /// Starts a `watch` that logs JSON.
    #[track_caller]
    pub fn watch(&self, arguments: &[&str]) -> Spawned {
        let arguments = [&["watch", "--log-format", "json"], arguments].concat();
        Spawned::start("mtx-lifecycle watch", self.command(&arguments))
    }
}

/// The entries of a server; what holds paths open is called alike, whichever journal it is of.
///
/// # Panics
/// When the server does not answer.
#[track_caller]
pub fn entries(server: &MediaMtx) -> Value {
    let call = "/v3/config/paths/list?itemsPerPage=1000";
    let mut all = server.get(call).expect("the API answers")["items"].take();
    for entry in all.as_array_mut().into_iter().flatten() {
        let name = entry["name"].as_str().unwrap_or_default();
        if let Some((_, path)) = name
            .strip_prefix("lifecycle/")
            .and_then(|it| it.split_once('/'))
        {
            entry["name"] = format!("lifecycle/*/{path}").into();
        }
    }
    all
}

/// The name of the entry that holds a path open, if there is one.
pub fn keeper(server: &MediaMtx, path: &str) -> Option<String> {
    let all = server.get("/v3/config/paths/list?itemsPerPage=1000").ok()?;
    let names = all["items"].as_array()?.iter();
    let mut names = names.filter_map(|entry| entry["name"].as_str());
    let end = format!("/{path}");
    let found = names.find(|name| name.starts_with("lifecycle/") && name.ends_with(&end));
    found.map(str::to_owned)
}

/// A hook that publishes a clip to its path, again and again.
pub fn publishing_hook(clip: &Clip) -> String {
    format!(
        "runOnDemand: ffmpeg -nostdin -loglevel warning -re -stream_loop -1 -i {} -c copy -f rtsp \
         -rtsp_transport tcp rtsp://127.0.0.1:$RTSP_PORT/$MTX_PATH\nrunOnDemandRestart: yes",
        clip.file().display()
    )
}

/// The recorded files of a path below `folder`, in order.
pub fn segments(folder: &Path, path: &str) -> Vec<PathBuf> {
    let files = std::fs::read_dir(folder.join(path)).into_iter().flatten();
    let mut files: Vec<_> = files.flatten().map(|file| file.path()).collect();
    files.sort();
    files
}
