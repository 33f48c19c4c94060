//! Other names of the same server, as far as name resolution shows them.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, ToSocketAddrs, UdpSocket};
use std::sync::mpsc::Sender;
use std::thread;

use super::supervision::Message;
use crate::declaration::Endpoint;

/// Tells which of the `names` are `server`. A resolver may take its time, so nobody waits for the answer.
pub(super) fn look_up(server: Endpoint, names: BTreeSet<Endpoint>, messages: Sender<Message>) {
    let look = move || {
        let (aliases, _) = names.into_iter().partition(|name| is_same(name, &server));
        // Fails when nobody is left to be told.
        let _ = messages.send(Message::Aliases(aliases));
    };
    if let Err(error) = thread::Builder::new().name("names".to_owned()).spawn(look) {
        log::warn!("can't start the thread that looks up the outputs' hosts: {error}");
    }
}

/// Whether both names stand for one port of one machine.
fn is_same(one: &Endpoint, other: &Endpoint) -> bool {
    one.port == other.port && !addresses(one).is_disjoint(&addresses(other))
}

pub(super) fn resolves_to(endpoint: &Endpoint, address: IpAddr) -> bool {
    addresses(endpoint).contains(&canonical(address))
}

fn addresses(endpoint: &Endpoint) -> BTreeSet<IpAddr> {
    let host = endpoint.host.trim_matches(['[', ']']);
    let addresses = (host, endpoint.port).to_socket_addrs();
    let addresses = addresses.into_iter().flatten();
    addresses.map(|address| canonical(address.ip())).collect()
}

/// All addresses of this machine are one: only those can be bound to.
fn canonical(address: IpAddr) -> IpAddr {
    let address = address.to_canonical();
    if UdpSocket::bind((address, 0)).is_ok() {
        Ipv4Addr::LOCALHOST.into()
    } else {
        address
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_one_port_of_one_machine_are_the_same() {
        let same = |one: &str, other: &str, port| {
            let endpoint = |host: &str, port| Endpoint {
                host: host.to_owned(),
                port,
            };
            is_same(&endpoint(one, 1935), &endpoint(other, port))
        };
        assert!(same("localhost", "127.1", 1935));
        assert!(same("[::1]", "127.0.0.9", 1935));
        assert!(!same("localhost", "127.1", 1936));
        assert!(same("192.0.2.77", "192.0.2.77", 1935));
        assert!(!same("192.0.2.77", "192.0.2.78", 1935));
        assert!(!same("localhost", "192.0.2.77", 1935));
        assert!(!same("no-such-host.invalid", "no-such-host.invalid", 1935));
    }
}
