//! `localhost`: this machine whatever files and name servers say (RFC 6761, 6.3), and MediaMTX's image has neither.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The addresses to try, in this order, if that is the host.
pub(crate) fn addresses(host: &str) -> Option<[IpAddr; 2]> {
    const LOOPBACK: [IpAddr; 2] = [
        IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(Ipv6Addr::LOCALHOST),
    ];
    host.eq_ignore_ascii_case("localhost").then_some(LOOPBACK)
}
