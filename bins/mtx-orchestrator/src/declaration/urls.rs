//! Where a declared stream comes from and where it goes: what mtx-worker takes, checked before it is stored.

use std::fmt;

use common::host::is_loopback;
use common::secret::{self, HIDDEN};
use mediamtx::path::StreamPath;
use mediamtx::server_url;
use url::Url;

use super::Invalid;

const LONGEST: usize = 2048;
/// Each one is a connection and an upload of its own.
pub(crate) const MOST_OUTPUTS: usize = 8;

/// Where a stream is read: `rtsp[s]://[user:password@]host[:port]/path`.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Source(Url);

impl Source {
    pub(crate) fn parse(text: &str) -> Result<Self, Invalid> {
        let invalid = |why| Invalid::new("source", why);
        let form = "write rtsp://[user:password@]host[:port]/path";
        let url = parse(text, &["rtsp", "rtsps"], form).map_err(invalid)?;
        Ok(Self(url))
    }

    pub(crate) fn url(&self) -> &Url {
        &self.0
    }
}

impl fmt::Display for Source {
    /// Without its secrets; some cameras want a login in the path, as `user=…_password=…`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut url = self.0.clone();
        let hide = |part| {
            if str::contains(part, '=') {
                HIDDEN
            } else {
                part
            }
        };
        let path: Vec<&str> = url.path().split('/').map(hide).collect();
        let path = path.join("/");
        url.set_path(&path);
        f.write_str(&secret::redact_url(url.as_str()))
    }
}

/// Where a stream is published: `rtmp(s)://host[:port]/app[/stream-key]`.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Output {
    url: Url,
    /// Whether the last of several segments may be a stream key, which nobody is to see.
    has_key: bool,
}

impl Output {
    pub(crate) fn parse(text: &str) -> Result<Self, Invalid> {
        let invalid = |why: &str| Invalid::new("outputs", why);
        let form = "write rtmp(s)://host[:port]/app/stream-key";
        let url =
            parse(text, &["rtmp", "rtmps"], form).map_err(|why| Invalid::new("outputs", why))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(invalid(
                "RTMP has no login in front of the host: MediaMTX takes ?user=…&pass=…",
            ));
        }
        let path = url.path();
        if path.trim_matches('/').is_empty() || lacks_key(&url) {
            return Err(invalid(
                "an application and a stream key are needed: write rtmp(s)://host[:port]/app/stream-key",
            ));
        }
        // What follows the suite's scheme is a path of a MediaMTX somewhere.
        let has_key = path.trim_matches('/').parse::<StreamPath>().is_err();
        Ok(Self { url, has_key })
    }

    /// The same where the last segment comes from the stream's path, so that it is no secret.
    pub(crate) fn without_key(mut self) -> Self {
        self.has_key = false;
        self
    }

    pub(crate) fn url(&self) -> &Url {
        &self.url
    }

    /// What may be left out of a log because it opens something: the key, and the whole query, which may be part of it.
    pub(super) fn secrets(&self) -> Vec<String> {
        let pairs = self.url.query_pairs();
        let mut secrets: Vec<String> = pairs.map(|(_, value)| value.into()).collect();
        if self.has_key {
            secrets.push(decode(app_and_key(&self.url).1));
        }
        secrets
    }
}

/// `rtmp://host/app/`: the key was forgotten, unless it is the query.
fn lacks_key(url: &Url) -> bool {
    let path = url.path();
    let is_app_alone = path.ends_with('/') && path.trim_matches('/').split('/').count() == 1;
    let mut names = url.query_pairs().map(|(name, _)| name);
    let has_login = names.any(|name| LOGIN.contains(&name.as_ref()));
    is_app_alone && (has_login || url.query().is_none_or(str::is_empty))
}

impl fmt::Display for Output {
    /// Without the stream key, and without the query, which may be part of it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut url = self.url.clone();
        let (app, key) = app_and_key(&self.url);
        if self.has_key && !key.is_empty() {
            let path = format!("{app}/{HIDDEN}");
            url.set_path(&path);
            url.set_query(None);
        } else if url.query().is_some() {
            url.set_query(Some(HIDDEN));
        }
        f.write_str(url.as_str())
    }
}

/// One to eight.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outputs(Vec<Output>);

