//! Outputs that are added, changed and removed while their stream runs.

use std::time::Duration;

use serde_json::{Value, json};
use suite_tests::declared::Kept;
use suite_tests::frames::Counter;
use suite_tests::mediamtx::{Config, MediaMtx};
use suite_tests::orchestrator::Orchestrator;
use suite_tests::packets::{Kind, Reader};
use suite_tests::ports;

const SOON: Duration = Duration::from_secs(20);
const FRAMES: usize = 25;

fn outputs_are(orchestrator: &Orchestrator, id: &str, states: &[&str]) -> Value {
    orchestrator.wait_stream(id, &format!("outputs {states:?}"), SOON, |stream| {
        let outputs = stream["outputs"].as_array().into_iter().flatten();
        outputs.map(|it| &it["state"]).eq(states.iter())
    })
}

#[test]
fn outputs_of_a_declared_stream_come_and_go_while_the_others_miss_no_frame() {
    let (camera, other) = (
        MediaMtx::start(Config::default()),
        MediaMtx::start(Config::default()),
    );
    let counter = Counter::learn(&camera);
    let _publisher = counter.clip().publish(&camera.rtsp("1"));
    camera.wait_ready("1", SOON);
    let kept = Kept::new();
    let orchestrator = kept.orchestrator();
    let main = kept.server.rtmp("main");
    kept.declare(&json!({ "id": "x", "source": camera.rtsp("1"), "outputs": [main] }));
    kept.server.wait_ready("main", SOON);
    let pid = orchestrator.wait_running("x", SOON);
    let reader = Reader::start(&kept.server.rtsp("main"));
    reader.collect(Kind::Video, FRAMES, SOON);

    for (name, gone) in [("first", None), ("second", Some("first"))] {
        kept.change("x", &json!({ "outputs": [main, other.rtmp(name)] }));
        other.wait_ready(name, SOON);
        let added = Reader::start(&other.rtsp(name));
        let packets = added.collect(Kind::Video, FRAMES, SOON);
        counter.assert_gapless(name, &packets);
        outputs_are(&orchestrator, "x", &["streaming", "streaming"]);
        if let Some(gone) = gone {
            other.wait_gone(gone, SOON);
        }
    }
    let nobody = format!("rtmp://127.0.0.1:{}/app/s3cret-key", ports::tcp());
    kept.change("x", &json!({ "outputs": [nobody, main] }));
    other.wait_gone("second", SOON);
    let stream = outputs_are(&orchestrator, "x", &["retrying", "streaming"]);
    let failing = &stream["outputs"][0];
    assert!(
        failing["reason"]
            .as_str()
            .is_some_and(|why| why.contains("refused")),
        "{failing}"
    );
    let metrics = kept.look("/metrics").body;
    let up = |url: &str, up: u8| {
        let mut lines = metrics.lines();
        let found = lines.any(|line| {
            line.starts_with("mtx_orchestrator_stream_output_up{stream=\"x\",")
                && line.ends_with(&format!("output=\"{url}\"}} {up}"))
        });
        assert!(found, "{url} {up}\n{metrics}");
    };
    up(&main, 1);
    up(&nobody.replace("s3cret-key", "***"), 0);
    assert!(!stream.to_string().contains("s3cret"), "{stream}");
    assert!(!orchestrator.process().output().contains("s3cret"));
    kept.change("x", &json!({ "outputs": [main] }));
    outputs_are(&orchestrator, "x", &["streaming"]);

    assert_eq!(orchestrator.wait_running("x", SOON), pid);
    assert_eq!(orchestrator.starts().len(), 1);
    reader.collect(
        Kind::Video,
        reader.packets_of(Kind::Video).len() + FRAMES,
        SOON,
    );
    counter.assert_gapless("main", &reader.packets());
}

#[test]
fn other_routes_change_the_outputs_of_a_stream_that_runs() {
    let kept = Kept::new();
    let counter = Counter::learn(&kept.server);
    let orchestrator = kept.orchestrator_with(|command| {
        command.args(["--route", "none => copy/none"]);
    });
    let route = |outputs: &[&str]| {
        let routes = json!({ "routes": [{ "path": "cam", "outputs": outputs }] });
        let answer = suite_tests::raw_http::call(
            std::net::SocketAddr::from(([127, 0, 0, 1], kept.port())),
            "PUT",
            "/v1/routes",
            &[("Content-Type", "application/json")],
            &routes.to_string(),
        );
        assert_eq!(answer.status, 200, "{answer:?}");
    };
    route(&["copy/one"]);
    let _publisher = counter.clip().publish(&kept.server.rtsp("cam"));
    kept.server.wait_ready("copy/one", SOON);
    let pid = orchestrator.wait_running("cam", SOON);
    let reader = Reader::start(&kept.server.rtsp("copy/one"));
    reader.collect(Kind::Video, FRAMES, SOON);
    route(&["copy/two", "copy/one"]);
    kept.server.wait_ready("copy/two", SOON);
    outputs_are(&orchestrator, "cam", &["streaming", "streaming"]);
    route(&["copy/one"]);
    kept.server.wait_gone("copy/two", SOON);
    assert_eq!(orchestrator.wait_running("cam", SOON), pid);
    reader.collect(
        Kind::Video,
        reader.packets_of(Kind::Video).len() + FRAMES,
        SOON,
    );
    counter.assert_gapless("copy/one", &reader.packets());
}
