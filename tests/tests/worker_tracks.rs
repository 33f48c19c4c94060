//! Several tracks of one medium: second languages, second cameras.

use std::fs;
use std::process::Command;
use std::time::Duration;

use suite_tests::camera::{Answers, Camera, Habits, Packets};
use suite_tests::clips::{self, Audio, Clip, Video};
use suite_tests::compare::{
    Pair, assert_constant_shift, assert_gentle_shift, assert_identical, pairs,
};
use suite_tests::go2rtc::Go2rtc;
use suite_tests::lal::Lal;
use suite_tests::mediamtx::{Config, MediaMtx};
use suite_tests::nginx::Nginx;
use suite_tests::packets::{Kind, Reader};
use suite_tests::payloads::read_file;
use suite_tests::processes::Spawned;
use suite_tests::stack::{IN, OUT};
use suite_tests::versions::on_every_version;
use suite_tests::waiting::wait_until;
use suite_tests::worker::Worker;

const SOON: Duration = Duration::from_secs(20);

/// How far sound may be from picture, in microseconds.
const LIP_SYNC: i64 = 25_000;

/// H.264, and two languages.
fn two_audios() -> [Clip; 2] {
    [Clip::h264_aac(), Clip::new(None, Audio::Opus)]
}

fn publish(server: &MediaMtx, clips: &[Clip]) -> Spawned {
    let publisher = clips::publish(clips, &server.rtsp(IN));
    server.wait_ready(IN, SOON);
    publisher
}

/// Reads both ends until each track of the output brought enough packets, and expects that it brought what went in.
/// How tracks stand to each other, ffmpeg guesses over RTSP until the first sender report.
fn assert_all_tracks_come_out(server: &MediaMtx, kinds: &[Kind]) {
    let (before, after) = (
        Reader::start(&server.rtsp(IN)),
        Reader::start(&server.rtsp(OUT)),
    );
    let is_enough = |track: usize| after.packets_of_track(track).len() >= 75;
    wait_until("packets of every track", 2 * SOON, || {
        (0..kinds.len()).all(is_enough)
    });
    for (track, kind) in kinds.iter().enumerate() {
        let came_out = after.packets_of_track(track);
        let went_in = before.packets_of_track(track);
        let pairs = assert_identical(*kind, &went_in, &came_out, 30);
        match kind {
            Kind::Video => assert_constant_shift(&pairs, LIP_SYNC),
            Kind::Audio => assert_gentle_shift(&pairs),
        };
    }
}

/// Streams clips, whose tracks are all to come out.
fn passes(clips: &[Clip], tracks: &[&str], kinds: &[Kind]) {
    let server = MediaMtx::start(Config::default());
    let _publisher = publish(&server, clips);
    let worker = Worker::start(&server.rtsp(IN), &server.rtmp(OUT));
    worker.wait_state("streaming", SOON);
    assert_eq!(server.wait_ready(OUT, SOON).tracks(), tracks);
    assert_all_tracks_come_out(&server, kinds);
    assert_eq!(worker.retries().len(), 0, "{:?}", worker.retries());
}

#[test]
fn two_languages_come_out() {
    passes(
        &two_audios(),
        &["H264", "MPEG-4 Audio", "Opus"],
        &[Kind::Video, Kind::Audio, Kind::Audio],
    );
}

#[test]
fn three_languages_of_other_codecs_come_out() {
    passes(
        &[
            Clip::new(Video::H264, Audio::Opus),
            Clip::new(None, Audio::Aac),
            Clip::new(None, Audio::Mp3),
        ],
        &["H264", "Opus", "MPEG-4 Audio", "MPEG-1/2 Audio"],
        &[Kind::Video, Kind::Audio, Kind::Audio, Kind::Audio],
    );
}

#[test]
fn two_pictures_and_sound_come_out() {
    passes(
        &[Clip::h264_aac(), Clip::new(Video::H265, None)],
        &["H264", "H265", "MPEG-4 Audio"],
        &[Kind::Video, Kind::Video, Kind::Audio],
    );
}

#[test]
fn a_second_picture_with_b_frames_comes_out() {
    passes(
        &[
            Clip::new(Video::H265, Audio::Aac),
            Clip::new(Video::H264BFrames, None),
        ],
        &["H265", "H264", "MPEG-4 Audio"],
        &[Kind::Video, Kind::Video, Kind::Audio],
    );
}

#[test]
fn two_languages_without_a_picture_come_out() {
    passes(
        &[Clip::new(None, Audio::Aac), Clip::new(None, Audio::Opus)],
        &["MPEG-4 Audio", "Opus"],
        &[Kind::Audio, Kind::Audio],
    );
}

