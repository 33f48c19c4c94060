//! mtx-lifecycle: whatever changes, whoever watches goes on watching, unless somebody says otherwise.

use std::time::Duration;

use suite_tests::clips::{Clip, Video};
use suite_tests::compare::assert_no_gap;
use suite_tests::lifecycle::{Lifecycle, publishing_hook};
use suite_tests::mediamtx::{Config, MediaMtx};
use suite_tests::packets::{Kind, Reader};
use suite_tests::waiting::wait_until;

const PATIENCE: Duration = Duration::from_secs(30);

const POLICY: &str = "
useCases:
  lobby: {closeAfter: 7m, startTimeout: 12s}
paths:
- path: cam
  useCase: lobby
  overrides: {recordSegmentDuration: 10m}
";

fn clip() -> Clip {
    Clip::new(Video::H264, None)
}

fn server(folder: &std::path::Path) -> MediaMtx {
    let settings = format!(
        "{}\nrunOnDemandCloseAfter: 1s\nrecordPath: {}/%path/%Y-%m-%d_%H-%M-%S-%f",
        publishing_hook(&clip()),
        folder.display()
    );
    MediaMtx::start(Config::default().path("cam", &settings))
}

fn close_after(server: &MediaMtx) -> String {
    let entry = server.get("/v3/config/paths/get/cam").unwrap();
    entry["runOnDemandCloseAfter"].as_str().unwrap().to_owned()
}

#[test]
fn viewer_misses_no_frame_while_policies_change_under_it() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(folder.path());
    let lifecycle = Lifecycle::of(&server);
    let policy = lifecycle.file("policy.yml", POLICY);
    let policy = policy.to_str().unwrap();
    let viewer = Reader::start(&server.rtsp("cam"));
    viewer.collect(Kind::Video, 10, PATIENCE);

    let said = lifecycle.ok(&["apply", policy, "--dry-run"]);
    assert!(
        said.contains("runOnDemandCloseAfter=7m") && said.contains("waits for 1 viewer"),
        "{said}"
    );
    assert!(
        said.contains("recordSegmentDuration=10m (was \"1h0m0s\"; now)"),
        "{said}"
    );
    for command in [
        &["start", "recording", "cam"][..],
        &["apply", policy],
        &["start", "viewing", "cam"],
        &["stop", "cam"],
        &["start", "recording", "cam"],
        &["rollback"],
        &["reconcile"],
        &["rollback", "2"],
        &["start", "snapshot", "cam"],
        &["stop", "cam", "--reason", "enough"],
    ] {
        lifecycle.ok(command);
    }
    let status = lifecycle.status("cam");
    assert_eq!(status["viewers"], 1, "{status}");
    assert_eq!(status["pending"][0]["waitsFor"]["viewers"], 1, "{status}");
    assert_eq!(
        status["pending"][0]["fields"]["runOnDemandCloseAfter"], "7m",
        "{status}"
    );
    assert_eq!(close_after(&server), "1s");
    let seen = viewer.packets().len();
    let packets = viewer.collect(Kind::Video, seen + 50, PATIENCE);
    assert_no_gap(Kind::Video, &packets);

    // What has waited is written once nobody is there any more.
    drop(viewer);
    wait_until("the end of the source", PATIENCE, || {
        server.hooks().is_empty()
    });
    server.wait_gone("cam", PATIENCE);
    lifecycle.ok(&["reconcile"]);
    assert_eq!(close_after(&server), "7m0s");
    assert!(lifecycle.status("cam")["pending"].is_null());
}

#[test]
fn viewers_over_rtmp_and_hls_are_counted_and_miss_nothing() {
    let settings = format!("{}\nrunOnDemandCloseAfter: 1s", publishing_hook(&clip()));
    let config = Config::default().hls().global("hlsMuxerCloseAfter: 2s");
    let server = MediaMtx::start(config.path("cam", &settings));
    let lifecycle = Lifecycle::of(&server);
    let rtmp = Reader::start(&server.rtmp("cam"));
    let hls = format!("http://127.0.0.1:{}/cam/index.m3u8", server.ports.hls);
    let hls = Reader::start(&hls);
    for viewer in [&rtmp, &hls] {
        viewer.collect(Kind::Video, 10, PATIENCE);
    }
    let policy = lifecycle.file("policy.yml", POLICY);
    lifecycle.ok(&["apply", policy.to_str().unwrap()]);
    assert_eq!(lifecycle.status("cam")["viewers"], 2);
    for viewer in [&rtmp, &hls] {
        let seen = viewer.packets().len();
        let packets = viewer.collect(Kind::Video, seen + 50, PATIENCE);
        assert_no_gap(Kind::Video, &packets);
    }

    drop(rtmp);
    lifecycle.wait_status("cam", PATIENCE, |status| status["viewers"] == 1);
    lifecycle.ok(&["reconcile"]);
    assert_eq!(close_after(&server), "1s", "one still watches over HLS");
    drop(hls);
    server.wait_gone("cam", PATIENCE);
    lifecycle.ok(&["reconcile"]);
    assert_eq!(close_after(&server), "7m0s");
}

#[test]
fn force_drops_whoever_is_there_and_says_how_many() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(folder.path());
    let lifecycle = Lifecycle::of(&server);
    let policy = lifecycle.file("policy.yml", POLICY);
    let mut viewer = Reader::start(&server.rtsp("cam"));
    viewer.collect(Kind::Video, 10, PATIENCE);
    let done = lifecycle.run(&["apply", policy.to_str().unwrap(), "--force"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(
        done.stderr.contains("cam: dropped 1 viewer, 1 publisher"),
        "{done:?}"
    );
    assert_eq!(close_after(&server), "7m0s");
    wait_until("the end of the viewer", PATIENCE, || viewer.ended());
}

#[test]
fn viewing_is_there_before_its_first_viewer_and_closes_after_its_last() {
    let server = MediaMtx::start(Config::default().path("cam", &publishing_hook(&clip())));
    let lifecycle = Lifecycle::of(&server);
    let policy = lifecycle.file("policy.yml", "useCases: {viewing: {closeAfter: 2s}}");
    lifecycle.ok(&["apply", policy.to_str().unwrap()]);
    let start = std::time::Instant::now();
    lifecycle.ok(&["start", "viewing", "cam"]);
    assert!(
        start.elapsed() < Duration::from_secs(2),
        "it took {:?}",
        start.elapsed()
    );
    assert!(server.is_ready("cam"));
    let names = server.get("/v3/config/paths/list").unwrap().to_string();
    assert!(
        !names.contains("lifecycle/"),
        "nothing holds it open: {names}"
    );
    let viewer = Reader::start(&server.rtsp("cam"));
    viewer.collect(Kind::Video, 100, PATIENCE);
    drop(viewer);
    server.wait_gone("cam", PATIENCE);
}

#[test]
fn source_that_does_not_come_is_an_error_that_says_what_is_left_of_it() {
    let server = MediaMtx::start(Config::default().path("cam", "runOnDemand: sleep 100"));
    let lifecycle = Lifecycle::of(&server);
    let said = lifecycle.fails(1, &["start", "recording", "cam", "--timeout", "2s"]);
    assert!(
        said.contains("cam: its source has not come within"),
        "{said}"
    );
    assert_eq!(lifecycle.status("cam")["state"], "waiting");
    lifecycle.ok(&["stop", "cam"]);
    assert_eq!(lifecycle.status("cam")["state"], "idle");
    let said = lifecycle.fails(2, &["start", "party", "cam"]);
    assert!(said.contains("recording, viewing, snapshot"), "{said}");
}
