//! Which streams are there: MediaMTX's path list, and hooks while it can't be had.

use std::collections::BTreeSet;
use std::time::Instant;

use common::timestamp::Timestamp;
use log::Level;
use mediamtx::api::{ApiError, Client, PathInfo};
use mediamtx::path::PathName;

use super::super::hints::Hint;
use super::super::locked;
use super::super::machine::Input;
use super::super::publishers::Findings;
use super::super::status::StreamState;
use super::super::stream::{Clients, Plan, Stream};
use super::{Server, Supervision};
use crate::stream_key::StreamKey;

/// A path that is there, and who MediaMTX says is connected to it.
#[derive(Debug, Default, Clone)]
pub(super) struct Available {
    pub(super) source: Option<Client>,
    pub(super) readers: Vec<Client>,
}

impl Supervision {
    /// A hook is believed only where MediaMTX can't be asked.
    pub(super) fn hint(&mut self, path: PathName, present: bool, at: Timestamp) {
        let request = self.poller.request();
        self.hints.add(Hint {
            request,
            path,
            present,
            at,
        });
    }

    pub(super) fn reconcile(&mut self, covers: u64, paths: Vec<PathInfo>, findings: Findings) {
        self.totals.reconciliations += 1;
        let is_first = self.server == Server::NeverReached;
        if self.server != Server::Reached {
            log::info!(url = self.config.api.url(); "MediaMTX is reached");
            if self.server == Server::NeverReached {
                self.retry_declared();
            }
            self.server = Server::Reached;
            *locked(&self.view.ready) = Ok(());
        }
        let hints = self.hints.answered(covers);
        let paths = paths.into_iter().filter(PathInfo::is_available);
        let available = paths.filter_map(|info| {
            // Whatever this server calls so, no worker could read it.
            let path = info.name.parse::<PathName>().ok()?;
            let (source, readers) = (info.source, info.readers);
            Some((path, Available { source, readers }))
        });
        self.available = available.collect();
        let known = std::mem::replace(&mut self.strangers, findings.strangers);
        self.via = findings.via;
        let now = Instant::now();
        let mut has_new_names = false;
        for (alias, address) in findings.aliases {
            has_new_names |= self.names.prove(alias, address, now);
        }
        self.settle();
        self.clear_strangers(&known);
        if self.find_returns() || has_new_names || is_first {
            self.plan_all_again();
        }
        hints.iter().for_each(|hint| self.note_hint(hint));
    }

    /// What turned out to come from no worker only after it had appeared is no result of one.
    fn clear_strangers(&mut self, known: &BTreeSet<String>) {
        let is_new =
            |source: &Client| self.strangers.contains(&source.id) && !known.contains(&source.id);
        let paths = self.available.iter();
        let paths = paths.filter(|(_, path)| path.source.as_ref().is_some_and(is_new));
        let keys: Vec<StreamKey> = paths.map(|(path, _)| path.clone().into()).collect();
        for key in keys {
            self.find_parent(&key);
        }
    }

    fn note_hint(&mut self, hint: &Hint) {
        let key = StreamKey::from(hint.path.clone());
        if let Some(stream) = self.streams.get_mut(&key) {
            let kind = if hint.present { "ready" } else { "not-ready" };
            stream.note(kind, format!("hook of {}", hint.at));
            self.changed.insert(key);
        }
    }

    /// What runs goes on running: nobody knows better.
    pub(super) fn unreachable(&mut self, covers: u64, error: &ApiError) {
        self.totals.reconciliation_failures += 1;
        let ready = Err(error.to_string());
        if *locked(&self.view.ready) != ready {
            log::warn!("{error}: workers are left as they are");
        }
        *locked(&self.view.ready) = ready;
        // One that answers, but not to us, is there.
        if self.server == Server::Reached && matches!(error, ApiError::Request { .. }) {
            self.server = Server::Lost;
            self.lost = Instant::now();
        }
        let hints = self.hints.unanswered(covers);
        for hint in &hints {
            if hint.present {
                self.available.entry(hint.path.clone()).or_default();
            } else {
                self.available.remove(&hint.path);
            }
        }
        self.settle();
        hints.iter().for_each(|hint| self.note_hint(hint));
    }

    /// Every stream that is known, and every path that could be one.
    pub(super) fn all_keys(&self) -> BTreeSet<StreamKey> {
        let paths = self.available.keys().cloned().map(StreamKey::from);
        self.streams.keys().cloned().chain(paths).collect()
    }

