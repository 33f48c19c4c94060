//! mtx-lifecycle: what was made over the API outlives the server, and can be taken back.

use std::time::Duration;

use serde_json::Value;
use suite_tests::binaries::suite_binary;
use suite_tests::clips::{Clip, Video};
use suite_tests::lifecycle::{Lifecycle, publishing_hook, segments};
use suite_tests::mediamtx::{Config, MediaMtx};
use suite_tests::waiting::wait_until;

const PATIENCE: Duration = Duration::from_secs(30);

fn camera(folder: &std::path::Path) -> String {
    format!(
        "{}\nrecordPath: {}/%path/%Y-%m-%d_%H-%M-%S-%f\nrecordPartDuration: 200ms",
        publishing_hook(&Clip::new(Video::H264, None)),
        folder.display()
    )
}

/// All entries of the server, without passwords that are none.
fn entries(server: &MediaMtx) -> Value {
    server.get("/v3/config/paths/list").unwrap()["items"].take()
}

#[test]
fn recording_goes_on_after_the_server_was_killed_and_reconciled() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = MediaMtx::start(Config::default().path("cam", &camera(folder.path())));
    let lifecycle = Lifecycle::of(&server);
    lifecycle.ok(&["start", "recording", "cam"]);
    let before = entries(&server);
    server.kill();
    let files = segments(folder.path(), "cam").len();
    let said = lifecycle.fails(1, &["status"]);
    assert!(
        said.contains("refused") && said.contains("what the journal knows"),
        "{said}"
    );
    server.start_again();
    assert_ne!(entries(&server), before);
    lifecycle.ok(&["reconcile"]);
    assert_eq!(entries(&server), before);
    wait_until("the next file", PATIENCE, || {
        segments(folder.path(), "cam").len() > files
    });
    // Once more changes nothing.
    assert_eq!(lifecycle.ok(&["reconcile"]), "");
    lifecycle.ok(&["stop", "cam"]);
}

#[test]
fn server_gets_its_configuration_back_by_its_own_hook() {
    let folder = tempfile::tempdir().unwrap();
    let state = tempfile::tempdir().unwrap();
    let ports = suite_tests::mediamtx::Ports::choose();
    let api = format!("http://127.0.0.1:{}", ports.api);
    let hook = format!(
        "runOnInit: {} reconcile",
        suite_binary("mtx-lifecycle").display()
    );
    let config = Config::default()
        .path("cam", &camera(folder.path()))
        .path("init", &hook)
        .env("MEDIAMTX_API_URL", api.clone())
        .env(
            "MTX_LIFECYCLE_STATE",
            state.path().join("state").display().to_string(),
        );
    let mut server = MediaMtx::start_on(ports, config);
    let lifecycle = Lifecycle::with_state(&api, state);
    lifecycle.ok(&["start", "recording", "cam"]);
    server.stop();
    let files = segments(folder.path(), "cam").len();
    server.start_again();
    wait_until("the next file", PATIENCE, || {
        segments(folder.path(), "cam").len() > files
    });
    let hooks = || {
        server
            .hooks()
            .into_iter()
            .filter(|it| it.contains("reconcile"))
            .count()
    };
    wait_until("the end of the hook", PATIENCE, || hooks() == 0);
    lifecycle.ok(&["stop", "cam"]);
}

#[test]
fn everything_can_be_taken_back() {
    let server = MediaMtx::start(
        Config::default()
            .path("cam", "runOnDemand: sleep 100")
            .path(
                "~^door(.)$",
                "runOnDemand: sleep 10$G1\nrunOnDemandStartTimeout: 3s",
            ),
    );
    let before = entries(&server);
    let lifecycle = Lifecycle::of(&server);
    let policy = "paths:\n- {path: cam, useCase: viewing}\n- {path: door1, useCase: recording}\n- path: new\n  source: {rtsp: 'rtsp://u:hunter2@127.0.0.1:1/x'}\n";
    let policy = lifecycle.file("policy.yml", policy);
    let said = lifecycle.ok(&["apply", policy.to_str().unwrap()]);
    assert!(!said.contains("hunter2"), "{said}");
    let entry = |name: &str| server.get(&format!("/v3/config/paths/get/{name}")).unwrap();
    assert_eq!(entry("cam")["runOnDemandCloseAfter"], "5m0s");
    assert_eq!(entry("door1")["runOnDemand"], "sleep 101");
    assert_eq!(entry("new")["source"], "rtsp://u:hunter2@127.0.0.1:1/x");
    let said = lifecycle.ok(&["rollback"]);
    assert!(said.contains("revision 0"), "{said}");
    assert_eq!(entries(&server), before);
    let said = lifecycle.fails(1, &["rollback", "77"]);
    assert!(said.contains("there is no revision 77"), "{said}");
}

#[test]
fn exported_and_migrated_configurations_are_taken_by_the_server() {
    let server = MediaMtx::start(Config::default().path("push", "record: yes"));
    let lifecycle = Lifecycle::of(&server);
    let policy = "paths:\n- path: cam\n  useCase: recording\n  source: {command: sleep 100}\n- path: hall\n  useCase: viewing\n  source: {rtsp: 'rtsp://127.0.0.1:1/x'}\n- path: push\n  useCase: recording\n";
    let policy = lifecycle.file("policy.yml", policy);
    lifecycle.ok(&["apply", policy.to_str().unwrap()]);
    let settings = |server: &MediaMtx| {
        let mut entries = entries(server);
        for entry in entries.as_array_mut().unwrap() {
            // The second server has ports of its own.
            entry["source"].take();
        }
        entries
    };
    let exported: serde_yaml::Value = serde_yaml::from_str(&lifecycle.ok(&["export"])).unwrap();
    let names: Vec<_> = exported["paths"].as_mapping().unwrap().keys().collect();
    let is_kept = |path: &str| {
        let mut keepers = names.iter().filter_map(|name| name.as_str());
        keepers.any(|name| name.starts_with("lifecycle/") && name.ends_with(path))
    };
    assert!(is_kept("/cam") && !is_kept("/push"), "{names:?}");
    let mut config = Config::default();
    for (name, entry) in exported["paths"].as_mapping().unwrap() {
        let yaml = serde_yaml::to_string(entry).unwrap();
        config = config.path(name.as_str().unwrap(), &yaml);
    }
    let second = MediaMtx::start(config);
    assert_eq!(settings(&second), settings(&server));

    let file = lifecycle.file("mediamtx.yml", &serde_yaml::to_string(&exported).unwrap());
    let migrated = lifecycle.ok(&["migrate", file.to_str().unwrap()]);
    assert!(
        migrated.contains("path: cam") && migrated.contains("useCase: recording"),
        "{migrated}"
    );
    let policy = lifecycle.file("migrated.yml", &migrated);
    lifecycle.ok(&["apply", policy.to_str().unwrap(), "--dry-run"]);
}
