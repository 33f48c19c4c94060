//! Cameras that misbehave, read by declared streams: the orchestrator tells what it costs.

use std::time::Duration;

use serde_json::{Value, json};
use suite_tests::camera::{Camera, Habits, Packets};
use suite_tests::clips::{Audio, Clip, Video};
use suite_tests::declared::Kept;
use suite_tests::streams::output;

const SOON: Duration = Duration::from_secs(20);

/// A stream that reads a camera, which describes itself whatever the path.
#[track_caller]
fn declare(kept: &Kept, habits: Habits) -> Camera {
    let camera = Camera::start(Clip::new(Video::H264, Audio::Aac), habits);
    kept.declare(&json!({ "id": "gate", "source": camera.rtsp() }));
    camera
}

#[test]
fn jumps_of_a_camera_s_time_stamps_are_counted() {
    let kept = Kept::new();
    let orchestrator = kept.orchestrator();
    let _camera = declare(
        &kept,
        Habits {
            jumps: Some((4.0, -30.0)),
            ..Habits::default()
        },
    );
    kept.server.wait_ready(&output("gate"), SOON);
    let number = |stream: &Value, field: &str| stream["worker"][field].as_u64();
    let stream = orchestrator.wait_stream("gate", "two jumps", 2 * SOON, |stream| {
        number(stream, "discontinuities") >= Some(2)
    });
    assert_eq!(stream["state"], "running", "{stream}");
    for field in ["lost", "damaged", "dropped"] {
        assert_eq!(number(&stream, field), Some(0), "{stream}");
    }
    let metrics = kept.look("/metrics").body;
    let line = metrics.lines().find_map(|line| {
        line.strip_prefix("mtx_orchestrator_stream_discontinuities_total{stream=\"gate\"} ")
    });
    let counted: u64 = line.expect("the metric").parse().expect("a number");
    assert!(counted >= 2, "{metrics}");
}

#[test]
fn a_camera_whose_video_never_comes_is_not_running() {
    let kept = Kept::new();
    let orchestrator = kept.orchestrator();
    let _camera = declare(
        &kept,
        Habits {
            packets: Packets::Damaged,
            ..Habits::default()
        },
    );
    let stream = orchestrator.wait_stream("gate", "damaged frames", 2 * SOON, |stream| {
        let worker = &stream["worker"];
        worker["state"] == "retrying" && worker["damaged"].as_u64() > Some(25)
    });
    assert_eq!(stream["state"], "starting", "{stream}");
    let metrics = kept.look("/metrics").body;
    assert!(
        metrics.contains("stream_damaged_frames_total{stream=\"gate\"}"),
        "{metrics}"
    );
}
