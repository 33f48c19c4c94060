//! Outputs that come back to this server by ways that nothing but the marks of their streams shows: through a port that
//! is forwarded, or through another server whose orchestrator sends them back.
//!
//! A mark is a random number of 64 bits that nobody but the workers for one output sends. A publisher that bears it is
//! fed by that output, so a mirror is never taken for a circle: not for the same picture, the same number of bytes, or
//! because it comes and goes along with its source.

use std::collections::BTreeMap;

use mediamtx::path::PathName;
use mediamtx::via::{Mark, Via};

use super::super::stream::Stream;
use super::Supervision;
use super::ancestry::Closed;
use crate::declaration::{Target, Task};
use crate::stream_key::StreamKey;

impl Supervision {
    /// The stream whose output a path's publisher says that it has been through.
    pub(super) fn sender(&self, key: &StreamKey) -> Option<&StreamKey> {
        let via = self
            .via
            .get(&self.available.get(key.path())?.source.as_ref()?.id)?;
        via.marks().find_map(|mark| {
            let sends = |stream: &Stream| {
                let mut outputs = stream.plan.task.outputs.iter();
                outputs.any(|to| self.marks.mark(to) == mark)
            };
            self.other(key, sends)
        })
    }

    /// Where a stream that a worker passes on has been.
    pub(super) fn via(&self, task: &Task) -> Via {
        let source = task
            .path()
            .and_then(|path| self.available.get(&path)?.source.as_ref());
        let via = source.and_then(|source| self.via.get(&source.id));
        via.cloned().unwrap_or_default()
    }

    /// Takes note of the paths on which outputs come back. Returns whether there are new ones.
    pub(super) fn find_returns(&mut self) -> bool {
        let mut is_new = false;
        for (target, path) in self.returned() {
            is_new |= self.returns.add(&target, path);
        }
        is_new
    }

    fn returned(&self) -> Vec<(Target, PathName)> {
        if self.via.is_empty() {
            return Vec::new();
        }
        let streams = self.streams.values();
        let targets = streams.flat_map(|stream| &stream.plan.task.outputs);
        let elsewhere = targets.filter(|to| to.path.is_none());
        let by_mark: BTreeMap<Mark, &Target> =
            elsewhere.map(|to| (self.marks.mark(to), to)).collect();
        let paths = self.available.iter();
        let returned = paths.filter_map(|(path, available)| {
            let via = self.via.get(&available.source.as_ref()?.id)?;
            let mut marks = via.marks().enumerate();
            let (hops, to) = marks.find_map(|(hops, mark)| Some((hops, *by_mark.get(&mark)?)))?;
            // A connection of the worker's own shows another name of this server.
            let is_direct = hops == 0 && to.any_path() == path.as_str();
            (!is_direct).then(|| (to.clone(), path.clone()))
        });
        returned.collect()
    }

    /// How it showed that an output leads to a path where its URL does not tell, and what else can be done about it.
    pub(super) fn shown_by_observation(
        &self,
        output: &Target,
        path: &PathName,
    ) -> (String, &'static str) {
        let name = output.endpoint();
        let how = if output.path.is_some() {
            String::new()
        } else if self.returns.contains(output, path) {
            format!(" (what is sent to {} came back here)", output.shown)
        } else {
            format!(" ({name} is this server under another name)")
        };
        let advice = match self.was_seen_at(output, path) {
            true => ", or start the stream once it leads elsewhere",
            false => "",
        };
        (how, advice)
    }

    /// Whether a stream is blocked for what was seen when it ran: that may have changed.
    pub(super) fn may_be_tried_again(&self, stream: &Stream) -> bool {
        let plan = &stream.plan;
        let number = plan.route.as_ref().map(|(number, _)| *number);
        let is_blocked = stream.is_blocked();
        let closed = is_blocked.then(|| self.closed_by(&self.routes, &plan.task, number));
        match closed.flatten() {
            Some(Closed::ByOutput(output, path)) => self.was_seen_at(output, &path),
            Some(Closed::ByRoute(_)) | None => false,
        }
    }

    fn was_seen_at(&self, output: &Target, path: &PathName) -> bool {
        let is_observed =
            self.returns.contains(output, path) || self.names.is_alias_by_proof(&output.endpoint());
        output.path.is_none() && is_observed
    }

    /// Forgets where a stream's outputs were seen to lead to, so that it is tried again.
    pub(super) fn forget_observations(&mut self, key: &StreamKey) {
        let stream = self.streams.get(key);
        let Some(stream) = stream.filter(|it| self.may_be_tried_again(it)) else {
            return;
        };
        for to in stream.plan.task.outputs.clone() {
            self.returns.forget(&to);
            self.names.forget_proof(&to.endpoint());
        }
        self.plan_all_again();
    }
}
