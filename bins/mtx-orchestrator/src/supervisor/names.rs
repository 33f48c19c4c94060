//! Other names of the same server: what name resolution shows of them, and what the server's connections have proved.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, ToSocketAddrs};
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::supervision::Message;
use crate::declaration::Endpoint;

/// After this time a name is looked up again: its addresses may have changed.
const RENEWAL: Duration = Duration::from_secs(60);
/// The same for a name that has no address yet.
const RETRY: Duration = Duration::from_secs(5);
/// How long a worker waits for the addresses of a server that it is the first to publish to.
const PATIENCE: Duration = Duration::from_secs(2);

pub(super) type Addresses = BTreeSet<IpAddr>;

/// The answer to a lookup; no addresses where it failed.
#[derive(Debug)]
pub(super) struct Lookup {
    pub(super) name: Endpoint,
    pub(super) addresses: Addresses,
    /// Those of this server, looked up at the same time.
    pub(super) server: Addresses,
}

/// The servers that workers publish to.
pub(super) struct Names {
    server: Endpoint,
    server_addresses: Addresses,
    names: BTreeMap<Endpoint, Name>,
    lookups: Sender<Endpoint>,
}

struct Name {
    first_asked: Instant,
    answered: bool,
    /// When to look it up again; `None` while a lookup is under way.
    due: Option<Instant>,
    /// Those of the last lookup that found any.
    addresses: Addresses,
    /// Where a worker that published to this name was connected to this server.
    proof: Option<IpAddr>,
}

impl Names {
    /// Starts the thread that waits for `resolve`, and sends its answers as [`Message::Lookup`].
    pub(super) fn start(
        server: Endpoint,
        resolve: impl Fn(&Endpoint) -> Addresses + Send + 'static,
        messages: Sender<Message>,
    ) -> Result<Self> {
        let (lookups, inbox) = mpsc::channel::<Endpoint>();
        let names = Self::new(server.clone(), lookups);
        let look_up = move || {
            for name in inbox {
                let lookup = Lookup {
                    addresses: resolve(&name),
                    server: resolve(&server),
                    name,
                };
                if messages.send(Message::Lookup(lookup)).is_err() {
                    return;
                }
            }
        };
        let thread = thread::Builder::new().name("names".to_owned());
        thread
            .spawn(look_up)
            .context("can't start the thread that looks up the outputs' hosts")?;
        Ok(names)
    }

    fn new(server: Endpoint, lookups: Sender<Endpoint>) -> Self {
        Self {
            server,
            server_addresses: Addresses::new(),
            names: BTreeMap::new(),
            lookups,
        }
    }

    /// Whether outputs at this name are on this server. Name resolution alone is believed only where both names have
    /// the same port and exactly the same addresses.
    pub(super) fn is_alias(&self, endpoint: &Endpoint) -> bool {
        self.names.get(endpoint).is_some_and(|name| {
            let leads_to = |proof| name.addresses.contains(&proof);
            self.has_same_addresses(endpoint, name) || name.proof.is_some_and(leads_to)
        })
    }

    /// Whether only the server's connections showed that outputs at this name are on it.
    pub(super) fn is_alias_by_proof(&self, endpoint: &Endpoint) -> bool {
        let name = self.names.get(endpoint);
        let resolves = name.is_some_and(|name| self.has_same_addresses(endpoint, name));
        self.is_alias(endpoint) && !resolves
    }

    fn has_same_addresses(&self, endpoint: &Endpoint, name: &Name) -> bool {
        endpoint.port == self.server.port
            && !name.addresses.is_empty()
            && name.addresses == self.server_addresses
    }

    /// Believes name resolution alone again.
    pub(super) fn forget_proof(&mut self, endpoint: &Endpoint) {
        self.changes_aliases(|names| {
            if let Some(name) = names.names.get_mut(endpoint) {
                name.proof = None;
            }
        });
    }

