//! Bodies of FLV tags, which RTMP's media messages carry (Adobe FLV 10.1, annex E; enhanced RTMP v1 and v2
//! for H.265, AV1, VP9 and Opus).

use super::amf0::Value;
use crate::codec::opus;
use crate::media::{AudioCodec, AudioTrack, Tracks, VideoCodec, VideoTrack};

pub(super) const KEY_FRAME: u8 = 1;
const INTER_FRAME: u8 = 2;
const AVC: u8 = 7;
const MP3: u8 = 2;
const G711_A_LAW: u8 = 7;
const G711_MU_LAW: u8 = 8;
const AAC: u8 = 10;

/// Enhanced RTMP: the high bit of the first byte says that a four-character code follows; for audio the format 9.
const EX_HEADER: u8 = 0x80;
const EX_AUDIO: u8 = 9;
const EX_SEQUENCE_START: u8 = 0;
const EX_CODED_FRAMES: u8 = 1;

/// The four-character codes that the first video and audio track use; none for what plain RTMP has a number for.
pub(crate) fn four_ccs(tracks: &Tracks) -> Vec<&'static str> {
    let video = tracks.videos().next().map(|(_, video)| video);
    let audio = tracks.audios().next().map(|(_, audio)| audio);
    [
        video.and_then(|track| video_four_cc(&track.codec)),
        audio.and_then(|track| audio_four_cc(&track.codec)),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The four-character code of a video codec, where FLV has no number for it.
pub(crate) fn video_four_cc(codec: &VideoCodec) -> Option<&'static str> {
    match codec {
        VideoCodec::H264(_) => None,
        VideoCodec::H265(_) => Some("hvc1"),
        VideoCodec::Av1(_) => Some("av01"),
        VideoCodec::Vp9(_) => Some("vp09"),
    }
}

/// Likewise of an audio codec.
pub(crate) fn audio_four_cc(codec: &AudioCodec) -> Option<&'static str> {
    (*codec == AudioCodec::Opus).then_some("Opus")
}

/// The sequence header of a video track.
pub(crate) fn video_sequence_header(track: &VideoTrack) -> Vec<u8> {
    let mut body = match video_four_cc(&track.codec) {
        None => vec![KEY_FRAME << 4 | AVC, 0, 0, 0, 0],
        Some(code) => ex_video(KEY_FRAME, EX_SEQUENCE_START, code),
    };
    body.extend_from_slice(&video_configuration(&track.codec));
    body
}

/// The decoder configuration record of a codec.
pub(super) fn video_configuration(codec: &VideoCodec) -> Vec<u8> {
    match codec {
        VideoCodec::H264(sets) => sets.decoder_configuration(),
        VideoCodec::H265(sets) => sets.decoder_configuration(),
        VideoCodec::Av1(sequence) => sequence.decoder_configuration(),
        VideoCodec::Vp9(format) => format.decoder_configuration(),
    }
}

/// What stands before a video frame; `composition_time` is PTS - DTS in milliseconds, 24 bits, signed. AV1 and VP9 have
/// none.
pub(crate) fn video_frame_header(codec: &VideoCodec, key: bool, composition_time: i32) -> Vec<u8> {
    let frame = video_frame_type(key);
    let mut header = match video_four_cc(codec) {
        None => vec![frame << 4 | AVC, 1],
        Some(code) => ex_video(frame, EX_CODED_FRAMES, code),
    };
    header.extend(self::composition_time(codec, composition_time));
    header
}

pub(super) fn video_frame_type(key: bool) -> u8 {
    if key { KEY_FRAME } else { INTER_FRAME }
}

/// A composition time, for the codecs that have one.
pub(super) fn composition_time(codec: &VideoCodec, milliseconds: i32) -> Vec<u8> {
    if !matches!(codec, VideoCodec::H264(_) | VideoCodec::H265(_)) {
        return Vec::new();
    }
    let clamped = milliseconds.clamp(-0x80_0000, 0x7f_ffff);
    clamped.to_be_bytes()[1..].to_vec()
}

fn ex_video(frame: u8, packet: u8, code: &str) -> Vec<u8> {
    [&[EX_HEADER | frame << 4 | packet], code.as_bytes()].concat()
}

/// The sequence header of an audio track, for the codecs that have one.
pub(crate) fn audio_sequence_header(track: &AudioTrack) -> Option<Vec<u8>> {
    match &track.codec {
        AudioCodec::Aac { config } => Some([&[audio_byte(track), 0], &config[..]].concat()),
        AudioCodec::Opus => {
            let header = opus::identification_header(track.channels);
            Some([ex_audio(EX_SEQUENCE_START), header].concat())
        }
        AudioCodec::Mp3 | AudioCodec::G711ALaw | AudioCodec::G711MuLaw => None,
    }
}

/// What stands before an audio frame.
pub(crate) fn audio_frame_header(track: &AudioTrack) -> Vec<u8> {
    match track.codec {
        AudioCodec::Aac { .. } => vec![audio_byte(track), 1],
        AudioCodec::Opus => ex_audio(EX_CODED_FRAMES),
        AudioCodec::Mp3 | AudioCodec::G711ALaw | AudioCodec::G711MuLaw => vec![audio_byte(track)],
    }
}

fn ex_audio(packet: u8) -> Vec<u8> {
    [&[EX_AUDIO << 4 | packet], &b"Opus"[..]].concat()
}

