//! Bodies of FLV tags, which RTMP's media messages carry (Adobe FLV 10.1, annex E; enhanced RTMP v1
//! for H.265).

use super::amf0::Value;
use crate::media::{AudioCodec, AudioTrack, Tracks, VideoCodec, VideoTrack};

const KEY_FRAME: u8 = 1;
const INTER_FRAME: u8 = 2;
const AVC: u8 = 7;
const AAC: u8 = 10;
const G711_A_LAW: u8 = 7;
const G711_MU_LAW: u8 = 8;

/// Enhanced RTMP: the high bit of the first byte says that a four-character code follows.
const EX_HEADER: u8 = 0x80;
const EX_SEQUENCE_START: u8 = 0;
const EX_CODED_FRAMES: u8 = 1;
const HVC1: [u8; 4] = *b"hvc1";

/// The sequence header of a video track.
pub(crate) fn video_sequence_header(track: &VideoTrack) -> Vec<u8> {
    let mut body = match track.codec {
        VideoCodec::H264 => vec![KEY_FRAME << 4 | AVC, 0, 0, 0, 0],
        VideoCodec::H265 => {
            let mut body = vec![EX_HEADER | KEY_FRAME << 4 | EX_SEQUENCE_START];
            body.extend_from_slice(&HVC1);
            body
        }
    };
    body.extend_from_slice(&track.config);
    body
}

/// What stands before a video frame; `composition_time` is PTS - DTS in milliseconds, 24 bits, signed.
pub(crate) fn video_frame_header(codec: VideoCodec, key: bool, composition_time: i32) -> Vec<u8> {
    let frame = if key { KEY_FRAME } else { INTER_FRAME };
    let mut header = Vec::with_capacity(8);
    match codec {
        VideoCodec::H264 => header.extend_from_slice(&[frame << 4 | AVC, 1]),
        VideoCodec::H265 => {
            header.push(EX_HEADER | frame << 4 | EX_CODED_FRAMES);
            header.extend_from_slice(&HVC1);
        }
    }
    let clamped = composition_time.clamp(-0x80_0000, 0x7f_ffff);
    header.extend_from_slice(&clamped.to_be_bytes()[1..]);
    header
}

/// The sequence header of an audio track, for the codecs that have one.
pub(crate) fn audio_sequence_header(track: &AudioTrack) -> Option<Vec<u8>> {
    (track.codec == AudioCodec::Aac).then(|| [&[audio_byte(track), 0], &track.config[..]].concat())
}

/// What stands before an audio frame.
pub(crate) fn audio_frame_header(track: &AudioTrack) -> Vec<u8> {
    match track.codec {
        AudioCodec::Aac => vec![audio_byte(track), 1],
        AudioCodec::G711ALaw | AudioCodec::G711MuLaw => vec![audio_byte(track)],
    }
}

/// Format, rate, size and type. AAC always says 44 kHz, 16 bit, stereo; its own header counts.
fn audio_byte(track: &AudioTrack) -> u8 {
    const SIXTEEN_BIT: u8 = 1 << 1;
    let stereo = u8::from(track.channels > 1);
    match track.codec {
        AudioCodec::Aac => AAC << 4 | 3 << 2 | SIXTEEN_BIT | 1,
        AudioCodec::G711ALaw => G711_A_LAW << 4 | SIXTEEN_BIT | stereo,
        AudioCodec::G711MuLaw => G711_MU_LAW << 4 | SIXTEEN_BIT | stereo,
    }
}

/// The properties of `onMetaData`.
pub(crate) fn metadata(tracks: &Tracks) -> Vec<(String, Value)> {
    let mut properties = vec![(
        "encoder".to_owned(),
        Value::string(concat!("mtx-worker ", env!("CARGO_PKG_VERSION"))),
    )];
    let mut number =
        |name: &str, value: f64| properties.push((name.to_owned(), Value::Number(value)));
    if let Some(video) = &tracks.video {
        number("width", video.width.into());
        number("height", video.height.into());
        number(
            "videocodecid",
            match video.codec {
                VideoCodec::H264 => AVC.into(),
                VideoCodec::H265 => u32::from_be_bytes(HVC1).into(),
            },
        );
    }
    if let Some(audio) = &tracks.audio {
        let codec = audio_byte(audio) >> 4;
        number("audiocodecid", codec.into());
        number("audiosamplerate", audio.sample_rate.into());
        number("audiochannels", audio.channels.into());
    }
    properties
}

#[cfg(test)]
mod tests {
    use super::*;

    fn video(codec: VideoCodec) -> VideoTrack {
        VideoTrack {
            codec,
            config: vec![1, 2].into(),
            width: 2,
            height: 2,
            reorder: None,
            frame_duration: None,
        }
    }

    fn audio(codec: AudioCodec, channels: u16) -> AudioTrack {
        AudioTrack {
            codec,
            config: vec![0x12, 0x10].into(),
            sample_rate: 44_100,
            channels,
        }
    }

    #[test]
    fn headers_are_those_of_the_specification() {
        assert_eq!(
            video_sequence_header(&video(VideoCodec::H264)),
            [0x17, 0, 0, 0, 0, 1, 2]
        );
        assert_eq!(
            video_sequence_header(&video(VideoCodec::H265)),
            *b"\x90hvc1\x01\x02"
        );
        assert_eq!(
            audio_sequence_header(&audio(AudioCodec::Aac, 2)).unwrap(),
            [0xaf, 0, 0x12, 0x10]
        );
        assert_eq!(audio_sequence_header(&audio(AudioCodec::G711ALaw, 1)), None);
    }

    #[test]
    fn frames_carry_their_composition_time() {
        let frame = video_frame_header;
        assert_eq!(frame(VideoCodec::H264, true, 80), [0x17, 1, 0, 0, 80]);
        assert_eq!(
            frame(VideoCodec::H264, false, -1),
            [0x27, 1, 0xff, 0xff, 0xff]
        );
        assert_eq!(frame(VideoCodec::H265, true, 0), *b"\x91hvc1\0\0\0");
        assert_eq!(
            frame(VideoCodec::H265, false, 0x12_3456),
            *b"\xa1hvc1\x12\x34\x56"
        );
    }

    #[test]
    fn g711_says_its_law_and_channels() {
        let byte = |codec, channels| audio_frame_header(&audio(codec, channels));
        assert_eq!(byte(AudioCodec::G711ALaw, 1), [0x72]);
        assert_eq!(byte(AudioCodec::G711MuLaw, 2), [0x83]);
        assert_eq!(byte(AudioCodec::Aac, 1), [0xaf, 1]);
    }
}
