//! Outputs that lead to the same server under another name, as its list of publishers shows.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use mediamtx::api::{Api, Client, PathInfo, RtmpConnection};
use mediamtx::path::PathName;
use mediamtx::via::{Mark, Via};

use super::marks::Marks;
use super::names::{self, Addresses};
use super::sockets;
use crate::declaration::{Endpoint, Task};

/// What every mtx-worker has in the `flashVer` of its RTMP `connect` command.
const USER_AGENT: &str = "mtx-worker";
/// The path list, which has been asked for already, waits no longer for what is found out about it.
const LONGEST_LOOK: Duration = Duration::from_secs(1);

/// A running worker's output, which may be on this server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Suspect {
    pub(super) pid: u32,
    pub(super) endpoint: Endpoint,
    pub(super) path: PathName,
    /// Whether its URL says already that it is on this server.
    pub(super) is_own: bool,
    /// What its connection tells the server, and so the server us, whatever lies between the two.
    pub(super) mark: Mark,
    /// Those of the endpoint, as far as they are known.
    pub(super) addresses: Addresses,
}

impl Suspect {
    pub(super) fn list(pid: u32, task: &Task, marks: Marks) -> Vec<Self> {
        let outputs = task.outputs.iter();
        let suspects = outputs.filter_map(|target| {
            Some(Self {
                pid,
                endpoint: target.endpoint(),
                path: target.any_path().parse().ok()?,
                is_own: target.path.is_some(),
                mark: marks.mark(target),
                addresses: Addresses::new(),
            })
        });
        suspects.collect()
    }
}

impl Suspect {
    /// One at which its worker reaches it.
    fn address(&self) -> Option<IpAddr> {
        let connections = sockets::connections(self.pid).into_iter();
        let peers = connections.map(|it| it.peer);
        let mut peers = peers.filter(|peer| peer.port() == self.endpoint.port);
        let known = |peer: &IpAddr| self.addresses.is_empty() || self.addresses.contains(peer);
        let reached = peers.find_map(|peer| Some(names::canonical(peer.ip())).filter(known));
        reached.or_else(|| self.addresses.first().copied())
    }
}

/// What is to be found out.
#[derive(Debug, Clone)]
pub(super) struct Search {
    /// The outputs of the workers that run.
    pub(super) suspects: Vec<Suspect>,
    /// Whether streams go to other servers, from where they may come back.
    pub(super) leads_elsewhere: bool,
}

impl Default for Search {
    /// As long as nobody has said what is of interest, everything is.
    fn default() -> Self {
        Self {
            suspects: Vec::new(),
            leads_elsewhere: true,
        }
    }
}

/// What was found out.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Findings {
    /// The server answers under these, too: one of its publishers is a worker that was sent there, and is connected to
    /// this address.
    pub(super) aliases: BTreeMap<Endpoint, IpAddr>,
    /// Publishers that are none of the workers, by MediaMTX's ids.
    pub(super) strangers: BTreeSet<String>,
    /// Where the streams of publishers have been, by the same ids.
    pub(super) via: BTreeMap<String, Via>,
}

/// Asks about each publisher once: the addresses of a connection never change.
#[derive(Default)]
pub(super) struct Inquiry {
    asked: BTreeSet<String>,
    strangers: BTreeSet<String>,
    via: BTreeMap<String, Via>,
}

impl Inquiry {
    /// What could not be asked in time is asked at the next look.
    pub(super) fn look(&mut self, api: &Api, paths: &[PathInfo], search: &Search) -> Findings {
        let start = Instant::now();
        let mut aliases = BTreeMap::new();
        let sources = paths.iter().filter_map(|path| path.source.as_ref());
        let present: BTreeSet<&str> = sources.map(|source| source.id.as_str()).collect();
        self.asked.retain(|id| present.contains(id.as_str()));
        self.strangers.retain(|id| present.contains(id.as_str()));
        self.via.retain(|id, _| present.contains(id.as_str()));
        for path in paths {
            let suspects = search.suspects.iter();
            let suspects: Vec<&Suspect> = suspects
                .filter(|suspect| suspect.path.as_str() == path.name)
                .collect();
            let unknown = |source: &&Client| !self.asked.contains(&source.id);
            let Some(source) = path.source.as_ref().filter(unknown) else {
                continue;
            };
            // A worker that publishes only where it is known to says nothing about other names.
            if !search.leads_elsewhere && suspects.iter().all(|suspect| suspect.is_own) {
                continue;
            }
            match api.rtmp_connection(source) {
                Ok(Some(connection)) => aliases.extend(self.judge(source, &connection, &suspects)),
                Ok(None) => {}
                Err(error) => {
                    log::debug!("it is not known who publishes: {error}");
                    break;
                }
            }
            if start.elapsed() >= LONGEST_LOOK {
                break;
            }
        }
        Findings {
            aliases,
            strangers: self.strangers.clone(),
            via: self.via.clone(),
        }
    }

