//! Headers of an RTSP message, and the values that the worker reads.

/// Names are compared without regard to case (RFC 2326, section 4.2).
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Headers(Vec<(String, String)>);

impl Headers {
    pub(super) fn add(&mut self, name: &str, value: &str) {
        self.0.push((name.to_owned(), value.to_owned()));
    }

    /// The first value of this name.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// All values of this name.
    pub(crate) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        let of_name = move |(other, _): &&(String, String)| other.eq_ignore_ascii_case(name);
        self.0
            .iter()
            .filter(of_name)
            .map(|(_, value)| value.as_str())
    }

    pub(crate) fn number<T: std::str::FromStr>(&self, name: &str) -> Option<T> {
        self.get(name)?.trim().parse().ok()
    }
}

/// The `Session` header (section 12.37): the id, and after how many seconds without a request the session ends.
pub(super) fn session(value: &str) -> (&str, Option<u64>) {
    let mut parts = value.split(';').map(str::trim);
    let id = parts.next().unwrap_or_default();
    let timeout = parts.find_map(|part| part.strip_prefix("timeout=")?.trim().parse().ok());
    (id, timeout)
}

/// What the `Transport` header of an answer tells (section 12.39).
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Transport {
    pub(crate) is_tcp: bool,
    /// The channels of RTP and RTCP in the connection.
    pub(crate) interleaved: Option<(u8, u8)>,
    /// The ports that the server sends RTP and RTCP from.
    pub(crate) server_port: Option<(u16, u16)>,
    pub(crate) source: Option<String>,
}

impl Transport {
    pub(crate) fn parse(value: &str) -> Self {
        let mut parts = value.split(';').map(str::trim);
        let profile = parts.next().unwrap_or_default();
        let mut transport = Self {
            is_tcp: profile.to_ascii_uppercase().ends_with("/TCP"),
            ..Self::default()
        };
        for part in parts {
            match part.split_once('=') {
                Some(("interleaved", value)) => transport.interleaved = pair(value),
                Some(("server_port", value)) => transport.server_port = pair(value),
                Some(("source", value)) => transport.source = Some(value.to_owned()),
                _ => {}
            }
        }
        transport
    }
}

/// `a-b`, or `a` for `a` and the one behind it.
fn pair<T: std::str::FromStr + Copy + Into<u32> + TryFrom<u32>>(text: &str) -> Option<(T, T)> {
    let (first, second) = text.split_once('-').unwrap_or((text, ""));
    let first: T = first.trim().parse().ok()?;
    let next = || T::try_from(first.into() + 1).ok();
    Some((first, second.trim().parse().ok().or_else(next)?))
}

/// The RTP times at which playing starts, by the URL of the track, from `RTP-Info` (section 12.33).
pub(crate) fn rtp_info(value: &str) -> Vec<(&str, u32)> {
    let entries = value.split(',').filter_map(|entry| {
        let mut parts = entry.split(';').map(str::trim);
        let url = parts.next()?.strip_prefix("url=")?.trim_matches('"');
        let time = parts.find_map(|part| part.strip_prefix("rtptime="))?;
        Some((url, time.trim().parse().ok()?))
    });
    entries.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_may_tell_its_time_out() {
        assert_eq!(session("12345678"), ("12345678", None));
        assert_eq!(session("ab ; timeout=60"), ("ab", Some(60)));
    }

    #[test]
    fn transports_of_servers_are_read() {
        let tcp = Transport::parse("RTP/AVP/TCP;unicast;interleaved=2-3;ssrc=ABCD");
        assert_eq!((tcp.is_tcp, tcp.interleaved), (true, Some((2, 3))));
        let udp =
            Transport::parse("RTP/AVP;unicast;client_port=1-2;source=10.0.0.9;server_port=6970");
        assert_eq!((udp.is_tcp, udp.server_port), (false, Some((6970, 6971))));
        assert_eq!(udp.source.as_deref(), Some("10.0.0.9"));
        assert_eq!(
            Transport::parse("RTP/AVP;server_port=65535").server_port,
            None
        );
    }

    #[test]
    fn rtp_info_tells_where_tracks_start() {
        let text = "url=rtsp://h/a/trackID=0;seq=1;rtptime=12, url=rtsp://h/a/trackID=1;seq=2";
        assert_eq!(rtp_info(text), [("rtsp://h/a/trackID=0", 12)]);
    }
}
