//! Servers that people have, at both ends: what a publisher's file holds comes out of each, frame by frame.
//!
//! tests/INTEROP.md is the table of what is tested here.

use std::any::Any;
use std::time::Duration;

use suite_tests::clips::{Audio, Clip, Video};
use suite_tests::compare::{assert_constant_shift, assert_decodable_order, assert_identical};
use suite_tests::go2rtc::Go2rtc;
use suite_tests::gstreamer::GstRtspServer;
use suite_tests::lal::Lal;
use suite_tests::mediamtx::{Config, MediaMtx};
use suite_tests::nginx::Nginx;
use suite_tests::packets::Kind;
use suite_tests::payloads::{PayloadReader, read_file};
use suite_tests::waiting::wait_until;
use suite_tests::worker::Worker;

const SOON: Duration = Duration::from_secs(20);

/// Time stamps of RTMP are whole milliseconds, at the worker's output and at the reader's end.
const ROUNDING: i64 = 2_000;

/// How far sound may be from picture, in microseconds, against the published file.
const LIP_SYNC: i64 = 25_000;

#[derive(Clone, Copy, Debug)]
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
    publish_to: String,
    rtmp: String,
    rtsp: Option<String>,
    /// Whether its readers are told how sound and picture stand to each other.
    keeps_lip_sync: bool,
    has_publisher: Box<dyn Fn() -> bool>,
}

impl Server {
    fn serves(self, clip: Clip) -> Source {
        match self {
            Self::MediaMtx => {
                let server = MediaMtx::start(Config::default());
                let publisher = clip.publish(&server.rtsp("in"));
                server.wait_ready("in", SOON);
                Source {
                    url: server.rtsp("in"),
                    _running: Box::new((publisher, server)),
                }
            }
            Self::Go2rtc => {
                let server = Go2rtc::start();
                let publisher = clip.publish(&server.rtsp("in"));
                wait_until("the source at go2rtc", SOON, || server.has_publisher("in"));
                Source {
                    url: server.rtsp("in"),
                    _running: Box::new((publisher, server)),
                }
            }
            Self::Lal => {
                let server = Lal::start();
                let publisher = clip.publish(&server.rtsp("in"));
                wait_until("the source at lal", SOON, || server.has_publisher("in"));
                Source {
                    url: server.rtsp("in"),
                    _running: Box::new((publisher, server)),
                }
            }
            Self::GStreamer => {
                let server = GstRtspServer::start(clip);
                Source {
                    url: server.rtsp(),
                    _running: Box::new(server),
                }
            }
            Self::Nginx => unreachable!("nginx does not speak RTSP"),
        }
    }

    fn takes(self) -> Sink {
        match self {
            Self::MediaMtx => {
                let server = MediaMtx::start(Config::default());
                Sink {
                    publish_to: server.rtmp("out"),
                    rtmp: server.rtmp("out"),
                    rtsp: Some(server.rtsp("out")),
                    keeps_lip_sync: true,
                    has_publisher: Box::new(move || server.is_ready("out")),
                }
            }
            Self::Go2rtc => {
                let server = Go2rtc::start();
                Sink {
                    publish_to: server.rtmp("out"),
                    rtmp: server.rtmp("out"),
                    rtsp: Some(server.rtsp("out")),
                    // Each track starts at 0 for each reader (pkg/flv/muxer.go).
                    keeps_lip_sync: false,
                    has_publisher: Box::new(move || server.has_publisher("out")),
                }
            }
            Self::Lal => {
                let server = Lal::start();
                Sink {
                    publish_to: server.rtmp("out"),
                    rtmp: server.rtmp("out"),
                    rtsp: Some(server.rtsp("out")),
                    keeps_lip_sync: true,
                    has_publisher: Box::new(move || server.has_publisher("out")),
                }
            }
            Self::Nginx => {
                let server = Nginx::start();
                Sink {
                    publish_to: server.rtmp("out"),
                    rtmp: server.rtmp("out"),
                    rtsp: None,
                    keeps_lip_sync: true,
                    has_publisher: Box::new(move || server.has_publisher("out")),
                }
            }
            Self::GStreamer => unreachable!("GStreamer's RTSP server does not speak RTMP"),
        }
    }
}