#[test]
fn every_language_is_in_step_with_the_picture() {
    let folder = tempfile::tempdir().expect("a temp folder");
    let record = format!(
        "record: yes\nrecordPath: {}/%path/%s-%f",
        folder.path().display()
    );
    let server = MediaMtx::start(Config::default().path(OUT, &record));
    let clips = two_audios();
    let _publisher = publish(&server, &clips);
    let worker = Worker::start(&server.rtsp(IN), &server.rtmp(OUT));
    worker.wait_state("streaming", SOON);
    let reader = Reader::start(&server.rtsp(OUT));
    reader.collect(Kind::Video, 300, 2 * SOON);
    drop((reader, worker));
    server.wait_gone(OUT, SOON);

    let files = fs::read_dir(folder.path().join(OUT)).expect("a recording");
    let recording = files.flatten().next().expect("a recording").path();
    let recorded = read_file(&recording, clips[0].video);
    let shift = |track: usize, kind: Kind, clip: &Clip| {
        let published = read_file(&clip.file(), clip.video);
        let mut recorded = recorded.clone();
        recorded.retain(|packet| packet.track == track);
        let pairs = pairs(kind, &published, &recorded);
        assert!(pairs.len() >= 200, "track {track}: {} packets", pairs.len());
        let mut shifts: Vec<i64> = pairs.iter().filter_map(Pair::shift).collect();
        shifts.sort_unstable();
        shifts[shifts.len() / 2]
    };
    let picture = shift(0, Kind::Video, &clips[0]);
    for (track, clip) in [(1, &clips[0]), (2, &clips[1])] {
        let sound = shift(track, Kind::Audio, clip);
        let apart = (sound - picture).abs();
        assert!(apart <= LIP_SYNC, "track {track}: {picture} {sound}");
    }
}

#[test]
fn every_version_of_mediamtx_takes_a_second_language() {
    on_every_version(|version| {
        let server = MediaMtx::start(Config::default().version(version));
        let _publisher = publish(&server, &two_audios());
        let worker = Worker::start(&server.rtsp(IN), &server.rtmp(OUT));
        worker.wait_state("streaming", SOON);
        let tracks = server.wait_ready(OUT, SOON).tracks();
        assert_eq!(tracks, ["H264", "MPEG-4 Audio", "Opus"], "{version}");
        let reader = Reader::start(&server.rtsp(OUT));
        wait_until("packets of every track", SOON, || {
            (0..3).all(|track| reader.packets_of_track(track).len() >= 50)
        });
        assert_eq!(worker.retries().len(), 0, "{:?}", worker.retries());
    });
}

#[test]
fn a_language_that_a_new_publisher_brings_comes_out() {
    let server = MediaMtx::start(Config::default());
    let first = publish(&server, &[Clip::h264_aac()]);
    let worker = Worker::start(&server.rtsp(IN), &server.rtmp(OUT));
    worker.wait_state("streaming", SOON);
    assert_eq!(server.wait_ready(OUT, SOON).tracks().len(), 2);
    drop(first);
    server.wait_gone(IN, SOON);
    let _second = publish(&server, &two_audios());
    wait_until("the second language", SOON, || {
        let out = server.path(OUT);
        out.is_some_and(|out| out.ready() && out.tracks().len() == 3)
    });
    assert_all_tracks_come_out(&server, &[Kind::Video, Kind::Audio, Kind::Audio]);
}

#[test]
fn g711_as_a_second_language_is_left_out_by_its_name_while_the_rest_flows() {
    let server = MediaMtx::start(Config::default());
    let _publisher = publish(&server, &[Clip::h264_aac(), Clip::new(None, Audio::Pcma)]);
    let worker = Worker::start(&server.rtsp(IN), &server.rtmp(OUT));
    worker.wait_state("streaming", SOON);
    let tracks = server.wait_ready(OUT, SOON).tracks();
    assert_eq!(tracks, ["H264", "MPEG-4 Audio"]);
    let warning = "track left out: G711, audio 2 (RTMP carries it as the first audio track only)";
    worker.process().wait_for_line(warning, SOON);
}

#[test]
fn parameter_sets_other_than_described_cost_no_connection() {
    let habits = Habits {
        answers: Answers::OtherSets,
        ..Habits::default()
    };
    let camera = Camera::start(Clip::new(Video::H264, Audio::Opus), habits);
    let server = MediaMtx::start(Config::default());
    let worker = Worker::start(&camera.rtsp(), &server.rtmp(OUT));
    worker.wait_state("streaming", SOON);
    assert_eq!(server.wait_ready(OUT, SOON).tracks(), ["H264", "Opus"]);
    let reader = Reader::start(&server.rtsp(OUT));
    reader.collect(Kind::Video, 75, SOON);
    assert_eq!(worker.retries().len(), 0, "{:?}", worker.retries());
}

