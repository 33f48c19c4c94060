//! Configurations as other people have them, each with nothing more than the README's lines, and the stream comes out.
//!
//! The kinds are those of MediaMTX's documentation and of questions about it (issues 1948, 2007, 2149, 3032 there).

use suite_tests::certificates::Certificate;
use suite_tests::clips::Clip;
use suite_tests::foreign::Foreign;
use suite_tests::nginx::{Nginx, TlsProxy};
use suite_tests::packets::Reader;
use suite_tests::ports;
use suite_tests::readme::block;
use suite_tests::stack::SOON;
use suite_tests::waiting::wait_until;

/// Two cameras by name, of which one is passed on.
#[test]
fn a_camera_of_one_segment_is_passed_on() {
    let server = Foreign::configured(
        "paths:
           cam1:
             runOnAvailable: mtx-worker --output rtmp://localhost:%rtmp%/restream/{name}
             runOnAvailableRestart: yes
           cam2:
           restream/cam1:
             overridePublisher: no",
    )
    .start();
    let _one = server.publish("", "cam1");
    let _two = server.publish("", "cam2");
    server.comes_out("", "restream/cam1");
}

#[test]
fn a_path_of_one_segment_is_an_output_as_well() {
    let server = Foreign::configured(
        "paths:
           camera/main:
             runOnAvailable: mtx-worker --output rtmp://localhost:%rtmp%/{name}-copy
             runOnAvailableRestart: yes
           main-copy:",
    )
    .start();
    let _publisher = server.publish("", "camera/main");
    server.comes_out("", "main-copy");
}

/// The whole application `show` is copied to another one.
#[test]
fn one_application_is_copied_to_another() {
    let server = Foreign::configured(
        "paths:
           \"~^show/.+$\":
             runOnAvailable: mtx-worker --output rtmp://localhost:%rtmp%/compressed/{name}
             runOnAvailableRestart: yes
           \"~^compressed/.+$\":",
    )
    .start();
    let _publisher = server.publish("", "show/test");
    server.comes_out("", "compressed/test");
}

/// MediaMTX fills in `$G1` itself; `{1}` is the same without its quoting.
#[test]
fn groups_of_an_expression_name_the_output() {
    for group in ["$G1/$G2", "{1}/{2}"] {
        let server = Foreign::configured(&format!(
            "paths:
               \"~^site/([a-z]+)/cam-(\\\\d+)$\":
                 runOnAvailable: mtx-worker --output rtmp://localhost:%rtmp%/wall/{group}
                 runOnAvailableRestart: yes
               all_others:"
        ))
        .start();
        let _publisher = server.publish("", "site/north/cam-7");
        server.comes_out("", "wall/north/7");
    }
}

#[test]
fn dots_dashes_and_many_segments_are_part_of_a_path() {
    let server = Foreign::configured(
        "paths:
           \"~^.+/in$\":
             runOnAvailable: mtx-worker
             runOnAvailableRestart: yes
           \"~^.+/out$\":
             overridePublisher: no",
    )
    .env("RTMP_PORT", "%rtmp%")
    .start();
    for stream in ["building-1/floor.2/cam_3", "a.b"] {
        let _publisher = server.publish("", &format!("{stream}/in"));
        server.comes_out("", &format!("{stream}/out"));
    }
}

/// `all_others` with a hook: the result comes under the same rule, and is not passed on once more.
#[test]
fn a_rule_for_all_paths_makes_one_copy_of_each() {
    let server = Foreign::configured(
        "paths:
           all_others:
             runOnAvailable: mtx-worker --output rtmp://localhost:%rtmp%/copy/{name}
             runOnAvailableRestart: yes",
    )
    .env("RTMP_PORT", "%rtmp%")
    .start();
    let _publisher = server.publish("", "door");
    server.comes_out("", "copy/door");
    server.process().find_line(0, "refusal", SOON, |line| {
        line.text.contains("copy/door") && line.text.contains("mtx-worker")
            || line.text.contains("itself")
    });
    assert_eq!(server.available(), ["door", "copy/door"]);
}

