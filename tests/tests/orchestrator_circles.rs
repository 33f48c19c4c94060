//! Outputs that come back to the server that they were sent from, through a forwarded port or through another server:
//! neither the URL nor the server's connections show where they lead to.

use std::time::{Duration, Instant};

use suite_tests::declared::Kept;
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

#[track_caller]
fn assert_never_blocked(orchestrator: &Orchestrator) {
    let log = orchestrator.process().output();
    assert!(!log.contains("is blocked"), "{log}");
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

#[test]
fn servers_whose_paths_nobody_may_take_over_do_not_lock_a_camera_out() {
    let config = || Config::default().path_default("overridePublisher: no");
    let (server, other) = (MediaMtx::start(config()), MediaMtx::start(config()));
    let _here = orchestrator(&server, &[format!("cam => {}", other.rtmp("cam"))]);
    let _there = orchestrator(&other, &[format!("cam => {}", server.rtmp("cam"))]);
    let before = ReconnectingCamera::start(&server.rtmp("cam"));
    other.wait_ready("cam", SOON);
    drop(before);
    // The gap in which the other server's copy may take the path.
    server.wait_gone("cam", SOON);
    let camera = ReconnectingCamera::start(&server.rtmp("cam"));
    assert_undisturbed(&server, "cam", &camera);
}

#[test]
fn a_circle_over_three_paths_leaves_the_camera_alone() {
    let server = MediaMtx::start(Config::default());
    let proxy = FaultProxy::start(server.ports.rtmp);
    let routes = [("a", "b"), ("b", "c"), ("c", "a")];
    let routes = routes.map(|(from, to)| format!("{from} => {}", forwarded(&proxy, to)));
    let orchestrator = orchestrator(&server, &routes);
    let camera = ReconnectingCamera::start(&server.rtmp("a"));
    wait_blocked(&orchestrator, "c", &["a"]);
    assert_undisturbed(&server, "a", &camera);
    orchestrator.wait_running(&id("b"), SOON);
}

#[test]
fn a_declared_stream_that_closes_a_circle_leaves_the_camera_alone() {
    let kept = Kept::new();
    let server = &kept.server;
    let proxy = FaultProxy::start(server.ports.rtmp);
    let route = format!("a => {}", forwarded(&proxy, "b"));
    let orchestrator = kept.orchestrator_with(|command| {
        command.args(["--route", &route]);
    });
    kept.declare(&serde_json::json!({
        "id": "back", "source": server.rtsp("b"), "outputs": [forwarded(&proxy, "a")],
    }));
    let camera = ReconnectingCamera::start(&server.rtmp("a"));
    orchestrator.wait_state("back", "blocked", SOON);
    assert_undisturbed(server, "a", &camera);
    orchestrator.wait_running(&id("a"), SOON);
}

#[test]
fn a_camera_whose_path_nobody_may_take_over_comes_back_to_it() {
    let server = MediaMtx::start(Config::default().path_default("overridePublisher: no"));
    let proxy = FaultProxy::start(server.ports.rtmp);
    let orchestrator = orchestrator(&server, &[format!("cam => {}", forwarded(&proxy, "cam"))]);
    for _ in 0..2 {
        let camera = ReconnectingCamera::start(&server.rtmp("cam"));
        assert_undisturbed(&server, "cam", &camera);
    }
    assert!(orchestrator.starts().len() < 20, "a restart storm");
}

#[test]
fn a_start_tries_again_what_came_back() {
    let server = MediaMtx::start(Config::default());
    let proxy = FaultProxy::start(server.ports.rtmp);
    let orchestrator = orchestrator(&server, &[format!("cam => {}", forwarded(&proxy, "cam"))]);
    let camera = ReconnectingCamera::start(&server.rtmp("cam"));
    wait_blocked(
        &orchestrator,
        "cam",
        &["start the stream once it leads elsewhere"],
    );
    assert_undisturbed(&server, "cam", &camera);
    let starts = orchestrator.starts().len();
    orchestrator.command(&id("cam"), "start");
    wait_until("another try", SOON, || orchestrator.starts().len() > starts);
    wait_blocked(&orchestrator, "cam", &[]);
    assert_undisturbed(&server, "cam", &camera);
}

#[test]
fn a_stream_that_comes_back_under_a_name_that_feeds_nothing_is_passed_on() {
    let (server, other) = (
        MediaMtx::start(Config::default()),
        MediaMtx::start(Config::default()),
    );
    let here = orchestrator(&server, &[format!("cam => {}", other.rtmp("cam"))]);
    let there = orchestrator(&other, &[format!("cam => {}", server.rtmp("returned"))]);
    let camera = ReconnectingCamera::start(&server.rtmp("cam"));
    server.wait_ready("returned", SOON);
    assert_undisturbed(&server, "cam", &camera);
    assert_undisturbed(&server, "returned", &camera);
    for orchestrator in [&here, &there] {
        orchestrator.wait_running(&id("cam"), SOON);
        assert_never_blocked(orchestrator);
    }
}

#[test]
fn cameras_with_one_picture_that_come_and_go_along_with_their_mirrors_are_passed_on() {
    let (server, other) = (
        MediaMtx::start(Config::default()),
        MediaMtx::start(Config::default()),
    );
    let [one, two] = [(); 2].map(|()| FaultProxy::start(other.ports.rtmp));
    let route = format!(
        "* => {} {} copies/*",
        forwarded(&one, "first/{path}"),
        forwarded(&two, "other/{path}")
    );
    let orchestrator = orchestrator(&server, &[route]);
    for _ in 0..4 {
        let _cameras = ["a", "b"].map(|path| ReconnectingCamera::start(&server.rtmp(path)));
        for path in ["a", "b"] {
            server.wait_ready(&format!("copies/{path}"), SOON);
            other.wait_ready(&format!("first/{path}"), SOON);
            other.wait_ready(&format!("other/{path}"), SOON);
        }
        one.cut();
        two.reset();
    }
    let _cameras = ["a", "b"].map(|path| ReconnectingCamera::start(&server.rtmp(path)));
    for path in ["a", "b"] {
        orchestrator.wait_running(&id(path), SOON);
    }
    assert_never_blocked(&orchestrator);
}
