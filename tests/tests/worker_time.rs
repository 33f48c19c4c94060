//! Time that sources get wrong comes out right: breaks, drift, and how the tracks stand to each other.

use std::time::Duration;

use suite_tests::camera::{Camera, Habits, Reports};
use suite_tests::clips::{Audio, Clip, Video};
use suite_tests::compare::{assert_decodable_order, pairs};
use suite_tests::gstreamer::GstRtspServer;
use suite_tests::mediamtx::{Config, MediaMtx};
use suite_tests::packets::{Kind, Packet, Reader, read_file};
use suite_tests::stack::{IN, OUT, SOON};
use suite_tests::worker::Worker;

const RATE: usize = 25;

/// What audio may be off video, in microseconds, by the file that was published.
const LIP_SYNC: i64 = 25_000;

/// Two B-frames, each of which may wait for the other, and a frame for what a break leaves.
const LONGEST_COMPOSITION: i64 = 202_000;

/// Longer than a comparison takes.
fn clip() -> Clip {
    let mut clip = Clip::new(Video::H264BFrames, Audio::Aac);
    clip.seconds = 60;
    clip
}

/// Passes a source on, and returns the server it goes to, with a reader there.
fn pass_on(input: &str) -> (MediaMtx, Worker, Reader) {
    let server = MediaMtx::start(Config::default());
    let worker = Worker::start_with(input, &server.rtmp(OUT), |command| {
        command.args(["--stats-interval", "1s"]);
    });
    worker.wait_state("streaming", SOON);
    server.wait_ready(OUT, SOON);
    let reader = Reader::start(&server.rtmp(OUT));
    (server, worker, reader)
}

/// How many microseconds audio is late against video, by the median of each window of five seconds.
fn lip_sync(clip: Clip, out: &[Packet]) -> Vec<i64> {
    let file = read_file(&clip.file());
    let shifts = |kind| -> Vec<(i64, i64)> {
        let pairs = pairs(kind, &file, out);
        let shifts = pairs
            .iter()
            .filter_map(|pair| Some((pair.after.pts?, pair.shift()?)));
        shifts.collect()
    };
    let (video, audio) = (shifts(Kind::Video), shifts(Kind::Audio));
    let start = video.first().expect("video of the file").0;
    let median = |shifts: &[(i64, i64)], window: i64| {
        let since = start + window * 5_000_000;
        let inside = shifts
            .iter()
            .filter(|(pts, _)| (since..since + 5_000_000).contains(pts));
        let mut shifts: Vec<i64> = inside.map(|(_, shift)| *shift).collect();
        shifts.sort_unstable();
        (shifts.len() > 50).then(|| shifts[shifts.len() / 2])
    };
    let windows =
        (0..100).map_while(|window| Some(median(&audio, window)? - median(&video, window)?));
    windows.collect()
}

#[track_caller]
fn assert_lip_sync(clip: Clip, out: &[Packet], windows: usize) {
    let late = lip_sync(clip, out);
    println!("audio is late by {late:?} µs");
    assert!(
        late.len() >= windows,
        "only {} of {windows} windows",
        late.len()
    );
    assert!(
        late.iter().all(|late| late.abs() <= LIP_SYNC),
        "audio is late by {late:?} µs"
    );
}

/// Thirty seconds and more, which is beyond the first sender reports of every server.
#[track_caller]
fn keeps_lip_sync(clip: Clip, input: &str) {
    let (_server, _worker, reader) = pass_on(input);
    let out = reader.collect(Kind::Video, 32 * RATE, Duration::from_secs(60));
    assert_decodable_order(Kind::Video, &out);
    assert_lip_sync(clip, &out, 6);
}

#[test]
fn lip_sync_is_kept_with_a_publisher_over_rtsp() {
    let server = MediaMtx::start(Config::default());
    let _publisher = clip().publish(&server.rtsp(IN));
    server.wait_ready(IN, 2 * SOON);
    keeps_lip_sync(clip(), &server.rtsp(IN));
}

