//! What crosses the middle of the worker: tracks and access units. Every source yields them, every
//! sink takes them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::codec::{av1, h264, h265, vp9};

/// Video codecs that can be passed on, with what a decoder has to know beforehand.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum VideoCodec {
    H264(h264::ParameterSets),
    H265(h265::ParameterSets),
    Av1(av1::SequenceHeader),
    Vp9(vp9::Format),
}

impl VideoCodec {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::H264(_) => "H.264",
            Self::H265(_) => "H.265",
            Self::Av1(_) => "AV1",
            Self::Vp9(_) => "VP9",
        }
    }

    /// The same with the first parameter set of each kind alone.
    pub(crate) fn with_first_sets(&self) -> Self {
        match self {
            Self::H264(sets) => Self::H264(sets.first_of_each()),
            Self::H265(sets) => Self::H265(sets.first_of_each()),
            Self::Av1(_) | Self::Vp9(_) => self.clone(),
        }
    }
}

/// Audio codecs that can be passed on.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum AudioCodec {
    Aac {
        /// AudioSpecificConfig (ISO/IEC 14496-3).
        config: Bytes,
    },
    Opus,
    /// MPEG-1 or MPEG-2 audio, layer 3.
    Mp3,
    G711ALaw,
    G711MuLaw,
}

impl AudioCodec {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Aac { .. } => "MPEG-4 Audio",
            Self::Opus => "Opus",
            Self::Mp3 => "MPEG-1/2 Audio",
            Self::G711ALaw | Self::G711MuLaw => "G711",
        }
    }
}

/// A video track.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct VideoTrack {
    pub(crate) codec: VideoCodec,
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
    pub(crate) sample_rate: u32,
    pub(crate) channels: u16,
}

/// What a track is, as far as it tells.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Description {
    Video(VideoTrack),
    Audio(AudioTrack),
}

/// One of a source's tracks.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Track {
    pub(crate) id: TrackId,
    pub(crate) description: Description,
}

/// What a source carries, in the order in which it names it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Tracks(pub(crate) Vec<Track>);

impl Tracks {
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Track> {
        self.0.iter()
    }

    /// The video tracks.
    pub(crate) fn videos(&self) -> impl Iterator<Item = (TrackId, &VideoTrack)> {
        self.iter().filter_map(|track| match &track.description {
            Description::Video(video) => Some((track.id, video)),
            Description::Audio(_) => None,
        })
    }

    /// The audio tracks.
    pub(crate) fn audios(&self) -> impl Iterator<Item = (TrackId, &AudioTrack)> {
        self.iter().filter_map(|track| match &track.description {
            Description::Audio(audio) => Some((track.id, audio)),
            Description::Video(_) => None,
        })
    }

    /// Whether `other` can go on in the same RTMP stream: the same tracks and codecs, whatever their parameters.
    pub(crate) fn continues(&self, other: &Self) -> bool {
        let videos = |tracks: &Self| -> Vec<_> {
            let videos = tracks.videos();
            videos
                .map(|(id, video)| (id, std::mem::discriminant(&video.codec)))
                .collect()
        };
        let audios = |tracks: &Self| -> Vec<_> {
            let audios = tracks.audios();
            audios
                .map(|(id, audio)| {
                    let codec = std::mem::discriminant(&audio.codec);
                    (id, codec, audio.sample_rate, audio.channels)
                })
                .collect()
        };
        videos(self) == videos(other) && audios(self) == audios(other)
    }
}

/// The kind of a track.
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

/// Names a track of a source, over all its sessions: its first video, its second audio, and so on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TrackId {
    pub(crate) medium: Medium,
    /// Its place among the source's tracks of this medium, from 0.
    pub(crate) index: u8,
}

impl TrackId {
    /// The first track of a medium.
    #[cfg(test)]
    pub(crate) const fn first(medium: Medium) -> Self {
        Self { medium, index: 0 }
    }
}

impl fmt::Display for TrackId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.index {
            0 => write!(f, "{}", self.medium),
            index => write!(f, "{} {}", self.medium, u16::from(index) + 1),
        }
    }
}

/// What a decoder can do at an access unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EntryPoint {
    /// Start: nothing behind it refers to what was before.
    Closed,
    /// Start, but leading pictures, which are shown earlier, refer to what was before.
    Open,
    /// Start, and show a whole picture after some frames.
    Refresh,
    /// Only go on.
    None,
}

impl EntryPoint {
    /// Whether it starts a group of pictures.
    pub(crate) fn is_key(self) -> bool {
        matches!(self, Self::Closed | Self::Open)
    }
}

/// One coded picture or audio frame.
#[derive(Clone, Debug)]
pub(crate) struct AccessUnit {
    pub(crate) track: TrackId,
    /// Presentation time in worker time: nanoseconds since the worker's start.
    pub(crate) pts: i64,
    /// Decoding time, likewise, not after the presentation; between units of a track that reach a sink it rises by a
    /// millisecond at least.
    pub(crate) dts: i64,
    pub(crate) entry: EntryPoint,
    /// Length-prefixed NAL units without parameter sets, OBUs with their sizes, or a frame as its codec has it.
    pub(crate) data: Bytes,
    /// When it arrived, on the same clock.
    pub(crate) arrival: i64,
}

impl AccessUnit {
    pub(crate) fn is_video(&self) -> bool {
        self.track.medium == Medium::Video
    }
}

/// What reaches the sinks.
#[derive(Clone, Debug)]
pub(crate) enum Item {
    /// The tracks of what follows: at the start, and whenever a parameter changed.
    Tracks(Arc<Tracks>),
    /// One unit of one of them.
    Unit(AccessUnit),
}
