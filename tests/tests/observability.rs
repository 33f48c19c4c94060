//! What an operator sees of the streams: control API and metrics.

use std::time::{Duration, Instant};

use suite_tests::clips::Clip;
use suite_tests::mediamtx::{Config, MediaMtx};
use suite_tests::stack::{IN, OUT, SOON, Stack};
use suite_tests::waiting::wait_until;
use suite_tests::worker::Worker;

/// The specification's limit for an answer.
const AT_ONCE: Duration = Duration::from_millis(100);

/// The best of three, so that another test's load does not count.
fn quickest<T>(mut ask: impl FnMut() -> T) -> (Duration, T) {
    let timed = std::iter::repeat_with(|| {
        let start = Instant::now();
        let answer = ask();
        (start.elapsed(), answer)
    });
    timed
        .take(3)
        .min_by_key(|(took, _)| *took)
        .expect("three answers")
}

/// Value of a metric of a path.
fn metric(text: &str, name: &str, path: &str) -> Option<f64> {
    let labels = format!("name=\"{path}\"");
    let line = text
        .lines()
        .find(|line| line.starts_with(&format!("{name}{{")) && line.contains(&labels))?;
    line.rsplit(' ').next()?.parse().ok()
}

#[test]
fn test_metrics_endpoint_format() {
    let stack = Stack::start();
    let text = stack.server.metrics(&format!("?type=paths&path={IN}"));
    for line in text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
    {
        let (series, value) = line.rsplit_once(' ').expect("a value behind a blank");
        assert!(value.parse::<f64>().is_ok(), "not a number: {line}");
        let name = series.split('{').next().unwrap_or_default();
        assert!(
            name.chars()
                .all(|char| char.is_ascii_alphanumeric() || char == '_'),
            "not a name: {line}"
        );
        assert_eq!(
            series.contains('{'),
            series.ends_with('}'),
            "unbalanced labels: {line}"
        );
    }
    assert_eq!(metric(&text, "paths", IN), Some(1.0), "{text}");
    assert!(
        metric(&text, "paths_bytes_received", IN).is_some(),
        "{text}"
    );
    assert!(metric(&text, "paths_readers", IN).is_some(), "{text}");
    assert!(text.contains("state=\"ready\""), "{text}");
}

#[test]
fn test_control_api_response_schema() {
    let stack = Stack::start();
    let list = stack.server.get("/v3/paths/list").expect("the API answers");
    assert_eq!(
        (list["itemCount"].as_u64(), list["pageCount"].as_u64()),
        (Some(1), Some(1))
    );
    let path = &list["items"][0];
    assert_eq!(path["name"], IN);
    assert_eq!(path["ready"], true);
    assert_eq!(path["source"]["type"], "rtspSession");
    assert!(path["source"]["id"].is_string() && path["readyTime"].is_string());
    assert!(
        path["tracks"].is_array() && path["readers"].is_array() && path["bytesReceived"].is_u64()
    );
    let connections = stack
        .server
        .get("/v3/rtmpconns/list")
        .expect("the API answers");
    assert!(connections["items"].is_array());
}

#[test]
fn test_end_to_end_observability() {
    let server = MediaMtx::start(Config::default());
    assert_eq!(metric(&server.metrics("?type=paths"), "paths", IN), None);
    let clip = Clip::h264_aac();
    let publisher = clip.publish(&server.rtsp(IN));
    let _idle = clip.publish(&server.rtsp("live/idle/in"));
    server.wait_ready(IN, SOON);
    server.wait_ready("live/idle/in", SOON);
    let worker = Worker::start(&server.rtsp(IN), &server.rtmp(OUT));
    server.wait_ready(OUT, SOON);
    worker.wait_state("streaming", SOON);

    // Which stream a worker reads, and which one nobody does.
    let reads = |name: &str| server.path(name).expect("the path is there").readers();
    assert_eq!((reads(IN), reads("live/idle/in")), (1, 0));
    assert_eq!(
        server.path(OUT).expect("the path is there").source().0,
        "rtmpConn"
    );

    let (took, text) = quickest(|| server.metrics("?type=paths"));
    assert!(took <= AT_ONCE, "metrics took {took:?}");
    assert_eq!(metric(&text, "paths_readers", IN), Some(1.0), "{text}");
    let before = metric(&text, "paths_bytes_received", OUT).unwrap_or_default();
    wait_until("more bytes", SOON, || {
        metric(&server.metrics("?type=paths"), "paths_bytes_received", OUT)
            .is_some_and(|now| now > before)
    });
    let (took, list) = quickest(|| server.get("/v3/paths/list"));
    assert!(took <= AT_ONCE, "the API took {took:?}");
    assert_eq!(list.expect("the API answers")["itemCount"], 3);

    drop(publisher);
    wait_until("the end of the metric", SOON, || {
        metric(&server.metrics("?type=paths"), "paths", IN).is_none()
    });
}