    /// Takes note of which streams are there.
    pub(super) fn settle(&mut self) {
        let mut unclear = BTreeSet::new();
        self.show_stopped();
        for key in self.all_keys() {
            if self.settle_stream(&key) {
                unclear.insert(key);
            }
        }
        unclear.extend(self.orphans());
        // Only now all are known that one of them may come from.
        for key in unclear {
            self.find_parent(&key);
        }
    }

    /// Streams that were stopped and are away are there, too: how else would anybody know, and start them?
    fn show_stopped(&mut self) {
        let unknown = |key: &&StreamKey| {
            !self.streams.contains_key(*key) && !self.available.contains_key(key.path())
        };
        let keys: Vec<StreamKey> = self.stopped.iter().filter(unknown).cloned().collect();
        for key in keys {
            if let Some(plan) = self.plan(&self.routes, &key) {
                let stream = Stream::new(key.clone(), plan, Instant::now());
                self.streams.insert(key.clone(), stream);
                self.changed.insert(key.clone());
                self.feed(&key, Input::Absent);
                self.stop_if_stopped(&key);
            }
        }
    }

    /// Whether it has to be found out anew where it comes from: it has appeared, or comes from somebody else.
    fn settle_stream(&mut self, key: &StreamKey) -> bool {
        let there = self.available.contains_key(key.path());
        let known = self.streams.get(key);
        if !there && known.is_none() {
            return false;
        }
        let present = known.filter(|stream| stream.machine.is_present());
        match present.map(|stream| &stream.plan) {
            Some(plan) => {
                let clients = self.clients(key, plan);
                self.is_still_known(key, clients)
            }
            None if there => match self.plan(&self.routes, key) {
                Some(plan) => {
                    self.has_appeared(key, plan);
                    true
                }
                None => false,
            },
            None => false,
        }
    }

    fn clients(&self, key: &StreamKey, plan: &Plan) -> Clients {
        let input = self.available.get(key.path());
        let outputs = plan.task.result_paths();
        let outputs = outputs.filter_map(|path| self.available.get(path));
        Clients {
            published: input.is_some(),
            source: input.and_then(|input| input.source.clone()),
            input_readers: input.map_or_else(Vec::new, |input| input.readers.clone()),
            output_readers: outputs.flat_map(|output| output.readers.clone()).collect(),
        }
    }

    fn has_appeared(&mut self, key: &StreamKey, plan: Plan) {
        let clients = self.clients(key, &plan);
        self.changed.insert(key.clone());
        if let Some(stream) = self.streams.get_mut(key) {
            stream.plan = plan;
            stream.removed = false;
            stream.clients = clients;
            stream.note("found", "the stream is back");
            self.feed(key, Input::Present);
            self.stop_if_stopped(key);
            return;
        }
        let mut stream = Stream::new(key.clone(), plan, Instant::now());
        stream.clients = clients;
        stream.note("found", "the stream is there");
        stream.log(Level::Info, format_args!("stream is there"));
        if let Some(why) = stream.plan.blocked.clone() {
            stream.log(Level::Warn, format_args!("stream is blocked: {why}"));
            stream.note("blocked", why);
        }
        self.streams.insert(key.clone(), stream);
        self.stop_if_stopped(key);
    }

    fn stop_if_stopped(&mut self, key: &StreamKey) {
        if self.stopped.contains(key)
            && let Some(stream) = self.streams.get_mut(key)
            && stream.machine.state() != StreamState::Stopped
        {
            stream.note("stop", "it was stopped by an operator before");
            self.feed(key, Input::Stop);
        }
    }

    /// Whether somebody else publishes it than before.
    fn is_still_known(&mut self, key: &StreamKey, clients: Clients) -> bool {
        let Some(stream) = self.streams.get_mut(key) else {
            return false;
        };
        // A declared stream comes from elsewhere; MediaMTX may have what its worker publishes.
        let lost = stream.declared.is_none() && !clients.published;
        let other_source = stream.declared.is_none() && stream.clients.source != clients.source;
        if stream.clients != clients {
            stream.clients = clients;
            self.changed.insert(key.clone());
        }
        if lost {
            stream.clients = Clients::default();
            stream.note("lost", "the stream is away");
            self.feed(key, Input::Absent);
        }
        other_source && !lost
    }
}
