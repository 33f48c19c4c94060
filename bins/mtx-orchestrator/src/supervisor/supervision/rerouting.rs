//! Which route a stream follows, also when the routes change while it runs.

use std::sync::Arc;

use log::Level;

use super::super::machine::Input;
use super::super::status::StreamState;
use super::super::stream::{Plan, Stream};
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
            blocked: wrong.or_else(|| self.circle(routes, &task, Some(number))),
            task,
            limits: route.limits.over(self.config.limits),
            policy,
            route: Some((number, route.label())),
        })
    }

    /// The server has other names than were known.
    pub(super) fn plan_all_again(&mut self) {
        let keys: Vec<StreamKey> = self.streams.keys().cloned().collect();
        self.plan_again(keys);
    }

    /// What closed a circle may be gone.
    pub(super) fn plan_blocked_again(&mut self) {
        let streams = self.streams.iter();
        let blocked = streams.filter(|(_, stream)| stream.is_blocked());
        let keys = blocked.map(|(key, _)| key.clone()).collect();
        self.plan_again(keys);
    }

    fn plan_again(&mut self, keys: Vec<StreamKey>) {
        for key in keys {
            self.find_parent(&key);
            let Some(stream) = self.streams.get(&key) else {
                continue;
            };
            let plan = if stream.declared.is_some() {
                let mut plan = stream.plan.clone();
                plan.blocked = self.circle(&self.routes, &plan.task, None);
                Some(plan)
            } else {
                self.plan(&self.routes, &key)
            };
            if let Some(plan) = plan {
                self.replan(&key, plan);
            }
        }
    }

    /// Only what comes to something else is touched.
    pub(super) fn replan(&mut self, key: &StreamKey, plan: Plan) {
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
            self.change_worker(key);
        }
    }

    pub(super) fn set_routes(&mut self, routes: Arc<RouteTable>) -> RouteChanges {
        let changes = self.route_changes(&routes);
        *locked(&self.view.routes) = Arc::clone(&routes);
        self.routes = routes;
        let known: Vec<StreamKey> = self.streams.keys().cloned().collect();
        for key in known {
            let declared = |stream: &Stream| stream.declared.is_some();
            if self.streams.get(&key).is_some_and(declared) {
                continue;
            }
            match self.plan(&self.routes, &key) {
                Some(plan) => self.replan(&key, plan),
                None => self.dismiss(&key),
            }
        }
        self.settle();
        self.plan_blocked_again();
        self.inquire();
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
            let is_declared = known.is_some_and(|stream| stream.declared.is_some());
            if is_declared || self.stopped.contains(&key) {
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
