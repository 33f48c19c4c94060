//! mtx-lifecycle beside somebody who changes MediaMTX's configuration by hand at the same time.

use std::time::Duration;

use serde_json::Value;
use suite_tests::clips::{Clip, Video};
use suite_tests::http;
use suite_tests::lifecycle::Lifecycle;
use suite_tests::mediamtx::{Config, MediaMtx};
use suite_tests::packets::{Kind, Reader};

const PATIENCE: Duration = Duration::from_secs(60);

/// A server that everybody may publish to, and that records into the folder.
fn server(folder: &std::path::Path) -> MediaMtx {
    let record_path = format!("recordPath: {}/%path/%s-%f", folder.display());
    MediaMtx::start(Config::default().path_default(&record_path))
}

fn entry(server: &MediaMtx, name: &str) -> Value {
    server
        .get(&format!("/v3/config/paths/get/{name}"))
        .unwrap_or_default()
}

fn patch(server: &MediaMtx, entry: &str, body: &str) {
    let call = format!("PATCH /v3/config/paths/patch/{entry}");
    assert_eq!(http::forward(&server.api(""), &call, body).0, 200);
}

#[test]
fn stop_throws_nobody_out_when_the_entry_for_all_others_has_changed() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(folder.path());
    let lifecycle = Lifecycle::of(&server);
    let publisher = Clip::new(Video::H264, None).publish(&server.rtsp("w"));
    server.wait_ready("w", PATIENCE);
    lifecycle.ok(&["start", "recording", "w"]);
    let viewer = Reader::start(&server.rtsp("w"));
    viewer.collect(Kind::Video, 10, PATIENCE);
    patch(&server, "all_others", r#"{"maxReaders": 50}"#);
    let said = lifecycle.ok(&["stop", "w"]);
    assert!(said.contains("pending: entry removed"), "{said}");
    assert_eq!(entry(&server, "w")["record"], false);
    viewer.collect(Kind::Video, 100, PATIENCE);
    assert!(server.is_ready("w"));
    drop((viewer, publisher));
    server.wait_gone("w", PATIENCE);
    lifecycle.ok(&["rollback", "0", "--force"]);
    assert_eq!(entry(&server, "w"), Value::Null);
}

#[test]
fn entry_that_somebody_has_changed_stays_and_its_recording_ends_with_the_stop() {
    for command in [&["stop", "gate"][..], &["rollback", "0"]] {
        let folder = tempfile::tempdir().unwrap();
        let server = server(folder.path());
        let lifecycle = Lifecycle::of(&server);
        lifecycle.ok(&["start", "recording", "gate"]);
        patch(&server, "gate", r#"{"maxReaders": 3}"#);
        let _publisher = Clip::new(Video::H264, None).publish(&server.rtsp("gate"));
        server.wait_ready("gate", PATIENCE);
        let said = lifecycle.ok(command);
        assert!(said.contains("has changed maxReaders"), "{said}");
        let left = entry(&server, "gate");
        assert_eq!(
            (&left["record"], &left["maxReaders"]),
            (&false.into(), &3.into())
        );
        assert!(server.is_ready("gate"));
    }
}
