//! The page at /, and what it is made of.

use common::host;
use common::http::Answer;
use url::{Host, Url};

use crate::power::Power;

const PAGE: &str = include_str!("../dashboard/index.html");
const STYLE: &str = include_str!("../dashboard/dashboard.css");
const SCRIPTS: [Script; 13] = [
    Script("commands.js", include_str!("../dashboard/commands.js")),
    Script("dashboard.js", include_str!("../dashboard/dashboard.js")),
    Script("details.js", include_str!("../dashboard/details.js")),
    Script("events.js", include_str!("../dashboard/events.js")),
    Script("format.js", include_str!("../dashboard/format.js")),
    Script("list.js", include_str!("../dashboard/list.js")),
    Script("page.js", include_str!("../dashboard/page.js")),
    Script("pictures.js", include_str!("../dashboard/pictures.js")),
    Script("preview.js", include_str!("../dashboard/preview.js")),
    Script("row.js", include_str!("../dashboard/row.js")),
    Script("sparkline.js", include_str!("../dashboard/sparkline.js")),
    Script("streams.js", include_str!("../dashboard/streams.js")),
    Script("timeline.js", include_str!("../dashboard/timeline.js")),
];

/// One of the page's modules: its name, and its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Script(&'static str, &'static str);

impl Script {
    pub(super) fn find(name: &str) -> Option<Self> {
        SCRIPTS.into_iter().find(|script| script.0 == name)
    }

    pub(super) fn answer(self) -> Answer {
        Answer::new(200, "text/javascript; charset=utf-8", self.1)
    }
}

/// What the page leads to.
pub(crate) struct Dashboard {
    /// MediaMTX's own player, which is its preview.
    pub(crate) player: Url,
    /// Where streams are published.
    pub(crate) publish: Url,
}

impl Dashboard {
    /// The page, for one who calls this server `host` and may do this.
    pub(super) fn page(&self, host: Option<&[u8]>, powers: &[Power]) -> Answer {
        let powers: Vec<_> = powers.iter().map(|power| power.as_str()).collect();
        let player = for_reader(host, &self.player, is_loopback);
        // Containers call each other by names that lead nowhere outside.
        let inside = |url: &Url| is_loopback(url) || !server(url).contains('.');
        let publish = server(&for_reader(host, &self.publish, inside));
        let page = PAGE
            .replace("{{player}}", &attribute(player.as_str()))
            .replace("{{publish}}", &attribute(&publish))
            .replace("{{powers}}", &powers.join(" "));
        let mut answer = Answer::new(200, "text/html; charset=utf-8", page);
        let policy = format!(
            "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; \
             frame-src {}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
            server(&player)
        );
        answer.headers.extend([
            ("Content-Security-Policy", policy),
            ("X-Frame-Options", "DENY".to_owned()),
            ("Referrer-Policy", "no-referrer".to_owned()),
        ]);
        answer
    }
}

pub(super) fn style() -> Answer {
    Answer::new(200, "text/css; charset=utf-8", STYLE)
}

/// A server that can't be reached from elsewhere under its name is on the machine that the page itself comes from,
/// whatever that is called where the browser runs.
fn for_reader(host: Option<&[u8]>, server: &Url, is_inside: impl Fn(&Url) -> bool) -> Url {
    let host = host.and_then(|host| std::str::from_utf8(host).ok());
    let own = host.and_then(|host| Url::parse(&format!("http://{host}/")).ok());
    let mut found = server.clone();
    // A policy can't name an IPv6 address (CSP 3, 2.3.1).
    if is_inside(server)
        && let Some(host @ (Host::Domain(_) | Host::Ipv4(_))) = own.as_ref().and_then(Url::host)
    {
        // Only a URL without a host refuses one.
        let _ = found.set_host(Some(&host.to_string()));
    }
    found
}

fn is_loopback(url: &Url) -> bool {
    url.host_str().is_some_and(host::is_loopback)
}

/// Scheme, host and port: no login, no path, no query.
fn server(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    let port = url.port().map_or(String::new(), |port| format!(":{port}"));
    format!("{}://{host}{port}", url.scheme())
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
    fn the_page_leads_to_servers_that_its_reader_can_reach() {
        for (host, server, expected) in [
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
                "box.local:8080",
                "rtmp://127.0.0.1:1935",
                "rtmp://box.local:1935",
            ),
            ("box.local", "http://[::1]:8888/", "http://box.local:8888/"),
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
            let found = for_reader(Some(host.as_bytes()), &server.parse().unwrap(), is_loopback);
            assert_eq!(found.as_str(), expected, "{host}");
        }
    }

    #[test]
    fn publishers_are_told_a_name_that_leads_somewhere() {
        for (publish, expected) in [
            ("rtmp://127.0.0.1:1935", "rtmp://box.local:1935"),
            ("rtmp://mediamtx:1935", "rtmp://box.local:1935"),
            ("rtmps://media.example", "rtmps://media.example"),
            ("rtmp://10.0.0.7:1935", "rtmp://10.0.0.7:1935"),
        ] {
            let dashboard = Dashboard {
                player: "http://127.0.0.1:8888/".parse().unwrap(),
                publish: publish.parse().unwrap(),
            };
            let page = dashboard.page(Some(b"box.local:8080"), &Power::ALL).body;
            let page = String::from_utf8(page).unwrap();
            assert!(
                page.contains(&format!("data-publish=\"{expected}\"")),
                "{publish}"
            );
        }
    }

    #[test]
    fn the_page_lets_nothing_in_from_elsewhere_and_no_secret_out() {
        let dashboard = Dashboard {
            player: "http://media.example:8888/a\"b/".parse().unwrap(),
            publish: "rtmp://u:hunter2@media.example:1935/?pass=hunter2"
                .parse()
                .unwrap(),
        };
        let answer = dashboard.page(None, &[]);
        let named = |name: &str| answer.headers.iter().find(|(known, _)| *known == name);
        let (_, policy) = named("Content-Security-Policy").unwrap();
        assert!(
            policy.contains("frame-src http://media.example:8888;"),
            "{policy}"
        );
        let text = String::from_utf8(answer.body).unwrap();
        for foreign in ["{{", "hunter2", "style=", "onclick=", "https://"] {
            assert!(!text.contains(foreign), "{foreign}");
        }
        assert_eq!(text.matches("http://").count(), 1, "the player's");
    }
}
