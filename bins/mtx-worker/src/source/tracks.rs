//! Which of a source's streams go on, and how they are described.

use bytes::Bytes;
use retina::client::Stream;
use retina::codec::{AudioParameters, ParametersRef, VideoParameters, VideoParametersCodec};
use std::time::Duration;

use super::sps;
use crate::media::{AudioCodec, AudioTrack, Medium, Tracks, VideoCodec, VideoTrack};

/// FLV knows G.711 at this rate only (Adobe FLV 10.1, annex E.4.2.1).
const G711_RATE: u32 = 8_000;

/// The streams of a presentation that were chosen, by index.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Chosen {
    pub(super) video: Option<usize>,
    pub(super) audio: Option<usize>,
}

impl Chosen {
    /// Takes the first video and the first audio stream that RTMP can carry; names the others.
    pub(super) fn of(streams: &[Stream]) -> (Self, Vec<String>) {
        let mut chosen = Self::default();
        let mut left_out = Vec::new();
        for (index, stream) in streams.iter().enumerate() {
            let place = match medium(stream) {
                Some(Medium::Video) if chosen.video.is_none() => &mut chosen.video,
                Some(Medium::Audio) if chosen.audio.is_none() => &mut chosen.audio,
                _ => {
                    left_out.push(name(stream));
                    continue;
                }
            };
            *place = Some(index);
        }
        (chosen, left_out)
    }

    pub(super) fn is_empty(self) -> bool {
        self == Self::default()
    }

    pub(super) fn indices(self) -> impl Iterator<Item = usize> {
        self.video.into_iter().chain(self.audio)
    }

    /// Describes the chosen streams, once all their parameters are known.
    pub(super) fn describe(self, streams: &[Stream]) -> Option<Tracks> {
        let stream = |index: Option<usize>| index.and_then(|index| streams.get(index));
        let mut tracks = Tracks::default();
        if let Some(stream) = stream(self.video) {
            tracks.video = Some(video(stream)?);
        }
        if let Some(stream) = stream(self.audio) {
            tracks.audio = Some(audio(stream)?);
        }
        Some(tracks)
    }
}

/// The codec of a stream, as MediaMTX names it.
fn name(stream: &Stream) -> String {
    let name = match stream.encoding_name() {
        "h264" => "H264",
        "h265" => "H265",
        "av1" => "AV1",
        "vp8" => "VP8",
        "vp9" => "VP9",
        "jpeg" => "M-JPEG",
        "mpeg4-generic" => "MPEG-4 Audio",
        "opus" => "Opus",
        "mpa" => "MPEG-1/2 Audio",
        "ac3" => "AC-3",
        "l16" => "LPCM",
        "pcma" | "pcmu" => return format!("G711 at {} Hz", stream.clock_rate_hz()),
        other => return format!("{}/{other}", stream.media()),
    };
    name.to_owned()
}

fn medium(stream: &Stream) -> Option<Medium> {
    match (stream.media(), stream.encoding_name()) {
        ("video", "h264" | "h265") => Some(Medium::Video),
        ("audio", "pcma" | "pcmu") => {
            (stream.clock_rate_hz() == G711_RATE).then_some(Medium::Audio)
        }
        // Without its configuration an AAC stream can't be described, and RTP never brings it later.
        ("audio", "mpeg4-generic") => stream.parameters().map(|_| Medium::Audio),
        _ => None,
    }
}

fn video(stream: &Stream) -> Option<VideoTrack> {
    let Some(ParametersRef::Video(parameters)) = stream.parameters() else {
        return None;
    };
    let (codec, reorder) = match parameters.codec_params() {
        VideoParametersCodec::H264 { sps, .. } => (VideoCodec::H264, sps::h264_reorder(sps)),
        VideoParametersCodec::H265 { sps, .. } => (VideoCodec::H265, sps::h265_reorder(sps)),
        _ => return None,
    };
    let (width, height) = parameters.pixel_dimensions();
    Some(VideoTrack {
        codec,
        config: Bytes::copy_from_slice(parameters.extra_data()),
        width,
        height,
        reorder,
        frame_duration: frame_duration(parameters),
    })
}

/// retina gives the duration of a frame in seconds, as a fraction.
fn frame_duration(parameters: &VideoParameters) -> Option<Duration> {
    const LONGEST: f64 = 1.0;
    let (numerator, denominator) = parameters.frame_rate()?;
    let seconds = f64::from(numerator) / f64::from(denominator);
    (seconds > 0.0 && seconds <= LONGEST).then(|| Duration::from_secs_f64(seconds))
}

fn audio(stream: &Stream) -> Option<AudioTrack> {
    let Some(ParametersRef::Audio(parameters)) = stream.parameters() else {
        return None;
    };
    let codec = match stream.encoding_name() {
        "pcma" => AudioCodec::G711ALaw,
        "pcmu" => AudioCodec::G711MuLaw,
        _ => AudioCodec::Aac,
    };
    Some(AudioTrack {
        codec,
        config: config(codec, parameters),
        sample_rate: parameters.clock_rate(),
        channels: parameters.channels().get(),
    })
}

fn config(codec: AudioCodec, parameters: &AudioParameters) -> Bytes {
    match codec {
        AudioCodec::Aac => Bytes::copy_from_slice(parameters.extra_data()),
        AudioCodec::G711ALaw | AudioCodec::G711MuLaw => Bytes::new(),
    }
}
