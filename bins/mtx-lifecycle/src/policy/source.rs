//! Where a stream comes from.

use common::secret;
use mediamtx::api::Fields;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;

/// What MediaMTX gets a stream from when somebody wants it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Raw", into = "Raw")]
pub enum Source {
    /// A program that publishes to the path.
    Command(String),
    /// An RTSP server.
    Rtsp(Url),
    /// A Linux capture device, read by ffmpeg.
    Device(String),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Raw {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    command: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rtsp: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    device: Option<String>,
}

impl TryFrom<Raw> for Source {
    type Error = String;

    fn try_from(raw: Raw) -> Result<Self, Self::Error> {
        match (raw.command, raw.rtsp, raw.device) {
            (Some(command), None, None) if !command.trim().is_empty() => Ok(Self::Command(command)),
            (None, Some(url), None) => rtsp(&url).map(Self::Rtsp),
            (None, None, Some(device)) => self::device(device).map(Self::Device),
            _ => Err("a source is one of command: …, rtsp: URL or device: /dev/…".to_owned()),
        }
    }
}

fn rtsp(text: &str) -> Result<Url, String> {
    let url = text.parse::<Url>().ok().filter(|url| {
        matches!(url.scheme(), "rtsp" | "rtsps")
            && url.host_str().is_some_and(|host| !host.is_empty())
    });
    let Some(url) = url else {
        let shown = secret::redact_url(text);
        return Err(format!(
            "{shown:?} is not rtsp(s)://[user:password@]host[:port]/…"
        ));
    };
    // MediaMTX refuses one without the other, at run time only.
    if url.username().is_empty() != url.password().unwrap_or_default().is_empty() {
        return Err("a login in an RTSP URL needs both user and password".to_owned());
    }
    secret::register(url.password().unwrap_or_default());
    Ok(url)
}

/// It becomes part of a command line.
fn device(text: String) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/_-.:".contains(c);
    if text.starts_with("/dev/") && text.chars().all(plain) {
        return Ok(text);
    }
    Err(format!("{text:?} is not a device such as /dev/video0"))
}

impl From<Source> for Raw {
    fn from(source: Source) -> Self {
        let mut raw = Self {
            command: None,
            rtsp: None,
            device: None,
        };
        match source {
            Source::Command(command) => raw.command = Some(command),
            Source::Rtsp(url) => raw.rtsp = Some(url.into()),
            Source::Device(device) => raw.device = Some(device),
        }
        raw
    }
}

impl Source {
    /// MediaMTX's settings for it.
    #[must_use]
    pub fn fields(&self) -> Fields {
        let publisher = |command: String| {
            Fields::from_iter([
                ("source".to_owned(), Value::from("publisher")),
                ("sourceOnDemand".to_owned(), Value::from(false)),
                ("runOnDemand".to_owned(), Value::from(command)),
            ])
        };
        match self {
            Self::Command(command) => publisher(command.clone()),
            Self::Device(device) => publisher(format!(
                "ffmpeg -nostdin -loglevel warning -f v4l2 -i {device} -c:v libx264 -preset ultrafast \
                 -tune zerolatency -pix_fmt yuv420p -g 50 -f rtsp -rtsp_transport tcp rtsp://127.0.0.1:$RTSP_PORT/$MTX_PATH"
            )),
            Self::Rtsp(url) => Fields::from_iter([
                ("source".to_owned(), Value::from(url.as_str())),
                ("sourceOnDemand".to_owned(), Value::from(true)),
                ("runOnDemand".to_owned(), Value::from("")),
            ]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_exactly_one_thing() {
        for yaml in [
            "{}",
            "{command: ''}",
            "{command: x, device: /dev/video0}",
            "{device: video0}",
            "{device: '/dev/video0; rm -rf /'}",
            "{rtsp: 'http://h'}",
            "{rtsp: 'rtsp://user@h/'}",
        ] {
            assert!(serde_yaml::from_str::<Source>(yaml).is_err(), "{yaml}");
        }
    }

    #[test]
    fn passwords_are_in_no_message() {
        let error = serde_yaml::from_str::<Source>("{rtsp: 'http://u:hunter2@h'}").unwrap_err();
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }

    #[test]
    fn a_device_is_published_by_ffmpeg() {
        let source: Source = serde_yaml::from_str("{device: /dev/video0}").unwrap();
        let fields = source.fields();
        let command = fields["runOnDemand"].as_str().unwrap();
        assert!(command.contains("-f v4l2 -i /dev/video0"), "{command}");
        assert!(
            command.ends_with("rtsp://127.0.0.1:$RTSP_PORT/$MTX_PATH"),
            "{command}"
        );
    }
}
