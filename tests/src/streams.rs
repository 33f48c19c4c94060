//! Streams by name, on a server whose hooks tell an orchestrator of them.

use std::process::Command;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::binaries::{repository, suite_binary};
use crate::clips::Clip;
use crate::mediamtx::{Config, MediaMtx};
use crate::ports;
use crate::processes::Spawned;

/// The paths that have hooks, as MediaMTX's configuration names them.
pub const INGEST: &str = "~^live/([A-Za-z0-9_-]+)/in$";

/// A server whose hooks tell an orchestrator on the returned port.
#[track_caller]
pub fn server_with_hooks() -> (MediaMtx, u16) {
    let hook = suite_binary("mtx-hook");
    let hook = hook.display();
    server_with(&format!(
        "runOnAvailable: {hook} ready\nrunOnUnavailable: {hook} not-ready\n"
    ))
}

/// A server with these hooks, which are to tell an orchestrator on the returned port.
#[track_caller]
pub fn server_with(hooks: &str) -> (MediaMtx, u16) {
    let port = ports::tcp();
    let config = Config::default()
        .env("ORCHESTRATOR_URL", format!("http://127.0.0.1:{port}"))
        .path(INGEST, hooks);
    (MediaMtx::start(config), port)
}

/// The path where a stream comes in.
pub fn ingest(stream: &str) -> String {
    format!("live/{stream}/in")
}

/// The path where it comes out.
pub fn output(stream: &str) -> String {
    format!("live/{stream}/out")
}

/// Publishes a stream; over RTSP, because a publisher of RTMP takes two seconds to become available.
#[track_caller]
pub fn publish(server: &MediaMtx, stream: &str) -> Spawned {
    Clip::h264_aac().publish(&server.rtsp(&ingest(stream)))
}

/// Sends a signal to one process, and to nothing below it.
///
/// # Panics
/// When it does not run.
#[track_caller]
pub fn send(signal: Signal, pid: u32) {
    let pid = Pid::from_raw(i32::try_from(pid).expect("process ids fit"));
    kill(pid, signal).expect("it runs");
}

/// The table that `make ps` makes of an answer to `GET /v1/streams`.
///
/// # Panics
/// When it can't be made.
#[track_caller]
pub fn table(answer: &str) -> String {
    let script =
        r#"grep -oE '"([^"\\]|\\.)*"|[][{}:,]|[^][{}:,"[:space:]]+' <<<"$0" | awk -f "$1""#;
    let output = Command::new("bash")
        .args(["-c", script, answer])
        .arg(repository().join("scripts/streams.awk"))
        .output()
        .expect("bash runs");
    assert!(output.stderr.is_empty(), "{output:?}");
    String::from_utf8(output.stdout).expect("a text")
}
