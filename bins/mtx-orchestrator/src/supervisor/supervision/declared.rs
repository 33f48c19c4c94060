//! Streams that somebody asked for: there as long as they are wanted, whatever MediaMTX has.

use std::time::Instant;

use log::Level;

use super::super::machine::Input;
use super::super::status::{DeclaredStatus, StreamState};
use super::super::stream::{Plan, Stream};
use super::Supervision;
use crate::declaration::Declaration;
use crate::stream_key::StreamKey;

impl Supervision {
    pub(super) fn declare(&mut self, declaration: &Declaration) {
        let key = &declaration.key();
        // Whether it is to run, the declaration says.
        self.stopped.remove(key);
        let task = self.config.worker.servers.task(declaration);
        let plan = Plan {
            blocked: self.circle(&self.routes, &task, None),
            task,
            limits: self.config.limits,
            policy: self.config.policy.clone(),
            route: None,
        };
        let declared = DeclaredStatus::of(declaration, &plan.task);
        let known = self.streams.remove(key);
        let mut stream =
            known.unwrap_or_else(|| Stream::new(key.clone(), plan.clone(), Instant::now()));
        let same = plan.suits_worker_of(&stream.plan);
        let before = stream.declared.replace(declared);
        stream.plan = plan;
        stream.parent = None;
        stream.removed = false;
        let kind = match before {
            Some(_) => "changed",
            None => "declared",
        };
        stream.note(kind, "asked for by an operator");
        stream.log(Level::Info, format_args!("stream is {kind}"));
        if let Some(why) = stream.plan.blocked.clone() {
            stream.log(Level::Warn, format_args!("stream is blocked: {why}"));
            stream.note("blocked", why);
        }
        self.streams.insert(key.clone(), stream);
        self.changed.insert(key.clone());
        self.feed(key, Input::Present);
        match (declaration.enabled, before.map(|before| before.enabled)) {
            (false, _) => self.feed(key, Input::Stop),
            (true, Some(true)) if same => {}
            (true, Some(true) | None) if !same => self.change_worker(key),
            (true, _) => self.feed(key, Input::Start),
        }
        self.plan_blocked_again();
    }

    /// Ends it at once, unless MediaMTX has a stream of that name as well, and there is a route for it.
    pub(super) fn undeclare(&mut self, key: &StreamKey) {
        let plan = self.plan(&self.routes, key);
        let Some(stream) = self.streams.get_mut(key) else {
            return;
        };
        if stream.declared.take().is_none() {
            return;
        }
        stream.note("removed", "asked for by an operator");
        stream.log(Level::Info, format_args!("stream is no longer declared"));
        self.changed.insert(key.clone());
        match plan {
            Some(plan) if stream.clients.published => {
                stream.plan = plan;
                self.feed(key, Input::Restart);
                self.find_parent(key);
            }
            _ => {
                stream.removed = true;
                self.feed(key, Input::Removed);
            }
        }
        self.plan_blocked_again();
    }

    /// MediaMTX came up after this process: what failed for want of it need not wait any longer.
    pub(super) fn retry_declared(&mut self) {
        let failed = |stream: &Stream| {
            stream.declared.is_some()
                && stream.plan.task.needs_mediamtx
                && matches!(
                    stream.machine.state(),
                    StreamState::Backoff | StreamState::Broken
                )
        };
        let streams = self.streams.iter();
        let failed = streams.filter(|(_, stream)| failed(stream));
        let keys: Vec<StreamKey> = failed.map(|(key, _)| key.clone()).collect();
        for key in keys {
            self.feed(&key, Input::Start);
        }
    }
}
