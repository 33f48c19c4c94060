//! mtx-lifecycle keeps its word: what was the server's comes back, and nobody's stream is taken away.

use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use suite_tests::clips::{Clip, Video};
use suite_tests::http;
use suite_tests::lifecycle::{Lifecycle, entries, keeper, publishing_hook, segments};
use suite_tests::mediamtx::{Config, MediaMtx};
use suite_tests::packets::{Kind, Reader};
use suite_tests::proxy::{FaultProxy, Mode};
use suite_tests::waiting::wait_until;

const PATIENCE: Duration = Duration::from_secs(60);

/// An on-demand camera that is recorded into a folder, when it is recorded.
fn camera(folder: &std::path::Path) -> String {
    format!(
        "{}\nrecordPath: {}/%path/%Y-%m-%d_%H-%M-%S-%f\nrecordPartDuration: 200ms\nrunOnDemandCloseAfter: 1s",
        publishing_hook(&Clip::new(Video::H264, None)),
        folder.display()
    )
}

fn entry(server: &MediaMtx, name: &str) -> serde_json::Value {
    server
        .get(&format!("/v3/config/paths/get/{name}"))
        .unwrap_or_default()
}

#[test]
fn entries_for_many_paths_and_the_suites_own_are_refused_at_the_door() {
    let server = MediaMtx::start(Config::default().path("~^cam", "runOnDemand: sleep 9"));
    let lifecycle = Lifecycle::of(&server);
    let before = entries(&server);
    for name in ["all_others", "all", "~^cam", "lifecycle/keep/cam"] {
        for command in [&["start", "recording"][..], &["stop"]] {
            let said = lifecycle.fails(2, &[command, &[name]].concat());
            assert!(said.contains("name one path"), "{said}");
        }
    }
    let policy = lifecycle.file(
        "policy.yml",
        "paths: [{path: all_others, useCase: recording}]",
    );
    lifecycle.fails(2, &["apply", policy.to_str().unwrap()]);
    assert_eq!(entries(&server), before);
    assert_eq!(lifecycle.ok(&["rollback", "0"]).lines().count(), 1);
}

#[test]
fn picture_of_a_stopped_path_leaves_it_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let server = MediaMtx::start(Config::default().path("cam", &camera(folder.path())));
    let lifecycle = Lifecycle::of(&server);
    let policy = lifecycle.file("policy.yml", "paths: [{path: cam, useCase: recording}]");
    lifecycle.ok(&["apply", policy.to_str().unwrap()]);
    lifecycle.ok(&["stop", "cam", "--reason", "maintenance"]);
    let mut command = lifecycle.command(&["snapshot", "cam", "-o"]);
    command.arg(folder.path().join("cam.jpg"));
    command.env(
        "MTX_WORKER",
        suite_tests::binaries::suite_binary("mtx-worker"),
    );
    assert!(command.status().unwrap().success());
    let status = lifecycle.status("cam");
    assert_eq!(status["stopped"], "maintenance", "{status}");
    assert_eq!(entry(&server, "cam")["record"], false);
    assert_eq!(keeper(&server, "cam"), None);
}

#[test]
fn stopped_recording_of_a_policy_rests_until_somebody_starts_it_for_good() {
    let folder = tempfile::tempdir().unwrap();
    let server = MediaMtx::start(Config::default().path("cam", &camera(folder.path())));
    let lifecycle = Lifecycle::of(&server);
    let policy = lifecycle.file("policy.yml", "paths: [{path: cam, useCase: recording}]");
    lifecycle.ok(&["apply", policy.to_str().unwrap()]);
    lifecycle.ok(&["stop", "cam", "--reason", "maintenance"]);
    let is_recorded = || entry(&server, "cam")["record"] == true;
    for viewing in [&["--for", "1h"][..], &[]] {
        let said = lifecycle.ok(&[&["start", "viewing", "cam"], viewing].concat());
        assert!(said.contains("rests (maintenance)"), "{said}");
        assert!(!is_recorded());
        assert_eq!(lifecycle.status("cam")["stopped"], "maintenance");
    }
    lifecycle.ok(&["start", "recording", "cam", "--for", "1s"]);
    assert!(is_recorded());
    wait_until("the end of the second", PATIENCE, || {
        lifecycle.ok(&["reconcile"]);
        !is_recorded()
    });
    assert_eq!(lifecycle.status("cam")["stopped"], "maintenance");
    lifecycle.ok(&["start", "recording", "cam"]);
    assert!(is_recorded());
    assert!(lifecycle.status("cam")["stopped"].is_null());
}