impl Outputs {
    pub(crate) fn new(outputs: Vec<Output>) -> Result<Self, Invalid> {
        let invalid = |why: String| Err(Invalid::new("outputs", why));
        if outputs.is_empty() {
            return invalid(
                "there is none: leave the field out for live/<id>/out on MediaMTX".to_owned(),
            );
        }
        if outputs.len() > MOST_OUTPUTS {
            return invalid(format!("there are more than {MOST_OUTPUTS}"));
        }
        Ok(Self(outputs))
    }

    pub(crate) fn as_slice(&self) -> &[Output] {
        &self.0
    }
}

// A log of one of these must not tell its secrets either.
impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn parse(text: &str, schemes: &[&str], form: &str) -> Result<Url, String> {
    if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err(format!("there is a space or a line's end in it; {form}"));
    }
    let Ok(url) = server_url::parse(text) else {
        return Err(format!("it is not a URL; {form}"));
    };
    // As it is kept, and read again.
    if text.len().max(url.as_str().len()) > LONGEST {
        return Err(format!("the URL has more than {LONGEST} characters"));
    }
    if text.contains(HIDDEN) || url.as_str().contains(HIDDEN) {
        return Err(format!(
            "{HIDDEN} stands where a secret was hidden: write the whole URL, or leave the field out"
        ));
    }
    if !schemes.contains(&url.scheme()) {
        return Err(format!("the scheme is another one; {form}"));
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err(format!("it names no host; {form}"));
    }
    if url.fragment().is_some() {
        return Err("there is a # in it: write %23 if it belongs to a password".to_owned());
    }
    Ok(url)
}

fn app_and_key(url: &Url) -> (&str, &str) {
    let path = url.path().trim_matches('/');
    path.rsplit_once('/').unwrap_or((path, ""))
}

/// What of a source may be left out of a log because it opens something.
pub(super) fn secrets(url: &Url) -> Vec<String> {
    let hides = |key: &str| secret::redact_query(&format!("{key}=")).contains(HIDDEN);
    let pairs = url.query_pairs().filter(|(key, _)| hides(key));
    let mut secrets: Vec<String> = pairs.map(|(_, value)| value.into()).collect();
    secrets.extend(url.password().map(decode));
    // A login in the path, as it is hidden where the source is shown.
    secrets.extend(
        url.path()
            .split('/')
            .filter(|part| part.contains('='))
            .map(decode),
    );
    secrets
}

fn decode(text: &str) -> String {
    percent_encoding::percent_decode_str(text)
        .decode_utf8_lossy()
        .into_owned()
}

