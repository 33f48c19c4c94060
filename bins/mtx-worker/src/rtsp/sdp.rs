//! Session descriptions (RFC 8866), as far as RTSP servers use them.

/// What a server offers.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Description {
    /// Where the whole presentation is controlled, if it says so.
    pub(crate) control: Option<String>,
    pub(crate) media: Vec<Media>,
}

/// One stream of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Media {
    /// `video`, `audio`, `application`.
    pub(crate) kind: String,
    pub(crate) payload_type: u8,
    /// Name of the encoding in lower case; empty if it is not told.
    pub(crate) encoding: String,
    /// RTP ticks a second; 0 if it is not told.
    pub(crate) clock_rate: u32,
    /// Channels of audio.
    pub(crate) channels: u16,
    /// Parameters of the encoding, with their names in lower case.
    parameters: Vec<(String, String)>,
    pub(crate) control: Option<String>,
    /// Whether it goes from the client to the server, as the loudspeaker of a door station (ONVIF Streaming
    /// Specification, section 5.3).
    pub(crate) is_back_channel: bool,
}

impl Media {
    /// A parameter of the encoding, by its name in lower case.
    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        let found = self.parameters.iter().find(|(other, _)| other == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// Encodings of the payload types that need no `rtpmap` (RFC 3551, section 6).
const STATIC: [(u8, &str, u32, u16); 6] = [
    (0, "pcmu", 8_000, 1),
    (8, "pcma", 8_000, 1),
    (10, "l16", 44_100, 2),
    (11, "l16", 44_100, 1),
    (14, "mpa", 90_000, 1),
    (26, "jpeg", 90_000, 1),
];

impl Description {
    /// Reads a description; lines that can't be understood are left out.
    pub(crate) fn parse(text: &[u8]) -> Self {
        let text = String::from_utf8_lossy(text);
        let mut description = Self::default();
        for line in text.lines().map(str::trim) {
            match line.split_once('=') {
                Some(("m", value)) => description.media.extend(media(value)),
                Some(("a", value)) => match description.media.last_mut() {
                    Some(media) => attribute(media, value),
                    None => {
                        if let Some(control) = value.strip_prefix("control:") {
                            description.control = Some(control.trim().to_owned());
                        }
                    }
                },
                _ => {}
            }
        }
        description
    }
}

/// `video 0 RTP/AVP 96`; of several payload types the first is the one that is sent, others repair it.
fn media(value: &str) -> Option<Media> {
    let mut words = value.split_ascii_whitespace();
    let kind = words.next()?.to_owned();
    let payload_type = words.nth(2)?.parse().ok()?;
    let known = STATIC.iter().find(|(number, ..)| *number == payload_type);
    let (_, encoding, clock_rate, channels) = known.copied().unwrap_or((payload_type, "", 0, 1));
    Some(Media {
        kind,
        payload_type,
        encoding: encoding.to_owned(),
        clock_rate,
        channels,
        ..Media::default()
    })
}

fn attribute(media: &mut Media, value: &str) {
    let (name, value) = value.split_once(':').unwrap_or((value, ""));
    let of_payload = || {
        let (number, rest) = value.trim().split_once(char::is_whitespace)?;
        (number.parse() == Ok(media.payload_type)).then_some(rest.trim())
    };
    match name {
        "rtpmap" => {
            let Some(map) = of_payload() else { return };
            let mut parts = map.split('/').map(str::trim);
            media.encoding = parts.next().unwrap_or_default().to_ascii_lowercase();
            media.clock_rate = parts.next().and_then(|rate| rate.parse().ok()).unwrap_or(0);
            media.channels = parts
                .next()
                .and_then(|count| count.parse().ok())
                .unwrap_or(1);
        }
        "fmtp" => {
            let Some(parameters) = of_payload() else {
                return;
            };
            let pairs = parameters.split(';').filter_map(|pair| {
                let (name, value) = pair.trim().split_once('=')?;
                Some((name.trim().to_ascii_lowercase(), value.trim().to_owned()))
            });
            media.parameters.extend(pairs);
        }
        "control" => media.control = Some(value.trim().to_owned()),
        "sendonly" => media.is_back_channel = true,
        _ => {}
    }
}

/// The URL of what `control` names, below `base` (RFC 2326, section C.1.1). Servers mean it as text that is appended,
/// also where a URL has a query.
pub(crate) fn control_url(base: &str, control: Option<&str>) -> String {
    match control {
        None | Some("*" | "") => base.to_owned(),
        Some(control) if control.contains("://") => control.to_owned(),
        Some(control) if base.ends_with('/') => {
            format!("{base}{}", control.trim_start_matches('/'))
        }
        Some(control) => format!("{base}/{}", control.trim_start_matches('/')),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CAMERA: &[u8] = b"v=0\r\no=- 1 1 IN IP4 10.0.0.1\r\ns=Media\r\na=control:*\r\nm=video 0 RTP/AVP 96 97\r\n\
        b=AS:5000\r\na=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=1; sprop-parameter-sets=Z0IA,aM4=\r\n\
        a=rtpmap:97 rtx/90000\r\na=control:trackID=1\r\nm=audio 0 RTP/AVP 8\r\na=control:trackID=2\r\n\
        m=audio 0 RTP/AVP 98\r\na=rtpmap:98 MPEG4-GENERIC/16000/2\r\na=sendonly\r\na=control:trackID=3\r\n";

    #[test]
    fn a_camera_s_description_is_read() {
        let description = Description::parse(CAMERA);
        assert_eq!(description.control.as_deref(), Some("*"));
        let [video, audio, back] = &description.media[..] else {
            panic!("{description:?}");
        };
        assert_eq!(
            (
                video.encoding.as_str(),
                video.clock_rate,
                video.payload_type
            ),
            ("h264", 90_000, 96)
        );
        assert_eq!(video.parameter("sprop-parameter-sets"), Some("Z0IA,aM4="));
        assert_eq!((audio.encoding.as_str(), audio.clock_rate), ("pcma", 8_000));
        assert!(back.is_back_channel && !audio.is_back_channel);
        assert_eq!(
            (back.encoding.as_str(), back.channels),
            ("mpeg4-generic", 2)
        );
    }

    #[test]
    fn tracks_have_urls_of_their_own() {
        assert_eq!(
            control_url("rtsp://h/a", Some("trackID=1")),
            "rtsp://h/a/trackID=1"
        );
        assert_eq!(
            control_url("rtsp://h/a/", Some("trackID=1")),
            "rtsp://h/a/trackID=1"
        );
        assert_eq!(control_url("rtsp://h/a?x=1", Some("t")), "rtsp://h/a?x=1/t");
        assert_eq!(control_url("rtsp://h/a", Some("rtsp://i/b")), "rtsp://i/b");
        assert_eq!(control_url("rtsp://h/a", Some("*")), "rtsp://h/a");
        assert_eq!(control_url("rtsp://h/a", None), "rtsp://h/a");
    }

    proptest! {
        #[test]
        fn any_text_is_taken(bytes: Vec<u8>, lines in prop::collection::vec("[mav]=[a-z0-9:;=/ ]{0,30}", 0..20)) {
            Description::parse(&bytes);
            Description::parse(lines.join("\r\n").as_bytes());
        }
    }
}
