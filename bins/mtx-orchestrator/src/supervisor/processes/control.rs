//! The control channel of a worker, whose messages `mtx-worker/src/control` describes.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Mutex;

use common::secret::scrub_of;
use serde::{Deserialize, Serialize};

use super::super::launcher::{OutputState, Spec};
use super::super::{locked, worker};
use super::OutputReport;
use crate::declaration::Target;

/// Our side of it.
pub(super) struct Control {
    socket: UnixStream,
    outputs: Mutex<Outputs>,
}

/// What a worker's outputs are called.
struct Outputs {
    named: Vec<(u64, Target)>,
    last: u64,
    generation: u64,
    /// Of all that the worker was ever told.
    secrets: Vec<String>,
}

/// What a worker answers.
#[derive(Debug, PartialEq)]
pub(super) enum Answer {
    Applied(u64),
    Refused(u64, String),
    Output(OutputReport),
}

#[derive(Serialize)]
struct Request {
    generation: u64,
    outputs: Vec<RequestedOutput>,
}

#[derive(Serialize)]
struct RequestedOutput {
    id: String,
    url: String,
    via: String,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Line {
    Output {
        id: String,
        state: OutputState,
        reason: Option<String>,
    },
    Refused {
        generation: Option<u64>,
        error: String,
    },
    Applied {
        generation: u64,
    },
}

impl Control {
    /// For a worker that starts with these outputs, and the end that it inherits.
    pub(super) fn new(spec: &Spec) -> io::Result<(Self, UnixStream)> {
        let (socket, inherited) = UnixStream::pair()?;
        // A worker that does not read holds nobody up.
        socket.set_nonblocking(true)?;
        // It calls those of its start so itself.
        let named: Vec<_> = (1..).zip(spec.task.outputs.iter().cloned()).collect();
        let outputs = Outputs {
            last: named.last().map_or(0, |(id, _)| *id),
            named,
            generation: spec.generation,
            secrets: spec.task.secrets(),
        };
        let outputs = Mutex::new(outputs);
        Ok((Self { socket, outputs }, inherited))
    }

    /// Asks for other outputs. Those that stay keep their names, and so go on untouched.
    pub(super) fn apply(&self, spec: &Spec) -> io::Result<()> {
        let mut outputs = locked(&self.outputs);
        outputs.rename(spec);
        let requested = outputs.named.iter().zip(&spec.via);
        let requested = requested.map(|((id, target), via)| RequestedOutput {
            id: id.to_string(),
            url: worker::literal(&target.url),
            via: via.to_string(),
        });
        let request = Request {
            generation: spec.generation,
            outputs: requested.collect(),
        };
        let mut line = serde_json::to_vec(&request)?;
        line.push(b'\n');
        (&self.socket).write_all(&line)
    }

    pub(super) fn reader(&self) -> Reader<'_> {
        Reader(&self.socket)
    }

    pub(super) fn secrets(&self) -> Vec<String> {
        locked(&self.outputs).secrets.clone()
    }

    /// What a line of the worker's means; nothing if it is about an output that is wanted no more.
    pub(super) fn understand(&self, line: &str) -> Option<Answer> {
        let Ok(line) = serde_json::from_str(line) else {
            log::warn!("a worker wrote what is no answer to its control channel");
            return None;
        };
        let outputs = locked(&self.outputs);
        let scrub = |text: String| scrub_of(&text, &outputs.secrets).into_owned();
        match line {
            Line::Applied { generation } => Some(Answer::Applied(generation)),
            Line::Refused { generation, error } => {
                let generation = generation.unwrap_or(outputs.generation);
                Some(Answer::Refused(generation, scrub(error)))
            }
            Line::Output { id, state, reason } => {
                let id = id.parse::<u64>().ok()?;
                let mut named = outputs.named.iter();
                let (_, target) = named.find(|(known, _)| *known == id)?;
                Some(Answer::Output(OutputReport {
                    target: target.clone(),
                    state,
                    reason: reason.map(scrub),
                }))
            }
        }
    }
}

impl Outputs {
    fn rename(&mut self, spec: &Spec) {
        let known = std::mem::take(&mut self.named);
        for target in &spec.task.outputs {
            let same = known.iter().find(|(_, it)| it.url == target.url);
            let id = same.map_or_else(
                || {
                    self.last += 1;
                    self.last
                },
                |(id, _)| *id,
            );
            self.named.push((id, target.clone()));
        }
        self.generation = spec.generation;
        let secrets = spec.task.secrets();
        let new = secrets.into_iter();
        let new: Vec<_> = new.filter(|it| !self.secrets.contains(it)).collect();
        self.secrets.extend(new);
    }
}

/// The socket, for the one thread that reads it.
pub(super) struct Reader<'a>(&'a UnixStream);

impl Read for Reader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut socket = self.0;
        socket.read(buffer)
    }
}

impl AsFd for Reader<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
