//! Which hosts of URLs are the machine itself.

use std::net::IpAddr;

/// Whether a host, as it stands in a URL, is the machine itself: `localhost` or a loopback address, an IPv6 one with or
/// without its brackets. So are `0.0.0.0` and `[::]`, since connections to them go to the loopback.
#[must_use]
pub fn is_loopback(host: &str) -> bool {
    let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
    let address = address.map(|address| address.to_canonical());
    address.map_or(host.eq_ignore_ascii_case("localhost"), |address| {
        address.is_loopback() || address.is_unspecified()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_hosts_are_the_machine_itself() {
        for (host, expected) in [
            ("localhost", true),
            ("LocalHost", true),
            ("127.0.0.1", true),
            ("127.0.0.7", true),
            ("::1", true),
            ("[::1]", true),
            ("[::ffff:127.0.0.1]", true),
            ("0.0.0.0", true),
            ("[::]", true),
            ("", false),
            ("localhost.example.com", false),
            ("127.0.0.10.example.com", false),
            ("192.0.2.1", false),
            ("[2001:db8::1]", false),
            ("mediamtx", false),
        ] {
            assert_eq!(is_loopback(host), expected, "{host}");
        }
    }
}
