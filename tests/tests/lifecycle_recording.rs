//! mtx-lifecycle: recordings that nobody watches, over file rotation, to a proper end.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use suite_tests::clips::{Clip, Video};
use suite_tests::compare::assert_uninterrupted;
use suite_tests::lifecycle::{Lifecycle, publishing_hook, segments};
use suite_tests::mediamtx::{Config, MediaMtx};
use suite_tests::packets::{Reader, read_file};
use suite_tests::waiting::wait_until;

const PATIENCE: Duration = Duration::from_secs(30);

fn clip() -> Clip {
    Clip::new(Video::H264, None)
}

fn recorded_into(folder: &Path) -> String {
    format!(
        "recordPath: {}/%path/%Y-%m-%d_%H-%M-%S-%f\nrecordSegmentDuration: 2s\nrecordPartDuration: 200ms",
        folder.display()
    )
}

/// A server with one on-demand camera that closes 1 s after its last viewer, and records into the folder.
fn server(folder: &Path) -> MediaMtx {
    let settings = format!(
        "{}\n{}\nrunOnDemandCloseAfter: 1s",
        publishing_hook(&clip()),
        recorded_into(folder)
    );
    MediaMtx::start(Config::default().path("cam", &settings))
}

fn decodes(file: &Path) -> String {
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-hide_banner", "-nostdin", "-loglevel", "error", "-i"]);
    let output = ffmpeg.arg(file).args(["-f", "null", "-"]).output().unwrap();
    assert!(output.status.success(), "{} is broken", file.display());
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[track_caller]
fn assert_complete(files: &[PathBuf]) -> usize {
    let mut recorded = vec![];
    for file in files {
        assert_eq!(decodes(file), "", "{}", file.display());
        let packets = read_file(file);
        assert!(packets[0].key, "{} begins with a key frame", file.display());
        recorded.extend(packets);
    }
    assert_uninterrupted(&read_file(&clip().file()), &recorded, 25)
}

#[test]
fn recording_lives_without_viewers_over_rotations_and_misses_no_frame() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(folder.path());
    let lifecycle = Lifecycle::of(&server);
    let start = Instant::now();
    let said = lifecycle.ok(&["start", "recording", "cam"]);
    assert!(
        start.elapsed() < Duration::from_secs(3),
        "it took {:?}",
        start.elapsed()
    );
    assert!(said.contains("recording runs"), "{said}");
    assert!(
        !segments(folder.path(), "cam").is_empty(),
        "a file is there"
    );

    // The length of its files is changed in the midst of it: the recording is not torn for that.
    let policy = "paths: [{path: cam, overrides: {recordSegmentDuration: 3s}}]";
    let policy = lifecycle.file("policy.yml", policy);
    let said = lifecycle.ok(&["apply", policy.to_str().unwrap()]);
    let waits = "pending: recordSegmentDuration=3s (waits for 1 recording)";
    assert!(said.contains(waits), "{said}");
    assert!(said.contains("mtx-lifecycle reconcile once"), "{said}");

    // Eight times closeAfter, and five files.
    wait_until("five files", PATIENCE, || {
        segments(folder.path(), "cam").len() >= 6
    });
    let status = lifecycle.status("cam");
    assert_eq!(status["viewers"], 0, "{status}");
    assert_eq!(
        (&status["state"], &status["recording"]),
        (&"live".into(), &true.into())
    );

    lifecycle.ok(&["stop", "cam", "--reason", "the test is over"]);
    wait_until("the end of the source", PATIENCE, || {
        server.hooks().is_empty()
    });
    let files = segments(folder.path(), "cam");
    let frames = assert_complete(&files);
    assert!(frames > 250, "{frames} frames");
    assert_eq!(lifecycle.status("cam")["state"], "idle");
    // The server is as it was.
    let names = server.get("/v3/config/paths/list").unwrap().to_string();
    assert!(!names.contains("lifecycle/"), "{names}");
    assert_eq!(
        server.get("/v3/config/paths/get/cam").unwrap()["record"],
        false
    );
}

#[test]
fn recording_of_whatever_is_published_begins_and_ends_hot() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config::default().path_default(&recorded_into(folder.path()));
    let server = MediaMtx::start(config);
    let publisher = clip().publish(&server.rtsp("push"));
    server.wait_ready("push", PATIENCE);
    let before = server.path("push").unwrap().source();
    let lifecycle = Lifecycle::of(&server);
    lifecycle.ok(&["start", "recording", "push"]);
    wait_until("three files", PATIENCE, || {
        segments(folder.path(), "push").len() >= 3
    });
    lifecycle.ok(&["stop", "push"]);
    assert_eq!(
        server.path("push").unwrap().source(),
        before,
        "the same publisher all the time"
    );
    assert!(
        server.get("/v3/config/paths/list").unwrap()["items"]
            .as_array()
            .unwrap()
            .len()
            == 1
    );
    // Its last file is closed a moment after the server has been told.
    wait_until("the last file", PATIENCE, || {
        server.process().output().contains("recording stopped")
    });
    assert_complete(&segments(folder.path(), "push"));
    drop(publisher);
}