/// Whether ffmpeg knows the clip's codecs over RTMP.
fn is_plain(clip: Clip) -> bool {
    matches!(clip.video, Some(Video::H264 | Video::H264BFrames))
        && matches!(clip.audio, None | Some(Audio::Aac))
}

/// Where ffmpeg reads the clip: over RTMP, whose time stamps need no guessing, as far as it can; else over RTSP, if need be
/// from a MediaMTX that fetches the stream.
fn reader(sink: &Sink, clip: Clip) -> (PayloadReader, Option<MediaMtx>) {
    if is_plain(clip) {
        return (PayloadReader::start(&sink.rtmp, clip.video), None);
    }
    if let Some(rtsp) = &sink.rtsp {
        return (PayloadReader::start(rtsp, clip.video), None);
    }
    let source = format!("source: {}", sink.rtmp);
    let viewer = MediaMtx::start(Config::default().path("seen", &source));
    viewer.wait_ready("seen", SOON);
    let reader = PayloadReader::start(&viewer.rtsp("seen"), clip.video);
    (reader, Some(viewer))
}

/// Passes a clip from one server to another, and compares what comes out with the file that was published.
fn passes(from: Server, to: Server, clip: Clip) {
    let (source, sink) = (from.serves(clip), to.takes());
    let worker = Worker::start(&source.url, &sink.publish_to);
    worker.wait_state("streaming", SOON);
    wait_until("the stream at the sink", SOON, || (sink.has_publisher)());
    let (reader, _viewer) = reader(&sink, clip);
    let after = reader.collect(Kind::Video, 75, SOON);
    let before = read_file(&clip.file(), clip.video);

    let shift = |kind| {
        let pairs = assert_identical(kind, &before, &after, 60);
        assert_decodable_order(kind, &after);
        assert_constant_shift(&pairs, ROUNDING)
    };
    let video = shift(Kind::Video);
    if clip.audio.is_some() {
        let audio = shift(Kind::Audio);
        let is_known = sink.keeps_lip_sync && is_plain(clip);
        assert!(
            !is_known || (video - audio).abs() <= LIP_SYNC,
            "picture {video}, sound {audio}"
        );
    }
    assert!(worker.retries().is_empty(), "{:?}", worker.retries());
}

/// A test for each cell.
macro_rules! cells {
    ($($name:ident: $from:ident to $to:ident, $video:ident, $audio:expr;)*) => {
        $(#[test]
        fn $name() {
            passes(Server::$from, Server::$to, Clip::new(Video::$video, $audio));
        })*
    };
}

