//! mtx-lifecycle watch: it stays true, whatever happens to the server and to the sources.

use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;
use suite_tests::clips::{Clip, Video};
use suite_tests::lifecycle::{Lifecycle, keeper, publishing_hook, segments};
use suite_tests::mediamtx::{Config, MediaMtx};
use suite_tests::packets::{Kind, Reader};
use suite_tests::processes::Spawned;
use suite_tests::proxy::{FaultProxy, Mode};
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

/// A watch with its metrics.
struct Watched {
    process: Spawned,
    address: String,
}

impl Watched {
    fn start(lifecycle: &Lifecycle) -> Self {
        let address = format!("127.0.0.1:{}", ports::tcp());
        let process = lifecycle.watch(&["--metrics", &address]);
        process.wait_for_line("watching", PATIENCE);
        Self { process, address }
    }

    /// All metrics, or nothing while they can't be had.
    fn metrics(&self) -> String {
        http::get(&format!("http://{}/metrics", self.address)).unwrap_or_default()
    }

    #[track_caller]
    fn wait_metric(&self, name: &str, value: f64) {
        wait_until(name, PATIENCE, || metric(&self.metrics(), name) >= value);
    }
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
fn two_changes_of_a_path_that_wait_are_told_once_each() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config::default()
        .path("cam", &camera(folder.path()))
        .path("other", "runOnDemand: sleep 9");
    let server = MediaMtx::start(config);
    let lifecycle = Lifecycle::of(&server);
    lifecycle.ok(&["start", "recording", "cam"]);
    let policy = "paths:\n\
        - {path: cam, useCase: viewing, overrides: {startTimeout: 12s, recordSegmentDuration: 10m}}\n\
        - {path: other, overrides: {record: yes}}\n";
    let policy = lifecycle.file("policy.yml", policy);
    lifecycle.ok(&["apply", policy.to_str().unwrap()]);
    let waiting = lifecycle.status("cam")["pending"].take();
    assert_eq!(waiting.as_array().map(Vec::len), Some(2), "{waiting}");
    let watched = Watched::start(&lifecycle);
    // Each time that it puts this right, it has looked.
    for looks in 1..=3 {
        let call = "PATCH /v3/config/paths/patch/other";
        let (status, _) = http::forward(&server.api(""), call, r#"{"record": false}"#);
        assert_eq!(status, 200);
        watched.wait_metric("mtx_lifecycle_changes_total", f64::from(looks));
    }
    let lines = watched.process.lines();
    let told = lines.iter().filter(|line| line.text.contains("pending: "));
    assert_eq!(told.count(), 2, "{lines:#?}");
}

#[test]
fn outage_of_the_server_is_told_with_a_way_out_and_mended_when_it_is_over() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = MediaMtx::start(Config::default().path("cam", &camera(folder.path())));
    let lifecycle = Lifecycle::of(&server);
    let watched = Watched::start(&lifecycle);
    let (watch, metrics) = (&watched.process, || watched.metrics());
    watched.wait_metric("mtx_lifecycle_api_up", 1.0);
    lifecycle.ok(&["start", "recording", "cam"]);
    watched.wait_metric("mtx_lifecycle_paths{state=\"live\"}", 1.0);
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
    let mut names = fallback["paths"].as_mapping().unwrap().keys();
    let is_keeper = |name: &serde_yaml::Value| {
        let name = name.as_str().unwrap_or_default();
        name.starts_with("lifecycle/") && name.ends_with("/cam")
    };
    assert!(names.any(is_keeper), "{fallback:?}");

    server.start_again();
    let files = segments(folder.path(), "cam").len();
    watch.wait_for_line("answers again", PATIENCE);
    wait_until("the next file", PATIENCE, || {
        segments(folder.path(), "cam").len() > files
    });
    watched.wait_metric("mtx_lifecycle_api_up", 1.0);
    watched.wait_metric("mtx_lifecycle_recovery_seconds_count", 1.0);
    watched.wait_metric("mtx_lifecycle_segments_total", 1.0);
    let told = watch
        .lines()
        .iter()
        .filter(|line| line.text.contains("fallback.yml"))
        .count();
    assert_eq!(told, 1);
    assert!(http::get(&format!("http://{}/other", watched.address)).is_err());
    lifecycle.ok(&["stop", "cam"]);
    for name in ["deactivation", "session", "recovery"] {
        watched.wait_metric(&format!("mtx_lifecycle_{name}_seconds_count"), 1.0);
    }
}

