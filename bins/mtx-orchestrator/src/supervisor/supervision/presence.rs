//! Which streams are there: MediaMTX's path list, and hooks while it can't be had.

use std::collections::BTreeMap;
use std::time::Instant;

use log::Level;
use mediamtx::api::{ApiError, PathInfo};
use mediamtx::path::{Leg, StreamId, StreamPath};
use mediamtx::timestamp::Timestamp;

use super::super::hints::Hint;
use super::super::locked;
use super::super::machine::Input;
use super::super::stream::{Clients, Stream};
use super::{Server, Supervision};

impl Supervision {
    /// A hook is believed only where MediaMTX can't be asked.
    pub(super) fn hint(&mut self, id: StreamId, present: bool, at: Timestamp) {
        let request = self.poller.request();
        self.hints.add(Hint {
            request,
            id,
            present,
            at,
        });
    }

    pub(super) fn reconcile(&mut self, covers: u64, paths: Vec<PathInfo>) {
        self.totals.reconciliations += 1;
        if self.server != Server::Reached {
            log::info!(url = self.config.api.url(); "MediaMTX is reached");
            if self.server == Server::NeverReached {
                self.retry_declared();
            }
            self.server = Server::Reached;
            *locked(&self.view.ready) = Ok(());
        }
        let hints = self.hints.answered(covers);
        let mut found = clients_by_stream(paths);
        let known: Vec<StreamId> = self.streams.keys().cloned().collect();
        for id in known {
            match found.remove(&id) {
                Some(clients) if clients.published => self.is_present(&id, clients),
                clients => self.is_absent(&id, clients.unwrap_or_default()),
            }
        }
        found.retain(|_, clients| clients.published);
        for (id, clients) in found {
            self.is_present(&id, clients);
        }
        hints.iter().for_each(|hint| self.note_hint(hint));
    }

    fn note_hint(&mut self, hint: &Hint) {
        if let Some(stream) = self.streams.get_mut(&hint.id) {
            let kind = if hint.present { "ready" } else { "not-ready" };
            stream.note(kind, format!("hook of {}", hint.at));
            self.changed.insert(hint.id.clone());
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
        if self.server == Server::Reached {
            self.server = Server::Lost;
        }
        for hint in self.hints.unanswered(covers) {
            if hint.present {
                let clients = Clients {
                    published: true,
                    ..Clients::default()
                };
                self.is_present(&hint.id, clients);
            } else {
                self.is_absent(&hint.id, Clients::default());
            }
            self.note_hint(&hint);
        }
    }

    fn is_present(&mut self, id: &StreamId, clients: Clients) {
        let now = Instant::now();
        if !self.streams.contains_key(id) {
            let task = self.config.worker.servers.task_of(id);
            let mut stream = Stream::new(id.clone(), task, now);
            stream.note("found", "the stream is there");
            stream.log(Level::Info, format_args!("stream is there"));
            self.streams.insert(id.clone(), stream);
        }
        self.changed.insert(id.clone());
        if let Some(stream) = self.streams.get_mut(id) {
            stream.clients = clients;
            if !stream.machine.is_present() {
                stream.removed = false;
                stream.note("found", "the stream is back");
                self.feed(id, Input::Present);
            }
        }
    }

    fn is_absent(&mut self, id: &StreamId, clients: Clients) {
        let Some(stream) = self.streams.get_mut(id) else {
            return;
        };
        if stream.declared.is_some() {
            // It comes from elsewhere; MediaMTX may have what its worker publishes.
            if stream.clients != clients {
                stream.clients = clients;
                self.changed.insert(id.clone());
            }
        } else if stream.machine.is_present() {
            stream.clients = Clients::default();
            stream.note("lost", "the stream is away");
            self.feed(id, Input::Absent);
        }
    }
}

/// The streams of which either end is there; paths that are none of the suite's are nobody's here.
fn clients_by_stream(paths: Vec<PathInfo>) -> BTreeMap<StreamId, Clients> {
    let mut streams = BTreeMap::<StreamId, Clients>::new();
    for info in paths.into_iter().filter(PathInfo::is_available) {
        let Ok(path) = info.name.parse::<StreamPath>() else {
            continue;
        };
        match path.leg {
            Leg::In => {
                let clients = streams.entry(path.id).or_default();
                clients.published = true;
                clients.source = info.source;
                clients.input_readers = info.readers;
            }
            Leg::Out => streams.entry(path.id).or_default().output_readers = info.readers,
        }
    }
    streams
}
