//! Which of a source's tracks an RTMP stream carries, and how.

use bytes::Bytes;

use crate::media::{AudioCodec, Description, Medium, Track, TrackId, Tracks, VideoCodec};
use crate::rtmp::server::Server;
use crate::rtmp::{flv, multitrack};

/// A track of an RTMP stream.
#[derive(Debug, PartialEq)]
pub(super) struct Carried {
    pub(super) id: TrackId,
    /// Its number among those of its medium. Number 0 goes in messages that every server knows, the others in
    /// multitrack messages.
    number: u8,
    is_for_mediamtx: bool,
    /// Whether it has more parameter sets than the server keeps.
    lacks_sets: bool,
    description: Description,
    /// Parameter sets that the next key frame brings with it, length-prefixed.
    changed_sets: Vec<u8>,
}

/// A track that is left out.
#[derive(Debug, PartialEq)]
pub(super) struct LeftOut {
    pub(super) id: TrackId,
    pub(super) codec: &'static str,
    pub(super) reason: String,
}

/// Takes the first video and the first audio track, and further ones if the server takes them.
pub(super) fn choose(tracks: &Tracks, server: &Server) -> (Vec<Carried>, Vec<LeftOut>) {
    let (mut carried, mut left_out) = (Vec::new(), Vec::new());
    for track in tracks.iter() {
        let same = |other: &&Carried| other.id.medium == track.id.medium;
        let number = carried.iter().filter(same).count() as u8;
        match refusal(track, number, server) {
            None => carried.push(Carried::new(track, number, server)),
            Some(reason) => left_out.push(LeftOut {
                id: track.id,
                codec: codec_name(&track.description),
                reason,
            }),
        }
    }
    (carried, left_out)
}

/// Why a track can't be number `number` of its medium.
fn refusal(track: &Track, number: u8, server: &Server) -> Option<String> {
    if number == 0 {
        return None;
    }
    let medium = track.id.medium;
    if !server.takes_multitrack() {
        return Some(format!("this server takes one {medium} track"));
    }
    match multitrack::four_cc(&track.description) {
        None => Some("RTMP carries it as the first audio track only".to_owned()),
        Some(code) if server.lacks(code) => Some(format!("this server does not know {code}")),
        Some(_) => None,
    }
}

fn codec_name(description: &Description) -> &'static str {
    match description {
        Description::Video(video) => video.codec.name(),
        Description::Audio(audio) => audio.codec.name(),
    }
}

impl Carried {
    fn new(track: &Track, number: u8, server: &Server) -> Self {
        let mut carried = Self {
            id: track.id,
            number,
            is_for_mediamtx: server.is_mediamtx(),
            lacks_sets: false,
            description: track.description.clone(),
            changed_sets: Vec::new(),
        };
        carried.keep_sets();
        carried
    }

    /// Takes over another description of the same codec.
    pub(super) fn update(&mut self, description: &Description) {
        let before = std::mem::replace(&mut self.description, description.clone());
        self.keep_sets();
        // MediaMTX takes a second sequence header only of H.264 in plain messages, but looks into key frames.
        if before != self.description && (self.number > 0 || !self.has_h264()) {
            self.repeat_sets();
        }
    }

    /// Whether the server takes another sequence header of it while the stream runs. MediaMTX takes one of H.264 and AAC in
    /// plain messages; while it looks for tracks, it closes at any other (`already setupped`, gortmplib's `reader.go`), and
    /// later it ignores that.
    pub(super) fn takes_second_header(&self) -> bool {
        let is_legacy = match &self.description {
            Description::Video(_) => self.has_h264(),
            Description::Audio(audio) => matches!(audio.codec, AudioCodec::Aac { .. }),
        };
        !self.is_for_mediamtx || (self.number == 0 && is_legacy)
    }

    /// Whether the server closes when its first frame comes late: MediaMTX refuses frames of a track that it did not find at
    /// the start (`Reader.Read` in gortmplib's `reader.go`).
    pub(super) fn must_not_be_late(&self) -> bool {
        self.is_for_mediamtx && self.is_known_by_its_first_frame()
    }

    /// Leaves out the parameter sets that the server does not keep. MediaMTX keeps one of each kind
    /// (`internal/stream/unit_remuxer.go`); it refuses sequence headers of H.265 with more, and in multitrack messages those
    /// of H.264.
    fn keep_sets(&mut self) {
        if let (Description::Video(video), true) = (&mut self.description, self.is_for_mediamtx) {
            let kept = video.codec.with_first_sets();
            self.lacks_sets = kept != video.codec;
            video.codec = kept;
        }
    }