#[test]
fn recording_of_a_watched_path_of_an_expression_begins_at_once_and_outlives_the_viewer() {
    let folder = tempfile::tempdir().unwrap();
    let settings = format!(
        "{}\n{}\nrunOnDemandCloseAfter: 1s",
        publishing_hook(&clip()),
        recorded_into(folder.path())
    );
    let server = MediaMtx::start(Config::default().path("~^grp/(.+)$", &settings));
    let viewer = Reader::start(&server.rtsp("grp/w"));
    server.wait_ready("grp/w", PATIENCE);
    let lifecycle = Lifecycle::of(&server);
    lifecycle.ok(&["start", "recording", "grp/w"]);
    let begun = segments(folder.path(), "grp/w").len();
    assert!(begun > 0, "no file has been begun");
    drop(viewer);
    wait_until("two more files", PATIENCE, || {
        segments(folder.path(), "grp/w").len() >= begun + 2
    });
    lifecycle.ok(&["stop", "grp/w"]);
}

#[test]
fn recording_goes_on_after_its_source_has_crashed() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(folder.path());
    let lifecycle = Lifecycle::of(&server);
    lifecycle.ok(&["start", "recording", "cam"]);
    let hook = suite_tests::procfs::descendants(server.process().pid());
    for pid in hook {
        let pid = nix::unistd::Pid::from_raw(pid.cast_signed());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
    }
    server.wait_gone("cam", PATIENCE);
    let files = segments(folder.path(), "cam").len();
    // No process of the suite runs: the server does that alone.
    wait_until("the next file", PATIENCE, || {
        segments(folder.path(), "cam").len() > files
    });
    lifecycle.ok(&["stop", "cam"]);
}

#[test]
fn recorded_files_are_kept_for_as_long_as_their_use_case_said_after_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let settings = format!("{}\nrunOnDemandCloseAfter: 1s", publishing_hook(&clip()));
    let server = MediaMtx::start(
        Config::default()
            .path_default(&recorded_into(folder.path()))
            .path_default("recordDeleteAfter: 3s")
            .path("cam", &settings)
            .path("short", "record: yes"),
    );
    let lifecycle = Lifecycle::of(&server);
    let policy = "useCases: {recording: {recordDeleteAfter: 14d}}";
    let policy = lifecycle.file("policy.yml", policy);
    lifecycle.ok(&["apply", policy.to_str().unwrap()]);
    lifecycle.ok(&["start", "recording", "cam"]);
    let said = lifecycle.ok(&["stop", "cam"]);
    let waits = "pending: recordDeleteAfter=3s (waits for the end of its recorded files)";
    assert!(said.contains(waits), "{said}");
    let status = lifecycle.status("cam");
    assert_eq!(status["pending"][0]["waitsForFiles"], true, "{status}");
    server.wait_gone("cam", PATIENCE);
    let files = segments(folder.path(), "cam");
    assert!(!files.is_empty());

    // Younger files of another path are deleted meanwhile.
    let publisher = clip().publish(&server.rtsp("short"));
    let short = || segments(folder.path(), "short").len();
    wait_until("a file of short", PATIENCE, || short() > 0);
    drop(publisher);
    wait_until("the end of short's files", PATIENCE, || short() == 0);
    assert_eq!(segments(folder.path(), "cam"), files);

    let delete_after = || {
        let entry = server.get("/v3/config/paths/get/cam").unwrap();
        entry["recordDeleteAfter"].as_str().unwrap().to_owned()
    };
    let said = lifecycle.ok(&["rollback", "0"]);
    assert!(said.contains(waits), "{said}");
    assert_eq!(delete_after(), "14d");
    for file in files {
        std::fs::remove_file(file).unwrap();
    }
    lifecycle.ok(&["reconcile"]);
    assert_eq!(delete_after(), "3s");
}

#[test]
fn force_ends_the_time_that_recorded_files_are_kept_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(folder.path());
    let lifecycle = Lifecycle::of(&server);
    let entry = || server.get("/v3/config/paths/get/cam").unwrap();
    let before = entry();
    let policy = "useCases: {recording: {recordDeleteAfter: 14d}}";
    let policy = lifecycle.file("policy.yml", policy);
    lifecycle.ok(&["apply", policy.to_str().unwrap()]);
    lifecycle.ok(&["start", "recording", "cam"]);
    lifecycle.ok(&["rollback", "0", "--force"]);
    assert_eq!(entry(), before);
}