/// A camera whose sound begins after five seconds; the worker warns of it in this way, and then brings it.
fn late_sound_comes_out(audio: Audio, warning: &str, tracks: &[&str]) {
    let habits = Habits {
        silent_for: 5.0,
        ..Habits::default()
    };
    let camera = Camera::start(Clip::new(Video::H264, audio), habits);
    let server = MediaMtx::start(Config::default());
    let worker = Worker::start(&camera.rtsp(), &server.rtmp(OUT));
    worker.wait_state("streaming", SOON);
    worker.process().wait_for_line(warning, SOON);
    wait_until("the sound", SOON, || {
        let out = server.path(OUT);
        out.is_some_and(|out| out.ready() && out.tracks() == tracks)
    });
    let reader = Reader::start(&server.rtsp(OUT));
    reader.collect(Kind::Audio, 75, SOON);
    assert_eq!(worker.retries().len(), 0, "{:?}", worker.retries());
}

#[test]
fn sound_that_begins_late_comes_out() {
    let warning = "track left out for now: Opus, audio (nothing came of it in the first second";
    late_sound_comes_out(Audio::Opus, warning, &["H264", "Opus"]);
}

#[test]
fn sound_that_is_known_late_comes_out() {
    let warning = "audio (nothing that tells what it is came in 2 s";
    late_sound_comes_out(Audio::Mp3, warning, &["H264", "MPEG-1/2 Audio"]);
}

#[test]
fn a_first_picture_that_ends_does_not_end_the_others() {
    let server = MediaMtx::start(Config::default());
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-nostdin", "-loglevel", "warning", "-re", "-t", "3", "-i"]);
    ffmpeg.arg(Clip::new(Video::H264, None).file());
    ffmpeg.args(["-re", "-stream_loop", "-1", "-i"]);
    ffmpeg.arg(Clip::h264_aac().file());
    ffmpeg.args(["-map", "0:v", "-map", "1:v", "-map", "1:a", "-c", "copy"]);
    // Otherwise it may hold back the others for 10 s, in which it waits for the picture that has ended.
    ffmpeg.args(["-max_interleave_delta", "200000"]);
    ffmpeg.args(["-f", "rtsp", "-rtsp_transport", "tcp", &server.rtsp(IN)]);
    let _publisher = Spawned::start("publisher", ffmpeg);
    server.wait_ready(IN, SOON);
    let worker = Worker::start(&server.rtsp(IN), &server.rtmp(OUT));
    worker.wait_state("streaming", SOON);
    server.wait_ready(OUT, SOON);
    let reader = Reader::start(&server.rtsp(OUT));
    // The first picture is away for longer than the 10 s that a stream may be without any.
    wait_until("fifteen seconds of the second picture", 2 * SOON, || {
        reader.packets_of_track(1).len() >= 375
    });
    assert!(reader.packets_of_track(0).len() < 100);
    assert_eq!(worker.retries().len(), 0, "{:?}", worker.retries());
}

#[test]
fn parameter_sets_that_mediamtx_does_not_keep_are_told_also_when_they_come_late() {
    let habits = Habits {
        answers: Answers::OtherSets,
        packets: Packets::TwoSets,
        ..Habits::default()
    };
    let camera = Camera::start(Clip::new(Video::H264Cavlc, Audio::Aac), habits);
    let server = MediaMtx::start(Config::default());
    let worker = Worker::start(&camera.rtsp(), &server.rtmp(OUT));
    let warning = "this server keeps one parameter set of each kind: pictures of the video";
    worker.process().wait_for_line(warning, SOON);
}

/// Servers that do not say that they take several tracks get the first of each medium, and what they were sent plays.
fn gets_the_first_of_each_medium(rtmp: &str, has_publisher: impl Fn() -> bool) {
    let source = MediaMtx::start(Config::default());
    let clips = [Clip::h264_aac(), Clip::new(Video::H264BFrames, Audio::Opus)];
    let _publisher = publish(&source, &clips);
    let worker = Worker::start(&source.rtsp(IN), rtmp);
    worker.wait_state("streaming", SOON);
    wait_until("the stream at the sink", SOON, has_publisher);
    for codec in [
        "H.264, video 2 (this server takes one video track)",
        "Opus, audio 2 (this server takes one audio track)",
    ] {
        let line = format!("track left out: {codec}");
        worker.process().wait_for_line(&line, SOON);
    }
    let reader = Reader::start(rtmp);
    reader.collect(Kind::Video, 50, SOON);
    let tracks = reader.packets().into_iter().map(|packet| packet.track);
    assert!(tracks.max() <= Some(1));
    assert_eq!(worker.retries().len(), 0, "{:?}", worker.retries());
}

#[test]
fn nginx_gets_the_first_of_each_medium() {
    let server = Nginx::start();
    gets_the_first_of_each_medium(&server.rtmp("out"), || server.has_publisher("out"));
}

#[test]
fn go2rtc_gets_the_first_of_each_medium() {
    let server = Go2rtc::start();
    gets_the_first_of_each_medium(&server.rtmp("out"), || server.has_publisher("out"));
}

#[test]
fn lal_gets_the_first_of_each_medium() {
    let server = Lal::start();
    gets_the_first_of_each_medium(&server.rtmp("out"), || server.has_publisher("out"));
}
