//! The bearer token, and requests that a browser makes for somebody else's page.

use std::net::{Ipv4Addr, Ipv6Addr};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use subtle::ConstantTimeEq;
use tiny_http::Method;

use super::{Head, Problem};

/// What clients have to know.
pub struct Token(Vec<u8>);

/// How a client that brings no token is asked for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Challenge {
    /// As programs are.
    Bearer,
    /// So that a browser asks its user.
    Basic,
}

impl Token {
    /// One of this value.
    pub fn new(value: &str) -> Self {
        Self(value.into())
    }

    /// Whether it is the given one. How long that takes tells nothing about the token but its length.
    pub fn is(&self, given: &[u8]) -> bool {
        given.ct_eq(&self.0).into()
    }
}

/// What a request bears as bearer token (RFC 6750) or as a login's password (RFC 7617), if that is one thing.
pub fn bearer_token(head: &Head) -> Option<Vec<u8>> {
    let mut values = head.all("authorization");
    match (values.next(), values.next()) {
        (Some(value), None) => given(value),
        _ => None,
    }
}

/// What a client is answered that brings no token, or an unknown one; `detail` says what it has to bring.
pub fn unauthorized(detail: impl Into<String>, challenge: Challenge) -> Problem {
    let challenge = match challenge {
        Challenge::Bearer => "Bearer",
        Challenge::Basic => r#"Basic realm="the token is the password", charset="UTF-8""#,
    };
    let problem = Problem::new(401, detail).field("Authorization");
    problem.header("WWW-Authenticate", challenge)
}

/// The token in a header's value.
fn given(value: &[u8]) -> Option<Vec<u8>> {
    let space = value.iter().position(|byte| *byte == b' ')?;
    let (scheme, rest) = value.split_at(space);
    let rest = rest.trim_ascii();
    if scheme.eq_ignore_ascii_case(b"bearer") {
        return Some(rest.to_vec());
    }
    if !scheme.eq_ignore_ascii_case(b"basic") {
        return None;
    }
    let login = BASE64_STANDARD.decode(rest).ok()?;
    let colon = login.iter().position(|byte| *byte == b':')?;
    Some(login[colon + 1..].to_vec())
}

/// Browsers say with each request that changes something, and with each that asks for another protocol, whose page
/// makes it: only our own may. That is worth something only while the
/// page's name can't be made to resolve to us (DNS rebinding), so without a token the name has to be one that
/// nobody can register.
///
/// # Errors
/// When another site's page makes it.
pub fn check_origin(head: &Head, guarded: bool) -> Result<(), Problem> {
    let reads = matches!(head.method(), Method::Get | Method::Head);
    if reads && head.one("upgrade").is_none() {
        return Ok(());
    }
    let Some(origin) = head.one("origin") else {
        return Ok(());
    };
    let host = head.one("host").unwrap_or_default();
    let own = [&b"http://"[..], b"https://"]
        .iter()
        .filter_map(|scheme| origin.strip_prefix(*scheme))
        .any(|named| !host.is_empty() && named.eq_ignore_ascii_case(host));
    if own && (guarded || is_unregistrable(host)) {
        return Ok(());
    }
    Err(Problem::new(403, "another site's page may not do this").field("Origin"))
}

/// Lets only names of this machine be those of the server.
///
/// # Errors
/// When the client calls it otherwise.
pub(super) fn check_host(head: &Head) -> Result<(), Problem> {
    match head.one("host") {
        Some(host) if !is_loopback(host) => {
            let detail =
                "without a token, this server is known as localhost, 127.0.0.1 or [::1] only";
            Err(Problem::new(421, detail).field("Host"))
        }
        _ => Ok(()),
    }
}

fn is_loopback(host: &[u8]) -> bool {
    let host = String::from_utf8_lossy(host).to_ascii_lowercase();
    let is_port = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
    let name = match host.rsplit_once(':') {
        Some((name, port)) if is_port(port) => name,
        _ => host.as_str(),
    };
    if let Some(inside) = name
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'))
    {
        return inside
            .parse::<Ipv6Addr>()
            .is_ok_and(|address| address.is_loopback());
    }
    let name = name.trim_end_matches('.');
    name == "localhost"
        || name.ends_with(".localhost")
        || name
            .parse::<Ipv4Addr>()
            .is_ok_and(|address| address.is_loopback())
}

