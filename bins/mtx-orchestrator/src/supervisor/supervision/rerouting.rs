//! Which route a stream follows, also when the routes change while it runs.

use std::collections::BTreeSet;
use std::sync::Arc;

use log::Level;

use super::super::machine::Input;
use super::super::status::StreamState;
use super::super::stream::Plan;
use super::super::{RouteChanges, locked};
use super::Supervision;
use crate::routes::RouteTable;
use crate::stream_key::StreamKey;

impl Supervision {
    /// What is to be done for a stream that was not declared; nothing if no route is for it.
    pub(super) fn plan(&self, routes: &RouteTable, key: &StreamKey) -> Option<Plan> {
        let (number, route) = routes.find(key.path())?;
        let (task, wrong) = self.config.worker.servers.routed(key.path(), route);
        let mut policy = self.config.policy.clone();
        policy.recovery = route.recovery.unwrap_or(policy.recovery);
        Some(Plan {
            task,
            limits: route.limits.over(self.config.limits),
            policy,
            route: Some((number, route.label())),
            blocked: wrong.or_else(|| self.circle(routes, key, number)),
        })
    }

    /// Why a stream would feed itself, if it is a result of the route that it would be sent through.
    fn circle(&self, routes: &RouteTable, key: &StreamKey, number: usize) -> Option<String> {
        let mut been = BTreeSet::from([key.clone()]);
        let mut child = key.clone();
        while let Some(parent) = self.parent_by(routes, &child) {
            let (from, through) = parent;
            if through == number {
                let route = routes.find(key.path())?.1;
                return Some(format!(
                    "it comes from {} through the route {route}: sent through that again, it would feed itself; \
                     name the output so that no route matches it",
                    from.path()
                ));
            }
            if !been.insert(from.clone()) {
                return None;
            }
            child = from;
        }
        None
    }

    /// The stream that another one is a result of, and the route that leads from the one to the other.
    fn parent_by(&self, routes: &RouteTable, child: &StreamKey) -> Option<(StreamKey, usize)> {
        let parent = self.streams.get(child)?.parent.clone()?;
        let (number, route) = routes.find(parent.path())?;
        let known = self.streams.get(&parent)?;
        let (task, _) = self.config.worker.servers.routed(parent.path(), route);
        let leads = |task: &crate::declaration::Task| {
            let mut outputs = task.outputs.iter();
            outputs.any(|to| to.any_path() == child.path().as_str())
        };
        (known.declared.is_none() && leads(&task)).then_some((parent, number))
    }

    /// A path has appeared: it may be what one of the workers publishes, under whatever name of the server.
    pub(super) fn find_parent(&mut self, key: &StreamKey) {
        let path = key.path();
        let source = self.available.get(path).and_then(|it| it.source.as_ref());
        let by_rtmp = source.is_none_or(|source| source.kind.starts_with("rtmp"));
        let publishes = |stream: &super::Stream| {
            let known = stream.plan.task.result_paths().any(|result| result == path);
            let mut outputs = stream.plan.task.outputs.iter();
            let maybe = by_rtmp && stream.worker.is_some();
            known || (maybe && outputs.any(|to| to.any_path() == path.as_str()))
        };
        let mut others = self.streams.iter().filter(|(other, _)| *other != key);
        let parent = others
            .find(|(_, stream)| publishes(stream))
            .map(|(other, _)| other.clone());
        let Some(stream) = self.streams.get_mut(key) else {
            return;
        };
        if stream.parent == parent {
            return;
        }
        stream.parent = parent;
        if let Some(plan) = self.plan(&self.routes, key) {
            self.replan(key, plan);
        }
    }

    /// Only what comes to something else is touched.
    fn replan(&mut self, key: &StreamKey, plan: Plan) {
        let Some(stream) = self.streams.get_mut(key) else {
            return;
        };
        if stream.plan == plan {
            return;
        }
        let before = std::mem::replace(&mut stream.plan, plan);
        self.changed.insert(key.clone());
        if stream.plan.comes_to(&before) {
            return;
        }
        match &stream.plan.blocked {
            Some(why) => {
                let why = why.clone();
                stream.log(Level::Warn, format_args!("stream is blocked: {why}"));
                stream.note("blocked", why);
            }
            None => {
                let outputs: Vec<&str> = stream
                    .plan
                    .task
                    .outputs
                    .iter()
                    .map(|to| to.shown.as_str())
                    .collect();
                let outputs = outputs.join(" ");
                stream.log(Level::Info, format_args!("stream is routed to {outputs}"));
                stream.note("routed", outputs);
            }
        }
        let touched = !stream.plan.suits_worker_of(&before);
        if touched && stream.machine.state() != StreamState::Stopped {
            self.feed(key, Input::Restart);
        }
    }

    pub(super) fn set_routes(&mut self, routes: Arc<RouteTable>) -> RouteChanges {
        let changes = self.route_changes(&routes);
        *locked(&self.view.routes) = Arc::clone(&routes);
        self.routes = routes;
        let known: Vec<StreamKey> = self.streams.keys().cloned().collect();
        for key in known {
            let declared = |stream: &super::Stream| stream.declared.is_some();
            if self.streams.get(&key).is_some_and(declared) {
                continue;
            }
            match self.plan(&self.routes, &key) {
                Some(plan) => self.replan(&key, plan),
                None => self.dismiss(&key),
            }
        }
        self.settle();
        log::info!(
            start = changes.start.len(), change = changes.change.len(), stop = changes.stop.len();
            "other routes are in force"
        );
        changes
    }

    /// No route is for a stream any more.
    fn dismiss(&mut self, key: &StreamKey) {
        if let Some(stream) = self.streams.get_mut(key) {
            stream.log(
                Level::Info,
                format_args!("no route is for the stream any more"),
            );
            stream.removed = true;
            self.changed.insert(key.clone());
            self.feed(key, Input::Removed);
        }
    }

    /// What other routes would do.
    pub(super) fn route_changes(&self, routes: &RouteTable) -> RouteChanges {
        let mut changes = RouteChanges::default();
        for key in self.all_keys() {
            let known = self.streams.get(&key).filter(|stream| !stream.removed);
            if known.is_some_and(|stream| stream.declared.is_some()) {
                continue;
            }
            let runs = |plan: &Plan| plan.blocked.is_none();
            let before = known.map(|stream| &stream.plan).filter(|plan| runs(plan));
            let after = self.plan(routes, &key).filter(runs);
            match (before, after) {
                (None, Some(_)) => changes.start.push(key),
                (Some(_), None) => changes.stop.push(key),
                (Some(before), Some(after)) if !after.comes_to(before) => changes.change.push(key),
                _ => {}
            }
        }
        changes
    }
}
