//! An orchestrator beside a MediaMTX that asks for a login, or speaks TLS, and streams that come from elsewhere.

use std::time::Duration;

use serde_json::json;
use suite_tests::certificates::Certificate;
use suite_tests::clips::Clip;
use suite_tests::declared::Kept;
use suite_tests::mediamtx::{Config, MediaMtx};
use suite_tests::packets::{Kind, Reader};
use suite_tests::ports;

const SOON: Duration = Duration::from_secs(30);

/// With these variables, declares a stream of a server elsewhere, which is to come out on MediaMTX.
#[track_caller]
fn comes_out(kept: &Kept, login: &str, environment: &[(&str, &str)]) {
    let elsewhere = MediaMtx::start(Config::default());
    let _publisher = Clip::h264_aac().publish(&elsewhere.rtsp("cam"));
    elsewhere.wait_ready("cam", SOON);
    let orchestrator = kept.orchestrator_with(|command| {
        command.envs(environment.iter().copied());
    });
    kept.declare(&json!({ "id": "cam", "source": elsewhere.rtsp("cam") }));
    orchestrator.wait_running("cam", SOON);
    let url = kept.server.rtsp("live/cam/out");
    let url = url.replace("://", &format!("://{login}"));
    Reader::start(&url).collect(Kind::Video, 25, SOON);
}

#[test]
fn a_declared_stream_is_published_with_the_login_of_the_environment() {
    let kept = Kept::with(MediaMtx::start(
        Config::default().only_user("me", "'p@ss+w'"),
    ));
    let login = [("RTSP_USERNAME", "me"), ("RTSP_PASSWORD", "p@ss+w")];
    comes_out(&kept, "me:p%40ss%2Bw@", &login);
}

#[test]
fn a_declared_stream_is_published_over_tls_to_the_server_with_the_fingerprint() {
    let certificate = Certificate::generate();
    let fingerprint = certificate.fingerprint();
    let kept = Kept::with(MediaMtx::start(Config::default().rtmps(certificate)));
    let rtmps = kept.server.rtmps("");
    let variables = [
        ("MEDIAMTX_RTMP_URL", rtmps.as_str()),
        ("MEDIAMTX_FINGERPRINT", &fingerprint),
    ];
    comes_out(&kept, "", &variables);
}

#[test]
fn outputs_that_a_worker_would_refuse_are_refused_and_a_mirror_on_this_host_is_not() {
    let kept = Kept::new();
    let _orchestrator = kept.orchestrator();
    let source = kept.server.rtsp("live/a/in");
    let outputs = ["rtmp://127.0.0.1:1/b/c", "rtmp://127.0.0.1:1/b/d"];
    kept.declare(&json!({ "id": "x", "source": source, "outputs": outputs, "enabled": false }));
    let twice = ["rtmp://127.0.0.1:1/b/c", "rtmp://127.0.0.1:1/b/c?user=u"];
    let answer = kept.ask("PATCH", "/x", &json!({ "outputs": twice }).to_string());
    assert_eq!(answer.status, 400, "{answer:?}");
    assert!(answer.body.contains("twice"), "{answer:?}");
    let mirror = format!("rtmp://127.0.0.1:{}/live/a/in", ports::tcp());
    kept.change("x", &json!({ "outputs": [mirror] }));
    let itself = json!({ "outputs": [kept.server.rtmp("live/a/in")] });
    let answer = kept.ask("PATCH", "/x", &itself.to_string());
    assert_eq!(answer.status, 400, "{answer:?}");
}
