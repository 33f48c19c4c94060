//! Where to read from: `rtsp[s]://[user[:password]@]host[:port]/path`.

use std::fmt;
use std::str::FromStr;

use anyhow::{Context, Result, bail};
use mediamtx::server_url;
use url::Url;

/// How RTP travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Transport {
    /// Interleaved in the RTSP connection: nothing gets lost.
    Tcp,
    /// Datagrams: lost and reordered ones are left out.
    Udp,
    /// UDP, and TCP if the server refuses it or nothing arrives.
    Auto,
}

/// A parsed RTSP URL; the credentials are kept out of its text.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct RtspUrl {
    url: Url,
    /// Whether it is `rtsps://`.
    pub(crate) is_tls: bool,
    credentials: Option<(String, String)>,
}

impl RtspUrl {
    /// Uses these credentials where the URL has none.
    pub(crate) fn or_credentials(
        mut self,
        username: Option<String>,
        password: Option<String>,
    ) -> Self {
        if self.credentials.is_none() && (username.is_some() || password.is_some()) {
            self.credentials = Some((username.unwrap_or_default(), password.unwrap_or_default()));
        }
        self
    }

    /// The same server and credentials with another path.
    pub(crate) fn with_path(&self, path: &str) -> Self {
        let mut other = self.clone();
        other.url.set_path(path);
        other.url.set_query(None);
        other
    }

    /// As requests name it, without the login.
    pub(super) fn to_request(&self) -> String {
        self.url.to_string()
    }

    /// Where a server sends us: with the login if it is the same host, and never from TLS to none. `None` if that is no
    /// RTSP URL, or leaves TLS.
    pub(super) fn redirected(&self, text: &str) -> Option<Self> {
        let mut other: Self = self.url.join(text).ok()?.as_str().parse().ok()?;
        if self.is_tls && !other.is_tls {
            return None;
        }
        if other.credentials.is_none() && other.host() == self.host() {
            other.credentials.clone_from(&self.credentials);
        }
        Some(other)
    }

    /// The path as MediaMTX names it, without the leading slash.
    pub(crate) fn path(&self) -> &str {
        self.url.path().trim_start_matches('/')
    }

    /// The host's name or address.
    pub(crate) fn host(&self) -> &str {
        self.url
            .host_str()
            .unwrap_or_default()
            .trim_matches(['[', ']'])
    }

    /// The port, 554 if the URL has none, or 322 with TLS.
    pub(crate) fn port(&self) -> u16 {
        self.url
            .port()
            .unwrap_or(if self.is_tls { 322 } else { 554 })
    }

    /// User and password, if there are any.
    pub(crate) fn credentials(&self) -> Option<(&str, &str)> {
        let (user, password) = self.credentials.as_ref()?;
        Some((user, password))
    }
}

impl FromStr for RtspUrl {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let shown = common::secret::redact_url(text);
        let mut url = server_url::parse(text).with_context(|| {
            format!("input {shown:?} is not a URL; write rtsp://host[:port]/path")
        })?;
        match url.scheme() {
            "rtsp" | "rtsps" => {}
            other => bail!("input {shown:?} has the scheme {other}; write rtsp:// or rtsps://"),
        }
        if url.host_str().is_none_or(str::is_empty) {
            bail!("input {shown:?} names no host; write rtsp://host[:port]/path");
        }
        let credentials = (!url.username().is_empty() || url.password().is_some()).then(|| {
            (
                decode(url.username()),
                decode(url.password().unwrap_or_default()),
            )
        });
        // Both can only fail for a URL without a host.
        let _ = (url.set_username(""), url.set_password(None));
        Ok(Self {
            is_tls: url.scheme() == "rtsps",
            url,
            credentials,
        })
    }
}

impl fmt::Display for RtspUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&common::secret::redact_url(self.url.as_str()))
    }
}

impl fmt::Debug for RtspUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn decode(text: &str) -> String {
    percent_encoding::percent_decode_str(text)
        .decode_utf8_lossy()
        .into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_rtsp_url_construction() {
        for id in ["test", "stream-456", "A_b-9"] {
            let url: RtspUrl = format!("rtsp://mediamtx:8554/live/{id}/in")
                .parse()
                .unwrap();
            assert_eq!(
                url.to_string(),
                format!("rtsp://mediamtx:8554/live/{id}/in")
            );
            assert_eq!(url.path(), format!("live/{id}/in"));
            let out = url.with_path(&format!("live/{id}/out"));
            assert_eq!(
                out.to_string(),
                format!("rtsp://mediamtx:8554/live/{id}/out")
            );
        }
    }

    #[test]
    fn a_redirection_keeps_the_login_to_its_host() {
        let url: RtspUrl = "rtsps://u:p@cam/1".parse().unwrap();
        let to = |text: &str| url.redirected(text);
        assert_eq!(
            to("rtsps://cam:99/2").unwrap().credentials(),
            Some(("u", "p"))
        );
        assert_eq!(to("/2").unwrap().to_string(), "rtsps://cam/2");
        assert_eq!(to("rtsps://other/2").unwrap().credentials(), None);
        assert!(to("rtsp://cam/2").is_none() && to("http://cam/2").is_none());
    }

    #[test]
    fn the_port_goes_with_the_scheme() {
        let port = |text: &str| text.parse::<RtspUrl>().unwrap().port();
        assert_eq!(port("rtsp://cam/1"), 554);
        assert_eq!(port("rtsps://cam/1"), 322);
        assert_eq!(port("rtsps://cam:8322/1"), 8322);
    }

    #[test]
    fn credentials_are_taken_out_of_the_url_and_decoded() {
        let url: RtspUrl = "rtsp://us%40r:p%3As@cam/1?x=1".parse().unwrap();
        assert_eq!(url.credentials, Some(("us@r".to_owned(), "p:s".to_owned())));
        assert_eq!(
            format!("{url} {url:?}"),
            "rtsp://cam/1?x=1 rtsp://cam/1?x=1"
        );
        let named: RtspUrl = "rtsp://u:p@bücher/1".parse().unwrap();
        assert_eq!(named.to_request(), "rtsp://xn--bcher-kva/1");
    }

    #[test]
    fn the_url_goes_before_the_environment() {
        let name = |name: &str| Some(name.to_owned());
        let url: RtspUrl = "rtsp://a:b@cam/1".parse().unwrap();
        assert_eq!(
            url.or_credentials(name("c"), name("d")).credentials(),
            Some(("a", "b"))
        );
        let url: RtspUrl = "rtsp://cam/1".parse().unwrap();
        assert_eq!(
            url.or_credentials(name("c"), name("d")).credentials(),
            Some(("c", "d"))
        );
    }

    #[test]
    fn what_is_wrong_is_said_without_the_password() {
        for text in ["http://u:s3cret@cam/1", "rtsps://u:s3cret@/1", "nonsense"] {
            let message = format!("{:#}", text.parse::<RtspUrl>().unwrap_err());
            assert!(
                message.contains("rtsp://") && !message.contains("s3cret"),
                "{message}"
            );
        }
    }
}
