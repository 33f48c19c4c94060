//! What the README says of mtx-lifecycle, as it stands there.

use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use suite_tests::lifecycle::segments;
use suite_tests::mediamtx::{Config, MediaMtx, Ports};
use suite_tests::packets::{Kind, Reader};
use suite_tests::processes::Line;
use suite_tests::readme::{block, command};
use suite_tests::waiting::wait_until;
use suite_tests::{binaries::suite_binary, http};

const PATIENCE: Duration = Duration::from_secs(30);

/// The README's server, with mtx-lifecycle in its `PATH` and its files in a folder of the test's.
fn server(folder: &tempfile::TempDir) -> MediaMtx {
    let ports = Ports::choose();
    let yaml: serde_yaml::Value = serde_yaml::from_str(&block("yaml", "lifecycle")).unwrap();
    let mut config = Config::default()
        .path_default(&format!(
            "recordPath: {}/%path/%Y-%m-%d_%H-%M-%S-%f",
            folder.path().display()
        ))
        .env("PATH", path())
        .env(
            "MEDIAMTX_API_URL",
            format!("http://127.0.0.1:{}", ports.api),
        )
        .env(
            "MTX_LIFECYCLE_STATE",
            folder.path().join("state").display().to_string(),
        );
    for (name, entry) in yaml["paths"].as_mapping().unwrap() {
        let entry = serde_yaml::to_string(entry).unwrap();
        config = config.path(name.as_str().unwrap(), &entry);
    }
    MediaMtx::start_on(ports, config)
}

fn path() -> String {
    let binary = suite_binary("mtx-lifecycle");
    let folder = binary.parent().unwrap().display();
    format!("{folder}:{}", std::env::var("PATH").unwrap())
}

fn run(line: &str, server: &MediaMtx, folder: &tempfile::TempDir) -> String {
    let mut shell = Command::new("sh");
    shell.args(["-ec", line]).env("PATH", path());
    shell.env("MEDIAMTX_API_URL", server.api(""));
    shell.env("MTX_LIFECYCLE_STATE", folder.path().join("state"));
    let output = shell.output().unwrap();
    assert!(
        output.status.success(),
        "{line}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn entries(server: &MediaMtx) -> Value {
    server.get("/v3/config/paths/list").unwrap()["items"].take()
}

#[test]
fn commands_do_what_stands_beside_them() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = server(&folder);
    let before = entries(&server);
    let block = command("lifecycle-commands");
    let lines: Vec<_> = block.lines().collect();
    let [record, view, status, stop, rollback] = lines[..] else {
        panic!("{block}");
    };
    assert!(run(record, &server, &folder).contains("recording runs"));
    let files = || segments(folder.path(), "cam").len();
    // The server restarts, and has everything back by its own hook.
    let recorded = files();
    server.stop();
    server.start_again();
    wait_until("the next file", PATIENCE, || files() > recorded);
    assert!(run(view, &server, &folder).contains("pending: runOnDemandCloseAfter=5m"));
    let said = run(status, &server, &folder);
    assert!(
        said.contains("recording,viewing") && said.contains("pending"),
        "{said}"
    );
    run(stop, &server, &folder);
    wait_until("the end of the source", PATIENCE, || {
        !server.is_ready("cam")
    });
    run(rollback, &server, &folder);
    assert_eq!(entries(&server), before);
}

#[test]
fn the_same_by_hand_throws_out_the_viewer_and_ends_the_recording() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(&folder);
    let mut viewer = Reader::start(&server.rtsp("cam"));
    viewer.collect(Kind::Video, 10, PATIENCE);
    let patch =
        |body: &str| http::forward(&server.api(""), "PATCH /v3/config/paths/patch/cam", body).0;
    assert_eq!(patch(r#"{"runOnDemandCloseAfter": "300s"}"#), 200);
    wait_until("the end of the viewer", PATIENCE, || viewer.ended());

    assert_eq!(
        patch(r#"{"runOnDemandCloseAfter": "0s", "record": true}"#),
        200
    );
    let mark = server.process().mark();
    let viewer = Reader::start(&server.rtsp("cam"));
    let begun = |line: &Line| line.text.contains("[recorder] recording 1 track");
    server
        .process()
        .find_line(mark, "recording", PATIENCE, begun);
    drop(viewer);
    let closed = |line: &Line| line.text.contains("not needed by anyone");
    server
        .process()
        .find_line(mark, "not needed by anyone", PATIENCE, closed);
    wait_until("the end of the recording", PATIENCE, || {
        !server.is_ready("cam")
    });
}
