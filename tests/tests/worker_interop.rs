//! Servers that people have, at both ends: what a publisher's file holds comes out of each, frame by frame.
//!
//! tests/INTEROP.md is the table of these tests.

use std::any::Any;
use std::time::Duration;

use suite_tests::clips::{Audio, Clip, Video};
use suite_tests::compare::{
    assert_constant_shift, assert_decodable_order, assert_gentle_shift, assert_identical,
};
use suite_tests::go2rtc::Go2rtc;
use suite_tests::gstreamer::GstRtspServer;
use suite_tests::lal::Lal;
use suite_tests::mediamtx::{Config, MediaMtx};
use suite_tests::nginx::Nginx;
use suite_tests::packets::{Kind, Packet};
use suite_tests::payloads::{PayloadReader, read_file};
use suite_tests::waiting::wait_until;
use suite_tests::worker::Worker;

const SOON: Duration = Duration::from_secs(20);

/// Time stamps of RTMP are whole milliseconds, at the worker's output and at the reader's end.
const ROUNDING: i64 = 2_000;

/// How far sound may be from picture, in microseconds, against the published file.
const LIP_SYNC: i64 = 25_000;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Server {
    MediaMtx,
    Go2rtc,
    Lal,
    Nginx,
    GStreamer,
}

/// A server that serves a clip.
struct Source {
    url: String,
    _running: Box<dyn Any>,
}

/// A server that takes a stream.
struct Sink {
    rtmp: String,
    rtsp: Option<String>,
    has_publisher: Box<dyn Fn() -> bool>,
}

impl Server {
    fn serves(self, clip: Clip) -> Source {
        match self {
            Self::MediaMtx => {
                let server = MediaMtx::start(Config::default());
                let publisher = clip.publish(&server.rtsp("in"));
                server.wait_ready("in", SOON);
                Source::new(server.rtsp("in"), (publisher, server))
            }
            Self::Go2rtc => {
                let server = Go2rtc::start();
                let publisher = clip.publish(&server.rtsp("in"));
                wait_until("the source at go2rtc", SOON, || server.has_publisher("in"));
                Source::new(server.rtsp("in"), (publisher, server))
            }
            Self::Lal => {
                let server = Lal::start();
                let publisher = clip.publish(&server.rtsp("in"));
                wait_until("the source at lal", SOON, || server.has_publisher("in"));
                Source::new(server.rtsp("in"), (publisher, server))
            }
            Self::GStreamer => {
                let server = GstRtspServer::start(clip);
                Source::new(server.rtsp(), server)
            }
            Self::Nginx => unreachable!("nginx does not speak RTSP"),
        }
    }

    fn takes(self) -> Sink {
        let (rtmp, rtsp, has_publisher): (_, _, Box<dyn Fn() -> bool>) = match self {
            Self::MediaMtx => {
                let server = MediaMtx::start(Config::default());
                let urls = (server.rtmp("out"), Some(server.rtsp("out")));
                (urls.0, urls.1, Box::new(move || server.is_ready("out")))
            }
            Self::Go2rtc => {
                let server = Go2rtc::start();
                let urls = (server.rtmp("out"), Some(server.rtsp("out")));
                (
                    urls.0,
                    urls.1,
                    Box::new(move || server.has_publisher("out")),
                )
            }
            // Its RTSP has decoding times only (pkg/remux/rtmp2rtsp.go), its RTMP is what was published.
            Self::Lal => {
                let server = Lal::start();
                let url = server.rtmp("out");
                (url, None, Box::new(move || server.has_publisher("out")))
            }
            Self::Nginx => {
                let server = Nginx::start();
                let url = server.rtmp("out");
                (url, None, Box::new(move || server.has_publisher("out")))
            }
            Self::GStreamer => unreachable!("GStreamer's RTSP server does not speak RTMP"),
        };
        Sink {
            rtmp,
            rtsp,
            has_publisher,
        }
    }

    /// Whether it serves this sound over RTSP. lal lists MP3 as a track, and sends nothing of it
    /// (pkg/rtsp/base_in_session.go).
    fn serves_sound(self, audio: Audio) -> bool {
        self != Self::Lal || !matches!(audio, Audio::Mp3)
    }

