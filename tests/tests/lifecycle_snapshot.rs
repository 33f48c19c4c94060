//! mtx-lifecycle snapshot: the picture itself, from a running stream and from one that has to start.

use std::process::Command;
use std::time::{Duration, Instant};

use suite_tests::binaries::suite_binary;
use suite_tests::clips::{Clip, Video};
use suite_tests::lifecycle::{Done, Lifecycle, publishing_hook};
use suite_tests::mediamtx::{Config, MediaMtx};

const PATIENCE: Duration = Duration::from_secs(30);

fn snapshot(lifecycle: &Lifecycle, path: &str, file: &std::path::Path) -> Done {
    let mut command = lifecycle.command(&["snapshot", path, "-o", file.to_str().unwrap()]);
    command.env("MTX_WORKER", suite_binary("mtx-worker"));
    let output = command.output().unwrap();
    Done {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

#[track_caller]
fn assert_picture(file: &std::path::Path) {
    let mut ffprobe = Command::new("ffprobe");
    ffprobe.args([
        "-v",
        "error",
        "-show_entries",
        "stream=codec_name,width,height",
        "-of",
        "csv=p=0",
    ]);
    let output = ffprobe.arg(file).output().unwrap();
    assert_eq!(
        String::from_utf8_lossy(&output.stdout).trim(),
        "mjpeg,320,180"
    );
}

#[test]
fn picture_of_a_stream_that_has_to_start_and_of_one_that_runs() {
    let settings = publishing_hook(&Clip::new(Video::H264, None));
    let server = MediaMtx::start(Config::default().path("cam", &settings));
    let lifecycle = Lifecycle::of(&server);
    suite_binary("mtx-worker");
    let folder = tempfile::tempdir().unwrap();
    let first = folder.path().join("first.jpg");
    let done = snapshot(&lifecycle, "cam", &first);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert_picture(&first);
    // Its source stays for a minute, which the next picture is glad of.
    server.wait_ready("cam", PATIENCE);
    let entry = server.get("/v3/config/paths/get/cam").unwrap();
    assert_eq!(entry["runOnDemandCloseAfter"], "1m0s");
    let waits = "cam: pending: runOnDemandCloseAfter=10s";
    assert!(done.stdout.contains(waits), "{done:?}");
    assert!(done.stdout.contains("mtx-lifecycle watch"), "{done:?}");
    let start = Instant::now();
    let second = folder.path().join("the second.jpg");
    let done = snapshot(&lifecycle, "cam", &second);
    let took = start.elapsed();
    assert_eq!(done.code, Some(0), "{done:?}");
    // The clip has a key frame each second, and a picture is one.
    assert!(took < Duration::from_secs(2), "it took {took:?}");
    assert_picture(&second);
    assert!(
        lifecycle.status("cam")["useCases"]
            .as_array()
            .unwrap()
            .is_empty()
    );
}

#[test]
fn no_picture_is_an_error_that_says_why_and_leaves_no_file() {
    let server = MediaMtx::start(Config::default().path("cam", "runOnDemand: sleep 100"));
    let lifecycle = Lifecycle::of(&server);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("x.jpg");
    let done = snapshot(&lifecycle, "nobody", &file);
    assert_eq!(done.code, Some(1), "{done:?}");
    assert!(done.stderr.contains("nobody"), "{done:?}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn why_there_is_no_picture_is_said_in_one_sentence() {
    let server = MediaMtx::start(Config::default());
    let _publisher = Clip::h264_aac().publish(&server.rtsp("cam"));
    server.wait_ready("cam", PATIENCE);
    let lifecycle = Lifecycle::of(&server);
    let said = lifecycle.fails(1, &["snapshot", "cam", "-o", "/nowhere/cam.jpg"]);
    let expected = "mtx-lifecycle: no picture: --output: the picture can't be written to \
        /nowhere/cam.jpg: its folder /nowhere can't be found";
    assert!(said.starts_with(expected), "{said}");
    // Places for parts of the path are filled in.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("{name}.jpg");
    let said = lifecycle.ok(&["snapshot", "cam", "-o", file.to_str().unwrap()]);
    let taken = folder.path().join("cam.jpg");
    assert!(taken.is_file(), "{said}");
    assert!(said.contains(taken.to_str().unwrap()), "{said}");
}
