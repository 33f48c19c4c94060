//! Outputs that come back to the server that they were sent from, through a forwarded port or through another server:
//! neither the URL nor the server's connections show where they lead to.

use std::time::{Duration, Instant};

use suite_tests::mediamtx::{Config, MediaMtx};
use suite_tests::orchestrator::Orchestrator;
use suite_tests::proxy::FaultProxy;
use suite_tests::reconnecting::ReconnectingCamera;
use suite_tests::waiting::wait_until;

const SOON: Duration = Duration::from_secs(30);
/// Longer than a path list lasts, and than a camera stays away.
const STEADY: Duration = Duration::from_secs(5);

#[track_caller]
fn orchestrator(server: &MediaMtx, routes: &[String]) -> Orchestrator {
    let arguments: Vec<&str> = routes.iter().flat_map(|it| ["--route", it]).collect();
    Orchestrator::start(server, &arguments)
}

/// The RTMP URL of a path behind a forwarded port.
fn forwarded(proxy: &FaultProxy, path: &str) -> String {
    format!("rtmp://127.0.0.1:{}/{path}", proxy.port())
}

fn id(path: &str) -> String {
    format!("%2F{path}")
}

#[track_caller]
fn wait_blocked(orchestrator: &Orchestrator, path: &str, parts: &[&str]) {
    let blocked = orchestrator.wait_stream(&id(path), "reason and no worker", SOON, |stream| {
        stream["blocked"].is_string() && stream["pid"].is_null()
    });
    let why = blocked["blocked"].as_str().unwrap_or_default();
    for part in ["feed itself"].iter().chain(parts) {
        assert!(why.contains(part), "{why:?} lacks {part:?}");
    }
}

/// The camera has the path to itself, and its media arrive.
#[track_caller]
fn assert_undisturbed(server: &MediaMtx, path: &str, camera: &ReconnectingCamera) {
    let flows = || {
        let before = server.path(path).filter(|it| it.ready());
        let connections = camera.connections();
        let (begin, source) = (Instant::now(), before.as_ref().map(|it| it.source()));
        while begin.elapsed() < STEADY {
            if server.path(path).map(|it| it.source()) != source {
                return false;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        let after = server.path(path).map_or(0, |it| it.bytes_received());
        let grown = before.is_some_and(|it| after > it.bytes_received() + 50_000);
        grown && camera.connections() == connections
    };
    wait_until("the camera's own undisturbed stream", SOON, flows);
}

#[test]
fn a_stream_that_feeds_itself_through_a_forwarded_port_is_blocked_and_the_camera_comes_back() {
    let server = MediaMtx::start(Config::default());
    let proxy = FaultProxy::start(server.ports.rtmp);
    let orchestrator = orchestrator(&server, &[format!("cam => {}", forwarded(&proxy, "cam"))]);
    let camera = ReconnectingCamera::start(&server.rtmp("cam"));
    wait_blocked(
        &orchestrator,
        "cam",
        &["cam, which it is read from", "another name"],
    );
    assert_undisturbed(&server, "cam", &camera);
    assert!(orchestrator.workers().is_empty());
    assert!(camera.connections() <= 4, "{}", camera.connections());
}

#[test]
fn two_streams_that_feed_each_other_through_a_forwarded_port_leave_the_camera_alone() {
    let server = MediaMtx::start(Config::default());
    let proxy = FaultProxy::start(server.ports.rtmp);
    let routes = [
        format!("a => {}", forwarded(&proxy, "b")),
        format!("b => {}", forwarded(&proxy, "a")),
    ];
    let orchestrator = orchestrator(&server, &routes);
    let camera = ReconnectingCamera::start(&server.rtmp("a"));
    wait_blocked(&orchestrator, "b", &["a"]);
    assert_undisturbed(&server, "a", &camera);
    orchestrator.wait_running(&id("a"), SOON);
    server.wait_ready("b", SOON);
}

#[test]
fn servers_that_send_a_stream_to_each_other_leave_the_camera_alone() {
    let (server, other) = (
        MediaMtx::start(Config::default()),
        MediaMtx::start(Config::default()),
    );
    let here = orchestrator(&server, &[format!("cam => {}", other.rtmp("cam"))]);
    let there = orchestrator(&other, &[format!("cam => {}", server.rtmp("cam"))]);
    let camera = ReconnectingCamera::start(&server.rtmp("cam"));
    wait_until("one of them is blocked", SOON, || {
        [&here, &there].iter().any(|it| {
            it.stream(&id("cam"))
                .is_some_and(|it| it["blocked"].is_string())
        })
    });
    assert_undisturbed(&server, "cam", &camera);
}