    /// Whether it passes this picture on that was published over RTMP. nginx-rtmp 1.2.2 gives readers no message of
    /// video that has a code of enhanced RTMP.
    fn passes_picture(self, video: Video) -> bool {
        match self {
            Self::Nginx => matches!(video, Video::H264 | Video::H264BFrames),
            // pkg/flv/producer.go
            Self::Go2rtc => !matches!(video, Video::Vp9 | Video::Av1),
            _ => true,
        }
    }

    /// Likewise this sound.
    fn passes_sound(self, audio: Audio) -> bool {
        match self {
            // pkg/flv/producer.go
            Self::Go2rtc => matches!(audio, Audio::Aac),
            _ => true,
        }
    }

    /// Whether readers are told when a picture is shown that is decoded earlier, and how sound and picture stand to each
    /// other. In go2rtc, composition times are 0, and each track starts at 0 for each reader (pkg/flv).
    fn keeps_times(self) -> bool {
        self != Self::Go2rtc
    }

    /// Whether a publisher that announces codecs of enhanced RTMP gets an answer. go2rtc does not read strict arrays
    /// (pkg/flv/amf).
    fn answers_announced_codecs(self) -> bool {
        self != Self::Go2rtc
    }
}

impl Source {
    fn new(url: String, running: impl Any) -> Self {
        Self {
            url,
            _running: Box::new(running),
        }
    }
}

/// Whether the clip's codecs have numbers in FLV, so that no code of enhanced RTMP is needed.
fn is_plain(clip: Clip) -> bool {
    matches!(clip.video, Some(Video::H264 | Video::H264BFrames))
        && !matches!(clip.audio, Some(Audio::Opus))
}

/// Reads a sink over RTMP, whose time stamps need no guessing. What ffmpeg does not know there is read over RTSP, if need
/// be from a MediaMTX that fetches the stream.
enum Viewer {
    Direct(String),
    Fetching(MediaMtx),
}

impl Viewer {
    fn start(sink: &Sink, clip: Clip) -> Self {
        // MediaMTX serves no MP3 of 48 kHz over RTMP.
        let is_mp3 = matches!(clip.audio, Some(Audio::Mp3));
        let is_known_to_ffmpeg = is_plain(clip) && (!is_mp3 || sink.rtsp.is_none());
        match &sink.rtsp {
            _ if is_known_to_ffmpeg => Self::Direct(sink.rtmp.clone()),
            Some(rtsp) => Self::Direct(rtsp.clone()),
            None => {
                let source = format!("source: {}", sink.rtmp);
                Self::Fetching(MediaMtx::start(Config::default().path("seen", &source)))
            }
        }
    }

    /// Whether decoding times are told; over RTSP, ffmpeg guesses them.
    fn is_over_rtmp(&self) -> bool {
        matches!(self, Self::Direct(url) if url.starts_with("rtmp:"))
    }

    /// Until there are enough packets of `kind`.
    fn read(&self, clip: Clip, kind: Kind) -> Vec<Packet> {
        let url = match self {
            Self::Direct(url) => url.clone(),
            Self::Fetching(server) => {
                server.wait_ready("seen", SOON);
                server.rtsp("seen")
            }
        };
        PayloadReader::start(&url, clip.video).collect(kind, 75, SOON)
    }
}

/// Passes a clip from one server to another, and compares what comes out with the file that was published: each track
/// whole, or not there at all if the sink does not know its codec.
fn passes(from: Server, to: Server, clip: Clip) {
    let (source, sink) = (from.serves(clip), to.takes());
    let viewer = Viewer::start(&sink, clip);
    let worker = Worker::start(&source.url, &sink.rtmp);
    worker.wait_state("streaming", SOON);
    wait_until("the stream at the sink", SOON, || (sink.has_publisher)());

    let kinds = [
        clip.video
            .filter(|video| to.passes_picture(*video))
            .map(|_| Kind::Video),
        clip.audio
            .filter(|audio| from.serves_sound(*audio) && to.passes_sound(*audio))
            .map(|_| Kind::Audio),
    ];
    let kinds: Vec<Kind> = kinds.into_iter().flatten().collect();
    let before = read_file(&clip.file(), clip.video);
    // How tracks stand to each other, the worker learns by their arrivals, of which the first can be late.
    wait_until("sound that stands to its picture", SOON, || {
        let after = viewer.read(clip, kinds[0]);
        let shifts = compare(to, &viewer, &kinds, &before, &after);
        !matches!(shifts[..], [video, audio] if (video - audio).abs() > LIP_SYNC)
    });
    let retries = usize::from(!is_plain(clip) && !to.answers_announced_codecs());
    assert_eq!(worker.retries().len(), retries, "{:?}", worker.retries());
}

