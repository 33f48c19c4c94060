//! The local environment of `make dev`, on free ports and with a state folder of its own.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::binaries::{mediamtx, repository, suite_binary};
use crate::{ports, procfs};

/// What the environment consists of.
const BINARIES: [&str; 3] = ["mtx-hook", "mtx-worker", "mtx-orchestrator"];
/// What has a port of its own.
pub const SERVICES: [&str; 7] = [
    "RTMP",
    "RTSP",
    "HLS",
    "API",
    "METRICS",
    "PLAYBACK",
    "ORCHESTRATOR",
];

/// Runs the Makefile's targets. When dropped, it stops what they started.
pub struct Environment {
    folder: TempDir,
    variables: Vec<(String, String)>,
}

impl Environment {
    /// Chooses free ports. Nothing runs yet.
    pub fn choose() -> Self {
        let folder = tempfile::tempdir().expect("a temp folder");
        let binaries = BINARIES.map(suite_binary)[0].clone();
        let binaries = binaries.parent().expect("a binary lies in a folder");
        let state = folder.path().to_owned();
        let mut environment = Self {
            variables: vec![],
            folder,
        };
        environment.set("STACK_MODE", "processes");
        environment.set("STACK_DIR", &state.to_string_lossy());
        environment.set("MTX_BIN_DIR", &binaries.to_string_lossy());
        environment.set("MEDIAMTX_BIN", &mediamtx().to_string_lossy());
        for name in SERVICES {
            environment.set(&format!("{name}_PORT"), &ports::tcp().to_string());
        }
        environment
    }

    /// Sets a variable of what is run from now on.
    pub fn set(&mut self, name: &str, value: &str) {
        self.variables.retain(|(known, _)| known != name);
        self.variables.push((name.to_owned(), value.to_owned()));
    }

    /// The port chosen for a service, for instance `RTMP`.
    ///
    /// # Panics
    /// When no service is called that.
    #[track_caller]
    pub fn port(&self, service: &str) -> u16 {
        let name = format!("{service}_PORT");
        let found = self.variables.iter().find(|(known, _)| *known == name);
        let (_, port) = found.expect("there is such a service");
        port.parse().expect("ports are numbers")
    }

    /// The folder with process ids and logs.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Runs `make <target>` and waits for its end.
    pub fn make(&self, target: &str) -> Output {
        let mut make = Command::new("make");
        make.arg("--directory").arg(repository()).arg(target);
        // The tests may have been started by make themselves.
        make.env_remove("MAKEFLAGS")
            .env_remove("MAKELEVEL")
            .arg("--no-print-directory");
        make.envs(self.variables.clone())
            .output()
            .expect("make is installed")
    }

    /// Runs `make <target>` and returns all it printed.
    ///
    /// # Panics
    /// When it fails; the message holds what it printed.
    #[track_caller]
    pub fn make_well(&self, target: &str) -> String {
        let output = self.make(target);
        let said = text(&output);
        assert!(output.status.success(), "make {target} failed:\n{said}");
        said
    }

    /// Command lines of the processes that belong to this environment.
    pub fn processes(&self) -> Vec<String> {
        let mark = format!("MTX_SUITE_STACK={}\0", self.folder().display());
        let ours = |pid: &u32| {
            let raw = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            String::from_utf8_lossy(&raw).contains(&mark)
        };
        let pids = procfs::all_processes().into_iter().filter(ours);
        pids.filter_map(procfs::command_line).collect()
    }
}

impl Drop for Environment {
    fn drop(&mut self) {
        self.make("down");
    }
}

/// Everything a command printed, standard output first.
pub fn text(output: &Output) -> String {
    let out = String::from_utf8_lossy(&output.stdout);
    out.into_owned() + &String::from_utf8_lossy(&output.stderr)
}
