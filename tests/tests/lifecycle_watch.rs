//! mtx-lifecycle watch: it stays true, whatever happens to the server and to the sources.

use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;
use suite_tests::clips::{Clip, Video};
use suite_tests::lifecycle::{Lifecycle, publishing_hook, segments};
use suite_tests::mediamtx::{Config, MediaMtx};
use suite_tests::packets::{Kind, Reader};
use suite_tests::waiting::{wait_for, wait_until};
use suite_tests::{http, ports, procfs};

const PATIENCE: Duration = Duration::from_secs(60);

fn camera(folder: &std::path::Path) -> String {
    format!(
        "{}\nrecordPath: {}/%path/%Y-%m-%d_%H-%M-%S-%f\nrecordPartDuration: 200ms\nrecordSegmentDuration: 2s\n\
         runOnDemandCloseAfter: 1s",
        publishing_hook(&Clip::new(Video::H264, None)),
        folder.display()
    )
}

fn entry(server: &MediaMtx, name: &str) -> Value {
    server
        .get(&format!("/v3/config/paths/get/{name}"))
        .unwrap_or_default()
}

/// A metric's value.
fn metric(text: &str, name: &str) -> f64 {
    let line = text.lines().find(|line| line.starts_with(name));
    let value = line.and_then(|line| line.rsplit(' ').next());
    value
        .and_then(|value| value.parse().ok())
        .unwrap_or_default()
}

#[test]
fn what_waited_for_a_viewer_is_written_when_it_has_gone() {
    let folder = tempfile::tempdir().unwrap();
    let server = MediaMtx::start(Config::default().path("cam", &camera(folder.path())));
    let lifecycle = Lifecycle::of(&server);
    let mut watch = lifecycle.watch(&[]);
    let viewer = Reader::start(&server.rtsp("cam"));
    viewer.collect(Kind::Video, 10, PATIENCE);
    let policy = lifecycle.file("policy.yml", "paths: [{path: cam, useCase: viewing}]");
    lifecycle.ok(&["apply", policy.to_str().unwrap()]);
    watch.wait_for_line("waits for 1 viewer", PATIENCE);
    assert_eq!(entry(&server, "cam")["runOnDemandCloseAfter"], "1s");
    drop(viewer);
    wait_until("the change", PATIENCE, || {
        entry(&server, "cam")["runOnDemandCloseAfter"] == "5m0s"
    });
    watch.signal(Signal::SIGTERM);
    assert_eq!(watch.wait_code(Duration::from_secs(5)), 0);
}

#[test]
fn outage_of_the_server_is_told_with_a_way_out_and_mended_when_it_is_over() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = MediaMtx::start(Config::default().path("cam", &camera(folder.path())));
    let lifecycle = Lifecycle::of(&server);
    let address = format!("127.0.0.1:{}", ports::tcp());
    let watch = lifecycle.watch(&["--metrics", &address]);
    watch.wait_for_line("watching", PATIENCE);
    let metrics = || http::get(&format!("http://{address}/metrics")).unwrap_or_default();
    wait_until("the first look", PATIENCE, || {
        metrics().contains("mtx_lifecycle_api_up 1")
    });
    lifecycle.ok(&["start", "recording", "cam"]);
    wait_until("the stream in the metrics", PATIENCE, || {
        metrics().contains("mtx_lifecycle_paths{state=\"live\"} 1")
    });
    assert_eq!(
        metric(&metrics(), "mtx_lifecycle_activation_seconds_count"),
        1.0
    );
    assert!(metric(&metrics(), "mtx_lifecycle_activation_seconds_sum") < 3.0);
    server.stop();
    let line = watch.wait_for_line("fallback.yml", PATIENCE).text;
    assert!(line.contains("is asked again now and then"), "{line}");
    assert_eq!(metric(&metrics(), "mtx_lifecycle_api_up"), 0.0);
    let fallback = std::fs::read_to_string(lifecycle.state_dir().join("fallback.yml")).unwrap();
    let fallback: serde_yaml::Value = serde_yaml::from_str(&fallback).unwrap();
    assert_eq!(fallback["paths"]["cam"]["record"], true);
    assert!(fallback["paths"]["lifecycle/keep/cam"]["source"].is_string());

    server.start_again();
    let files = segments(folder.path(), "cam").len();
    watch.wait_for_line("answers again", PATIENCE);
    wait_until("the next file", PATIENCE, || {
        segments(folder.path(), "cam").len() > files
    });
    wait_until("the metrics", PATIENCE, || {
        let text = metrics();
        metric(&text, "mtx_lifecycle_api_up") == 1.0
            && metric(&text, "mtx_lifecycle_recovery_seconds_count") >= 1.0
    });
    wait_until("counted files", PATIENCE, || {
        metric(&metrics(), "mtx_lifecycle_segments_total") >= 1.0
    });
    let told = watch
        .lines()
        .iter()
        .filter(|line| line.text.contains("fallback.yml"))
        .count();
    assert_eq!(told, 1);
    assert!(http::get(&format!("http://{address}/other")).is_err());
    lifecycle.ok(&["stop", "cam"]);
    for name in ["deactivation", "session", "recovery"] {
        let name = format!("mtx_lifecycle_{name}_seconds_count");
        wait_until(&name, PATIENCE, || metric(&metrics(), &name) >= 1.0);
    }
}

