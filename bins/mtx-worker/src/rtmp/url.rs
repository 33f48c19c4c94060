//! Where to publish: `rtmp://host[:port]/app[/more]/stream-key[?query]`.

use std::fmt;

use anyhow::{Context, Result, bail};
use url::Url;

/// A parsed RTMP URL.
///
/// `Display` hides the stream key, unless the path is one of MediaMTX's own
/// (`live/<streamId>/out`), where it names a stream and opens nothing.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct RtmpUrl {
    pub(crate) tls: bool,
    pub(crate) host: String,
    pub(crate) port: u16,
    /// All of the path but its last part.
    pub(crate) app: String,
    /// The last part of the path, with its query.
    pub(crate) stream_key: String,
}

impl RtmpUrl {
    /// Parses `text`; `stream_key`, where given, is put behind the whole path of `text`.
    pub(crate) fn parse(text: &str, stream_key: Option<&str>) -> Result<Self> {
        let shown = mediamtx::secret::redact_url(text);
        let url = Url::parse(text).with_context(|| {
            format!("output {shown:?} is not a URL; write rtmp://host[:port]/app/stream-key")
        })?;
        let tls = match url.scheme() {
            "rtmp" => false,
            "rtmps" => true,
            other => bail!("output {shown:?} has the scheme {other}; write rtmp:// or rtmps://"),
        };
        let host = url.host_str().filter(|host| !host.is_empty());
        let Some(host) = host else {
            bail!("output {shown:?} names no host; write rtmp://host[:port]/app/stream-key");
        };
        let path = url.path().trim_matches('/');
        let (app, key) = match stream_key {
            Some(key) => (path, key.to_owned()),
            None => {
                let (app, key) = path.rsplit_once('/').unwrap_or((path, ""));
                let query = url
                    .query()
                    .map(|query| format!("?{query}"))
                    .unwrap_or_default();
                (app, format!("{key}{query}"))
            }
        };
        if app.is_empty() || key.is_empty() || key.starts_with('?') {
            bail!(
                "output {shown:?} needs an application and a stream key: rtmp://host[:port]/app/stream-key, \
                 or the key in RTMP_STREAM_KEY"
            );
        }
        Ok(Self {
            tls,
            host: host.trim_matches(['[', ']']).to_owned(),
            port: url.port().unwrap_or(if tls { 443 } else { 1935 }),
            app: app.to_owned(),
            stream_key: key,
        })
    }

    /// The `tcUrl` of the `connect` command: everything but the stream key.
    pub(crate) fn tc_url(&self) -> String {
        format!("{}/{}", self.server(), self.app)
    }

    /// MediaMTX's name for the path: application and key, without the query.
    pub(crate) fn path(&self) -> String {
        let key = self.stream_key.split('?').next().unwrap_or_default();
        format!("{}/{key}", self.app)
    }

    fn server(&self) -> String {
        let scheme = if self.tls { "rtmps" } else { "rtmp" };
        if self.host.contains(':') {
            format!("{scheme}://[{}]:{}", self.host, self.port)
        } else {
            format!("{scheme}://{}:{}", self.host, self.port)
        }
    }

    fn is_mediamtx_path(&self) -> bool {
        self.path().parse::<mediamtx::path::StreamPath>().is_ok()
    }
}

impl fmt::Display for RtmpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_mediamtx_path() {
            write!(f, "{}/{}", self.server(), self.path())
        } else {
            write!(f, "{}/***", self.tc_url())
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
    fn a_stream_key_of_the_environment_comes_behind_the_whole_path() {
        let url = RtmpUrl::parse("rtmp://host/live2/", Some("k3y")).unwrap();
        assert_eq!(
            (url.app.as_str(), url.stream_key.as_str()),
            ("live2", "k3y")
        );
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
            ("rtmp://host/onlykey", "application and a stream key"),
            ("not a url", "is not a URL"),
            ("rtmp://user:s3cret@host/x", "application and a stream key"),
        ];
        for (text, expected) in cases {
            let message = format!("{:#}", RtmpUrl::parse(text, None).unwrap_err());
            assert!(message.contains(expected), "{message}");
            assert!(!message.contains("s3cret"), "{message}");
        }
    }
}
