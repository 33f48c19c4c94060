//! Outputs that lead back to the same MediaMTX under a name that nothing in the URL gives away, and outputs on another
//! server that only look so.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use suite_tests::certificates::Certificate;
use suite_tests::clips::Clip;
use suite_tests::declared::Kept;
use suite_tests::mediamtx::{Config, MediaMtx};
use suite_tests::orchestrator::Orchestrator;
use suite_tests::ports;
use suite_tests::waiting::wait_until;
use tempfile::TempDir;

const SOON: Duration = Duration::from_secs(30);

/// A server that takes RTMPS as well, on another port, and is named otherwise to the orchestrator: only its list of
/// connections tells that it is the same one.
struct Encrypted {
    server: MediaMtx,
    authority: PathBuf,
    _folder: TempDir,
}

impl Encrypted {
    #[track_caller]
    fn start() -> Self {
        let certificate = Certificate::generate();
        let folder = tempfile::tempdir().expect("a temp folder");
        let (authority, _) = certificate.write(folder.path());
        Self {
            server: MediaMtx::start(Config::default().rtmps(certificate)),
            authority,
            _folder: folder,
        }
    }

    fn name(&self, command: &mut Command) {
        command
            .env("SSL_CERT_FILE", &self.authority)
            .env("MEDIAMTX_RTSP_URL", other_name(&self.server.rtsp("")))
            .env("MEDIAMTX_RTMP_URL", other_name(&self.server.rtmp("")));
    }

    #[track_caller]
    fn orchestrator(&self, routes: &[&str]) -> Orchestrator {
        Orchestrator::start_on(ports::tcp(), &self.server, |command| {
            self.name(command);
            for route in routes {
                command.args(["--route", route]);
            }
        })
    }
}

/// 127.1 is 127.0.0.1 as inet_aton(3) reads it.
fn other_name(url: &str) -> String {
    url.replace("127.0.0.1", "127.1")
}

#[track_caller]
fn wait_looks(orchestrator: &Orchestrator, count: f64) {
    let looks = orchestrator.metric("reconciliations_total");
    wait_until("more looks at the path list", SOON, || {
        orchestrator.metric("reconciliations_total") >= looks + count
    });
}

#[track_caller]
fn assert_blocked(orchestrator: &Orchestrator, stream: &str, parts: &[&str]) {
    let blocked = orchestrator.wait_stream(stream, "reason and no worker", SOON, |stream| {
        stream["blocked"].is_string() && stream["pid"].is_null()
    });
    let why = blocked["blocked"].as_str().unwrap_or_default();
    for part in ["feed itself", "under another name"].iter().chain(parts) {
        assert!(why.contains(part), "{why:?} lacks {part:?}");
    }
}

/// What is published from now on is not replaced any more.
#[track_caller]
fn assert_left_alone(server: &MediaMtx, orchestrator: &Orchestrator) {
    let _publishers = ["cam", "cam2"].map(|path| Clip::h264_aac().publish(&server.rtmp(path)));
    let sources = ["cam", "cam2"].map(|path| server.wait_ready(path, SOON).source());
    assert_blocked(orchestrator, "%2Fcam2", &["cam2"]);
    wait_looks(orchestrator, 3.0);
    for (path, source) in ["cam", "cam2"].iter().zip(sources) {
        assert_eq!(server.path(path).map(|path| path.source()), Some(source));
    }
    let workers = orchestrator.workers();
    assert!(workers.is_empty(), "{workers:?}");
}

#[test]
fn a_stream_that_replaces_its_own_publisher_is_blocked_and_the_next_ones_are_left_alone() {
    let encrypted = Encrypted::start();
    let server = &encrypted.server;
    let orchestrator = encrypted.orchestrator(&[&format!("** => {}", server.rtmps("{path}"))]);
    let replaced = Clip::h264_aac().publish(&server.rtsp("cam"));
    assert_blocked(&orchestrator, "%2Fcam", &["cam, which it is read from"]);
    drop(replaced);
    assert_left_alone(server, &orchestrator);
}

#[test]
fn a_name_that_resolves_to_the_same_server_is_known_before_anybody_is_replaced() {
    let server = MediaMtx::start(Config::default());
    let route = format!("** => {}", other_name(&server.rtmp("{path}")));
    let orchestrator = Orchestrator::start(&server, &["--route", &route]);
    let _publisher = Clip::h264_aac().publish(&server.rtsp("first"));
    let source = server.wait_ready("first", SOON).source();
    assert_blocked(
        &orchestrator,
        "%2Ffirst",
        &["127.1:", "first, which it is read from"],
    );
    assert_left_alone(&server, &orchestrator);
    assert_eq!(server.path("first").map(|path| path.source()), Some(source));
}

