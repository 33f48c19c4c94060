//! The service under test: mtx-orchestrator, its API and its workers.

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::binaries::suite_binary;
use crate::mediamtx::MediaMtx;
use crate::processes::{Line, Spawned};
use crate::waiting::poll;
use crate::{http, ports, procfs};

const START: Duration = Duration::from_secs(15);

/// A running mtx-orchestrator that logs JSON.
pub struct Orchestrator {
    process: Spawned,
    port: u16,
}

impl Orchestrator {
    /// Starts one for `server` with further `arguments`, on a free port.
    #[track_caller]
    pub fn start(server: &MediaMtx, arguments: &[&str]) -> Self {
        Self::start_on(ports::tcp(), server, |command| {
            command.args(arguments);
        })
    }

    /// Starts one for `server` on a chosen port, with more flags or another environment, and waits until it
    /// answers.
    ///
    /// # Panics
    /// When it does not come up.
    #[track_caller]
    pub fn start_on(port: u16, server: &MediaMtx, change: impl FnOnce(&mut Command)) -> Self {
        Self::start_at(port, |command| {
            command
                .env("MEDIAMTX_API_URL", server.api(""))
                .env("MEDIAMTX_RTSP_URL", server.rtsp(""))
                .env("MEDIAMTX_RTMP_URL", server.rtmp(""));
            change(command);
        })
    }

    /// Starts one for whatever server `change` names, and waits until it answers.
    ///
    /// # Panics
    /// When it does not come up.
    #[track_caller]
    pub fn start_at(port: u16, change: impl FnOnce(&mut Command)) -> Self {
        let mut command = Command::new(suite_binary("mtx-orchestrator"));
        command
            .args(["--log-format", "json", "--listen"])
            .arg(format!("127.0.0.1:{port}"))
            .env("MTX_WORKER", suite_binary("mtx-worker"));
        change(&mut command);
        let mut orchestrator = Self {
            process: Spawned::start("mtx-orchestrator", command),
            port,
        };
        let up = poll(START, || {
            let ended = orchestrator.process.try_wait().is_some();
            (ended || orchestrator.get("/healthz").is_ok()).then_some(!ended)
        });
        assert!(
            up.is_ok_and(|up| up),
            "mtx-orchestrator does not come up; it wrote:\n{}",
            orchestrator.process.output()
        );
        orchestrator
    }

    /// Its process.
    pub fn process(&self) -> &Spawned {
        &self.process
    }

    /// Its process, to stop it or to wait for its end.
    pub fn process_mut(&mut self) -> &mut Spawned {
        &mut self.process
    }

    /// Its URL, without a path.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The JSON of a successful GET, or what went wrong.
    pub fn get(&self, path: &str) -> Result<Value, String> {
        let text = http::get(&format!("{}{path}", self.url()))?;
        serde_json::from_str(&text).map_err(|error| error.to_string())
    }

    /// Sends the event that a hook of MediaMTX would send for `live/<stream>/in`.
    ///
    /// # Panics
    /// When it is not accepted.
    #[track_caller]
    pub fn send_event(&self, name: &str, stream: &str, timestamp: &str) {
        let event = serde_json::json!({
            "path": format!("live/{stream}/in"), "query": "", "sourceType": "rtmpConn", "sourceId": "test",
            "timestamp": timestamp,
        });
        let url = format!("{}/v1/mediamtx/events/{name}", self.url());
        http::post_json(&url, &event.to_string()).expect("an event is accepted");
    }

    /// Has a stream's worker started, stopped or restarted.
    ///
    /// # Panics
    /// When that is refused.
    #[track_caller]
    pub fn command(&self, stream: &str, command: &str) {
        let url = format!("{}/v1/streams/{stream}/{command}", self.url());
        http::post_json(&url, "{}").expect("a command is accepted");
    }

    /// The value of a metric without labels, named without its prefix.
    ///
    /// # Panics
    /// When there is none.
    #[track_caller]
    pub fn metric(&self, name: &str) -> f64 {
        let text = http::get(&format!("{}/metrics", self.url())).expect("metrics answer");
        let series = format!("mtx_orchestrator_{name} ");
        let value = text.lines().find_map(|line| line.strip_prefix(&series));
        value.expect("the metric").parse().expect("a number")
    }

    /// What it tells of a stream, or `None` if it does not know it.
    pub fn stream(&self, id: &str) -> Option<Value> {
        self.get(&format!("/v1/streams/{id}")).ok()
    }

    /// Waits until what it tells of a stream `matches`; `what` describes it.
    ///
    /// # Panics
    /// When it does not within `timeout`.
    #[track_caller]
    pub fn wait_stream(
        &self,
        id: &str,
        what: &str,
        timeout: Duration,
        matches: impl Fn(&Value) -> bool,
    ) -> Value {
        let found = poll(timeout, || self.stream(id).filter(|stream| matches(stream)));
        match found {
            Ok(stream) => stream,
            Err(waited) => panic!(
                "stream {id}: no {what} in {waited:.1?}; it is {:#?}",
                self.stream(id)
            ),
        }
    }

    /// Waits until a stream is in `state`.
    ///
    /// # Panics
    /// When it is not within `timeout`.
    #[track_caller]
    pub fn wait_state(&self, id: &str, state: &str, timeout: Duration) -> Value {
        self.wait_stream(id, state, timeout, |stream| stream["state"] == state)
    }

    /// Waits until a stream runs, and returns the process id of its worker.
    ///
    /// # Panics
    /// When it does not within `timeout`.
    #[track_caller]
    pub fn wait_running(&self, id: &str, timeout: Duration) -> u32 {
        let stream = self.wait_state(id, "running", timeout);
        let pid = stream["pid"].as_u64().expect("what runs has a pid");
        u32::try_from(pid).expect("Linux' process ids fit")
    }

    /// The processes of its workers, as the system knows them.
    pub fn workers(&self) -> Vec<u32> {
        let below = procfs::descendants(self.process.pid());
        below.into_iter().filter(|pid| is_worker(*pid)).collect()
    }

    /// The workers it has started so far, and when it said so.
    pub fn starts(&self) -> Vec<Instant> {
        let is_start = |line: &&Line| {
            let json: Value = serde_json::from_str(&line.text).unwrap_or_default();
            let message = json["message"].as_str().unwrap_or_default();
            message.starts_with("worker ") && message.ends_with(" started")
        };
        let lines = self.process.lines();
        lines.iter().filter(is_start).map(|line| line.at).collect()
    }
}

/// Whether a process is a worker that has not ended; a zombie has no command line.
pub fn is_worker(pid: u32) -> bool {
    procfs::command_line(pid).is_some_and(|line| line.contains("mtx-worker"))
}

impl Drop for Orchestrator {
    // Orderly, so that what it has executed counts as covered.
    fn drop(&mut self) {
        self.process.stop(Duration::from_secs(3));
    }
}
