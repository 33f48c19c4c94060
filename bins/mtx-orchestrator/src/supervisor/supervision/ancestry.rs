//! Where streams come from, and which of them would feed themselves.

use std::collections::BTreeSet;

use mediamtx::path::PathName;

use super::super::status::StreamState;
use super::super::stream::Stream;
use super::Supervision;
use crate::declaration::{Target, Task};
use crate::routes::RouteTable;
use crate::stream_key::StreamKey;

/// What closes a circle.
pub(super) enum Closed<'a> {
    /// An output that leads to this path, which the stream comes from.
    ByOutput(&'a Target, PathName),
    /// The stream's own route, which led from this one to it.
    ByRoute(StreamKey),
}

impl Supervision {
    /// Why a stream would feed itself: its outputs would be where it is read or where that comes from, or it is a
    /// result of the route that it would be sent through.
    pub(super) fn circle(
        &self,
        routes: &RouteTable,
        task: &Task,
        number: Option<usize>,
    ) -> Option<String> {
        let read = task.path()?;
        Some(match self.closed_by(routes, task, number)? {
            Closed::ByOutput(output, path) => self.why_not(output, &path, &read),
            Closed::ByRoute(from) => format!(
                "it comes from {} through the route {}: sent through that again, it would feed itself; \
                 name the output so that no route matches it",
                from.path(),
                routes.find(&read)?.1
            ),
        })
    }

    /// What closes a circle if a task is done that follows the route with this number.
    pub(super) fn closed_by<'a>(
        &self,
        routes: &RouteTable,
        task: &'a Task,
        number: Option<usize>,
    ) -> Option<Closed<'a>> {
        let mut been = BTreeSet::new();
        let mut child = StreamKey::from(task.path()?);
        loop {
            let mut outputs = task.outputs.iter();
            if let Some(output) = outputs.find(|to| self.leads_to(to, child.path())) {
                return Some(Closed::ByOutput(output, child.path().clone()));
            }
            been.insert(child.clone());
            let (from, through) = self.origin(routes, &child)?;
            if number.is_some() && through == number {
                return Some(Closed::ByRoute(from));
            }
            if been.contains(&from) {
                return None;
            }
            child = from;
        }
    }

    /// Why a task may not be done that reads a path and has an output that leads to a path which that comes from.
    fn why_not(&self, output: &Target, path: &PathName, read: &PathName) -> String {
        let (how, advice) = self.shown_by_observation(output, path);
        if path == read {
            format!(
                "it would feed itself: its output is {path}, which it is read from{how}; publish to another path{advice}"
            )
        } else {
            format!(
                "it would feed itself: it comes from {path}, which its output is{how}; publish to another path{advice}"
            )
        }
    }

    /// Whether an output comes out at a path of this server, also where that only showed when it did.
    fn leads_to(&self, to: &Target, path: &PathName) -> bool {
        match &to.path {
            Some(own) => own == path,
            None => {
                self.path_by_alias(to).as_ref() == Some(path) || self.returns.contains(to, path)
            }
        }
    }

    fn path_by_alias(&self, to: &Target) -> Option<PathName> {
        let is_alias = self.names.is_alias(&to.endpoint());
        to.any_path().parse().ok().filter(|_| is_alias)
    }

    /// Where a stream comes from, and the route that leads from there to it; none does where a declared stream reads
    /// a path of MediaMTX's.
    fn origin(&self, routes: &RouteTable, child: &StreamKey) -> Option<(StreamKey, Option<usize>)> {
        let parent = match self.streams.get(child) {
            Some(stream) => stream.parent.clone(),
            // No route is for it, but it may be a declared stream's source.
            None => self.publisher(child).cloned(),
        }?;
        let known = self.streams.get(&parent)?;
        let leads = |task: &Task| {
            let mut outputs = task.outputs.iter();
            let child = child.path();
            outputs.any(|to| to.any_path() == child.as_str() || self.returns.contains(to, child))
        };
        if known.declared.is_some() {
            let source = known.plan.task.path().filter(|_| leads(&known.plan.task))?;
            return Some((source.into(), None));
        }
        let (number, route) = routes.find(parent.path())?;
        let (task, _) = self.config.worker.servers.routed(parent.path(), route);
        leads(&task).then_some((parent, Some(number)))
    }

    /// The stream whose worker is to publish this path on this server.
    fn publisher(&self, key: &StreamKey) -> Option<&StreamKey> {
        let publishes = |stream: &Stream| {
            let is_idle = stream.machine.state() == StreamState::Stopped || stream.is_blocked();
            if stream.removed || (stream.declared.is_some() && is_idle) {
                return false;
            }
            let mut outputs = stream.plan.task.outputs.iter();
            outputs.any(|to| match &to.path {
                Some(path) => path == key.path(),
                None => {
                    stream.worker.is_some() && self.path_by_alias(to).as_ref() == Some(key.path())
                }
            })
        };
        self.other(key, publishes)
    }

    /// One whose worker may publish it under another name of this server.
    fn possible_publisher(&self, key: &StreamKey) -> Option<&StreamKey> {
        let source = self.available.get(key.path());
        let source = source.and_then(|it| it.source.as_ref());
        if source.is_some_and(|source| {
            !source.kind.starts_with("rtmp") || self.strangers.contains(&source.id)
        }) {
            return None;
        }
        let may_publish = |stream: &Stream| {
            let mut outputs = stream.plan.task.outputs.iter();
            stream.worker.is_some() && outputs.any(|to| to.any_path() == key.path().as_str())
        };
        self.other(key, may_publish)
    }

    pub(super) fn other(
        &self,
        key: &StreamKey,
        is_meant: impl Fn(&Stream) -> bool,
    ) -> Option<&StreamKey> {
        let mut streams = self.streams.iter();
        let found = streams.find(|(other, stream)| *other != key && is_meant(stream));
        found.map(|(other, _)| other)
    }

    /// Streams whose parent has no worker any more, or is forgotten: they come from somewhere else.
    pub(super) fn orphans(&self) -> Vec<StreamKey> {
        let works = |parent: &StreamKey| {
            let parent = self.streams.get(parent);
            parent.is_some_and(|parent| parent.worker.is_some())
        };
        let streams = self.streams.iter();
        let orphans = streams.filter(|(_, stream)| {
            stream.machine.is_present() && stream.parent.as_ref().is_some_and(|it| !works(it))
        });
        orphans.map(|(key, _)| key.clone()).collect()
    }

    /// Finds out which of the workers publishes a path, if one does, under whatever name of the server.
    pub(super) fn find_parent(&mut self, key: &StreamKey) {
        // What is there already comes from no declared stream that has not begun.
        let has_begun = |parent: &&StreamKey| {
            let parent = self.streams.get(*parent);
            parent.is_some_and(|it| it.declared.is_none() || it.worker.is_some())
        };
        let parent = self.publisher(key).filter(has_begun);
        let parent = self.sender(key).or(parent);
        let parent = parent.or_else(|| self.possible_publisher(key)).cloned();
        let Some(stream) = self.streams.get_mut(key) else {
            return;
        };
        if stream.parent == parent || stream.declared.is_some() {
            return;
        }
        stream.parent = parent;
        if let Some(plan) = self.plan(&self.routes, key) {
            self.replan(key, plan);
        }
    }
}