/// Host and port, the same for all spellings of this machine.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Endpoint {
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl Endpoint {
    pub(super) fn of_url(url: &Url) -> Self {
        let port = url.port().unwrap_or(match url.scheme() {
            "rtsp" => 554,
            "rtsps" => 322,
            "rtmps" => 443,
            _ => 1935,
        });
        let host = host(url);
        Self { host, port }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// Names of query parameters by which MediaMTX lets a publisher in (`internal/servers/rtmp/conn.go`, and `getToken` in
/// `internal/auth/manager.go`).
pub(crate) const LOGIN: [&str; 4] = ["user", "pass", "token", "jwt"];

/// What a URL publishes to, the same for all spellings and logins. A platform may have its key in the query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    endpoint: Endpoint,
    path: String,
    query: Vec<(String, String)>,
}

impl Place {
    pub(super) fn of_url(url: &Url) -> Self {
        let pairs = url.query_pairs().into_owned();
        Self {
            endpoint: Endpoint::of_url(url),
            path: url.path().trim_matches('/').to_owned(),
            query: pairs
                .filter(|(name, _)| !LOGIN.contains(&name.as_str()))
                .collect(),
        }
    }

    /// The same whatever the query.
    pub(super) fn without_query(self) -> Self {
        let query = Vec::new();
        Self { query, ..self }
    }
}

pub(super) fn host(url: &Url) -> String {
    // The crate lowers case only for the schemes of the web.
    let host = url.host_str().unwrap_or_default().to_ascii_lowercase();
    match is_loopback(&host) {
        true => "localhost".to_owned(),
        false => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sources_are_shown_without_their_secrets() {
        for (text, shown) in [
            ("rtsp://cam/1", "rtsp://cam/1"),
            (
                "rtsp://me:s3cret@cam:554/1?channel=2",
                "rtsp://me:***@cam:554/1?channel=2",
            ),
            (
                "rtsp://cam/1?user=u&password=s3cret",
                "rtsp://cam/1?user=u&password=***",
            ),
            (
                "rtsp://cam/user=admin_password=s3cret_channel=1_stream=0.sdp",
                "rtsp://cam/***",
            ),
            ("rtsp://s3cret@cam", "rtsp://***@cam"),
        ] {
            let source = Source::parse(text).unwrap();
            assert_eq!(format!("{source} {source:?}"), format!("{shown} {shown}"));
            assert_eq!(source.url().as_str(), text);
        }
        let named = Source::parse("rtsp://bücher/x").unwrap();
        assert_eq!(named.to_string(), "rtsp://xn--bcher-kva/x");
    }

    #[test]
    fn outputs_are_shown_without_their_stream_keys() {
        for (text, shown) in [
            ("rtmp://h/live/x/out", "rtmp://h/live/x/out"),
            (
                "rtmp://h/live/x/out?user=u&pass=s3cret",
                "rtmp://h/live/x/out?***",
            ),
            (
                "rtmps://h:443/live2/s3cret?x=s3cret",
                "rtmps://h:443/live2/***",
            ),
            ("rtmp://h/a/b/s3cret/", "rtmp://h/a/b/***"),
            // A path of one segment is an application without a key.
            ("rtmp://h/cam", "rtmp://h/cam"),
            ("rtmp://h/cam?pass=s3cret", "rtmp://h/cam?***"),
            // The key of some platforms is in the query.
            ("rtmp://h/app/?key=s3cret", "rtmp://h/app/?***"),
        ] {
            let output = Output::parse(text).unwrap();
            assert_eq!(format!("{output} {output:?}"), format!("{shown} {shown}"));
        }
    }

    #[test]
    fn what_is_no_source_or_output_is_refused_without_showing_it() {
        let long = format!("rtsp://h/{}", "x".repeat(2048));
        let long_if_escaped = format!("rtsp://h/{}", "ü".repeat(700));
        for (text, why) in [
            ("", "not a URL"),
            ("s3cret", "not a URL"),
            ("https://u:s3cret@h/", "scheme"),
            ("file:///s3cret", "scheme"),
            ("rtsp:///s3cret", "no host"),
            ("rtsp://u:***@h/", "***"),
            ("rtsp://u:s3cret@%2A%2A%2A/", "***"),
            ("rtsp://u:s3 cret@h/", "space"),
            ("rtsp://h/s3cret\n", "space"),
            ("rtsp://u:12#s3cret@h/", "%23"),
            (&long, "2048"),
            (&long_if_escaped, "2048"),
        ] {
            let message = Source::parse(text).unwrap_err().to_string();
            assert!(
                message.contains(why) && !message.contains("s3"),
                "{message}"
            );
        }
        for (text, why) in [
            ("rtsp://h/a/s3cret", "scheme"),
            ("rtmp://h/", "stream key"),
            ("rtmp://h/app/", "stream key"),
            ("rtmp://h/app/?pass=s3cret", "stream key"),
            ("rtmp://u:s3cret@h/app/key", "user="),
            ("rtmp://h/app/***", "***"),
        ] {
            let message = Output::parse(text).unwrap_err().to_string();
            assert!(
                message.contains(why) && !message.contains("s3cret"),
                "{message}"
            );
        }
    }

    #[test]
    fn there_are_one_to_eight_outputs() {
        let outputs = |texts: &[&str]| {
            let parsed = texts.iter().map(|text| Output::parse(text).unwrap());
            Outputs::new(parsed.collect()).map(|outputs| outputs.as_slice().len())
        };
        assert_eq!(outputs(&["rtmp://h/a/1", "rtmp://h/a/2"]), Ok(2));
        assert!(outputs(&[]).is_err());
        let many: Vec<String> = (0..9).map(|n| format!("rtmp://h/a/{n}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(outputs(&many[..8]), Ok(8));
        assert!(outputs(&many).is_err());
    }

    proptest! {
        #[test]
        fn nothing_panics_and_no_password_is_shown(text in "(rtsp|rtmp)://\\PC{0,60}", password in "[!-~]{6,20}") {
            for text in [text, format!("rtsp://u:QQ{password}QQ@host/live")] {
                if let Ok(source) = Source::parse(&text) {
                    prop_assert!(!source.to_string().contains("QQ"), "{}", source);
                }
                let _ = Output::parse(&text).map(|output| output.to_string());
            }
        }
    }
}