#[test]
fn what_was_only_planned_is_given_back_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let settings =
        camera(folder.path()).replace("runOnDemandRestart: yes", "runOnDemandRestart: no");
    let server = MediaMtx::start(Config::default().path("cam", &settings));
    let lifecycle = Lifecycle::of(&server);
    let before = entries(&server);
    let policy = lifecycle.file(
        "policy.yml",
        "useCases: {patrol: {closeAfter: 20m, record: yes}}",
    );
    lifecycle.ok(&["apply", policy.to_str().unwrap()]);
    lifecycle.ok(&["start", "viewing", "cam"]);
    let viewer = Reader::start(&server.rtsp("cam"));
    viewer.collect(Kind::Video, 10, PATIENCE);
    lifecycle.ok(&["start", "patrol", "cam"]);
    drop(viewer);
    lifecycle.ok(&["rollback", "0", "--force"]);
    assert_eq!(entries(&server), before);
}

#[test]
fn journals_on_one_server_leave_each_others_streams_open() {
    let folder = tempfile::tempdir().unwrap();
    let server = MediaMtx::start(Config::default().path("cam", &camera(folder.path())));
    let (one, other) = (Lifecycle::of(&server), Lifecycle::of(&server));
    one.ok(&["start", "recording", "cam"]);
    let held = keeper(&server, "cam");
    let watch = other.watch(&[]);
    watch.wait_for_line("watching", PATIENCE);
    other.ok(&["reconcile"]);
    other.ok(&["rollback", "0"]);
    assert_eq!(keeper(&server, "cam"), held);
    let files = segments(folder.path(), "cam");
    assert!(!files.is_empty());
    assert_eq!(one.status("cam")["recording"], true);
}

#[test]
fn login_that_was_given_once_is_not_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let users = "authInternalUsers:\n\
        - user: bob\n\
        \x20 pass: s3cret\n\
        \x20 permissions: [{action: read}]\n\
        - user: any\n\
        \x20 permissions: [{action: publish}, {action: api}, {action: metrics}]";
    let config = Config::default().global(users);
    let server = MediaMtx::start(config.path("cam", &camera(folder.path())));
    let lifecycle = Lifecycle::of(&server);
    let before = entries(&server);
    let said = lifecycle.fails(1, &["start", "recording", "cam"]);
    assert!(
        said.contains("MEDIAMTX_RTSP_URL=rtsp://user:password@"),
        "{said}"
    );
    let url = |login: &str| format!("rtsp://{login}@127.0.0.1:{}", server.ports.rtsp);
    let said = lifecycle.fails(
        1,
        &["start", "recording", "cam", "--rtsp", &url("bob:wrong")],
    );
    assert!(
        said.contains("no user \"bob\"") && !said.contains("wrong"),
        "{said}"
    );
    assert_eq!(entries(&server), before, "nothing was written");

    lifecycle.ok(&["start", "recording", "cam", "--rtsp", &url("bob:s3cret")]);
    let source = entry(&server, &keeper(&server, "cam").unwrap())["source"].take();
    lifecycle.fails(1, &["start", "viewing", "cam", "--rtsp", &url("bob:wrong")]);
    assert_eq!(lifecycle.ok(&["reconcile"]), "");
    assert_eq!(
        entry(&server, &keeper(&server, "cam").unwrap())["source"],
        source
    );
    lifecycle.ok(&["rollback", "0", "--force"]);
}

