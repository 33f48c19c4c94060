//! What comes out of mtx-worker is what went in: packets, time stamps, alignment, latency.

use std::time::Duration;

use suite_tests::clips::{Audio, Clip, Video};
use suite_tests::compare::{
    assert_constant_shift, assert_decodable_order, assert_identical, assert_no_gap, delay_quantile,
    pairs,
};
use suite_tests::mediamtx::{Config, MediaMtx};
use suite_tests::nginx::Nginx;
use suite_tests::packets::{Kind, Packet, Reader};
use suite_tests::processes::Spawned;
use suite_tests::stack::{IN, OUT, SOON};
use suite_tests::waiting::wait_until;
use suite_tests::worker::Worker;

/// RTMP counts whole milliseconds, and a composition time is the difference of two of them.
const ROUNDING: i64 = 2_000;

fn published(clip: Clip, url: impl Fn(&MediaMtx) -> String) -> (MediaMtx, Spawned) {
    let server = MediaMtx::start(Config::default());
    let publisher = clip.publish(&url(&server));
    server.wait_ready(IN, 2 * SOON);
    (server, publisher)
}

/// Reads `/in` and `/out` at once until `count` packets of `kind` have come out.
fn read_both(before: &str, after: &str, kind: Kind, count: usize) -> (Vec<Packet>, Vec<Packet>) {
    let (before, after) = (Reader::start(before), Reader::start(after));
    let after = after.collect(kind, count, 2 * SOON);
    (before.packets(), after)
}

#[test]
fn test_worker_passthrough_pipeline() {
    let (server, _publisher) = published(Clip::new(Video::H264BFrames, Audio::Aac), |server| {
        server.rtsp(IN)
    });
    let worker = Worker::start(&server.rtsp(IN), &server.rtmp(OUT));
    let streaming = worker.wait_state("streaming", SOON);
    let out = server.wait_ready(OUT, SOON);
    let appeared = streaming.at.elapsed();
    assert!(
        appeared < Duration::from_secs(1),
        "/out appeared {appeared:?} after the worker said it streams"
    );
    assert_eq!(out.tracks(), ["H264", "MPEG-4 Audio"]);

    let (before, after) = read_both(&server.rtsp(IN), &server.rtsp(OUT), Kind::Video, 125);
    let video = assert_identical(Kind::Video, &before, &after, 75);
    assert_constant_shift(&video, ROUNDING);
    let audio = assert_identical(Kind::Audio, &before, &after, 150);
    assert_constant_shift(&audio, ROUNDING);
    // What was received before ffprobe had analysed the stream is printed in one go and says nothing on latency.
    let latency = delay_quantile(&video[video.len() / 2..], 0.95);
    assert!(
        latency < Duration::from_millis(500),
        "frames come out {latency:?} later"
    );
}

#[test]
fn decode_and_composition_times_of_b_frames_are_right_at_a_server_that_does_not_mend_them() {
    let (server, _publisher) = published(Clip::new(Video::H264BFrames, Audio::Aac), |server| {
        server.rtmp(IN)
    });
    let nginx = Nginx::start();
    let worker = Worker::start(&server.rtsp(IN), &nginx.rtmp("test"));
    worker.wait_state("streaming", SOON);
    wait_until("the stream at nginx", SOON, || nginx.has_publisher("test"));

    let (before, after) = read_both(&server.rtmp(IN), &nginx.rtmp("test"), Kind::Video, 125);
    assert_decodable_order(Kind::Video, &after);
    assert_decodable_order(Kind::Audio, &after);
    // Key frames may carry their parameter sets or not; all others have to be the same.
    let video = pairs(Kind::Video, &before, &after);
    assert!(video.len() >= 75, "{} common frames", video.len());
    assert_constant_shift(&video, ROUNDING);
    let late = |packet: &Packet| packet.pts.zip(packet.dts).map_or(0, |(pts, dts)| pts - dts);
    let longest = video
        .iter()
        .map(|pair| late(&pair.after))
        .max()
        .unwrap_or_default();
    assert!(
        longest <= 162_000,
        "a frame waits {longest} µs for its turn: more than its two B-frames need"
    );
}