/// Expects that what came out is what went in, and returns by how much each kind's time stamps were shifted at last, in
/// microseconds, where readers are told.
fn compare(
    to: Server,
    viewer: &Viewer,
    kinds: &[Kind],
    before: &[Packet],
    after: &[Packet],
) -> Vec<i64> {
    assert!(after.iter().all(|packet| kinds.contains(&packet.kind)));
    let mut shifts = vec![];
    for kind in kinds {
        let pairs = assert_identical(*kind, before, after, 60);
        if viewer.is_over_rtmp() {
            assert_decodable_order(*kind, after);
        }
        if to.keeps_times() {
            shifts.push(match kind {
                Kind::Video => assert_constant_shift(&pairs, ROUNDING),
                Kind::Audio => assert_gentle_shift(&pairs),
            });
        }
    }
    // Over RTSP, ffmpeg guesses how tracks stand to each other until the first sender report.
    if !viewer.is_over_rtmp() {
        shifts.clear();
    }
    shifts
}

/// Streams from a server over this transport to a MediaMTX.
fn transports(from: Server, transport: &str) {
    let (clip, sink) = (Clip::h264_aac(), Server::MediaMtx.takes());
    let source = from.serves(clip);
    let worker = Worker::start_with(&source.url, &sink.rtmp, |command| {
        command.args(["--transport", transport]);
    });
    worker.wait_state("streaming", SOON);
    wait_until("the stream at the sink", SOON, || (sink.has_publisher)());
    let after = PayloadReader::start(&sink.rtmp, clip.video).collect(Kind::Video, 75, SOON);
    let before = read_file(&clip.file(), clip.video);
    for kind in [Kind::Video, Kind::Audio] {
        assert_identical(kind, &before, &after, 60);
    }
}

#[test]
fn lal_over_udp() {
    transports(Server::Lal, "udp");
}

#[test]
fn gstreamer_over_udp() {
    transports(Server::GStreamer, "udp");
}

/// It answers 461 to a SETUP of UDP.
#[test]
fn automatic_transport_streams_from_go2rtc_which_has_no_udp() {
    transports(Server::Go2rtc, "auto");
}

/// A test for each cell.
macro_rules! cells {
    ($($name:ident: $from:ident to $to:ident, $video:ident with $audio:ident;)*) => {
        $(#[test]
        fn $name() {
            passes(Server::$from, Server::$to, Clip::new(Video::$video, Audio::$audio));
        })*
    };
}