    /// Whether a worker may publish there: whether it is this server is known, or took too long to find out.
    pub(super) fn may_start(&mut self, endpoint: &Endpoint, now: Instant) -> bool {
        let name = self.names.entry(endpoint.clone()).or_insert_with(|| {
            // Without the thread there is no answer, and nobody waits for long.
            let _ = self.lookups.send(endpoint.clone());
            Name::asked(now)
        });
        let waited = now.saturating_duration_since(name.first_asked) >= PATIENCE;
        name.answered || waited || endpoint.port != self.server.port
    }

    pub(super) fn addresses(&self, endpoint: &Endpoint) -> Addresses {
        if *endpoint == self.server {
            return self.server_addresses.clone();
        }
        let name = self.names.get(endpoint);
        name.map_or_else(Addresses::new, |name| name.addresses.clone())
    }

    /// Takes the answer to a lookup. Returns whether the server has other names than before.
    pub(super) fn looked_up(&mut self, lookup: Lookup, now: Instant) -> bool {
        self.changes_aliases(|names| {
            if !lookup.server.is_empty() {
                names.server_addresses = lookup.server;
            }
            let name = names.names.entry(lookup.name);
            let name = name.or_insert_with(|| Name::asked(now));
            name.answered = true;
            if lookup.addresses.is_empty() {
                name.due = Some(now + RETRY);
            } else {
                name.due = Some(now + RENEWAL);
                name.addresses = lookup.addresses;
            }
        })
    }

    /// A worker that published to this name had its connection to this server, at this address. Returns whether the
    /// server has other names than before.
    pub(super) fn prove(&mut self, endpoint: Endpoint, address: IpAddr, now: Instant) -> bool {
        self.changes_aliases(|names| {
            let name = names.names.entry(endpoint);
            let name = name.or_insert_with(|| Name::asked(now));
            name.addresses.insert(address);
            name.proof = Some(address);
            name.due.get_or_insert(now + RENEWAL);
        })
    }

    /// Looks up again what may have changed, and forgets the names that nobody publishes to any more.
    pub(super) fn renew(&mut self, now: Instant, is_used: impl Fn(&Endpoint) -> bool) {
        let lookups = &self.lookups;
        self.names.retain(|endpoint, name| {
            if name.due.is_none_or(|due| due > now) {
                return true;
            }
            if name.proof.is_none() && !is_used(endpoint) {
                return false;
            }
            name.due = None;
            let _ = lookups.send(endpoint.clone());
            true
        });
    }

    fn changes_aliases(&mut self, change: impl FnOnce(&mut Self)) -> bool {
        let before = self.aliases();
        change(self);
        let after = self.aliases();
        for alias in after.difference(&before) {
            log::info!("outputs at {alias} are on this MediaMTX: it is another name of it");
        }
        for alias in before.difference(&after) {
            log::info!("outputs at {alias} are no longer taken for this MediaMTX's");
        }
        before != after
    }

    fn aliases(&self) -> BTreeSet<Endpoint> {
        let names = self.names.keys();
        names.filter(|name| self.is_alias(name)).cloned().collect()
    }
}

impl Name {
    fn asked(now: Instant) -> Self {
        Self {
            first_asked: now,
            answered: false,
            due: None,
            addresses: Addresses::new(),
            proof: None,
        }
    }
}

/// As the system's resolver knows them.
pub(super) fn resolve(endpoint: &Endpoint) -> Addresses {
    let host = endpoint.host.trim_matches(['[', ']']);
    let addresses = (host, endpoint.port).to_socket_addrs();
    let addresses = addresses.into_iter().flatten();
    addresses.map(|address| canonical(address.ip())).collect()
}

