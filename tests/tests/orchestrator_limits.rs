//! What mtx-orchestrator does to workers that take too much, and what it takes itself; what it tells nobody.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use suite_tests::binaries::place_script;
use suite_tests::clips::Clip;
use suite_tests::mediamtx::{Config, MediaMtx};
use suite_tests::orchestrator::Orchestrator;
use suite_tests::processes::Spawned;
use suite_tests::{ports, procfs};
use tempfile::TempDir;

const SOON: Duration = Duration::from_secs(30);

#[track_caller]
fn publish(server: &MediaMtx, stream: &str) -> Spawned {
    Clip::h264_aac().publish(&server.rtsp(&format!("live/{stream}/in")))
}

/// A worker that misbehaves in a way that the real one does not.
fn wicked_worker(folder: &TempDir, script: &str) -> PathBuf {
    let file = folder.path().join("mtx-worker");
    place_script(script, &file);
    file
}

#[test]
fn a_worker_keeps_to_the_limits_it_was_given() {
    let server = MediaMtx::start(Config::default());
    let orchestrator =
        Orchestrator::start(&server, &["--worker-memory", "64", "--worker-files", "32"]);
    let _publisher = publish(&server, "cam");
    let pid = orchestrator.wait_running("cam", SOON);
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).expect("it runs");
    for (name, expected) in [("Max data size", "67108864"), ("Max open files", "32")] {
        let line = limits.lines().find(|line| line.starts_with(name));
        let line = line.expect("Linux tells it");
        assert_eq!(line.split_whitespace().nth(3), Some(expected), "{line}");
    }
}

#[test]
fn a_worker_that_wants_too_much_memory_ends_and_is_replaced() {
    let folder = tempfile::tempdir().expect("a temp folder");
    let worker = wicked_worker(
        &folder,
        "#!/usr/bin/env python3\nhoard = bytearray(200 << 20)\nwhile True: pass\n",
    );
    let server = MediaMtx::start(Config::default());
    let orchestrator = Orchestrator::start_on(ports::tcp(), &server, |command| {
        command.args(["--worker-memory", "64", "--recovery", "fixed:200ms"]);
        command.arg("--worker").arg(&worker);
    });
    let _publisher = publish(&server, "cam");
    let stream = orchestrator.wait_stream("cam", "restart", SOON, |stream| {
        stream["restarts"].as_u64() > Some(0)
    });
    assert_eq!(stream["lastFailure"], "exit code 1: MemoryError");
}

#[test]
fn a_worker_that_keeps_a_processor_busy_is_killed_and_replaced() {
    let folder = tempfile::tempdir().expect("a temp folder");
    let spin = r#"#!/usr/bin/env bash
while :; do
    if ((SECONDS != last)); then
        last=$SECONDS
        echo '{"level":"INF","message":"stats","state":"streaming","frames":1}' >&2
    fi
done
"#;
    let worker = wicked_worker(&folder, spin);
    let server = MediaMtx::start(Config::default());
    let orchestrator = Orchestrator::start_on(ports::tcp(), &server, |command| {
        command
            .args(["--worker-cpu", "20"])
            .arg("--worker")
            .arg(&worker);
    });
    let _publisher = publish(&server, "cam");
    let first = orchestrator.wait_running("cam", SOON);
    let stream = orchestrator.wait_stream("cam", "replacement", SOON, |stream| {
        stream["state"] == "running" && stream["pid"] != first
    });
    let failure = stream["lastFailure"].as_str().unwrap_or_default();
    assert!(
        failure.contains("% of a processor, where 20 % are allowed"),
        "{failure}"
    );
}

#[test]
fn a_login_at_mediamtx_works_and_is_told_nobody() {
    const PASSWORD: &str = "hunter2-secret";
    let server = MediaMtx::start(Config::default().only_user("worker", PASSWORD));
    let login = format!("worker:{PASSWORD}@127.0.0.1");
    let orchestrator = Orchestrator::start_on(ports::tcp(), &server, |command| {
        let with_login = |url: String| url.replace("127.0.0.1", &login);
        command
            .env("MEDIAMTX_API_URL", with_login(server.api("")))
            .env("MEDIAMTX_RTSP_URL", with_login(server.rtsp("")))
            .env(
                "MEDIAMTX_RTMP_URL",
                format!("{}?user=worker&pass={PASSWORD}", server.rtmp("")),
            );
    });
    let ingest = server.rtsp("live/cam/in").replace("127.0.0.1", &login);
    let _publisher = Clip::h264_aac().publish(&ingest);
    let pid = orchestrator.wait_running("cam", SOON);
    server.wait_ready("live/cam/out", SOON);
    let told = [
        orchestrator.process().output(),
        orchestrator.stream("cam").expect("it is known").to_string(),
        procfs::command_line(pid).expect("it runs"),
    ];
    for text in told {
        assert!(!text.contains(PASSWORD), "{text}");
    }
}

#[test]
fn a_worker_has_nothing_of_the_orchestrators_environment_that_it_does_not_need() {
    let server = MediaMtx::start(Config::default());
    let secrets = [
        "ORCHESTRATOR_TOKEN",
        "MEDIAMTX_API_TOKEN",
        "AWS_SECRET_ACCESS_KEY",
        "HOME",
    ];
    let orchestrator = Orchestrator::start_on(ports::tcp(), &server, |command| {
        command.envs(secrets[1..].iter().map(|name| (name, "s3cret")));
        command.env("SSL_CERT_FILE", "/nowhere/certificates.pem");
        command.env("MTX_WORKER_RETRY", "1s,2s");
    });
    let _publisher = publish(&server, "cam");
    let pid = orchestrator.wait_running("cam", SOON);
    let environment = fs::read_to_string(format!("/proc/{pid}/environ")).expect("it runs");
    let names = environment
        .split('\0')
        .filter_map(|pair| pair.split_once('='));
    let names: Vec<_> = names.map(|(name, _)| name).collect();
    for name in ["MTX_WORKER_INPUT", "SSL_CERT_FILE", "MTX_WORKER_RETRY"] {
        assert!(names.contains(&name), "{name} in {names:?}");
    }
    assert!(
        secrets.iter().all(|name| !names.contains(name)),
        "{names:?}"
    );
    assert!(!environment.contains("s3cret"));
}

#[test]
fn a_worker_that_reports_but_passes_nothing_on_is_replaced_and_counted() {
    let folder = tempfile::tempdir().expect("a temp folder");
    let stall = r#"#!/usr/bin/env bash
frames=0
while :; do
    ((frames < 3)) && ((frames += 1))
    echo '{"level":"INF","message":"stats","state":"streaming","frames":'$frames'}' >&2
    sleep 1
done
"#;
    let worker = wicked_worker(&folder, stall);
    let server = MediaMtx::start(Config::default());
    let orchestrator = Orchestrator::start_on(ports::tcp(), &server, |command| {
        command.arg("--worker").arg(&worker);
    });
    let _publisher = publish(&server, "cam");
    let first = orchestrator.wait_running("cam", SOON);
    let stream = orchestrator.wait_stream("cam", "replacement", SOON, |stream| {
        stream["state"] == "running" && stream["pid"] != first
    });
    assert_eq!(
        stream["lastFailure"],
        "stalled: no frame passed on for 15 s"
    );
    assert_eq!(stream["failures"], serde_json::json!({ "stalled": 1 }));
    let metric = "stream_failures_total{stream=\"cam\",kind=\"stalled\"}";
    assert_eq!(orchestrator.metric(metric), 1.0);
}
