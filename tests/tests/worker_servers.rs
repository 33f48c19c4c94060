//! Servers and transports other than the usual: authentication, UDP, TLS, GStreamer, nginx.

use std::time::Duration;

use suite_tests::certificates::Certificate;
use suite_tests::clips::{Audio, Clip, Video};
use suite_tests::compare::{assert_decodable_order, assert_no_gap};
use suite_tests::gstreamer::{Auth, GstRtspServer};
use suite_tests::mediamtx::{Config, MediaMtx};
use suite_tests::nginx::Nginx;
use suite_tests::packets::{Kind, Reader};
use suite_tests::stack::{IN, OUT, SOON, Stack};
use suite_tests::waiting::wait_until;
use suite_tests::worker::Worker;

const USER: &str = "worker";
const PASSWORD: &str = "s3cret+of@the#worker";
const ENCODED: &str = "s3cret%2Bof%40the%23worker";

fn with_credentials(url: &str, password: &str) -> String {
    url.replace("rtsp://", &format!("rtsp://{USER}:{password}@"))
}

/// Streams from `input` to a MediaMTX of its own.
fn streams(input: &str, credentials_in_environment: bool) {
    let server = MediaMtx::start(Config::default());
    let worker = Worker::start_with(input, &server.rtmp(OUT), |command| {
        if credentials_in_environment {
            command
                .env("RTSP_USERNAME", USER)
                .env("RTSP_PASSWORD", PASSWORD);
        }
    });
    worker.wait_state("streaming", SOON);
    server.wait_ready(OUT, SOON);
    assert!(
        !worker.process().output().contains("s3cret"),
        "{}",
        worker.process().output()
    );
}

#[test]
fn gstreamer_asks_for_basic_authentication() {
    let source = GstRtspServer::start_with_auth(Clip::h264_aac(), Auth::Basic, USER, PASSWORD);
    streams(&with_credentials(&source.rtsp(), ENCODED), false);
    streams(&source.rtsp(), true);
}

#[test]
fn gstreamer_asks_for_digest_authentication() {
    let source = GstRtspServer::start_with_auth(Clip::h264_aac(), Auth::Digest, USER, PASSWORD);
    streams(&with_credentials(&source.rtsp(), ENCODED), false);
    streams(&source.rtsp(), true);
}

/// A MediaMTX that asks for a password by `method`, with a publisher that knows it.
fn guarded(method: &str) -> (MediaMtx, suite_tests::processes::Spawned) {
    let config = Config::default().only_user(USER, &format!("{PASSWORD:?}"));
    let server = MediaMtx::start(config.global(&format!("rtspAuthMethods: [{method}]")));
    let publisher = Clip::h264_aac().publish(&with_credentials(&server.rtsp(IN), ENCODED));
    server.wait_ready(IN, 2 * SOON);
    (server, publisher)
}

#[test]
fn mediamtx_asks_for_basic_authentication() {
    let (server, _publisher) = guarded("basic");
    streams(&with_credentials(&server.rtsp(IN), ENCODED), false);
}

#[test]
fn mediamtx_asks_for_digest_authentication() {
    let (server, _publisher) = guarded("digest");
    streams(&server.rtsp(IN), true);
}

#[test]
fn wrong_password_is_told_apart_from_a_missing_path() {
    let (server, _publisher) = guarded("basic");
    let nginx = Nginx::start();
    for input in [with_credentials(&server.rtsp(IN), "wrong"), server.rtsp(IN)] {
        let mut worker = Worker::start(&input, &nginx.rtmp("test"));
        assert_eq!(worker.wait_code(2 * SOON), 1);
        let log = worker.process().output().to_lowercase();
        assert!(
            log.contains("401") || log.contains("authenti") || log.contains("password"),
            "{log}"
        );
        assert!(
            !log.contains("404") && !log.contains("not found") && !log.contains("no stream"),
            "{log}"
        );
    }
}

#[test]
fn udp_carries_the_stream_if_asked_for() {
    let stack = Stack::start();
    let worker = Worker::start_with(&stack.input(), &stack.output(), |command| {
        command.args(["--transport", "udp"]);
    });
    worker.wait_state("streaming", SOON);
    stack.wait_out();
    let packets = Reader::start(&stack.output()).collect(Kind::Video, 75, SOON);
    assert_no_gap(Kind::Video, &packets);
    let sessions = stack.server.connections("rtspsessions");
    assert!(
        sessions.iter().any(|session| session["transport"] == "UDP"),
        "{sessions:?}"
    );
}

#[test]
fn automatic_transport_streams_from_a_server_without_udp() {
    let stack = Stack::start_with(
        Config::default().global("rtspTransports: [tcp]"),
        Clip::h264_aac(),
    );
    let worker = Worker::start_with(&stack.input(), &stack.output(), |command| {
        command.args(["--transport", "auto"]);
    });
    worker.wait_state("streaming", 2 * SOON);
    stack.wait_out();
}

#[test]
fn rtmps_streams_to_a_server_with_a_trusted_certificate_only() {
    let certificate = Certificate::generate();
    let folder = tempfile::tempdir().expect("a temp folder");
    let (authority, _) = certificate.write(folder.path());
    let stack = Stack::start_with(Config::default().rtmps(certificate), Clip::h264_aac());
    let output = stack.server.rtmps(OUT);

    let mut distrustful = Worker::start(&stack.input(), &output);
    assert_eq!(distrustful.wait_code(2 * SOON), 1);
    let log = distrustful.process().output().to_lowercase();
    assert!(log.contains("certificate"), "{log}");
    assert!(!stack.server.is_ready(OUT));

    let worker = Worker::start_with(&stack.input(), &output, |command| {
        command.env("SSL_CERT_FILE", &authority);
    });
    worker.wait_state("streaming", SOON);
    stack.wait_out();
    assert_eq!(stack.server.connections("rtmpsconns").len(), 1);
}

#[test]
fn gstreamer_at_the_near_end_and_nginx_at_the_far_end() {
    let source = GstRtspServer::start(Clip::new(Video::H264BFrames, Audio::Aac));
    let nginx = Nginx::start();
    let worker = Worker::start(&source.rtsp(), &nginx.rtmp("test"));
    worker.wait_state("streaming", SOON);
    wait_until("the stream at nginx", SOON, || nginx.has_publisher("test"));
    let packets = Reader::start(&nginx.rtmp("test")).collect(Kind::Video, 75, SOON);
    for kind in [Kind::Video, Kind::Audio] {
        assert_decodable_order(kind, &packets);
        assert_no_gap(kind, &packets);
    }
}

#[test]
fn rtp_time_stamps_wrap_unnoticed() {
    // Video (90 kHz) wraps after three seconds, audio (48 kHz) after five and a half.
    let source = GstRtspServer::start_at(Clip::h264_aac(), u32::MAX - 270_000);
    let nginx = Nginx::start();
    let worker = Worker::start(&source.rtsp(), &nginx.rtmp("test"));
    worker.wait_state("streaming", SOON);
    wait_until("the stream at nginx", SOON, || nginx.has_publisher("test"));
    let reader = Reader::start(&nginx.rtmp("test"));
    let packets = reader.collect(Kind::Video, 200, Duration::from_secs(20));
    for kind in [Kind::Video, Kind::Audio] {
        assert_decodable_order(kind, &packets);
        assert_no_gap(kind, &packets);
    }
    assert!(worker.retries().is_empty());
}
