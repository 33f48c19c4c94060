//! Where to publish: `rtmp://host[:port]/app[/more]/stream-key[?query]`.

use std::fmt;

use anyhow::{Context, Result, bail};
use common::host::is_loopback;
use common::secret;
use mediamtx::server_url;
use mediamtx::via::Via;
use url::form_urlencoded;

const FORM: &str = "write rtmp://host[:port]/app/stream-key";

/// Names of query parameters by which MediaMTX lets a publisher in (`internal/servers/rtmp/conn.go`, and `getToken` in
/// `internal/auth/manager.go`).
const LOGIN: [&str; 4] = ["user", "pass", "token", "jwt"];

const SHORTEST_KEY: usize = 8;

/// A parsed RTMP URL.
///
/// `Display` hides the stream key, unless it opens nothing: it names a path of the server that is also read from, or is a
/// part of the input's path.
#[derive(Clone)]
pub(crate) struct RtmpUrl {
    pub(crate) tls: bool,
    pub(crate) host: String,
    pub(crate) port: u16,
    /// All of the path but its last part. A path of one part is the application, with the query, and has no stream key:
    /// so do ffmpeg and OBS, and MediaMTX and nginx put both together again.
    pub(crate) app: String,
    /// The last part of the path, with its query; the query alone where that is the key: `app/?streamname=…&key=…`.
    pub(crate) stream_key: String,
    /// Whether it leads to the server that is also read from.
    pub(crate) on_server: bool,
    /// What the server is told of where the stream has been.
    pub(crate) via: Via,
    /// Whether the last part of the path is a part of the input's path, which is no secret.
    pub(crate) is_named_after_input: bool,
}

impl RtmpUrl {
    /// Parses `text`; `stream_key`, where given, is put between the path and the query of `text`.
    pub(crate) fn parse(text: &str, stream_key: Option<&str>) -> Result<Self> {
        let shown = without_path(text);
        let url = server_url::parse(text)
            .with_context(|| format!("output {shown:?} is not a URL; {FORM}"))?;
        let tls = match url.scheme() {
            "rtmp" => false,
            "rtmps" => true,
            other => bail!("output {shown:?} has the scheme {other}; write rtmp:// or rtmps://"),
        };
        let host = url.host_str().filter(|host| !host.is_empty());
        let Some(host) = host else {
            bail!("output {shown:?} names no host; {FORM}");
        };
        if !url.username().is_empty() || url.password().is_some() {
            bail!(
                "output {shown:?}: RTMP has no login in front of the host: MediaMTX takes ?user=…&pass=…"
            );
        }
        if url.fragment().is_some() {
            bail!("output {shown:?} has a #, which would cut off the rest: write %23");
        }
        let path = url.path().trim_matches('/');
        if path.is_empty() {
            bail!("output {shown:?} names no path; {FORM}");
        }
        let is_key_in_query = url.path().ends_with('/') && url.query().is_some_and(is_key);
        let (app, key) = match stream_key {
            Some(key) => (path, key),
            None if is_key_in_query => (path, ""),
            None => path.rsplit_once('/').unwrap_or((path, "")),
        };
        let mut parsed = Self {
            tls,
            host: host.trim_matches(['[', ']']).to_owned(),
            port: url.port().unwrap_or(if tls { 443 } else { 1935 }),
            app: app.to_owned(),
            stream_key: key.to_owned(),
            on_server: false,
            via: Via::default(),
            is_named_after_input: false,
        };
        match url.query().unwrap_or_default() {
            query if is_key_in_query && stream_key.is_none() => {
                parsed.stream_key = format!("?{query}");
            }
            query => parsed.add_query(query),
        }
        Ok(parsed)
    }

    /// With a login in the query, where MediaMTX looks for it; one that is there already stays.
    pub(crate) fn or_login(mut self, user: &str, password: &str) -> Self {
        if self.stream_key.starts_with('?') {
            // MediaMTX leaves a key without a name out, with all that is in it.
            self.app.push_str(&std::mem::take(&mut self.stream_key));
        }
        if !has_login(self.query()) {
            let login = form_urlencoded::Serializer::new(String::new())
                .append_pair("user", user)
                .append_pair("pass", password)
                .finish();
            self.add_query(&login);
        }
        self
    }