    /// Whether it has pictures that can't be decoded behind this server, since they may name parameter sets that it does
    /// not keep.
    pub(super) fn lacks_sets(&self) -> bool {
        self.lacks_sets
    }

    fn repeat_sets(&mut self) {
        let prefixed = |nal: &Bytes| [&(nal.len() as u32).to_be_bytes()[..], nal].concat();
        let Description::Video(video) = &self.description else {
            return;
        };
        self.changed_sets = match &video.codec {
            VideoCodec::H264(sets) => sets.iter().flat_map(prefixed).collect(),
            VideoCodec::H265(sets) => sets.iter().flat_map(prefixed).collect(),
            VideoCodec::Av1(_) | VideoCodec::Vp9(_) => Vec::new(),
        };
    }

    /// What goes into the next key frame, before its data.
    pub(super) fn take_changed_sets(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.changed_sets)
    }

    pub(super) fn is_video(&self) -> bool {
        self.id.medium == Medium::Video
    }

    /// Whether it goes in multitrack messages.
    pub(super) fn is_further(&self) -> bool {
        self.number > 0
    }

    pub(super) fn has_h264(&self) -> bool {
        matches!(&self.description, Description::Video(video) if matches!(video.codec, VideoCodec::H264(_)))
    }

    /// Whether a server learns of it by its first frame. So it is with G.711 and MP3, which have no sequence header; and
    /// MediaMTX does so with everything but AAC in plain messages, and video.
    pub(super) fn is_known_by_its_first_frame(&self) -> bool {
        match &self.description {
            Description::Video(_) => false,
            Description::Audio(audio) => {
                self.is_further() || !matches!(audio.codec, AudioCodec::Aac { .. })
            }
        }
    }

    /// The codec, for the log.
    pub(super) fn codec(&self) -> &'static str {
        codec_name(&self.description)
    }

    /// The sequence header, for the codecs that have one.
    pub(super) fn sequence_header(&self) -> Option<Vec<u8>> {
        match (&self.description, self.number) {
            (Description::Video(video), 0) => Some(flv::video_sequence_header(video)),
            (Description::Audio(audio), 0) => flv::audio_sequence_header(audio),
            (description, number) => multitrack::sequence_header(description, number),
        }
    }

    /// What stands before a frame; `composition_time` in milliseconds.
    pub(super) fn frame_header(&self, key: bool, composition_time: i32) -> Vec<u8> {
        match (&self.description, self.number) {
            (Description::Video(video), 0) => {
                flv::video_frame_header(&video.codec, key, composition_time)
            }
            (Description::Audio(audio), 0) => flv::audio_frame_header(audio),
            (description, number) => {
                multitrack::frame_header(description, number, key, composition_time)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::h265::tests::A_PPS;
    use crate::codec::nal::Sets as _;
    use crate::rtmp::amf0::Value;
    use crate::rtmp::flv::tests::{aac, audio, h264, h265, video};

    /// With the id 1.
    const SECOND_PPS: &[u8] = &[0x44, 1, 0x50, 0x72];

    fn tracks() -> Tracks {
        let descriptions = [
            Description::Video(video(h264())),
            Description::Audio(audio(aac(), 2)),
            Description::Audio(audio(AudioCodec::G711ALaw, 1)),
            Description::Video(video(h265())),
            Description::Audio(audio(AudioCodec::Opus, 2)),
        ];
        let mut counts = [0; 2];
        let tracks = descriptions.into_iter().map(|description| {
            let medium = match description {
                Description::Video(_) => Medium::Video,
                Description::Audio(_) => Medium::Audio,
            };
            let index = counts[medium as usize];
            counts[medium as usize] += 1;
            let id = TrackId { medium, index };
            Track { id, description }
        });
        Tracks(tracks.collect())
    }

    fn chosen(server: &Server) -> (Vec<(String, u8)>, Vec<String>) {
        let (carried, left_out) = choose(&tracks(), server);
        let carried = carried
            .iter()
            .map(|track| (track.id.to_string(), track.number));
        let left_out = left_out.iter();
        let left_out =
            left_out.map(|track| format!("{} {}: {}", track.id, track.codec, track.reason));
        (carried.collect(), left_out.collect())
    }

    fn numbered(expected: &[(&str, u8)]) -> Vec<(String, u8)> {
        let expected = expected.iter();
        expected
            .map(|(id, number)| ((*id).to_owned(), *number))
            .collect()
    }

    #[test]
    fn a_server_that_does_not_say_that_it_takes_more_gets_the_first_of_each_medium() {
        let (carried, left_out) = chosen(&Server::default());
        assert_eq!(carried, numbered(&[("video", 0), ("audio", 0)]));
        let expected = [
            "audio 2 G711: this server takes one audio track",
            "video 2 H.265: this server takes one video track",
            "audio 3 Opus: this server takes one audio track",
        ];
        assert_eq!(left_out, expected);
    }

    #[test]
    fn one_that_does_gets_all_that_have_a_code_it_knows() {
        let caps = ("capsEx".to_owned(), Value::Number(2.0));
        let server = Server::from_answer(&[Value::Object(vec![caps.clone()])]);
        let (carried, left_out) = chosen(&server);
        let expected = [("video", 0), ("audio", 0), ("video 2", 1), ("audio 3", 1)];
        assert_eq!(carried, numbered(&expected));
        assert_eq!(
            left_out,
            ["audio 2 G711: RTMP carries it as the first audio track only"]
        );
        let list = Value::StrictArray(vec![Value::string("Opus")]);
        let list = ("fourCcList".to_owned(), list);
        let (carried, left_out) = chosen(&Server::from_answer(&[Value::Object(vec![caps, list])]));
        assert_eq!(
            carried,
            numbered(&[("video", 0), ("audio", 0), ("audio 3", 1)])
        );
        assert_eq!(left_out[1], "video 2 H.265: this server does not know hvc1");
    }

    #[test]
    fn what_changes_goes_into_the_next_key_frame_where_no_second_header_is_taken() {
        let caps = ("capsEx".to_owned(), Value::Number(2.0));
        let server = Server::from_answer(&[Value::Object(vec![caps])]);
        let (mut carried, _) = choose(&tracks(), &server);
        let changed = |track: &mut Carried| {
            let Description::Video(mut video) = track.description.clone() else {
                panic!("{track:?}");
            };
            video.width += 2;
            track.update(&Description::Video(video));
            !track.take_changed_sets().is_empty()
        };
        assert!(!changed(&mut carried[0]), "H.264 in plain messages");
        assert!(changed(&mut carried[2]), "H.265 in multitrack messages");
    }

    #[test]
    fn a_header_comes_again_only_where_the_server_takes_it_twice() {
        let fms = ("fmsVer".to_owned(), Value::string("LNX 9,0,124,2"));
        let mediamtx = Server::from_answer(&[Value::Object(vec![fms])]);
        let caps = ("capsEx".to_owned(), Value::Number(2.0));
        let other = Server::from_answer(&[Value::Object(vec![caps])]);
        let again = |server: &Server| {
            let (carried, _) = choose(&tracks(), server);
            let again = carried.iter().map(Carried::takes_second_header);
            again.collect::<Vec<_>>()
        };
        assert_eq!(again(&mediamtx), [true, true, false, false]);
        assert_eq!(again(&other), [true; 4]);
        let h265 = Tracks(vec![tracks().0.swap_remove(3)]);
        assert!(!choose(&h265, &mediamtx).0[0].takes_second_header());
    }

    #[test]
    fn mediamtx_gets_one_parameter_set_of_each_kind() {
        let mut tracks = tracks();
        let Description::Video(video) = &mut tracks.0[3].description else {
            panic!("{tracks:?}");
        };
        let VideoCodec::H265(sets) = &mut video.codec else {
            panic!("{video:?}");
        };
        sets.take(A_PPS);
        sets.take(SECOND_PPS);
        let fms = ("fmsVer".to_owned(), Value::string("LNX 9,0,124,2"));
        let mediamtx = Server::from_answer(&[Value::Object(vec![fms])]);
        let caps = ("capsEx".to_owned(), Value::Number(2.0));
        let other = Server::from_answer(&[Value::Object(vec![caps])]);
        for (server, lacks_sets) in [(mediamtx, true), (other, false)] {
            let (carried, _) = choose(&tracks, &server);
            let header = carried[2].sequence_header().unwrap();
            let has_second = header.ends_with(SECOND_PPS);
            assert_eq!(
                (carried[2].lacks_sets(), has_second),
                (lacks_sets, !lacks_sets)
            );
        }
    }
}
