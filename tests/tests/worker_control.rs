//! Outputs that come and go while the stream runs, over the control channel.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::json;
use suite_tests::binaries::suite_binary;
use suite_tests::clips::{Clip, Video};
use suite_tests::compare::assert_uninterrupted;
use suite_tests::control::Control;
use suite_tests::mediamtx::Config;
use suite_tests::nginx::Nginx;
use suite_tests::packets::{Kind, Reader, read_file};
use suite_tests::stack::{SOON, Stack};
use suite_tests::worker::Worker;

/// Retries after 1 s, 2 s and 4 s.
const ROUND: Duration = Duration::from_secs(20);

#[test]
fn an_output_comes_and_goes_ten_times_and_the_other_misses_no_frame() {
    let clip = Clip::new(Video::H264, None);
    let stack = Stack::start_with(Config::default(), clip);
    let kept = stack.output();
    let (worker, mut control) = Worker::start_controlled(&stack.input(), |_| {});
    assert_eq!(
        control.want(1, &[("kept", &kept)]),
        json!({"generation": 1, "applied": true})
    );
    control.wait_state("kept", "streaming", SOON);
    stack.wait_out();
    let reader = Reader::start(&kept);
    reader.collect(Kind::Video, 10, SOON);
    for round in 1..=10 {
        let path = format!("live/joins-{round}/out");
        let (name, url) = (format!("joins-{round}"), stack.server.rtmp(&path));
        control.want(2 * round, &[("kept", &kept), (&name, &url)]);
        control.wait_state(&name, "streaming", SOON);
        stack.server.wait_ready(&path, SOON);
        control.want(2 * round + 1, &[("kept", &kept)]);
        stack.server.wait_gone(&path, SOON);
    }
    let seen = reader.packets_of(Kind::Video).len();
    let packets = reader.collect(Kind::Video, seen + 25, SOON);
    assert_uninterrupted(&read_file(&clip.file()), &packets, 25);
    let states = worker.states();
    assert_eq!(states.last().map(String::as_str), Some("streaming"));
    assert_eq!(control.reports("kept").len(), 2, "connecting and streaming");
}

#[test]
fn an_output_that_joins_starts_with_a_picture_long_before_the_next_key_frame() {
    let clip = Clip::new(Video::H264RareKeyFrames, None);
    let stack = Stack::start_with(Config::default(), clip);
    let kept = stack.output();
    let (_worker, mut control) = Worker::start_controlled(&stack.input(), |_| {});
    control.want(1, &[("kept", &kept)]);
    control.wait_state("kept", "streaming", SOON);
    stack.wait_out();
    let reader = Reader::start(&kept);
    reader.collect(Kind::Video, 25, 2 * SOON);
    let joined = stack.server.rtmp("live/joined/out");
    let begun = Instant::now();
    control.want(2, &[("kept", &kept), ("joined", &joined)]);
    control.wait_state("joined", "streaming", SOON);
    stack.server.wait_ready("live/joined/out", SOON);
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(3), "{took:?}");
}

#[test]
fn what_is_no_good_desired_state_is_answered_and_changes_nothing() {
    let stack = Stack::start();
    let kept = stack.output();
    let port = kept.split([':', '/']).nth(4).expect("it has a port");
    let (worker, mut control) = Worker::start_controlled(&stack.input(), |command| {
        command.args(["--rtmp-port", port]);
    });
    control.want(5, &[("kept", &kept)]);
    control.wait_state("kept", "streaming", SOON);
    let other = stack.server.rtmp("live/other/out");
    let secret = "rtmp://platform.example/app/s3cr3t-k3y-1";
    for (generation, outputs, expected) in [
        (4, vec![("kept", kept.as_str())], "older than 5"),
        (
            5,
            vec![("other", other.as_str())],
            "applied with other outputs",
        ),
        (6, vec![("a", secret), ("b", secret)], "given twice"),
        (7, vec![("a", secret), ("a", &other)], "id a is given twice"),
        (8, vec![("a", "http://host/app/s3cr3t-k3y-1")], "rtmp://"),
        (
            9,
            vec![("a", &stack.server.rtmp("live/test/in"))],
            "the input itself",
        ),
    ] {
        let answer = control.want(generation, &outputs);
        let error = answer["error"].as_str().unwrap_or_default();
        assert!(error.contains(expected), "{answer}");
        assert!(!error.contains("s3cr3t-k3y-1"), "{answer}");
        assert_eq!(answer["generation"], generation);
    }
    let long = [&[b'x'; 200_000][..], b"\n"].concat();
    for (line, expected) in [
        (&b"garbage\n"[..], "JSON"),
        (b"\xff\xfe\0\n", "JSON"),
        (b"{\"generation\":9}\n", "form"),
        (&long, "more than 65536 bytes"),
    ] {
        control.send(line);
        let answer = control.answer();
        assert!(
            answer["error"].as_str().unwrap().contains(expected),
            "{answer}"
        );
    }
    assert_eq!(control.want(5, &[("kept", &kept)])["applied"], true);
    assert_eq!(control.reports("kept").len(), 2, "connecting and streaming");
    assert_eq!(worker.retries().len(), 0);
    assert!(!worker.process().output().contains("s3cr3t-k3y-1"));
}