#[test]
fn routes_that_swap_paths_under_another_name_never_replace_the_publisher() {
    let encrypted = Encrypted::start();
    let server = &encrypted.server;
    let routes = [("a", "b"), ("b", "a")]
        .map(|(from, to)| format!("{from}/* => {}", server.rtmps(&format!("{to}/{{1}}"))));
    let orchestrator = encrypted.orchestrator(&[&routes[0], &routes[1]]);
    for (from, to) in [("a", "b"), ("b", "a")] {
        let (input, output) = (format!("{from}/{from}"), format!("{to}/{from}"));
        let _publisher = Clip::h264_aac().publish(&server.rtsp(&input));
        let source = server.wait_ready(&input, SOON).source();
        server.wait_ready(&output, SOON);
        assert_blocked(&orchestrator, &output.replace('/', "%2F"), &[&input]);
        wait_looks(&orchestrator, 3.0);
        assert_eq!(server.path(&input).map(|path| path.source()), Some(source));
        orchestrator.wait_running(&input.replace('/', "%2F"), SOON);
    }
}

#[test]
fn a_declared_stream_that_replaces_its_own_source_is_blocked() {
    let encrypted = Encrypted::start();
    let kept = Kept::new();
    let orchestrator = kept.orchestrator_with(|command| {
        encrypted.name(command);
        command.env("MEDIAMTX_API_URL", encrypted.server.api(""));
    });
    let _publisher = Clip::h264_aac().publish(&encrypted.server.rtsp("studio/cam"));
    encrypted.server.wait_ready("studio/cam", SOON);
    kept.declare(&serde_json::json!({
        "id": "back",
        "source": other_name(&encrypted.server.rtsp("studio/cam")),
        "outputs": [encrypted.server.rtmps("studio/cam")],
    }));
    assert_blocked(&orchestrator, "back", &["studio/cam"]);
}

#[test]
fn mirrors_on_other_servers_are_not_taken_for_circles() {
    let server = MediaMtx::start(Config::default());
    let backup = MediaMtx::start(Config::default());
    let routes = [
        format!("a/* => {}", other_name(&backup.rtmp("b/{1}"))),
        format!("b/* => {}", other_name(&backup.rtmp("a/{1}"))),
        format!("** => {}", other_name(&backup.rtmp("{path}"))),
    ];
    let arguments: Vec<&str> = routes
        .iter()
        .flat_map(|route| ["--route", route.as_str()])
        .collect();
    let orchestrator = Orchestrator::start(&server, &arguments);
    let paths = ["a/x", "b/x", "same"];
    let publishers = paths.map(|path| Clip::h264_aac().publish(&server.rtmp(path)));
    let looks = |count| {
        for path in paths {
            backup.wait_ready(path, SOON);
            orchestrator.wait_running(&path.replacen("same", "/same", 1).replace('/', "%2F"), SOON);
        }
        wait_looks(&orchestrator, count);
        let streams = orchestrator.get("/v1/streams").expect("streams");
        assert!(!streams.to_string().contains("feed itself"), "{streams}");
        assert_eq!(orchestrator.workers().len(), 3, "{streams}");
    };
    looks(3.0);
    // They come back while their workers wait.
    drop(publishers);
    let _again = paths.map(|path| Clip::h264_aac().publish(&server.rtmp(path)));
    looks(4.0);
}

#[test]
fn a_mirror_with_the_same_port_beside_a_local_output_is_another_server() {
    let server = MediaMtx::start(Config::default());
    let port = server.ports.rtmp;
    let address = format!("127.0.0.2:{port}");
    let backup = MediaMtx::start(Config::default().env("MTX_RTMPADDRESS", address));
    // As inet_aton(3) reads it; nothing in the URL says that this is a loopback address.
    let mirror = |path| format!("rtmp://127.2:{port}/{path}");
    let route = format!("live/*/in => live/*/out {}", mirror("live/*/out"));
    let orchestrator = Orchestrator::start(&server, &["--route", &route]);
    let _publisher = Clip::h264_aac().publish(&server.rtmp("live/cam/in"));
    server.wait_ready("live/cam/out", SOON);
    backup.wait_ready("live/cam/out", SOON);
    wait_looks(&orchestrator, 3.0);
    orchestrator.wait_running("cam", SOON);
    let log = orchestrator.process().output();
    assert!(!log.contains("another name of it"), "{log}");
}
