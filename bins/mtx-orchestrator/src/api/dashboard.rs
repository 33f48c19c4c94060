//! The page at /, and what it is made of.

use mediamtx::http::Answer;
use url::{Host, Url};

const PAGE: &str = include_str!("../dashboard/index.html");
const STYLE: &str = include_str!("../dashboard/dashboard.css");
const SCRIPT: &str = include_str!("../dashboard/dashboard.js");

/// The page. Its previews are MediaMTX's own player, at `player`.
pub(super) fn page(player: &Url) -> Answer {
    let page = PAGE.replace("{{player}}", &attribute(player.as_str()));
    let mut answer = Answer::new(200, "text/html; charset=utf-8", page);
    let policy = format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; \
         frame-src {}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        player.origin().ascii_serialization()
    );
    answer.headers.extend([
        ("Content-Security-Policy", policy),
        ("X-Frame-Options", "DENY".to_owned()),
        ("Referrer-Policy", "no-referrer".to_owned()),
    ]);
    answer
}

pub(super) fn style() -> Answer {
    Answer::new(200, "text/css; charset=utf-8", STYLE)
}

pub(super) fn script() -> Answer {
    Answer::new(200, "text/javascript; charset=utf-8", SCRIPT)
}

/// Where the one who asks finds the player. On loopback it is on the machine that the page itself comes from,
/// whatever that is called where the browser runs.
pub(super) fn player_for(host: Option<&[u8]>, player: &Url) -> Url {
    let mut found = player.clone();
    let is_local = match player.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    let host = host.and_then(|host| std::str::from_utf8(host).ok());
    let own = host.and_then(|host| Url::parse(&format!("http://{host}/")).ok());
    // A policy can't name an IPv6 address (CSP 3, 2.3.1).
    if is_local
        && let Some(host @ (Host::Domain(_) | Host::Ipv4(_))) = own.as_ref().and_then(Url::host)
    {
        // Only a URL without a host refuses one.
        let _ = found.set_host(Some(&host.to_string()));
    }
    found
}

fn attribute(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('"', "&quot;")
        .replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_names_a_player_that_its_reader_can_reach() {
        for (host, player, expected) in [
            (
                "127.0.0.1:8080",
                "http://127.0.0.1:8888/",
                "http://127.0.0.1:8888/",
            ),
            (
                "box.local:8080",
                "http://127.0.0.1:8888/",
                "http://box.local:8888/",
            ),
            (
                "10.0.0.7",
                "http://localhost:8888/hls/",
                "http://10.0.0.7:8888/hls/",
            ),
            (
                "10.0.0.7",
                "https://media.example/",
                "https://media.example/",
            ),
            (
                "[::1]:8080",
                "http://127.0.0.1:8888/",
                "http://127.0.0.1:8888/",
            ),
            (
                "a;script-src *",
                "http://127.0.0.1:8888/",
                "http://127.0.0.1:8888/",
            ),
            (
                "a\"><script>",
                "http://127.0.0.1:8888/",
                "http://127.0.0.1:8888/",
            ),
        ] {
            let player = player.parse().unwrap();
            let found = player_for(Some(host.as_bytes()), &player);
            assert_eq!(found.as_str(), expected, "{host}");
        }
    }

    #[test]
    fn the_page_lets_nothing_in_from_elsewhere() {
        let player = "http://media.example:8888/a\"b/".parse().unwrap();
        let answer = page(&player);
        let policy = &answer
            .headers
            .iter()
            .find(|(name, _)| *name == "Content-Security-Policy");
        assert!(
            policy
                .unwrap()
                .1
                .contains("frame-src http://media.example:8888;")
        );
        let text = String::from_utf8(answer.body).unwrap();
        assert!(!text.contains("{{") && !text.contains("style=") && !text.contains("onclick"));
        for address in ["http://", "https://"] {
            let foreign = text.matches(address).count();
            assert_eq!(
                foreign,
                usize::from(address == "http://"),
                "only the player's"
            );
        }
    }
}