#[test]
fn lip_sync_is_kept_with_a_publisher_over_rtmp() {
    let server = MediaMtx::start(Config::default());
    let _publisher = clip().publish(&server.rtmp(IN));
    server.wait_ready(IN, 2 * SOON);
    keeps_lip_sync(clip(), &server.rtsp(IN));
}

#[test]
fn lip_sync_is_kept_with_gstreamer() {
    let source = GstRtspServer::start(clip());
    keeps_lip_sync(clip(), &source.rtsp());
}

#[test]
fn lip_sync_is_kept_while_the_source_clocks_drift() {
    for reports in [Reports::None, Reports::Right, Reports::Wrong] {
        let habits = Habits {
            too_fast: 0.004,
            reports,
            ..Habits::default()
        };
        let camera = Camera::start(clip(), habits);
        let (_server, _worker, reader) = pass_on(&camera.rtsp());
        let out = reader.collect(Kind::Video, 16 * RATE, Duration::from_secs(40));
        assert_lip_sync(clip(), &out, 3);
    }
}

/// Jumps by `seconds` after each five.
fn jumps_cost_no_frames(seconds: f64) {
    let habits = Habits {
        jumps: Some((5.0, seconds)),
        ..Habits::default()
    };
    let camera = Camera::start(clip(), habits);
    let (_server, worker, reader) = pass_on(&camera.rtsp());
    let count = 22 * RATE;
    let out = reader.collect(Kind::Video, count, Duration::from_secs(50));
    let video: Vec<&Packet> = out
        .iter()
        .filter(|packet| packet.kind == Kind::Video)
        .collect();

    // From the middle on, since ffprobe prints what it analysed first in one go.
    let (middle, last) = (video[count / 4], video[count - 1]);
    let frames = (count - 1 - count / 4) as f64;
    let arrived = frames / (last.at - middle.at).as_secs_f64();
    let shown = frames / (last.pts.unwrap_or(0) - middle.pts.unwrap_or(0)) as f64 * 1e6;
    assert!(
        (24.0..26.0).contains(&arrived),
        "{arrived} frames a second arrive"
    );
    assert!(
        (24.0..26.0).contains(&shown),
        "{shown} frames a second are shown"
    );

    for kind in [Kind::Video, Kind::Audio] {
        assert_decodable_order(kind, &out);
    }
    let composition = |packet: &&Packet| Some(packet.pts? - packet.dts?);
    let longest = video
        .iter()
        .filter_map(composition)
        .max()
        .unwrap_or_default();
    assert!(
        longest <= LONGEST_COMPOSITION,
        "a frame waits {longest} µs for its turn"
    );
    assert_lip_sync(clip(), &out, 4);
    assert_logged_and_counted(&worker, seconds);
}

/// A line for each jump, which happen in both tracks at once, and the same number in the statistics.
fn assert_logged_and_counted(worker: &Worker, seconds: f64) {
    let stats = worker.wait_event(0, "four discontinuities", SOON, |event| {
        event.number("discontinuities") >= 4.0
    });
    let lines: Vec<_> = (worker.events().into_iter())
        .filter(|event| event.at <= stats.at && event.text("message").contains("jumped"))
        .collect();
    assert_eq!(
        lines.len() as f64,
        stats.number("discontinuities"),
        "{lines:?}"
    );
    let expected = if seconds < 0.0 {
        "jumped back by 8"
    } else {
        "jumped ahead by"
    };
    assert!(
        lines
            .iter()
            .all(|line| line.text("message").contains(expected)),
        "{lines:?}"
    );
}

#[test]
fn time_stamps_that_jump_back_cost_no_frames() {
    jumps_cost_no_frames(-8.0);
}

#[test]
fn time_stamps_that_jump_ahead_cost_no_frames() {
    jumps_cost_no_frames(5000.0);
}