    /// The `tcUrl` of the `connect` command: everything but the stream key.
    pub(crate) fn tc_url(&self) -> String {
        format!("{}/{}", self.server(), self.app)
    }

    /// MediaMTX's name for the path: application and key, without the query.
    pub(crate) fn path(&self) -> String {
        match (without_query(&self.app), without_query(&self.stream_key)) {
            (app, "") => app.to_owned(),
            (app, key) => format!("{app}/{key}"),
        }
    }

    /// Whether both were given as the same URL, key and login included, whatever else is known of them.
    pub(crate) fn is_same_stream(&self, other: &Self) -> bool {
        let server = |url: &Self| (url.tls, url.host.to_ascii_lowercase(), url.port);
        server(self) == server(other)
            && self.app == other.app
            && self.stream_key == other.stream_key
    }

    /// The same for all URLs that lead to one stream of one server, however they are written, and without a login.
    /// A platform may have its key in the query.
    pub(crate) fn place(&self) -> String {
        let host = match is_loopback(&self.host) {
            true => "localhost".to_owned(),
            false => self.host.to_ascii_lowercase(),
        };
        let mut place = format!("{host}:{}/{}", self.port, self.path());
        if !self.on_server {
            for (name, value) in parameters(self.query()) {
                if !LOGIN.contains(&name.as_ref()) {
                    place.push_str(&format!("?{name}={value}"));
                }
            }
        }
        place
    }

    /// Keeps key and login out of the log, whoever repeats them. What `path` shows is no key.
    pub(crate) fn register_secrets(&self, path: &str) {
        let key = without_query(&self.stream_key);
        // A short word would hide parts of ordinary lines.
        let is_word = key.len() < SHORTEST_KEY || !key.bytes().any(|byte| byte.is_ascii_digit());
        if self.has_secret_path() && !is_word && !path.contains(key) {
            secret::register(key);
        }
        for (name, value) in parameters(self.query()) {
            if secret::names_a_secret(&name) {
                secret::register(&value);
            }
        }
    }

    /// Whether a platform would miss something.
    pub(crate) fn lacks_key(&self) -> bool {
        !self.on_server && self.stream_key.is_empty()
    }

    fn query(&self) -> &str {
        let part = if self.stream_key.is_empty() {
            &self.app
        } else {
            &self.stream_key
        };
        part.split_once('?').map_or("", |(_, query)| query)
    }

    fn add_query(&mut self, query: &str) {
        if query.is_empty() {
            return;
        }
        let part = if self.stream_key.is_empty() {
            &mut self.app
        } else {
            &mut self.stream_key
        };
        part.push(if part.contains('?') { '&' } else { '?' });
        part.push_str(query);
    }

    fn server(&self) -> String {
        let scheme = if self.tls { "rtmps" } else { "rtmp" };
        if self.host.contains(':') {
            format!("{scheme}://[{}]:{}", self.host, self.port)
        } else {
            format!("{scheme}://{}:{}", self.host, self.port)
        }
    }

    /// A path of one part has no key. `out` is what results are called, on whatever server, and no platform's key.
    fn has_secret_path(&self) -> bool {
        let key = without_query(&self.stream_key);
        !self.on_server && !self.is_named_after_input && !matches!(key, "" | "out")
    }
}

/// Whether a query behind a slash is a stream key. A login there is MediaMTX's.
fn is_key(query: &str) -> bool {
    !query.is_empty() && !has_login(query)
}

fn has_login(query: &str) -> bool {
    parameters(query).any(|(name, _)| LOGIN.contains(&name.as_ref()))
}

fn parameters(query: &str) -> form_urlencoded::Parse<'_> {
    form_urlencoded::parse(query.as_bytes())
}