#[test]
fn source_that_crashes_again_and_again_gets_rests_and_is_back_when_it_can() {
    let folder = tempfile::tempdir().unwrap();
    let broken = folder.path().join("broken");
    let clip = Clip::new(Video::H264, None).file();
    let script = folder.path().join("camera.sh");
    let text = format!(
        "test -e {} && exit 1\nexec ffmpeg -nostdin -loglevel warning -re -stream_loop -1 -i {} -c copy -f rtsp \
         -rtsp_transport tcp rtsp://127.0.0.1:$RTSP_PORT/$MTX_PATH\n",
        broken.display(),
        clip.display()
    );
    std::fs::write(&script, text).unwrap();
    let hook = format!(
        "runOnDemand: sh {}\nrunOnDemandRestart: yes\nrunOnDemandStartTimeout: 1s\nrunOnDemandCloseAfter: 1s\n\
         recordPath: {}/%path/%Y-%m-%d_%H-%M-%S-%f",
        script.display(),
        folder.path().display()
    );
    let server = MediaMtx::start(Config::default().path("cam", &hook));
    let lifecycle = Lifecycle::of(&server);
    let policy = lifecycle.file("policy.yml", "useCases: {recording: {startTimeout: 1s}}");
    lifecycle.ok(&["apply", policy.to_str().unwrap()]);
    lifecycle.ok(&["start", "recording", "cam"]);
    let watch = lifecycle.watch(&[]);
    watch.wait_for_line("watching", PATIENCE);
    wait_until("a look at it", PATIENCE, || {
        lifecycle.status("cam")["kept"] == true
    });
    std::thread::sleep(Duration::from_secs(3));
    std::fs::write(&broken, "").unwrap();
    for pid in procfs::descendants(server.process().pid()) {
        let pid = nix::unistd::Pid::from_raw(pid.cast_signed());
        let _ = nix::sys::signal::kill(pid, Signal::SIGKILL);
    }
    watch.wait_for_line("the stream has gone, though it is wanted", PATIENCE);
    let rest = watch.wait_for_line("it rests", PATIENCE);
    assert!(rest.text.contains("\"attempt\":1"), "{}", rest.text);
    let second = watch.find_line(0, "a second rest", PATIENCE, |line| {
        line.text.contains("\"attempt\":2")
    });
    assert!(
        second.at > rest.at + Duration::from_secs(5),
        "a try takes as long as a source may take"
    );
    assert_eq!(lifecycle.status("cam")["state"], "waiting");
    std::fs::remove_file(&broken).unwrap();
    watch.wait_for_line("the stream is back", PATIENCE);
    let status = wait_for("the recording", PATIENCE, || {
        let status = lifecycle.status("cam");
        (status["recording"] == true && status["kept"] == true).then_some(status)
    });
    assert_eq!(status["state"], "live", "{status}");
}