#[test]
fn audio_and_video_stay_aligned() {
    let (server, _publisher) = published(Clip::new(Video::H264BFrames, Audio::Aac), |server| {
        server.rtmp(IN)
    });
    let worker = Worker::start(&server.rtsp(IN), &server.rtmp(OUT));
    worker.wait_state("streaming", SOON);
    server.wait_ready(OUT, SOON);
    assert_aligned(&server);
}

#[test]
fn audio_and_video_stay_aligned_when_the_worker_starts_with_the_stream() {
    let server = MediaMtx::start(hook_config());
    let _publisher = Clip::new(Video::H264BFrames, Audio::Aac).publish(&server.rtmp(IN));
    server.wait_ready(OUT, 2 * SOON);
    assert_aligned(&server);
}

/// Direct mode: the server itself starts a worker without flags as soon as a stream is there.
fn hook_config() -> Config {
    let worker = suite_tests::binaries::suite_binary("mtx-worker");
    let hook = format!("runOnAvailable: {} --log-format json", worker.display());
    // The server tells its hooks its RTSP port only; here the RTMP one is not the usual one either.
    Config::default()
        .path("~^live/[A-Za-z0-9_-]+/in$", &hook)
        .rtmp_port_for_hooks()
}

/// Over RTMP, where both tracks count on one clock.
fn assert_aligned(server: &MediaMtx) {
    let (before, after) = read_both(&server.rtmp(IN), &server.rtmp(OUT), Kind::Video, 150);
    let video = assert_constant_shift(&pairs(Kind::Video, &before, &after), ROUNDING);
    let audio = assert_constant_shift(&pairs(Kind::Audio, &before, &after), ROUNDING);
    let drift = (video - audio).abs();
    assert!(drift <= 20_000, "audio moved by {drift} µs against video");
}

#[test]
fn five_streams_at_once_as_hooks() {
    let server = MediaMtx::start(hook_config());
    let ids = ["one", "TWO", "thr-ee", "fo_ur", "5"];
    let clip = Clip::h264_aac();
    let publishers = ids.map(|id| clip.publish(&server.rtsp(&format!("live/{id}/in"))));
    for id in ids {
        server.wait_ready(&format!("live/{id}/out"), 2 * SOON);
    }
    let readers = ids.map(|id| Reader::start(&server.rtmp(&format!("live/{id}/out"))));
    for reader in &readers {
        let packets = reader.collect(Kind::Video, 75, 2 * SOON);
        assert_no_gap(Kind::Video, &packets);
    }
    drop(publishers);
    for id in ids {
        server.wait_gone(&format!("live/{id}/out"), SOON);
    }
    wait_until("the end of all workers", SOON, || server.hooks().is_empty());
}

#[test]
fn quick_comings_and_goings_of_a_publisher_leave_one_worker_or_none() {
    let server = MediaMtx::start(hook_config());
    let clip = Clip::h264_aac();
    for _ in 0..5 {
        let publisher = clip.publish(&server.rtsp(IN));
        server.wait_ready(IN, SOON);
        drop(publisher);
        server.wait_gone(IN, SOON);
    }
    let publisher = clip.publish(&server.rtsp(IN));
    server.wait_ready(OUT, SOON);
    Reader::start(&server.rtsp(OUT)).collect(Kind::Video, 25, SOON);
    wait_until("only one worker", SOON, || server.hooks().len() == 1);
    drop(publisher);
    wait_until("no worker", SOON, || server.hooks().is_empty());
    assert!(!server.is_ready(OUT));
}

#[test]
fn two_workers_read_one_stream_for_two_outputs() {
    let (server, _publisher) = published(Clip::h264_aac(), |server| server.rtsp(IN));
    let outputs = [OUT, "live/other/out"];
    let _workers = outputs.map(|output| Worker::start(&server.rtsp(IN), &server.rtmp(output)));
    for output in outputs {
        server.wait_ready(output, SOON);
        Reader::start(&server.rtmp(output)).collect(Kind::Video, 25, SOON);
    }
}