/// A camera that does not come while it is broken.
struct Camera {
    folder: tempfile::TempDir,
}

impl Camera {
    fn new() -> Self {
        let camera = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        let script = format!(
            "test -e {} && exit 1\nexec ffmpeg -nostdin -loglevel warning -re -stream_loop -1 -i {} -c copy -f rtsp \
             -rtsp_transport tcp rtsp://127.0.0.1:$RTSP_PORT/$MTX_PATH\n",
            camera.file("broken").display(),
            Clip::new(Video::H264, None).file().display()
        );
        std::fs::write(camera.file("camera.sh"), script).unwrap();
        camera
    }

    fn file(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    fn settings(&self) -> String {
        format!(
            "runOnDemand: sh {}\nrunOnDemandRestart: yes\nrunOnDemandStartTimeout: 1s\n\
             runOnDemandCloseAfter: 1s\nrecordPath: {}/%path/%Y-%m-%d_%H-%M-%S-%f",
            self.file("camera.sh").display(),
            self.folder.path().display()
        )
    }

    /// Ends the camera's process, too, if the server runs it.
    fn fail(&self, server: &MediaMtx) {
        std::fs::write(self.file("broken"), "").unwrap();
        for pid in procfs::descendants(server.process().pid()) {
            let pid = nix::unistd::Pid::from_raw(pid.cast_signed());
            let _ = nix::sys::signal::kill(pid, Signal::SIGKILL);
        }
    }

    fn mend(&self) {
        std::fs::remove_file(self.file("broken")).unwrap();
    }
}

const IMPATIENT: &str = "useCases: {recording: {startTimeout: 1s}}";

#[test]
fn source_that_crashes_again_and_again_gets_rests_and_is_back_when_it_can() {
    let camera = Camera::new();
    let server = MediaMtx::start(Config::default().path("cam", &camera.settings()));
    let lifecycle = Lifecycle::of(&server);
    let policy = lifecycle.file("policy.yml", IMPATIENT);
    lifecycle.ok(&["apply", policy.to_str().unwrap()]);
    lifecycle.ok(&["start", "recording", "cam"]);
    let watched = Watched::start(&lifecycle);
    watched.wait_metric("mtx_lifecycle_paths{state=\"live\"}", 1.0);
    camera.fail(&server);
    let watch = &watched.process;
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
    camera.mend();
    watch.wait_for_line("the stream is back", PATIENCE);
    let status = wait_for("the recording", PATIENCE, || {
        let status = lifecycle.status("cam");
        (status["recording"] == true && status["kept"] == true).then_some(status)
    });
    assert_eq!(status["state"], "live", "{status}");
}

#[test]
fn source_that_freezes_is_let_go_and_recorded_again_once_it_sends() {
    let folder = tempfile::tempdir().unwrap();
    let elsewhere = MediaMtx::start(Config::default());
    let _publisher = Clip::new(Video::H264, None).publish(&elsewhere.rtsp("x"));
    elsewhere.wait_ready("x", PATIENCE);
    let camera = FaultProxy::start(elsewhere.ports.rtsp);
    let settings = format!(
        "source: rtsp://127.0.0.1:{}/x\nrtspTransport: tcp\nsourceOnDemand: yes\nsourceOnDemandCloseAfter: 1s\n\
         recordPath: {}/%path/%Y-%m-%d_%H-%M-%S-%f\nrecordPartDuration: 200ms",
        camera.port(),
        folder.path().display()
    );
    // By default the server itself lets go after 10 s.
    let config = Config::default().global("readTimeout: 10m");
    let server = MediaMtx::start(config.path("cam", &settings));
    let lifecycle = Lifecycle::of(&server);
    let policy = lifecycle.file("policy.yml", IMPATIENT);
    lifecycle.ok(&["apply", policy.to_str().unwrap()]);
    lifecycle.ok(&["start", "recording", "cam"]);
    let watched = Watched::start(&lifecycle);
    watched.wait_metric("mtx_lifecycle_paths{state=\"live\"}", 1.0);
    let files = segments(folder.path(), "cam").len();
    camera.set(Mode::Freeze);
    let watch = &watched.process;
    watch.wait_for_line(
        "the source is there, but has sent nothing for 20s",
        PATIENCE,
    );
    watch.wait_for_line("it rests", PATIENCE);
    watch.wait_for_line("the stream has gone, though it is wanted", PATIENCE);
    camera.set(Mode::Pass);
    watch.wait_for_line("the stream is back", PATIENCE);
    wait_until("the next file", PATIENCE, || {
        segments(folder.path(), "cam").len() > files
    });
    wait_until("the keeper", PATIENCE, || {
        lifecycle.status("cam")["kept"] == true
    });
}

/// All tries in vain take two minutes.
#[test]
fn source_that_stays_away_is_degraded_until_somebody_starts_it_anew() {
    let camera = Camera::new();
    let server = MediaMtx::start(Config::default().path("cam", &camera.settings()));
    let lifecycle = Lifecycle::of(&server);
    camera.fail(&server);
    let policy = format!("{IMPATIENT}\npaths: [{{path: cam, useCase: recording}}]");
    let policy = lifecycle.file("policy.yml", &policy);
    lifecycle.ok(&["apply", policy.to_str().unwrap()]);
    let watched = Watched::start(&lifecycle);
    let degraded = watched
        .process
        .wait_for_line("degraded: the source does not come", 4 * PATIENCE);
    assert!(degraded.text.contains("\"cam\""), "{}", degraded.text);
    let rests = watched.process.lines();
    let rests = rests.iter().filter(|line| line.text.contains("it rests"));
    assert_eq!(rests.count(), 6);
    assert_eq!(lifecycle.status("cam")["state"], "degraded");
    watched.wait_metric("mtx_lifecycle_paths{state=\"degraded\"}", 1.0);
    wait_until("nobody who demands it", PATIENCE, || {
        server.hooks().is_empty() && keeper(&server, "cam").is_none()
    });

    camera.mend();
    lifecycle.ok(&["start", "recording", "cam"]);
    watched.wait_metric("mtx_lifecycle_paths{state=\"live\"}", 1.0);
    let status = lifecycle.status("cam");
    assert_eq!(
        (&status["state"], &status["kept"]),
        (&"live".into(), &true.into()),
        "{status}"
    );
}

#[test]
fn stream_under_a_pattern_that_has_simply_ended_is_idle_while_its_files_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let record_path = format!("recordPath: {}/%path/%s-%f", folder.path().display());
    let server = MediaMtx::start(Config::default().path_default(&record_path));
    let lifecycle = Lifecycle::of(&server);
    let policy = "useCases: {patrol: {closeAfter: 20m, record: yes, recordDeleteAfter: 2d}}\n\
                  paths: [{path: 'guards/*', useCase: patrol}]";
    let policy = lifecycle.file("policy.yml", policy);
    lifecycle.ok(&["apply", policy.to_str().unwrap()]);
    let watched = Watched::start(&lifecycle);
    let publisher = Clip::new(Video::H264, None).publish(&server.rtsp("guards/1"));
    wait_until("a file", PATIENCE, || {
        !segments(folder.path(), "guards/1").is_empty()
    });
    watched.wait_metric("mtx_lifecycle_paths{state=\"live\"}", 1.0);
    drop(publisher);
    server.wait_gone("guards/1", PATIENCE);
    watched.wait_metric("mtx_lifecycle_paths{state=\"idle\"}", 1.0);
    let status = lifecycle.status("guards/1");
    assert_eq!(status["state"], "idle", "{status}");
    assert!(status["missing"].is_null(), "{status}");
    assert_eq!(status["pending"][0]["waitsForFiles"], true, "{status}");
    assert_eq!(entry(&server, "guards/1")["recordDeleteAfter"], "2d");
    let log = watched.process.output();
    assert!(!log.contains("though it is wanted"), "{log}");
}
