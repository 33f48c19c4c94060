//! The events of MediaMTX's hooks, as tests need them.

use std::env;
use std::process::Command;

use crate::binaries::suite_binary;

/// What MediaMTX sets, for every kind of hook at once.
pub const ENVIRONMENT: [(&str, &str); 11] = [
    ("MTX_PATH", "live/cam/in"),
    ("MTX_QUERY", "lang%3Des%26x%3Da%2520b"),
    ("MTX_SOURCE_TYPE", "rtmpConn"),
    ("MTX_SOURCE_ID", "s1"),
    ("MTX_READER_TYPE", "rtspSession"),
    ("MTX_READER_ID", "r1"),
    ("MTX_CONN_TYPE", "rtspConn"),
    ("MTX_CONN_ID", "c1"),
    ("MTX_SEGMENT_PATH", "/rec/a.mp4"),
    ("MTX_SEGMENT_DURATION", "1.5"),
    ("RTSP_PORT", "8554"),
];

/// Every event of the contract.
pub const EVENTS: [&str; 13] = [
    "ready",
    "not-ready",
    "online",
    "offline",
    "demand",
    "undemand",
    "init",
    "read",
    "unread",
    "connect",
    "disconnect",
    "segment-create",
    "segment-complete",
];

/// mtx-hook as MediaMTX would start it.
pub fn hook(arguments: &[&str], orchestrator: &str) -> Command {
    let mut command = Command::new(suite_binary("mtx-hook"));
    command.args(arguments).env_clear().envs(ENVIRONMENT);
    // Without it, what this process executes does not count as covered.
    command.envs(env::var_os("LLVM_PROFILE_FILE").map(|file| ("LLVM_PROFILE_FILE", file)));
    command.env("ORCHESTRATOR_URL", orchestrator);
    command
}
