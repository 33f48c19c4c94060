//! Which of a server's streams go on.

use crate::codec::{h264, h265};
use crate::media::{Medium, TrackId};
use crate::rtp::payload::{
    Aac, Av1, Depacketizer, G711, H264, H265, MpegAudio, NalUnits, Opus, Vp9,
};
use crate::rtsp::sdp::{Description, Media};

/// FLV knows G.711 at this rate only (Adobe FLV 10.1, annex E.4.2.1).
const G711_RATE: u32 = 8_000;

/// Clock of all video (RFC 3551, section 4.3), for descriptions that do not tell it.
const VIDEO_RATE: u32 = 90_000;

/// More streams are no recording of anything, and could be as many as a description is long.
const MOST: usize = 32;

/// A stream that goes on.
pub(super) struct Chosen {
    pub(super) track: TrackId,
    pub(super) media: Media,
    pub(super) depacketizer: Box<dyn Depacketizer>,
}

/// Takes the video and audio streams that an output can carry; names the others, with the reason.
pub(super) fn choose(description: Description) -> (Vec<Chosen>, Vec<String>) {
    let mut chosen: Vec<Chosen> = Vec::new();
    let mut left_out = Vec::new();
    // A server that marks all its streams so means something else by it.
    let has_others = description.media.iter().any(|media| !media.is_back_channel);
    for mut media in description.media {
        if media.is_back_channel && has_others {
            continue;
        }
        let medium = match media.kind.as_str() {
            "video" => Medium::Video,
            _ => Medium::Audio,
        };
        if media.clock_rate == 0 && medium == Medium::Video {
            media.clock_rate = VIDEO_RATE;
        }
        let same = chosen.iter().filter(|other| other.track.medium == medium);
        let index = same.count() as u8;
        match depacketizer(&media) {
            // Each has two of the channels of the connection, which have numbers of eight bits.
            Some(_) if chosen.len() == MOST => {
                left_out.push(format!("{} (behind {MOST} others)", name(&media)))
            }
            Some(depacketizer) => chosen.push(Chosen {
                track: TrackId { medium, index },
                media,
                depacketizer,
            }),
            None => left_out.push(format!("{} (RTMP does not carry it)", name(&media))),
        }
    }
    (chosen, left_out)
}

fn depacketizer(media: &Media) -> Option<Box<dyn Depacketizer>> {
    if media.clock_rate == 0 {
        return None;
    }
    Some(match (media.kind.as_str(), media.encoding.as_str()) {
        ("video", "h264") => {
            let sets = media.parameter("sprop-parameter-sets").unwrap_or_default();
            Box::new(NalUnits::<H264>::new(
                h264::ParameterSets::from_description(sets),
            ))
        }
        ("video", "h265") => {
            let sets = ["sprop-vps", "sprop-sps", "sprop-pps"];
            let sets = sets.iter().filter_map(|name| media.parameter(name));
            Box::new(NalUnits::<H265>::new(
                h265::ParameterSets::from_description(sets),
            ))
        }
        ("video", "av1") => Box::new(Av1::default()),
        ("video", "vp9") => Box::new(Vp9::default()),
        ("audio", "mpeg4-generic") => Box::new(Aac::new(media)?),
        ("audio", "opus") => Box::new(Opus {
            // What the map says is 2 always (RFC 7587, section 7).
            channels: match media.parameter("sprop-stereo") {
                Some("1") => 2,
                _ => 1,
            },
        }),
        ("audio", "mpa") => Box::new(MpegAudio::default()),
        ("audio", "pcma" | "pcmu") if media.clock_rate == G711_RATE => Box::new(G711 {
            is_a_law: media.encoding == "pcma",
            clock_rate: media.clock_rate,
            channels: media.channels,
        }),
        _ => return None,
    })
}

/// The codec of a stream, as MediaMTX names it.
pub(super) fn name(media: &Media) -> String {
    let name = match media.encoding.as_str() {
        "h264" => "H264",
        "h265" => "H265",
        "av1" => "AV1",
        "vp8" => "VP8",
        "vp9" => "VP9",
        "jpeg" => "M-JPEG",
        "mpeg4-generic" | "mp4a-latm" => "MPEG-4 Audio",
        "opus" => "Opus",
        "mpa" => "MPEG-1/2 Audio",
        "ac3" => "AC-3",
        "l16" => "LPCM",
        "pcma" | "pcmu" => return format!("G711 at {} Hz", media.clock_rate),
        other => return format!("{}/{other}", media.kind),
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_rtmp_carries_goes_on_and_the_others_are_named() {
        let text = b"m=application 0 RTP/AVP 107\r\na=rtpmap:107 vnd.onvif.metadata/90000\r\n\
            m=video 0 RTP/AVP 96\r\na=rtpmap:96 VP8/90000\r\nm=video 0 RTP/AVP 97\r\na=rtpmap:97 H265/90000\r\n\
            m=video 0 RTP/AVP 98\r\na=rtpmap:98 H264/90000\r\nm=audio 0 RTP/AVP 8\r\na=sendonly\r\n\
            m=audio 0 RTP/AVP 99\r\na=rtpmap:99 PCMU/16000\r\nm=audio 0 RTP/AVP 0\r\n";
        let (chosen, left_out) = choose(Description::parse(text));
        let encodings: Vec<_> = chosen
            .iter()
            .map(|chosen| (chosen.track.to_string(), chosen.media.encoding.as_str()))
            .collect();
        let expected = [("video", "h265"), ("video 2", "h264"), ("audio", "pcmu")];
        assert_eq!(
            encodings,
            expected.map(|(track, codec)| (track.to_owned(), codec))
        );
        let expected = [
            "application/vnd.onvif.metadata (RTMP does not carry it)",
            "VP8 (RTMP does not carry it)",
            "G711 at 16000 Hz (RTMP does not carry it)",
        ];
        assert_eq!(left_out, expected);
    }
}
