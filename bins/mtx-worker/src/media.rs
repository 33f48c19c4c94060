//! What crosses the middle of the worker: tracks and access units. Every source yields them, every
//! sink takes them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

/// Video codecs that can be passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum VideoCodec {
    H264,
    H265,
}

/// Audio codecs that can be passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AudioCodec {
    Aac,
    G711ALaw,
    G711MuLaw,
}

/// A video track.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct VideoTrack {
    pub(crate) codec: VideoCodec,
    /// AVCDecoderConfigurationRecord or HEVCDecoderConfigurationRecord (ISO/IEC 14496-15).
    pub(crate) config: Bytes,
    pub(crate) width: u32,
    pub(crate) height: u32,
    /// How many frames may be decoded before one that is shown earlier; `None` if the stream does
    /// not say.
    pub(crate) reorder: Option<usize>,
    pub(crate) frame_duration: Option<Duration>,
}

/// An audio track.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct AudioTrack {
    pub(crate) codec: AudioCodec,
    /// AudioSpecificConfig (ISO/IEC 14496-3) for AAC, empty otherwise.
    pub(crate) config: Bytes,
    pub(crate) sample_rate: u32,
    pub(crate) channels: u16,
}

/// What a source carries: RTMP has room for one video and one audio track.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Tracks {
    pub(crate) video: Option<VideoTrack>,
    pub(crate) audio: Option<AudioTrack>,
}

impl Tracks {
    /// Whether `other` can go on in the same RTMP stream: the same codecs, whatever their parameters.
    pub(crate) fn continues(&self, other: &Self) -> bool {
        let codecs = |tracks: &Self| {
            (
                tracks.video.as_ref().map(|v| v.codec),
                tracks
                    .audio
                    .as_ref()
                    .map(|a| (a.codec, a.sample_rate, a.channels)),
            )
        };
        codecs(self) == codecs(other)
    }
}

/// Which track an access unit belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Medium {
    Video,
    Audio,
}

impl fmt::Display for Medium {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Video => "video",
            Self::Audio => "audio",
        })
    }
}

/// One coded picture or audio frame.
#[derive(Clone, Debug)]
pub(crate) struct AccessUnit {
    pub(crate) medium: Medium,
    /// Presentation time in worker time: nanoseconds since the worker's start.
    pub(crate) pts: i64,
    /// Decoding time, likewise, not after the presentation; between units of a track that reach a sink it rises by a
    /// millisecond at least.
    pub(crate) dts: i64,
    /// Whether decoding can start here.
    pub(crate) key: bool,
    /// Length-prefixed NAL units, a raw AAC frame, or G.711 samples.
    pub(crate) data: Bytes,
    /// When it arrived, on the same clock.
    pub(crate) arrival: i64,
}

/// What reaches the sinks.
#[derive(Clone, Debug)]
pub(crate) enum Item {
    /// The tracks of what follows: at the start, and whenever a parameter changed.
    Tracks(Arc<Tracks>),
    /// One unit of one of them.
    Unit(AccessUnit),
}