#[test]
fn a_closed_channel_changes_nothing() {
    let stack = Stack::start();
    let kept = stack.output();
    let (mut worker, mut control) = Worker::start_controlled(&stack.input(), |_| {});
    control.want(1, &[("kept", &kept)]);
    stack.wait_out();
    drop(control);
    worker.wait_event(0, "line about it", SOON, |event| {
        event.text("message").contains("control channel is closed")
    });
    let packets = Reader::start(&kept).collect(Kind::Video, 25, SOON);
    assert!(!packets.is_empty());
    worker.process().signal(Signal::SIGTERM);
    assert_eq!(worker.wait_code(SOON), 0);
}

#[test]
fn a_worker_without_outputs_waits_for_them_and_ends_when_nobody_can_give_it_any() {
    let stack = Stack::start();
    let (mut worker, mut control) = Worker::start_controlled(&stack.input(), |_| {});
    assert_eq!(control.want(1, &[])["applied"], true);
    drop(control);
    assert_eq!(worker.wait_code(SOON), 1);
    assert!(worker.process().output().contains("there is no output"));
}

#[test]
fn each_output_s_trouble_is_reported_with_its_reason_and_without_its_key() {
    let stack = Stack::start();
    let kept = stack.output();
    let mut nginx = Nginx::start();
    let key = "s3cr3t-k3y-2";
    let away = nginx.rtmp(key);
    let (worker, mut control) = Worker::start_controlled(&stack.input(), |_| {});
    control.want(1, &[("kept", &kept), ("away", &away)]);
    control.wait_state("away", "streaming", SOON);
    nginx.stop();
    let report = control.wait_state("away", "retrying", SOON);
    assert!(
        report["reason"]
            .as_str()
            .is_some_and(|reason| !reason.is_empty()),
        "{report}"
    );
    control.wait_state("away", "lost", ROUND);
    for report in control.reports("away") {
        assert!(!report.to_string().contains(key), "{report}");
        assert!(
            report["output"].as_str().unwrap().starts_with("rtmp://"),
            "{report}"
        );
    }
    assert!(!worker.process().output().contains(key));
    control.wait_state("kept", "streaming", SOON);
}

#[test]
fn a_descriptor_that_is_no_control_channel_is_wrong_usage() {
    let mut command = std::process::Command::new(suite_binary("mtx-worker"));
    command.args(["--input", "rtsp://127.0.0.1:1/x", "--control-fd", "77"]);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(message.contains("--control-fd 77"), "{message}");
}

#[test]
fn options_and_channel_go_together() {
    let stack = Stack::start();
    let (given, added) = (stack.output(), stack.server.rtmp("live/added/out"));
    let (_worker, mut control) = Worker::start_controlled(&stack.input(), |command| {
        command.args(["--output", &given]);
    });
    control.wait_state("1", "streaming", SOON);
    control.want(1, &[("1", &given), ("added", &added)]);
    control.wait_state("added", "streaming", SOON);
    assert_eq!(control.reports("1").len(), 2, "connecting and streaming");
}

#[test]
fn an_output_under_another_id_takes_over_from_itself() {
    let stack = Stack::start();
    let url = stack.output();
    let (worker, mut control) = Worker::start_controlled(&stack.input(), |_| {});
    control.want(1, &[("one", &url)]);
    control.wait_state("one", "streaming", SOON);
    control.want(2, &[("other", &url)]);
    control.wait_state("other", "streaming", SOON);
    assert_eq!(worker.retries().len(), 0);
    stack.wait_out();
}

#[test]
fn a_picture_needs_no_channel() {
    let mut command = std::process::Command::new(suite_binary("mtx-worker"));
    command.args(["--input", "rtsp://127.0.0.1:1/x", "--output", "x.jpg"]);
    let _control = Control::attach(&mut command);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(message.contains("is a picture"), "{message}");
}
