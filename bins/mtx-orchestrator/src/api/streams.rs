//! The streams and their workers.

use mediamtx::http::Answer;
use mediamtx::path::StreamId;
use serde_json::{Value, json};

use super::declared::problem;
use crate::registry::Registry;
use crate::supervisor::{Command, CommandError, StreamStatus, Supervisor};

/// All of them; their events are left to [`show`].
pub(super) fn list(supervisor: &Supervisor) -> Answer {
    let streams = supervisor.streams();
    let streams: Vec<Value> = streams.iter().map(StreamStatus::summary).collect();
    Answer::json(200, &json!({ "streams": streams }))
}

pub(super) fn show(supervisor: &Supervisor, id: &StreamId) -> Answer {
    match supervisor.stream(id) {
        Some(status) => Answer::json(200, &status),
        None => problem(&CommandError::Unknown(id.clone()).into()).into(),
    }
}

pub(super) fn command(registry: &Registry, id: &StreamId, command: Command) -> Answer {
    let name = match command {
        Command::Start => "start",
        Command::Stop => "stop",
        Command::Restart => "restart",
    };
    let result = registry.command(id, command);
    let outcome = result.as_ref().map_or("refused", |()| "accepted");
    log::info!(streamId = id.as_str(), command = name, outcome; "command received");
    match result {
        Ok(()) => Answer::json(202, &json!({ "id": id, "command": name })),
        Err(error) => problem(&error).into(),
    }
}
