//! Streams that somebody asked for: there as long as they are wanted, whatever MediaMTX has.

use std::time::Instant;

use log::Level;
use mediamtx::path::StreamId;

use super::super::machine::Input;
use super::super::status::{DeclaredStatus, StreamState};
use super::super::stream::Stream;
use super::Supervision;
use crate::declaration::Declaration;

impl Supervision {
    pub(super) fn declare(&mut self, declaration: &Declaration) {
        let id = &declaration.id;
        let servers = &self.config.worker.servers;
        let task = servers.task(declaration);
        let declared = DeclaredStatus::of(declaration, servers);
        let known = self.streams.remove(id);
        let mut stream =
            known.unwrap_or_else(|| Stream::new(id.clone(), task.clone(), Instant::now()));
        let same = stream.task == task;
        let before = stream.declared.replace(declared);
        stream.task = task;
        stream.removed = false;
        let kind = match before {
            Some(_) => "changed",
            None => "declared",
        };
        stream.note(kind, "asked for by an operator");
        stream.log(Level::Info, format_args!("stream is {kind}"));
        self.streams.insert(id.clone(), stream);
        self.changed.insert(id.clone());
        self.feed(id, Input::Present);
        match (declaration.enabled, before.map(|before| before.enabled)) {
            (false, _) => self.feed(id, Input::Stop),
            (true, Some(true)) if same => {}
            (true, Some(true) | None) if !same => self.feed(id, Input::Restart),
            (true, _) => self.feed(id, Input::Start),
        }
    }

    /// Ends it at once, unless MediaMTX has a stream of that name as well.
    pub(super) fn undeclare(&mut self, id: &StreamId) {
        let Some(stream) = self.streams.get_mut(id) else {
            return;
        };
        if stream.declared.take().is_none() {
            return;
        }
        stream.task = self.config.worker.servers.task_of(id);
        stream.note("removed", "asked for by an operator");
        stream.log(Level::Info, format_args!("stream is no longer declared"));
        self.changed.insert(id.clone());
        if stream.clients.published {
            self.feed(id, Input::Restart);
        } else {
            stream.removed = true;
            self.feed(id, Input::Removed);
        }
    }

    /// MediaMTX came up after this process: what failed for want of it need not wait any longer.
    pub(super) fn retry_declared(&mut self) {
        let failed = |stream: &Stream| {
            stream.declared.is_some()
                && stream.task.needs_mediamtx
                && matches!(
                    stream.machine.state(),
                    StreamState::Backoff | StreamState::Broken
                )
        };
        let streams = self.streams.iter();
        let failed = streams.filter(|(_, stream)| failed(stream));
        let ids: Vec<StreamId> = failed.map(|(id, _)| id.clone()).collect();
        for id in ids {
            self.feed(&id, Input::Start);
        }
    }
}