/// A camera that the server fetches while somebody watches, and a command that it runs then.
#[test]
fn on_demand_cameras_are_passed_on_while_they_run() {
    let camera = Foreign::configured("paths: {all_others: }").start();
    let _picture = camera.publish("", "stream1");
    let server = Foreign::configured(&format!(
        "paths:
           gate:
             source: {}
             sourceOnDemand: yes
             runOnAvailable: mtx-worker --output rtmp://localhost:%rtmp%/shown/{{path}}
             runOnAvailableRestart: yes
           shown/gate:",
        camera.rtsp("", "stream1")
    ))
    .start();
    let _viewer = Reader::start(&server.rtsp("", "gate"));
    server.comes_out("", "shown/gate");
}

/// Each path has a key of its own at the same platform.
#[test]
fn several_paths_go_to_one_platform_with_their_own_keys() {
    let platform = Nginx::start();
    let url = platform.rtmp("");
    let server = Foreign::configured(&format!(
        "paths:
           \"~^studio/(one|two)$\":
             runOnAvailable: mtx-worker --output {} --key-file %folder%/stream-keys
             runOnAvailableRestart: yes",
        url.trim_end_matches('/')
    ));
    let keys = server.folder().join("stream-keys");
    std::fs::write(&keys, "studio/one key-of-one\nstudio/two key-of-two\n")
        .expect("a writable folder");
    let owner = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&keys, owner).expect("it is ours");
    let server = server.start();
    let _one = server.publish("", "studio/one");
    let _two = server.publish("", "studio/two");
    for key in ["key-of-one", "key-of-two"] {
        wait_until(key, 2 * SOON, || platform.has_publisher(key));
    }
    let log = server.process().output();
    assert!(!log.contains("key-of-"), "{log}");
}

/// The README's lines for all paths, and a route for some of them: by name, by folder, and to another server.
#[test]
fn an_orchestrator_passes_on_what_its_routes_name() {
    let other = Foreign::configured("paths: {all_others: }").start();
    let port = ports::tcp();
    let server = Foreign::configured(&format!(
        "{}\npaths: {{all_others: }}",
        block("yaml", "foreign")
    ))
    .env("ORCHESTRATOR_URL", &format!("http://127.0.0.1:{port}"))
    .start();
    let elsewhere = other
        .foreign()
        .on_its_ports("rtmp://127.0.0.1:%rtmp%/{path}");
    let orchestrator = server.orchestrator(port, |command| {
        command.args(["--route", &format!("cam* => {elsewhere}")]);
        command.args(["--route", "building/** => restream/{path}"]);
    });
    let _publishers =
        ["cam1", "building/floor.1/door-2", "private"].map(|path| server.publish("", path));
    other.comes_out("", "cam1");
    server.comes_out("", "restream/building/floor.1/door-2");
    let streams = orchestrator.get("/v1/streams").expect("streams");
    assert_eq!(
        streams["streams"].as_array().map(Vec::len),
        Some(2),
        "{streams:#}"
    );
}

/// RTSP and RTMP of IPv6 only, and nginx with TLS in front of the API.
#[test]
fn an_orchestrator_reaches_a_server_of_ipv6_and_its_api_behind_a_proxy() {
    let server = Foreign::configured(
        "rtspAddress: '[::1]:%rtsp%'
rtmpAddress: '[::1]:%rtmp%'
paths: {all_others: }",
    )
    .start();
    let certificate = Certificate::generate();
    let api = server.foreign().on_its_ports("http://127.0.0.1:%api%/");
    let proxy = TlsProxy::start(&certificate, "/mtx/", &api);
    let port = ports::tcp();
    let _orchestrator = server.orchestrator(port, |command| {
        let at = |url: &str| server.foreign().on_its_ports(url);
        command
            .env("MEDIAMTX_FINGERPRINT", certificate.fingerprint())
            .args([
                "--mediamtx-api",
                &format!("https://127.0.0.1:{}/mtx", proxy.port()),
            ])
            .args(["--mediamtx-rtsp", &at("rtsp://[::1]:%rtsp%")])
            .args(["--mediamtx-rtmp", &at("rtmp://[::1]:%rtmp%")])
            .args(["--route", "* => copies/{name}"]);
    });
    let url = server.foreign().on_its_ports("rtsp://[::1]:%rtsp%/door");
    let _publisher = Clip::h264_aac().publish(&url);
    server
        .process()
        .wait_for_line("[path copies/door] stream is available", 2 * SOON);
}