#[test]
fn entry_for_a_rule_with_a_pattern_goes_with_its_stream() {
    let server = MediaMtx::start(Config::default());
    let lifecycle = Lifecycle::of(&server);
    let policy = "paths: [{path: 'live/*/in', overrides: {recordSegmentDuration: 30m}}]";
    let policy = lifecycle.file("policy.yml", policy);
    lifecycle.ok(&["apply", policy.to_str().unwrap()]);
    let before = entries(&server);
    let _watch = lifecycle.watch(&[]);
    let publisher = Clip::new(Video::H264, None).publish(&server.rtsp("live/a/in"));
    wait_until("its entry", PATIENCE, || {
        entry(&server, "live/a/in")["recordSegmentDuration"] == "30m0s"
    });
    drop(publisher);
    wait_until("its end", PATIENCE, || entries(&server) == before);
}

#[test]
fn start_while_the_api_is_away_stays_noted() {
    let folder = tempfile::tempdir().unwrap();
    let server = MediaMtx::start(Config::default().path("cam", &camera(folder.path())));
    let proxy = FaultProxy::start(server.ports.api);
    let lifecycle = Lifecycle::with_api(&format!("http://127.0.0.1:{}", proxy.port()));
    proxy.refuse(true);
    let said = lifecycle.fails(1, &["start", "recording", "cam", "--timeout", "1s"]);
    assert!(said.contains("It stays wanted"), "{said}");
    proxy.refuse(false);
    proxy.set(Mode::Pass);
    lifecycle.ok(&["reconcile"]);
    wait_until("a file", PATIENCE, || {
        !segments(folder.path(), "cam").is_empty()
    });
    lifecycle.ok(&["stop", "cam"]);
}

#[test]
fn source_of_a_policy_is_started_on_a_server_that_knows_nothing_of_it() {
    let mut server = MediaMtx::start(Config::default().only_named_paths());
    let lifecycle = Lifecycle::of(&server);
    let hook = publishing_hook(&Clip::new(Video::H264, None));
    let command = hook
        .lines()
        .next()
        .unwrap()
        .strip_prefix("runOnDemand: ")
        .unwrap();
    let policy = format!("paths: [{{path: cam, source: {{command: '{command}'}}}}]");
    let policy = lifecycle.file("policy.yml", &policy);
    lifecycle.ok(&["apply", policy.to_str().unwrap()]);
    server.stop();
    server.start_again();
    lifecycle.ok(&["start", "viewing", "cam"]);
    assert!(server.is_ready("cam"));
    let said = lifecycle.fails(1, &["start", "viewing", "elsewhere"]);
    assert!(said.contains("no entry for path elsewhere"), "{said}");
}

#[test]
fn interrupted_start_is_taken_back() {
    let server = MediaMtx::start(Config::default().path("cam", "runOnDemand: sleep 100"));
    let lifecycle = Lifecycle::of(&server);
    let before = entries(&server);
    let (interrupt, terminate) = ((Signal::SIGINT, 130), (Signal::SIGTERM, 143));
    for (command, (signal, code)) in [
        (&["start", "viewing", "cam"][..], interrupt),
        (&["start", "recording", "cam"], interrupt),
        (&["start", "recording", "cam"], terminate),
        (&["snapshot", "cam", "-o", "x.jpg"], interrupt),
        (&["snapshot", "cam", "-o", "x.jpg"], terminate),
    ] {
        let mut command = lifecycle.command(command);
        command.env(
            "MTX_WORKER",
            suite_tests::binaries::suite_binary("mtx-worker"),
        );
        let mut child = command.spawn().unwrap();
        wait_until("the keeper", PATIENCE, || keeper(&server, "cam").is_some());
        kill(Pid::from_raw(child.id().cast_signed()), signal).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(code));
        assert_eq!(keeper(&server, "cam"), None);
        lifecycle.ok(&["reconcile"]);
        assert_eq!(entries(&server), before);
    }
}

#[test]
fn killed_start_is_cleaned_up_by_who_comes_next() {
    let server = MediaMtx::start(Config::default().path("cam", "runOnDemand: sleep 100"));
    let lifecycle = Lifecycle::of(&server);
    let mut child = lifecycle
        .command(&["start", "viewing", "cam"])
        .spawn()
        .unwrap();
    wait_until("the keeper", PATIENCE, || keeper(&server, "cam").is_some());
    child.kill().unwrap();
    child.wait().unwrap();
    lifecycle.ok(&["status"]);
    lifecycle.ok(&["reconcile"]);
    assert_eq!(keeper(&server, "cam"), None);
}