/// Format, rate, size and type. AAC always says 44 kHz, 16 bit, stereo; its own header counts.
fn audio_byte(track: &AudioTrack) -> u8 {
    const SIXTEEN_BIT: u8 = 1 << 1;
    const HIGHEST_RATE: u8 = 3 << 2;
    let stereo = u8::from(track.channels > 1);
    match track.codec {
        AudioCodec::Aac { .. } => AAC << 4 | HIGHEST_RATE | SIXTEEN_BIT | 1,
        AudioCodec::Opus => EX_AUDIO << 4,
        AudioCodec::Mp3 => MP3 << 4 | mp3_rate(track.sample_rate) << 2 | SIXTEEN_BIT | stereo,
        AudioCodec::G711ALaw => G711_A_LAW << 4 | SIXTEEN_BIT | stereo,
        AudioCodec::G711MuLaw => G711_MU_LAW << 4 | SIXTEEN_BIT | stereo,
    }
}

/// FLV has 5.5, 11, 22 and 44 kHz; a frame of MP3 tells its own.
fn mp3_rate(sample_rate: u32) -> u8 {
    match sample_rate {
        0..8_000 => 0,
        8_000..16_000 => 1,
        16_000..32_000 => 2,
        _ => 3,
    }
}

/// The properties of `onMetaData`, of the first video and audio track.
pub(crate) fn metadata(tracks: &Tracks) -> Vec<(String, Value)> {
    let mut properties = vec![(
        "encoder".to_owned(),
        Value::string(concat!("mtx-worker ", env!("CARGO_PKG_VERSION"))),
    )];
    let mut number =
        |name: &str, value: f64| properties.push((name.to_owned(), Value::Number(value)));
    if let Some((_, video)) = tracks.videos().next() {
        if video.width > 0 {
            number("width", video.width.into());
            number("height", video.height.into());
        }
        number(
            "videocodecid",
            match video_four_cc(&video.codec) {
                None => AVC.into(),
                Some(code) => number_of(code),
            },
        );
    }
    if let Some((_, audio)) = tracks.audios().next() {
        let codec = match audio_four_cc(&audio.codec) {
            None => (audio_byte(audio) >> 4).into(),
            Some(code) => number_of(code),
        };
        number("audiocodecid", codec);
        number("audiosamplerate", audio.sample_rate.into());
        number("audiochannels", audio.channels.into());
    }
    properties
}

fn number_of(four_cc: &str) -> f64 {
    let bytes = four_cc
        .bytes()
        .fold(0, |number, byte| number << 8 | u32::from(byte));
    bytes.into()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::codec::h264::{self, tests::X264_B_FRAMES};
    use crate::codec::h265::{self, tests::X265_B_FRAMES};
    use crate::codec::nal::Sets as _;
    use crate::codec::vp9::{self, tests::A_KEY_FRAME};

    pub(crate) fn h264() -> VideoCodec {
        let mut sets = h264::ParameterSets::default();
        sets.take(X264_B_FRAMES);
        VideoCodec::H264(sets)
    }

    pub(crate) fn h265() -> VideoCodec {
        let mut sets = h265::ParameterSets::default();
        sets.take(X265_B_FRAMES);
        VideoCodec::H265(sets)
    }

    fn vp9() -> VideoCodec {
        VideoCodec::Vp9(vp9::Format::of_key_frame(A_KEY_FRAME).unwrap())
    }

    pub(crate) fn video(codec: VideoCodec) -> VideoTrack {
        VideoTrack {
            codec,
            width: 2,
            height: 2,
            reorder: None,
            frame_duration: None,
        }
    }

    pub(crate) fn audio(codec: AudioCodec, channels: u16) -> AudioTrack {
        AudioTrack {
            codec,
            sample_rate: 44_100,
            channels,
        }
    }

    pub(crate) fn aac() -> AudioCodec {
        AudioCodec::Aac {
            config: vec![0x12, 0x10].into(),
        }
    }

    #[test]
    fn headers_are_those_of_the_specification() {
        let start = |codec| video_sequence_header(&video(codec))[..6].to_vec();
        assert_eq!(start(h264()), [0x17, 0, 0, 0, 0, 1]);
        assert_eq!(start(h265()), *b"\x90hvc1\x01");
        assert_eq!(start(vp9()), *b"\x90vp09\x01");
        let start = |codec| audio_sequence_header(&audio(codec, 2));
        assert_eq!(start(aac()).unwrap(), [0xaf, 0, 0x12, 0x10]);
        assert!(
            start(AudioCodec::Opus)
                .unwrap()
                .starts_with(b"\x90OpusOpusHead\x01\x02")
        );
        assert_eq!(start(AudioCodec::G711ALaw), None);
    }

    #[test]
    fn frames_carry_their_composition_time() {
        let frame = |codec, key, time| video_frame_header(&codec, key, time);
        assert_eq!(frame(h264(), true, 80), [0x17, 1, 0, 0, 80]);
        assert_eq!(frame(h264(), false, -1), [0x27, 1, 0xff, 0xff, 0xff]);
        assert_eq!(frame(h265(), true, 0), *b"\x91hvc1\0\0\0");
        assert_eq!(frame(h265(), false, 0x12_3456), *b"\xa1hvc1\x12\x34\x56");
        assert_eq!(frame(vp9(), false, 0), *b"\xa1vp09");
    }

    #[test]
    fn audio_says_its_codec_and_channels() {
        let header = |codec, channels| audio_frame_header(&audio(codec, channels));
        assert_eq!(header(AudioCodec::G711ALaw, 1), [0x72]);
        assert_eq!(header(AudioCodec::G711MuLaw, 2), [0x83]);
        assert_eq!(header(aac(), 1), [0xaf, 1]);
        assert_eq!(header(AudioCodec::Mp3, 2), [0x2f]);
        assert_eq!(header(AudioCodec::Opus, 2), *b"\x91Opus");
    }
}
