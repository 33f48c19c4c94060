//! An orchestrator with a store, and what is asked of it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::mediamtx::{Config, MediaMtx};
use crate::orchestrator::Orchestrator;
use crate::ports;
use crate::raw_http::{Answer, call};

/// A MediaMTX, and a place for the store of the orchestrators that are started for it one after the other.
pub struct Kept {
    /// The server that the orchestrator is told of.
    pub server: MediaMtx,
    port: u16,
    folder: TempDir,
}

impl Kept {
    /// With a server that allows everything.
    #[track_caller]
    pub fn new() -> Self {
        Self::with(MediaMtx::start(Config::default()))
    }

    /// With this server.
    ///
    /// # Panics
    /// When there can be no temp folder.
    pub fn with(server: MediaMtx) -> Self {
        Self {
            server,
            port: ports::tcp(),
            folder: tempfile::tempdir().expect("a temp folder"),
        }
    }

    /// The store.
    pub fn file(&self) -> PathBuf {
        self.folder.path().join("streams.db")
    }

    /// Where the orchestrators listen.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Starts an orchestrator with the store.
    #[track_caller]
    pub fn orchestrator(&self) -> Orchestrator {
        self.orchestrator_with(|_| {})
    }

    /// Starts one with more flags or another environment.
    #[track_caller]
    pub fn orchestrator_with(&self, change: impl FnOnce(&mut Command)) -> Orchestrator {
        Orchestrator::start_on(self.port, &self.server, |command| {
            command.env_remove("ORCHESTRATOR_TOKEN");
            command.arg("--store").arg(self.file());
            change(command);
        })
    }

    /// What a request with a body of JSON is answered; the path is below `/v1/streams`.
    #[track_caller]
    pub fn ask(&self, method: &str, path: &str, body: &str) -> Answer {
        let address = SocketAddr::from(([127, 0, 0, 1], self.port));
        let json = [("Content-Type", "application/json")];
        call(address, method, &format!("/v1/streams{path}"), &json, body)
    }

    /// What a GET of another path is answered.
    #[track_caller]
    pub fn look(&self, path: &str) -> Answer {
        let address = SocketAddr::from(([127, 0, 0, 1], self.port));
        call(address, "GET", path, &[], "")
    }

    /// Declares a stream.
    ///
    /// # Panics
    /// When that is refused.
    #[track_caller]
    pub fn declare(&self, declaration: &Value) -> Value {
        let answer = self.ask("POST", "", &declaration.to_string());
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.json()
    }

    /// Changes a declared stream.
    ///
    /// # Panics
    /// When that is refused.
    #[track_caller]
    pub fn change(&self, id: &str, change: &Value) -> Value {
        let answer = self.ask("PATCH", &format!("/{id}"), &change.to_string());
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }

    /// Deletes a declared stream.
    ///
    /// # Panics
    /// When that is refused.
    #[track_caller]
    pub fn delete(&self, id: &str) {
        let answer = self.ask("DELETE", &format!("/{id}"), "");
        assert_eq!(answer.status, 204, "{answer:?}");
        assert_eq!(answer.header("content-length"), None, "{answer:?}");
    }
}

impl Default for Kept {
    fn default() -> Self {
        Self::new()
    }
}
