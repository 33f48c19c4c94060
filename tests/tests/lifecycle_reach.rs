//! mtx-lifecycle: servers that can't read their own paths, or read them elsewhere than before; and an old one.

use std::path::Path;
use std::time::Duration;

use mediamtx::version::Version;
use serde_json::{Value, json};
use suite_tests::clips::{Clip, Video};
use suite_tests::lifecycle::{Lifecycle, entries, keeper, publishing_hook, segments};
use suite_tests::mediamtx::{Config, MediaMtx};
use suite_tests::packets::{Kind, Reader};
use suite_tests::waiting::wait_until;
use suite_tests::{binaries, http, ports};

const PATIENCE: Duration = Duration::from_secs(60);

fn clip() -> Clip {
    Clip::new(Video::H264, None)
}

fn recorded_into(folder: &Path) -> String {
    format!(
        "recordPath: {}/%path/%Y-%m-%d_%H-%M-%S-%f\nrecordPartDuration: 200ms",
        folder.display()
    )
}

fn source_of_keeper(server: &MediaMtx) -> Option<String> {
    let name = keeper(server, "cam")?;
    let entry = server.get(&format!("/v3/config/paths/get/{name}")).ok()?;
    entry["source"].as_str().map(str::to_owned)
}

#[test]
fn server_that_cannot_read_its_own_paths_is_told_which_setting_is_in_the_way() {
    for (setting, said_setting) in [
        ("rtsp: no", "set rtsp: yes"),
        ("rtspTransports: [udp]", "rtspTransports lacks tcp"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let config = Config::default()
            .global(setting)
            .path_default(&recorded_into(folder.path()))
            .path("cam", "runOnDemand: sleep 9");
        let server = MediaMtx::start(config);
        let lifecycle = Lifecycle::of(&server);
        let before = entries(&server);
        let said = lifecycle.fails(1, &["start", "recording", "cam"]);
        assert!(said.contains(said_setting), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
        assert_eq!(entries(&server), before, "nothing was written");
        assert_eq!(lifecycle.status("cam")["useCases"], json!([]));
        // What is published needs nobody who holds it open.
        let _publisher = clip().publish(&server.rtmp("push"));
        server.wait_ready("push", PATIENCE);
        lifecycle.ok(&["start", "recording", "push"]);
        assert!(!segments(folder.path(), "push").is_empty());
        lifecycle.ok(&["rollback", "0", "--force"]);
        assert_eq!(entries(&server), before);
    }
}

#[test]
fn recording_goes_on_when_rtsp_has_moved_to_another_port() {
    let folder = tempfile::tempdir().unwrap();
    let camera = format!(
        "{}\n{}",
        publishing_hook(&clip()),
        recorded_into(folder.path())
    );
    let server = MediaMtx::start(Config::default().path("cam", &camera));
    let lifecycle = Lifecycle::of(&server);
    lifecycle.ok(&["start", "recording", "cam"]);
    let watch = lifecycle.watch(&[]);
    watch.wait_for_line("watching", PATIENCE);
    let files = segments(folder.path(), "cam").len();
    let port = ports::tcp();
    let moved = json!({ "rtspAddress": format!("127.0.0.1:{port}") }).to_string();
    let call = "PATCH /v3/config/global/patch";
    assert_eq!(http::forward(&server.api(""), call, &moved).0, 200);
    let expected = format!("rtsp://127.0.0.1:{port}/cam");
    wait_until("a keeper at the new port", PATIENCE, || {
        source_of_keeper(&server).as_ref() == Some(&expected)
    });
    wait_until("the next file", PATIENCE, || {
        segments(folder.path(), "cam").len() > files
    });
    wait_until("the path is held", PATIENCE, || {
        lifecycle.status("cam")["kept"] == true
    });
}

/// It has older names and fewer hot settings, and does not tell its version.
#[test]
fn v1_14_records_without_viewers_and_lets_all_else_wait() {
    let folder = tempfile::tempdir().unwrap();
    let version = Version::release(1, 14, 0);
    let camera = format!(
        "{}\n{}\nrunOnDemandCloseAfter: 1s",
        publishing_hook(&clip()),
        recorded_into(folder.path())
    );
    let config = Config::default().version(&version).path("cam", &camera);
    let mut server = MediaMtx::start(config);
    let lifecycle = Lifecycle::of(&server);
    let before = entries(&server);
    let files = || segments(folder.path(), "cam").len();

    lifecycle.ok(&["start", "recording", "cam"]);
    let viewer = Reader::start(&server.rtsp("cam"));
    viewer.collect(Kind::Video, 10, PATIENCE);
    let policy = "paths: [{path: cam, useCase: viewing, overrides: {recordSegmentDuration: 9m}}]";
    let policy = lifecycle.file("policy.yml", policy);
    let said = lifecycle.ok(&["apply", policy.to_str().unwrap()]);
    for setting in ["recordSegmentDuration=9m", "runOnDemandCloseAfter=5m"] {
        assert!(said.contains(setting), "{said}");
    }
    assert!(said.contains("waits for 1 viewer"), "{said}");
    viewer.collect(Kind::Video, 25, PATIENCE);
    drop(viewer);
    // Hot on v1.14.0 is `record` alone: not even its own recording is torn for the rest.
    let entry = server.get("/v3/config/paths/get/cam").unwrap();
    assert_eq!(entry["recordSegmentDuration"], "1h0m0s");

    let recorded = files();
    server.kill();
    server.start_again();
    lifecycle.ok(&["reconcile"]);
    wait_until("the next file", PATIENCE, || files() > recorded);
    let picture = folder.path().join("cam.jpg");
    let mut snapshot = lifecycle.command(&["snapshot", "cam", "-o"]);
    snapshot.arg(&picture);
    snapshot.env("MTX_WORKER", binaries::suite_binary("mtx-worker"));
    assert!(snapshot.status().unwrap().success());
    assert!(picture.metadata().unwrap().len() > 0);
    lifecycle.ok(&["stop", "cam"]);
    let status: Value = lifecycle.status("cam");
    assert_eq!(status["recording"], false, "{status}");
    lifecycle.ok(&["rollback", "0", "--force"]);
    wait_until("the server as it was", PATIENCE, || {
        entries(&server) == before
    });
}