cells! {
    mediamtx_to_mediamtx: MediaMtx to MediaMtx, H264 with Aac;
    mediamtx_to_go2rtc: MediaMtx to Go2rtc, H264 with Aac;
    mediamtx_to_lal: MediaMtx to Lal, H264 with Aac;
    mediamtx_to_nginx: MediaMtx to Nginx, H264 with Aac;
    go2rtc_to_mediamtx: Go2rtc to MediaMtx, H264 with Aac;
    go2rtc_to_go2rtc: Go2rtc to Go2rtc, H264 with Aac;
    go2rtc_to_lal: Go2rtc to Lal, H264 with Aac;
    go2rtc_to_nginx: Go2rtc to Nginx, H264 with Aac;
    lal_to_mediamtx: Lal to MediaMtx, H264 with Aac;
    lal_to_go2rtc: Lal to Go2rtc, H264 with Aac;
    lal_to_lal: Lal to Lal, H264 with Aac;
    lal_to_nginx: Lal to Nginx, H264 with Aac;
    gstreamer_to_mediamtx: GStreamer to MediaMtx, H264 with Aac;
    gstreamer_to_go2rtc: GStreamer to Go2rtc, H264 with Aac;
    gstreamer_to_lal: GStreamer to Lal, H264 with Aac;
    gstreamer_to_nginx: GStreamer to Nginx, H264 with Aac;

    b_frames_from_mediamtx: MediaMtx to MediaMtx, H264BFrames with Aac;
    h265_from_mediamtx: MediaMtx to MediaMtx, H265 with Aac;
    opus_from_mediamtx: MediaMtx to MediaMtx, H264 with Opus;
    a_law_from_mediamtx: MediaMtx to MediaMtx, H264 with Pcma;
    mu_law_from_mediamtx: MediaMtx to MediaMtx, H264 with Pcmu;
    b_frames_from_go2rtc: Go2rtc to MediaMtx, H264BFrames with Aac;
    h265_from_go2rtc: Go2rtc to MediaMtx, H265 with Aac;
    opus_from_go2rtc: Go2rtc to MediaMtx, H264 with Opus;
    a_law_from_go2rtc: Go2rtc to MediaMtx, H264 with Pcma;
    mu_law_from_go2rtc: Go2rtc to MediaMtx, H264 with Pcmu;
    b_frames_from_lal: Lal to MediaMtx, H264BFrames with Aac;
    h265_from_lal: Lal to MediaMtx, H265 with Aac;
    opus_from_lal: Lal to MediaMtx, H264 with Opus;
    a_law_from_lal: Lal to MediaMtx, H264 with Pcma;
    mu_law_from_lal: Lal to MediaMtx, H264 with Pcmu;
    b_frames_from_gstreamer: GStreamer to MediaMtx, H264BFrames with Aac;
    h265_from_gstreamer: GStreamer to MediaMtx, H265 with Aac;
    opus_from_gstreamer: GStreamer to MediaMtx, H264 with Opus;
    a_law_from_gstreamer: GStreamer to MediaMtx, H264 with Pcma;
    mu_law_from_gstreamer: GStreamer to MediaMtx, H264 with Pcmu;

    b_frames_to_go2rtc: MediaMtx to Go2rtc, H264BFrames with Aac;
    h265_to_go2rtc: MediaMtx to Go2rtc, H265 with Aac;
    opus_to_go2rtc: MediaMtx to Go2rtc, H264 with Opus;
    a_law_to_go2rtc: MediaMtx to Go2rtc, H264 with Pcma;
    mu_law_to_go2rtc: MediaMtx to Go2rtc, H264 with Pcmu;
    b_frames_to_lal: MediaMtx to Lal, H264BFrames with Aac;
    h265_to_lal: MediaMtx to Lal, H265 with Aac;
    opus_to_lal: MediaMtx to Lal, H264 with Opus;
    a_law_to_lal: MediaMtx to Lal, H264 with Pcma;
    mu_law_to_lal: MediaMtx to Lal, H264 with Pcmu;
    b_frames_to_nginx: MediaMtx to Nginx, H264BFrames with Aac;
    h265_to_nginx: MediaMtx to Nginx, H265 with Aac;
    opus_to_nginx: MediaMtx to Nginx, H264 with Opus;
    a_law_to_nginx: MediaMtx to Nginx, H264 with Pcma;
    mu_law_to_nginx: MediaMtx to Nginx, H264 with Pcmu;
    mp3_from_mediamtx: MediaMtx to MediaMtx, H264 with Mp3;
    mp3_from_go2rtc: Go2rtc to MediaMtx, H264 with Mp3;
    mp3_from_lal: Lal to MediaMtx, H264 with Mp3;
    mp3_from_gstreamer: GStreamer to MediaMtx, H264 with Mp3;
    mp3_to_go2rtc: MediaMtx to Go2rtc, H264 with Mp3;
    mp3_to_lal: MediaMtx to Lal, H264 with Mp3;
    mp3_to_nginx: MediaMtx to Nginx, H264 with Mp3;
    vp9_from_mediamtx: MediaMtx to MediaMtx, Vp9 with Aac;
    vp9_from_go2rtc: Go2rtc to MediaMtx, Vp9 with Aac;
    vp9_from_lal: Lal to MediaMtx, Vp9 with Aac;
    vp9_to_go2rtc: MediaMtx to Go2rtc, Vp9 with Aac;
    vp9_to_lal: MediaMtx to Lal, Vp9 with Aac;
    vp9_to_nginx: MediaMtx to Nginx, Vp9 with Aac;
}
