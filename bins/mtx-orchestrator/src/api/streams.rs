//! The streams and their workers.

use common::http::{Answer, Problem};
use serde_json::{Value, json};

use super::declared::problem;
use crate::history::History;
use crate::pictures::{PictureError, Pictures};
use crate::registry::Registry;
use crate::stream_key::StreamKey;
use crate::supervisor::{Command, CommandError, StreamStatus, Supervisor};

/// All of them; their events are left to [`show`].
pub(super) fn list(supervisor: &Supervisor) -> Answer {
    let streams = supervisor.streams();
    let streams: Vec<Value> = streams.iter().map(StreamStatus::summary).collect();
    Answer::json(200, &json!({ "streams": streams }))
}

pub(super) fn show(supervisor: &Supervisor, key: &StreamKey) -> Answer {
    match supervisor.stream(key) {
        Some(status) => Answer::json(200, &status),
        None => problem(&CommandError::Unknown(key.clone()).into()).into(),
    }
}

/// Its last hour.
pub(super) fn history(supervisor: &Supervisor, history: &History, key: &StreamKey) -> Answer {
    // A stream that was found just now has no step yet.
    let is_known = || supervisor.stream(key).map(|_| Vec::new());
    match history.steps(key).or_else(is_known) {
        Some(steps) => Answer::json(200, &json!({ "id": key, "steps": steps })),
        None => problem(&CommandError::Unknown(key.clone()).into()).into(),
    }
}

/// Its latest key frame.
pub(super) fn picture(supervisor: &Supervisor, pictures: &Pictures, key: &StreamKey) -> Answer {
    let Some(status) = supervisor.stream(key) else {
        return problem(&CommandError::Unknown(key.clone()).into()).into();
    };
    match pictures.picture(&status) {
        Ok(picture) => Answer::new(200, "image/jpeg", &*picture),
        Err(error @ PictureError::None(_)) => Problem::new(404, error.to_string()).into(),
        Err(error @ PictureError::Busy) => Problem::new(503, error.to_string()).into(),
    }
}

pub(super) fn command(registry: &Registry, key: &StreamKey, command: Command) -> Answer {
    let name = match command {
        Command::Start => "start",
        Command::Stop => "stop",
        Command::Restart => "restart",
    };
    let result = registry.command(key, command);
    let outcome = result.as_ref().map_or("refused", |()| "accepted");
    log::info!(stream:% = key, command = name, outcome; "command received");
    match result {
        Ok(()) => Answer::json(202, &json!({ "id": key, "command": name })),
        Err(error) => problem(&error).into(),
    }
}
