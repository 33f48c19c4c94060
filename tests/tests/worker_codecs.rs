//! Codecs: passed on, or left out by name while the rest flows.

use suite_tests::clips::{Audio, Clip, Video};
use suite_tests::compare::{assert_constant_shift, assert_identical};
use suite_tests::mediamtx::{Config, MediaMtx};
use suite_tests::packets::{Kind, Reader};
use suite_tests::stack::{IN, OUT, SOON, Stack};
use suite_tests::worker::Worker;

const ROUNDING: i64 = 2_000;

/// Streams a clip and expects these tracks at `/out`, packet by packet what went in.
fn passes(clip: Clip, tracks: &[&str]) {
    let stack = Stack::start_with(Config::default(), clip);
    let worker = Worker::start(&stack.input(), &stack.output());
    worker.wait_state("streaming", SOON);
    let out = stack.server.wait_ready(OUT, SOON);
    assert_eq!(out.tracks(), tracks);

    let (before, after) = (
        Reader::start(&stack.input()),
        Reader::start(&stack.server.rtsp(OUT)),
    );
    let kind = if clip.video.is_some() {
        Kind::Video
    } else {
        Kind::Audio
    };
    let (after, before) = (after.collect(kind, 75, 2 * SOON), before.packets());
    let kinds = [
        clip.video.map(|_| Kind::Video),
        clip.audio.map(|_| Kind::Audio),
    ];
    for kind in kinds.into_iter().flatten() {
        assert_constant_shift(&assert_identical(kind, &before, &after, 30), ROUNDING);
    }
}

#[test]
fn h265_with_aac() {
    passes(
        Clip::new(Video::H265, Audio::Aac),
        &["H265", "MPEG-4 Audio"],
    );
}

#[test]
fn h264_with_g711_a_law() {
    passes(Clip::new(Video::H264, Audio::Pcma), &["H264", "G711"]);
}

#[test]
fn h264_with_g711_mu_law() {
    passes(Clip::new(Video::H264, Audio::Pcmu), &["H264", "G711"]);
}

#[test]
fn video_only() {
    passes(Clip::new(Video::H264BFrames, None), &["H264"]);
}

#[test]
fn audio_only() {
    passes(Clip::new(None, Audio::Aac), &["MPEG-4 Audio"]);
}

#[test]
fn h264_with_opus() {
    passes(Clip::new(Video::H264, Audio::Opus), &["H264", "Opus"]);
}

#[test]
fn opus_only() {
    passes(Clip::new(None, Audio::Opus), &["Opus"]);
}

#[test]
fn h264_with_mp3() {
    passes(
        Clip::new(Video::H264, Audio::Mp3),
        &["H264", "MPEG-1/2 Audio"],
    );
}

#[test]
fn vp9_with_aac() {
    passes(Clip::new(Video::Vp9, Audio::Aac), &["VP9", "MPEG-4 Audio"]);
}

/// No publisher here can send AV1, but MediaMTX itself plays a file with it.
#[test]
fn av1_with_aac() {
    let clip = Clip::new(Video::Av1, Audio::Aac);
    let settings = format!(
        "alwaysAvailable: yes\nalwaysAvailableFile: {}",
        clip.file().display()
    );
    let server = MediaMtx::start(Config::default().path(IN, &settings));
    server.wait_ready(IN, SOON);
    let worker = Worker::start(&server.rtsp(IN), &server.rtmp(OUT));
    worker.wait_state("streaming", SOON);
    assert_eq!(
        server.wait_ready(OUT, SOON).tracks(),
        ["AV1", "MPEG-4 Audio"]
    );
    // This reader does not put AV1 together again, so that its packets can't be compared.
    Reader::start(&server.rtsp(OUT)).collect(Kind::Video, 75, SOON);
}

#[test]
fn what_rtmp_can_t_carry_is_left_out_by_its_name_while_the_rest_flows() {
    let stack = Stack::start_with(
        Config::default(),
        Clip::new(Video::H264, Audio::PcmuAt16kHz),
    );
    let worker = Worker::start(&stack.input(), &stack.output());
    worker.wait_state("streaming", SOON);
    assert_eq!(stack.server.wait_ready(OUT, SOON).tracks(), ["H264"]);
    worker.process().wait_for_line("G711 at 16000 Hz", SOON);
    Reader::start(&stack.server.rtsp(OUT)).collect(Kind::Video, 25, SOON);
}

/// The source's SDP calls it the same as MP3, so that only its frames tell.
#[test]
fn sound_that_turns_out_to_be_no_mp3_is_left_out_while_the_rest_flows() {
    let stack = Stack::start_with(Config::default(), Clip::new(Video::H264, Audio::Mp2));
    let worker = Worker::start(&stack.input(), &stack.output());
    worker.wait_state("streaming", SOON);
    assert_eq!(stack.server.wait_ready(OUT, SOON).tracks(), ["H264"]);
    worker.process().wait_for_line("track left out", SOON);
    Reader::start(&stack.server.rtsp(OUT)).collect(Kind::Video, 25, SOON);
}