    /// The name of the server under which one of the suspects is connected to it as this publisher.
    fn judge(
        &mut self,
        source: &Client,
        connection: &RtmpConnection,
        suspects: &[&Suspect],
    ) -> Option<(Endpoint, IpAddr)> {
        let agent = &connection.user_agent;
        let via = Via::of_user_agent(agent);
        let latest = via.marks().next();
        if latest.is_some() {
            self.via.insert(source.id.clone(), via);
        }
        let marked = suspects.iter().find(|it| Some(it.mark) == latest);
        let is_others = latest.is_some() && marked.is_none();
        if is_others || (!agent.is_empty() && !agent.contains(USER_AGENT)) {
            self.strangers.insert(source.id.clone());
        }
        if let Some(suspect) = marked {
            let address = suspect.address()?;
            self.asked.insert(source.id.clone());
            return (!suspect.is_own).then(|| (suspect.endpoint.clone(), address));
        }
        let remote = connection.remote_addr.parse::<SocketAddr>();
        let remote = remote.map(|it| SocketAddr::new(it.ip().to_canonical(), it.port()));
        let pids: BTreeSet<u32> = suspects.iter().map(|suspect| suspect.pid).collect();
        let found = pids.into_iter().find_map(|pid| {
            let mut connections = sockets::connections(pid).into_iter();
            let connection = connections.find(|it| remote.as_ref() == Ok(&it.local))?;
            Some((pid, connection.peer))
        });
        let Some((pid, peer)) = found else {
            self.asked.insert(source.id.clone());
            return None;
        };
        let suspects = suspects.iter().filter(|suspect| suspect.pid == pid);
        let suspects: Vec<&Suspect> = suspects.copied().collect();
        // Otherwise the addresses that tell them apart may be known at the next look.
        let suspect = connected_to(&suspects, peer)?;
        self.asked.insert(source.id.clone());
        (!suspect.is_own).then(|| (suspect.endpoint.clone(), names::canonical(peer.ip())))
    }
}

/// The one of a worker's outputs to the same path that its connection with this peer belongs to.
fn connected_to<'a>(suspects: &[&'a Suspect], peer: SocketAddr) -> Option<&'a Suspect> {
    let suspects = suspects.iter().copied();
    let with_port = suspects.filter(|suspect| suspect.endpoint.port == peer.port());
    let with_port: Vec<&Suspect> = with_port.collect();
    if let [only] = with_port[..] {
        return Some(only);
    }
    let peer = names::canonical(peer.ip());
    let with_address = with_port.iter().copied();
    let with_address = with_address.filter(|suspect| suspect.addresses.contains(&peer));
    match with_address.collect::<Vec<&Suspect>>()[..] {
        [only] => Some(only),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::super::names::tests::{addresses, endpoint};
    use super::*;

    #[test]
    fn a_connection_belongs_to_the_output_that_it_can_only_belong_to() {
        let suspect = |host: &str, port, is_own, known: &[&str]| Suspect {
            pid: 1,
            endpoint: endpoint(host, port),
            path: "live/cam/out".parse().unwrap(),
            is_own,
            mark: Mark(1),
            addresses: addresses(known),
        };
        let own = |known| suspect("localhost", 1935, true, known);
        let backup = |port, known| suspect("backup", port, false, known);
        for (suspects, meant) in [
            (vec![backup(1935, &[])], Some("backup")),
            (vec![backup(443, &[])], None),
            (vec![own(&[]), backup(443, &[])], Some("localhost")),
            (vec![own(&[]), backup(1935, &[])], None),
            (vec![own(&[]), backup(1935, &["127.0.0.2"])], None),
            (
                vec![own(&["127.0.0.1"]), backup(1935, &["127.0.0.2"])],
                Some("localhost"),
            ),
            (
                vec![own(&["127.0.0.1"]), backup(1935, &["127.0.0.1"])],
                None,
            ),
            (
                vec![
                    backup(1935, &["127.0.0.2"]),
                    suspect("third", 1935, false, &["127.0.0.1"]),
                ],
                Some("third"),
            ),
        ] {
            let suspects: Vec<&Suspect> = suspects.iter().collect();
            let found = connected_to(&suspects, "127.0.0.1:1935".parse().unwrap());
            let found = found.map(|suspect| suspect.endpoint.host.as_str());
            assert_eq!(found, meant, "{suspects:?}");
        }
    }

    #[test]
    fn a_server_that_does_not_answer_holds_up_its_path_list_once() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let api = Api::new(&url, Duration::from_millis(100)).unwrap();
        let paths = (0..20).map(|number| {
            let source = serde_json::json!({ "type": "rtmpConn", "id": number.to_string() });
            serde_json::from_value(serde_json::json!({ "name": "x", "source": source })).unwrap()
        });
        let paths: Vec<PathInfo> = paths.collect();
        let suspect = Suspect {
            pid: 1,
            endpoint: endpoint("backup", 1935),
            path: "x".parse().unwrap(),
            is_own: false,
            mark: Mark(1),
            addresses: Addresses::new(),
        };
        let search = Search {
            suspects: vec![suspect],
            leads_elsewhere: true,
        };
        let findings = Inquiry::default().look(&api, &paths, &search);
        assert_eq!(findings, Findings::default());
        listener.set_nonblocking(true).unwrap();
        let asked = std::iter::from_fn(|| listener.accept().ok()).count();
        assert_eq!(asked, 1);
    }
}