/// Scheme and host of what may be no URL: all behind them may be a key.
fn without_path(text: &str) -> String {
    let text = secret::redact_url(text);
    let host = text.find("://").map_or(0, |colon| colon + "://".len());
    match text[host..].find(['/', '?', '#', '\\']) {
        Some(end) => format!("{}/…", &text[..host + end]),
        None => text,
    }
}

fn without_query(text: &str) -> &str {
    text.split('?').next().unwrap_or_default()
}

impl fmt::Display for RtmpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.has_secret_path() {
            write!(f, "{}/{}/***", self.server(), without_query(&self.app))
        } else {
            write!(f, "{}/{}", self.server(), self.path())
        }
    }
}

impl fmt::Debug for RtmpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_rtmp_publish_url_format() {
        let url = RtmpUrl::parse("rtmp://mediamtx:1935/live/stream456/out", None).unwrap();
        assert_eq!(
            (url.host.as_str(), url.port, url.tls),
            ("mediamtx", 1935, false)
        );
        assert_eq!(
            (url.app.as_str(), url.stream_key.as_str()),
            ("live/stream456", "out")
        );
        assert_eq!(url.tc_url(), "rtmp://mediamtx:1935/live/stream456");
        assert_eq!(url.to_string(), "rtmp://mediamtx:1935/live/stream456/out");
    }

    #[test]
    fn the_platforms_people_restream_to() {
        let cases = [
            (
                "rtmp://a.rtmp.youtube.com/live2/abcd-efgh",
                "live2",
                "abcd-efgh",
                1935,
            ),
            (
                "rtmps://live-api-s.facebook.com:443/rtmp/FB-1?s_bl=1&s_ps=2",
                "rtmp",
                "FB-1?s_bl=1&s_ps=2",
                443,
            ),
            (
                "rtmps://x.contribute.live-video.net/app/sk_us_1",
                "app",
                "sk_us_1",
                443,
            ),
        ];
        for (text, app, key, port) in cases {
            let url = RtmpUrl::parse(text, None).unwrap();
            assert_eq!(
                (url.app.as_str(), url.stream_key.as_str(), url.port),
                (app, key, port),
                "{text}"
            );
            assert!(!format!("{url} {url:?}").contains(key), "{url}");
        }
    }

    #[test]
    fn a_path_of_one_part_is_the_application_and_takes_the_query() {
        for (text, app, shown) in [
            ("rtmp://host/cam", "cam", "rtmp://host:1935/cam"),
            ("rtmp://host/cam/", "cam", "rtmp://host:1935/cam"),
            (
                "rtmp://host/cam?user=u&pass=s3cret",
                "cam?user=u&pass=s3cret",
                "rtmp://host:1935/cam",
            ),
        ] {
            let url = RtmpUrl::parse(text, None).unwrap();
            assert_eq!((url.app.as_str(), url.stream_key.as_str()), (app, ""));
            assert_eq!((url.path().as_str(), &*url.to_string()), ("cam", shown));
        }
    }

    #[test]
    fn a_stream_key_from_elsewhere_stands_between_the_path_and_the_query() {
        for (text, key, expected) in [
            ("rtmp://host/live2/", "k3y", "k3y"),
            ("rtmp://host/live2?s_bl=1", "k3y", "k3y?s_bl=1"),
            ("rtmp://host/live2?s_bl=1", "k3y?a=b", "k3y?a=b&s_bl=1"),
        ] {
            let url = RtmpUrl::parse(text, Some(key)).unwrap();
            assert_eq!(
                (url.app.as_str(), url.stream_key.as_str()),
                ("live2", expected)
            );
            assert_eq!(url.to_string(), "rtmp://host:1935/live2/***");
        }
    }

    #[test]
    fn a_path_of_the_own_server_is_no_secret_but_its_login_is() {
        let mut url = RtmpUrl::parse("rtmp://localhost/building/floor1", None).unwrap();
        assert_eq!(url.to_string(), "rtmp://localhost:1935/building/***");
        url.on_server = true;
        let url = url.or_login("me", "p&ss w").or_login("me", "other");
        assert_eq!(url.stream_key, "floor1?user=me&pass=p%26ss+w");
        assert_eq!(url.to_string(), "rtmp://localhost:1935/building/floor1");
        let token = RtmpUrl::parse("rtmp://localhost/cam?jwt=abc", None).unwrap();
        assert_eq!(token.or_login("", "def").app, "cam?jwt=abc");
    }

    #[test]
    fn a_query_behind_a_slash_is_the_stream_key() {
        let text = "rtmp://live-push.host/live-bvc/?streamname=live_1&key=s3cret-1";
        let url = RtmpUrl::parse(text, None).unwrap();
        assert_eq!(url.tc_url(), "rtmp://live-push.host:1935/live-bvc");
        assert_eq!(url.stream_key, "?streamname=live_1&key=s3cret-1");
        assert_eq!(url.to_string(), "rtmp://live-push.host:1935/live-bvc");
        assert!(!url.lacks_key());
        let other = RtmpUrl::parse(&text.replace("live_1", "live_2"), None).unwrap();
        assert_ne!(url.place(), other.place());
        let login = RtmpUrl::parse("rtmp://host/cam/?user=u&pass=p", None).unwrap();
        assert_eq!((&*login.app, &*login.stream_key), ("cam?user=u&pass=p", ""));
        assert_eq!(login.place(), "host:1935/cam");
        let own = RtmpUrl::parse("rtmp://host/cam/?x=1", None).unwrap();
        let own = own.or_login("u", "p");
        assert_eq!((&*own.app, &*own.stream_key), ("cam?x=1&user=u&pass=p", ""));
    }

    #[test]
    fn the_log_knows_keys_and_logins_but_no_plain_words() {
        for text in [
            "rtmp://host/app/k3y-in-path",
            "rtmp://host/app/?name=live&key=k3y-in-query",
            "rtmp://host/app/streaming?user=admin&pass=p4ss-in-query",
            "rtmp://host/app/camera-01",
        ] {
            RtmpUrl::parse(text, None)
                .unwrap()
                .register_secrets("live/camera-01");
        }
        let line = "streaming admin live/camera-01 k3y-in-path k3y-in-query p4ss-in-query";
        let expected = "streaming admin live/camera-01 *** *** ***";
        assert_eq!(secret::scrub(line), expected);
    }

    #[test]
    fn one_place_has_many_spellings() {
        let place = |text: &str| RtmpUrl::parse(text, None).unwrap().place();
        for text in [
            "rtmp://127.0.0.1/a/b",
            "rtmp://LOCALHOST:1935/a/b?user=x",
            "rtmp://[::1]/a/b",
        ] {
            assert_eq!(place(text), "localhost:1935/a/b");
        }
        assert_ne!(place("rtmp://host/a/b"), place("rtmp://host:1936/a/b"));
    }

    #[test]
    fn an_ipv6_host_is_dialled_without_and_written_with_brackets() {
        let url = RtmpUrl::parse("rtmp://[::1]/app/key", None).unwrap();
        assert_eq!(
            (url.host.as_str(), url.tc_url().as_str()),
            ("::1", "rtmp://[::1]:1935/app")
        );
    }

    #[test]
    fn what_is_wrong_is_said_without_the_secret() {
        let cases = [
            ("http://host/app/key", "scheme http"),
            ("rtmp:///app/key", "names no host"),
            ("rtmp://host/", "names no path"),
            ("not a url", "is not a URL"),
            ("rtmp://user:s3cret@host/x", "?user=…&pass=…"),
            ("host/app/s3cret", "\"host/…\" is not a URL"),
            ("rtmp:///app/s3cret", "names no host"),
            ("rtmp://host:x/app/s3cret", "\"rtmp://host:x/…\""),
            ("http://host/app/s3cret", "\"http://host/…\""),
            ("rtmp://host/app/s3cret#1", "write %23"),
        ];
        for (text, expected) in cases {
            let message = format!("{:#}", RtmpUrl::parse(text, None).unwrap_err());
            assert!(message.contains(expected), "{message}");
            assert!(!message.contains("s3cret"), "{message}");
        }
    }
}