fn is_unregistrable(host: &[u8]) -> bool {
    let host = String::from_utf8_lossy(host);
    if host.starts_with('[') {
        return true;
    }
    let name = host.split(':').next().unwrap_or_default();
    !name.contains('.') || name.parse::<Ipv4Addr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::super::head::parse;
    use super::*;
    use proptest::prelude::*;

    fn post(headers: &str) -> Head {
        let text = format!("POST /x HTTP/1.1\r\n{headers}\r\n");
        parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn only_the_whole_token_in_one_bearer_header_is_let_in() {
        let token = Token::new("s3cret-token");
        for good in [
            "Bearer s3cret-token",
            "bearer   s3cret-token",
            // :s3cret-token and me:s3cret-token
            "Basic OnMzY3JldC10b2tlbg==",
            "basic bWU6czNjcmV0LXRva2Vu",
        ] {
            let head = post(&format!("Host: a\r\nAuthorization: {good}\r\n"));
            let given = bearer_token(&head);
            assert!(given.is_some_and(|given| token.is(&given)), "{good}");
        }
        for bad in [
            "",
            "Authorization: s3cret-token\r\n",
            "Authorization: Bearer\r\n",
            "Authorization: Bearer s3cret-toke\r\n",
            "Authorization: Bearer s3cret-token2\r\n",
            "Authorization: Bearer S3cret-token\r\n",
            "Authorization: Basic s3cret-token\r\n",
            // s3cret-token, s3cret-token:me and me:s3cret-tokem
            "Authorization: Basic czNjcmV0LXRva2Vu\r\n",
            "Authorization: Basic czNjcmV0LXRva2VuOm1l\r\n",
            "Authorization: Basic bWU6czNjcmV0LXRva2Vt\r\n",
            "Authorization: Digest s3cret-token\r\n",
            "Authorization: Bearer s3cret-token\r\nAuthorization: Bearer s3cret-token\r\n",
        ] {
            let given = bearer_token(&post(&format!("Host: a\r\n{bad}")));
            assert!(!given.is_some_and(|given| token.is(&given)), "{bad}");
        }
    }

    #[test]
    fn only_our_own_pages_may_post() {
        for (guarded, host, origin, allowed) in [
            (false, "localhost:8080", None, true),
            (false, "localhost:8080", Some("http://localhost:8080"), true),
            (false, "127.0.0.1:8080", Some("http://127.0.0.1:8080"), true),
            (false, "[::1]:8080", Some("http://[::1]:8080"), true),
            (
                false,
                "orchestrator:8080",
                Some("http://orchestrator:8080"),
                true,
            ),
            (
                false,
                "localhost:8080",
                Some("http://localhost:9090"),
                false,
            ),
            (false, "localhost:8080", Some("https://evil.example"), false),
            (false, "localhost:8080", Some("null"), false),
            (
                false,
                "rebound.example:8080",
                Some("http://rebound.example:8080"),
                false,
            ),
            (
                true,
                "streams.example",
                Some("https://streams.example"),
                true,
            ),
            (true, "streams.example", Some("https://evil.example"), false),
        ] {
            let origin = origin.map_or(String::new(), |origin| format!("Origin: {origin}\r\n"));
            let head = post(&format!("Host: {host}\r\n{origin}"));
            let result = check_origin(&head, guarded);
            assert_eq!(result.is_ok(), allowed, "{host} {origin}");
        }
    }

    #[test]
    fn only_names_of_this_machine_are_loopback() {
        for good in [
            "localhost",
            "LocalHost:8080",
            "localhost.:8080",
            "a.localhost",
            "127.0.0.1:1",
            "127.9.9.9",
            "[::1]",
            "[::1]:8080",
        ] {
            assert!(is_loopback(good.as_bytes()), "{good}");
        }
        for bad in [
            "",
            "rebound.example:8080",
            "localhost.evil.example",
            "notlocalhost",
            "127.0.0.1.evil.example",
            "10.0.0.1",
            "[::2]:80",
            "::1",
            "[::1",
            "2130706433",
            "a@localhost:1x",
        ] {
            assert!(!is_loopback(bad.as_bytes()), "{bad}");
        }
    }

    #[test]
    fn other_sites_pages_may_read_but_not_change_or_upgrade() {
        for (request, allowed) in [
            ("GET", true),
            ("HEAD", true),
            ("PUT", false),
            ("PATCH", false),
            ("DELETE", false),
        ] {
            let text = format!(
                "{request} /x HTTP/1.1\r\nHost: localhost\r\nOrigin: https://evil.example\r\n"
            );
            let plain = parse(format!("{text}\r\n").as_bytes()).unwrap();
            assert_eq!(check_origin(&plain, true).is_ok(), allowed, "{request}");
            let upgrade = parse(format!("{text}Upgrade: websocket\r\n\r\n").as_bytes()).unwrap();
            assert!(check_origin(&upgrade, true).is_err(), "{request}");
        }
    }

    proptest! {
        #[test]
        fn no_header_panics(scheme in "(Bearer|Basic|basic|)", rest in any::<Vec<u8>>()) {
            let _ = given(&rest);
            let _ = given(&[scheme.as_bytes(), b" ", &rest].concat());
        }

        #[test]
        fn a_login_s_password_is_what_comes_after_the_first_colon(name in "[^:]{0,9}", password in ".{0,20}") {
            let login = BASE64_STANDARD.encode(format!("{name}:{password}"));
            let found = given(format!("Basic {login}").as_bytes());
            prop_assert_eq!(found, Some(password.into_bytes()));
        }
    }
}