cells! {
    mediamtx_to_mediamtx: MediaMtx to MediaMtx, H264, Audio::Aac;
    mediamtx_to_go2rtc: MediaMtx to Go2rtc, H264, Audio::Aac;
    mediamtx_to_lal: MediaMtx to Lal, H264, Audio::Aac;
    mediamtx_to_nginx: MediaMtx to Nginx, H264, Audio::Aac;
    go2rtc_to_mediamtx: Go2rtc to MediaMtx, H264, Audio::Aac;
    go2rtc_to_go2rtc: Go2rtc to Go2rtc, H264, Audio::Aac;
    go2rtc_to_lal: Go2rtc to Lal, H264, Audio::Aac;
    go2rtc_to_nginx: Go2rtc to Nginx, H264, Audio::Aac;
    lal_to_mediamtx: Lal to MediaMtx, H264, Audio::Aac;
    lal_to_go2rtc: Lal to Go2rtc, H264, Audio::Aac;
    lal_to_lal: Lal to Lal, H264, Audio::Aac;
    lal_to_nginx: Lal to Nginx, H264, Audio::Aac;
    gstreamer_to_mediamtx: GStreamer to MediaMtx, H264, Audio::Aac;
    gstreamer_to_go2rtc: GStreamer to Go2rtc, H264, Audio::Aac;
    gstreamer_to_lal: GStreamer to Lal, H264, Audio::Aac;
    gstreamer_to_nginx: GStreamer to Nginx, H264, Audio::Aac;
    b_frames_from_mediamtx: MediaMtx to MediaMtx, H264BFrames, Audio::Aac;
    h265_from_mediamtx: MediaMtx to MediaMtx, H265, Audio::Aac;
    opus_from_mediamtx: MediaMtx to MediaMtx, H264, Audio::Opus;
    a_law_from_mediamtx: MediaMtx to MediaMtx, H264, Audio::Pcma;
    mu_law_from_mediamtx: MediaMtx to MediaMtx, H264, Audio::Pcmu;
    b_frames_from_go2rtc: Go2rtc to MediaMtx, H264BFrames, Audio::Aac;
    h265_from_go2rtc: Go2rtc to MediaMtx, H265, Audio::Aac;
    opus_from_go2rtc: Go2rtc to MediaMtx, H264, Audio::Opus;
    a_law_from_go2rtc: Go2rtc to MediaMtx, H264, Audio::Pcma;
    mu_law_from_go2rtc: Go2rtc to MediaMtx, H264, Audio::Pcmu;
    b_frames_from_lal: Lal to MediaMtx, H264BFrames, Audio::Aac;
    h265_from_lal: Lal to MediaMtx, H265, Audio::Aac;
    opus_from_lal: Lal to MediaMtx, H264, Audio::Opus;
    a_law_from_lal: Lal to MediaMtx, H264, Audio::Pcma;
    mu_law_from_lal: Lal to MediaMtx, H264, Audio::Pcmu;
    b_frames_from_gstreamer: GStreamer to MediaMtx, H264BFrames, Audio::Aac;
    h265_from_gstreamer: GStreamer to MediaMtx, H265, Audio::Aac;
    opus_from_gstreamer: GStreamer to MediaMtx, H264, Audio::Opus;
    a_law_from_gstreamer: GStreamer to MediaMtx, H264, Audio::Pcma;
    mu_law_from_gstreamer: GStreamer to MediaMtx, H264, Audio::Pcmu;
    b_frames_to_go2rtc: MediaMtx to Go2rtc, H264BFrames, Audio::Aac;
    h265_to_go2rtc: MediaMtx to Go2rtc, H265, Audio::Aac;
    opus_to_go2rtc: MediaMtx to Go2rtc, H264, Audio::Opus;
    a_law_to_go2rtc: MediaMtx to Go2rtc, H264, Audio::Pcma;
    mu_law_to_go2rtc: MediaMtx to Go2rtc, H264, Audio::Pcmu;
    b_frames_to_lal: MediaMtx to Lal, H264BFrames, Audio::Aac;
    h265_to_lal: MediaMtx to Lal, H265, Audio::Aac;
    opus_to_lal: MediaMtx to Lal, H264, Audio::Opus;
    a_law_to_lal: MediaMtx to Lal, H264, Audio::Pcma;
    mu_law_to_lal: MediaMtx to Lal, H264, Audio::Pcmu;
    b_frames_to_nginx: MediaMtx to Nginx, H264BFrames, Audio::Aac;
    h265_to_nginx: MediaMtx to Nginx, H265, Audio::Aac;
    opus_to_nginx: MediaMtx to Nginx, H264, Audio::Opus;
    a_law_to_nginx: MediaMtx to Nginx, H264, Audio::Pcma;
    mu_law_to_nginx: MediaMtx to Nginx, H264, Audio::Pcmu;
}