/// `localhost` is ::1 on some machines, 127.0.0.1 on others, and both on most. No other addresses are one.
pub(super) fn canonical(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(Ipv6Addr::LOCALHOST) => Ipv4Addr::LOCALHOST.into(),
        address => address,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    const HERE: &str = "192.0.2.1";
    const ELSEWHERE: &str = "192.0.2.2";

    pub(in super::super) fn endpoint(host: &str, port: u16) -> Endpoint {
        Endpoint {
            host: host.to_owned(),
            port,
        }
    }

    pub(in super::super) fn addresses(texts: &[&str]) -> Addresses {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn names() -> (Names, mpsc::Receiver<Endpoint>) {
        let (lookups, asked) = mpsc::channel();
        (Names::new(endpoint("server", 1935), lookups), asked)
    }

    fn answer(names: &mut Names, name: &Endpoint, found: &[&str], server: &[&str]) -> bool {
        let lookup = Lookup {
            name: name.clone(),
            addresses: addresses(found),
            server: addresses(server),
        };
        names.looked_up(lookup, Instant::now())
    }

    #[test]
    fn only_a_name_with_the_same_port_and_the_same_addresses_is_an_alias() {
        for (port, found, server, is_alias) in [
            (1935, &[HERE][..], &[HERE][..], true),
            (1935, &[HERE, "2001:db8::1"], &["2001:db8::1", HERE], true),
            (1936, &[HERE], &[HERE], false),
            (1935, &[HERE, ELSEWHERE], &[HERE], false),
            (1935, &[HERE], &[HERE, ELSEWHERE], false),
            (1935, &["127.0.0.2"], &["127.0.0.1"], false),
            (1935, &[], &[], false),
        ] {
            let (mut names, _asked) = names();
            let name = endpoint("other", port);
            assert_eq!(answer(&mut names, &name, found, server), is_alias);
            assert_eq!(names.is_alias(&name), is_alias, "{found:?} {server:?}");
        }
    }

    #[test]
    fn the_system_knows_the_spellings_of_one_address() {
        let one = |host: &str| resolve(&endpoint(host, 1935));
        for host in ["localhost", "127.0.0.1", "[::1]"] {
            assert_eq!(one("127.1"), one(host), "{host}");
        }
        assert_eq!(one("127.2"), addresses(&["127.0.0.2"]));
        assert!(one("no-such-host.invalid").is_empty());
    }

    #[test]
    fn an_alias_goes_when_its_addresses_do_and_stays_when_a_lookup_fails() {
        let (mut names, _asked) = names();
        let name = endpoint("failover", 443);
        assert!(!answer(&mut names, &name, &[HERE, ELSEWHERE], &[HERE]));
        assert!(names.prove(name.clone(), HERE.parse().unwrap(), Instant::now()));
        assert!(!answer(&mut names, &name, &[], &[]));
        assert!(!answer(&mut names, &name, &[HERE], &[HERE]));
        assert!(names.is_alias(&name));
        assert!(answer(&mut names, &name, &[ELSEWHERE], &[HERE]));
        assert!(!names.is_alias(&name));
    }

    #[test]
    fn a_start_waits_for_the_addresses_but_not_for_ever() {
        let (mut names, asked) = names();
        let now = Instant::now();
        let slow = endpoint("slow", 1935);
        assert!(!names.may_start(&slow, now) && !names.may_start(&slow, now));
        assert!(names.may_start(&slow, now + PATIENCE));
        assert_eq!(asked.try_iter().count(), 1);
        answer(&mut names, &slow, &[], &[]);
        assert!(names.may_start(&slow, now), "a failed lookup is an answer");
        assert!(names.may_start(&endpoint("platform", 443), now));
    }

    #[test]
    fn lookups_are_repeated_while_the_name_is_used() {
        let (mut names, asked) = names();
        let (found, failed) = (endpoint("found", 1935), endpoint("failed", 1935));
        answer(&mut names, &found, &[ELSEWHERE], &[HERE]);
        answer(&mut names, &failed, &[], &[HERE]);
        let soon = Instant::now() + RETRY;
        names.renew(soon, |_| true);
        names.renew(soon, |_| true);
        assert_eq!(asked.try_iter().collect::<Vec<_>>(), [failed]);
        names.renew(Instant::now() + RENEWAL, |_| false);
        assert_eq!(asked.try_iter().count(), 0);
        assert!(names.addresses(&found).is_empty());
    }
}
