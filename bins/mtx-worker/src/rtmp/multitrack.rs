//! Bodies of the messages that carry further tracks of a medium (enhanced RTMP v2, multitrack, `OneTrack`): first the
//! packet's type, then the codec's four-character code, then the number of the track.

use super::flv;
use crate::codec::opus;
use crate::media::{AudioCodec, AudioTrack, Description};

/// `ExVideoTagHeader` with the packet type `Multitrack`.
const VIDEO: u8 = 0x80 | 6;
/// `ExAudioTagHeader`, likewise.
const AUDIO: u8 = 9 << 4 | 5;

/// One track in a message, in the high half of the byte; the packet's type is in the low half.
const ONE_TRACK: u8 = 0;
const SEQUENCE_START: u8 = 0;
const CODED_FRAMES: u8 = 1;

/// The four-character code of a track's codec; `None` for G.711, which has none.
pub(crate) fn four_cc(track: &Description) -> Option<&'static str> {
    match track {
        Description::Video(video) => Some(flv::video_four_cc(&video.codec).unwrap_or("avc1")),
        Description::Audio(audio) => match audio.codec {
            AudioCodec::Aac { .. } => Some("mp4a"),
            AudioCodec::Opus => Some("Opus"),
            AudioCodec::Mp3 => Some(".mp3"),
            AudioCodec::G711ALaw | AudioCodec::G711MuLaw => None,
        },
    }
}

/// The sequence header of track `number`, for the codecs that have one.
pub(crate) fn sequence_header(track: &Description, number: u8) -> Option<Vec<u8>> {
    let configuration = match track {
        Description::Video(video) => flv::video_configuration(&video.codec),
        Description::Audio(audio) => audio_configuration(audio)?,
    };
    let header = header(track, SEQUENCE_START, flv::KEY_FRAME, number);
    Some([header, configuration].concat())
}

/// What stands before a frame of track `number`; `composition_time` is as in [`flv::video_frame_header`].
pub(crate) fn frame_header(
    track: &Description,
    number: u8,
    key: bool,
    composition_time: i32,
) -> Vec<u8> {
    let frame = flv::video_frame_type(key);
    let mut header = header(track, CODED_FRAMES, frame, number);
    if let Description::Video(video) = track {
        header.extend(flv::composition_time(&video.codec, composition_time));
    }
    header
}

fn header(track: &Description, packet: u8, frame: u8, number: u8) -> Vec<u8> {
    let first = match track {
        Description::Video(_) => VIDEO | frame << 4,
        Description::Audio(_) => AUDIO,
    };
    let code = four_cc(track).unwrap_or_default();
    let kind = ONE_TRACK << 4 | packet;
    [&[first, kind], code.as_bytes(), &[number]].concat()
}

fn audio_configuration(track: &AudioTrack) -> Option<Vec<u8>> {
    match &track.codec {
        AudioCodec::Aac { config } => Some(config.to_vec()),
        AudioCodec::Opus => Some(opus::identification_header(track.channels)),
        AudioCodec::Mp3 | AudioCodec::G711ALaw | AudioCodec::G711MuLaw => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtmp::flv::tests::{aac, audio, h264, h265, video};

    #[test]
    fn headers_name_the_codec_and_the_track() {
        let start = |track: Description| sequence_header(&track, 1).unwrap()[..8].to_vec();
        assert_eq!(
            start(Description::Video(video(h264()))),
            *b"\x96\x00avc1\x01\x01"
        );
        assert_eq!(
            start(Description::Video(video(h265()))),
            *b"\x96\x00hvc1\x01\x01"
        );
        assert_eq!(
            start(Description::Audio(audio(aac(), 2))),
            *b"\x95\x00mp4a\x01\x12"
        );
        let frame = |track: Description, key| frame_header(&track, 2, key, 80);
        assert_eq!(
            frame(Description::Video(video(h264())), true),
            *b"\x96\x01avc1\x02\0\0\x50"
        );
        assert_eq!(
            frame(Description::Video(video(h265())), false),
            *b"\xa6\x01hvc1\x02\0\0\x50"
        );
        let opus = Description::Audio(audio(AudioCodec::Opus, 2));
        assert_eq!(frame(opus, true), *b"\x95\x01Opus\x02");
        let mp3 = Description::Audio(audio(AudioCodec::Mp3, 2));
        assert_eq!(
            (sequence_header(&mp3, 1), frame(mp3, true)),
            (None, b"\x95\x01.mp3\x02".to_vec())
        );
        assert_eq!(
            four_cc(&Description::Audio(audio(AudioCodec::G711ALaw, 1))),
            None
        );
    }
}