#[test]
fn somebody_elses_rejected_change_is_named_and_stops_nobody_for_long() {
    let config = Config::default()
        .path("bad", "runOnDemand: sleep 9")
        .path("good", "runOnDemand: sleep 9");
    let server = MediaMtx::start(config);
    let path = entry(&server, "bad")["recordPath"].take();
    let patch =
        |body: &str| http::forward(&server.api(""), "PATCH /v3/config/paths/patch/bad", body).0;
    assert_eq!(patch(r#"{"recordPath": "nowhere"}"#), 400);
    let lifecycle = Lifecycle::of(&server);
    let policy = "paths: [{path: good, useCase: viewing, overrides: {closeAfter: 7m}}]";
    let policy = lifecycle.file("policy.yml", policy);
    let said = lifecycle.fails(1, &["apply", policy.to_str().unwrap()]);
    assert!(said.contains("rejects every change of any path"), "{said}");
    // Once it is put right, nothing has to be wanted anew.
    assert_eq!(
        patch(&serde_json::json!({ "recordPath": path }).to_string()),
        200
    );
    lifecycle.ok(&["reconcile"]);
    assert_eq!(entry(&server, "good")["runOnDemandCloseAfter"], "7m0s");
}

#[test]
fn the_end_of_a_use_case_goes_by_the_clock_of_the_machine() {
    let server = MediaMtx::start(Config::default().path("push", ""));
    let lifecycle = Lifecycle::of(&server);
    let arguments = ["start", "viewing", "push", "--until", "12:00"];
    for (zone, utc) in [("Asia/Kolkata", "T06:30:00"), ("UTC", "T12:00:00")] {
        let output = lifecycle.command(&arguments).env("TZ", zone).output();
        let said = String::from_utf8(output.unwrap().stdout).unwrap();
        assert!(said.contains(utc), "{zone}: {said}");
        lifecycle.ok(&["stop", "push"]);
    }
}

#[test]
fn start_for_a_time_does_not_shorten_a_longer_one_and_says_so() {
    let server = MediaMtx::start(Config::default().path("push", ""));
    let lifecycle = Lifecycle::of(&server);
    let start = |time: &[&str]| lifecycle.ok(&[&["start", "recording", "push"], time].concat());
    let until = || lifecycle.status("push")["until"]["recording"].take();
    start(&["--until", "2100-01-01T12:00:00Z"]);
    let said = start(&["--for", "3s"]);
    assert!(
        said.contains("2100-01-01T12:00:00.000Z, as it was"),
        "{said}"
    );
    assert_eq!(until(), "2100-01-01T12:00:00.000Z");
    start(&[]);
    let said = start(&["--for", "3s"]);
    assert!(said.contains("mtx-lifecycle stop push ends it"), "{said}");
    assert!(until().is_null());
}

#[test]
fn a_start_that_has_to_wait_says_so_and_waits_for_no_file() {
    let hook = "runOnAvailable: sleep $G1";
    let server = MediaMtx::start(Config::default().path("~^g(.+)$", hook));
    let publisher = Clip::new(Video::H264, None).publish(&server.rtsp("g100"));
    server.wait_ready("g100", PATIENCE);
    let lifecycle = Lifecycle::of(&server);
    let said = lifecycle.ok(&["start", "recording", "g100"]);
    assert!(
        said.contains("pending: ") && said.contains("record=true"),
        "{said}"
    );
    assert!(said.contains("begins with what is pending"), "{said}");
    drop(publisher);
}

#[test]
fn watch_says_that_its_folder_has_gone() {
    let server = MediaMtx::start(Config::default());
    let lifecycle = Lifecycle::of(&server);
    let watch = lifecycle.watch(&[]);
    wait_until("its first look", PATIENCE, || {
        lifecycle
            .state_dir()
            .join("journal")
            .metadata()
            .is_ok_and(|it| it.len() > 0)
    });
    std::fs::remove_dir_all(lifecycle.state_dir()).unwrap();
    wait_until("the error", PATIENCE, || {
        watch.output().contains("No such file")
    });
}
