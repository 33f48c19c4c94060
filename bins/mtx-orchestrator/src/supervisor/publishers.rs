//! Outputs that lead to the same server under another name, as its list of publishers shows.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use mediamtx::api::{Api, Client, PathInfo};
use mediamtx::path::PathName;

use super::names;
use super::sockets::{self, Connection};
use crate::declaration::{Endpoint, Task};

/// What every mtx-worker has in the `flashVer` of its RTMP `connect` command.
const USER_AGENT: &str = "mtx-worker";

/// A running worker's output on a server that may be this one under another name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Suspect {
    pub(super) pid: u32,
    pub(super) endpoint: Endpoint,
    pub(super) path: PathName,
}

impl Suspect {
    pub(super) fn list(pid: u32, task: &Task) -> Vec<Self> {
        let elsewhere = task.outputs.iter().filter(|target| target.path.is_none());
        elsewhere
            .filter_map(|target| {
                Some(Self {
                    pid,
                    endpoint: target.endpoint(),
                    path: target.any_path().parse().ok()?,
                })
            })
            .collect()
    }
}

/// What was found out.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Findings {
    /// The server answers under these, too: one of its publishers is a worker that was sent there.
    pub(super) aliases: BTreeSet<Endpoint>,
    /// Publishers that are no workers, by MediaMTX's ids.
    pub(super) strangers: BTreeSet<String>,
}

/// Asks about each publisher once: the addresses of a connection never change.
#[derive(Default)]
pub(super) struct Inquiry {
    asked: BTreeSet<String>,
    strangers: BTreeSet<String>,
}

impl Inquiry {
    pub(super) fn look(&mut self, api: &Api, paths: &[PathInfo], suspects: &[Suspect]) -> Findings {
        let mut aliases = BTreeSet::new();
        let sources = paths.iter().filter_map(|path| path.source.as_ref());
        let present: BTreeSet<&str> = sources.map(|source| source.id.as_str()).collect();
        self.asked.retain(|id| present.contains(id.as_str()));
        self.strangers.retain(|id| present.contains(id.as_str()));
        for path in paths {
            let suspects = suspects.iter();
            let suspects: Vec<&Suspect> = suspects
                .filter(|suspect| suspect.path.as_str() == path.name)
                .collect();
            let unknown = |source: &&Client| !self.asked.contains(&source.id);
            if let Some(source) = path.source.as_ref().filter(unknown)
                && !suspects.is_empty()
            {
                aliases.extend(self.ask(api, source, &suspects));
            }
        }
        Findings {
            aliases,
            strangers: self.strangers.clone(),
        }
    }

    /// The name of the server under which one of the suspects is connected to it as this publisher.
    fn ask(&mut self, api: &Api, source: &Client, suspects: &[&Suspect]) -> Option<Endpoint> {
        let connection = match api.rtmp_connection(source) {
            Ok(connection) => connection?,
            Err(error) => {
                log::debug!("it is not known who publishes: {error}");
                return None;
            }
        };
        self.asked.insert(source.id.clone());
        let agent = &connection.user_agent;
        if !agent.is_empty() && !agent.contains(USER_AGENT) {
            self.strangers.insert(source.id.clone());
        }
        let remote: SocketAddr = connection.remote_addr.parse().ok()?;
        let remote = SocketAddr::new(remote.ip().to_canonical(), remote.port());
        suspects
            .iter()
            .find(|suspect| {
                let connections = sockets::connections(suspect.pid);
                let mut connections = connections.iter();
                connections.any(|it| it.local == remote && suspect.may_have(it, suspects))
            })
            .map(|suspect| suspect.endpoint.clone())
    }
}

impl Suspect {
    /// Whether a connection of its worker's belongs to this output and to no other that has the same path.
    fn may_have(&self, connection: &Connection, suspects: &[&Self]) -> bool {
        let fits = |suspect: &Self| {
            suspect.pid == self.pid && suspect.endpoint.port == connection.peer.port()
        };
        let alone = suspects.iter().filter(|suspect| fits(suspect)).count() == 1;
        fits(self) && (alone || names::resolves_to(&self.endpoint, connection.peer.ip()))
    }
}
