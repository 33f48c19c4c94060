use std::sync::mpsc;

use super::super::policy::{BreakerPolicy, Policy, Recovery};
use super::super::worker::{Limits, Template};
use super::*;
use crate::declaration::{Declaration, Output, Outputs, Servers, Source};
use crate::routes::Layers;

const MINUTE: Duration = Duration::from_secs(60);

/// Without a server, which nothing here waits for; its workers end at once, and are not looked after.
fn supervision(route: &str) -> Supervision {
    let servers = Servers {
        rtsp: "rtsp://127.0.0.1:8554".parse().unwrap(),
        rtmp: "rtmp://127.0.0.1:1935".parse().unwrap(),
    };
    let layers = Layers {
        flags: vec![route.parse().unwrap()],
        ..Layers::default()
    };
    let routes = Arc::new(RouteTable::new(&layers, &servers).unwrap());
    let config = SupervisorConfig {
        api: mediamtx::api::Api::new("http://127.0.0.1:1", MINUTE).unwrap(),
        worker: Template {
            program: "/bin/true".into(),
            servers,
        },
        policy: Policy {
            grace: MINUTE,
            recovery: Recovery::Immediate,
            breaker: BreakerPolicy {
                failures: 3,
                window: MINUTE,
            },
            breaker_pause: MINUTE,
            healthy_after: MINUTE,
        },
        limits: Limits {
            memory: 1024 * 1024 * 1024,
            open_files: 256,
            cpu: 1000,
        },
        start_limit: 10,
    };
    let view = Arc::new(View {
        streams: std::sync::Mutex::default(),
        routes: std::sync::Mutex::new(Arc::clone(&routes)),
        changes: super::super::Changes::default(),
        totals: std::sync::Mutex::default(),
        ready: std::sync::Mutex::new(Ok(())),
    });
    let messages = mpsc::channel().0;
    let poller = Poller::start(config.api.clone(), messages.clone()).unwrap();
    Supervision::new(config, routes, messages, poller, view)
}

fn key(path: &str) -> StreamKey {
    path.parse::<PathName>().unwrap().into()
}

impl Supervision {
    /// MediaMTX has these paths, with the kind and the id of who publishes them.
    fn sees(&mut self, paths: &[(&str, &str, &str)]) {
        let paths = paths.iter().map(|(name, kind, id)| {
            let path = serde_json::json!({
                "name": name, "ready": true, "source": { "type": kind, "id": id },
            });
            serde_json::from_value(path).unwrap()
        });
        self.reconcile(0, paths.collect(), Findings::default());
    }

    fn blocks(&self, path: &str) -> bool {
        self.streams[&key(path)].is_blocked()
    }
}

#[test]
fn a_stream_is_blocked_only_while_it_may_be_a_result() {
    let source = ("a/cam", "rtspSession", "1");
    let result = ("x/cam", "rtmpConn", "2");
    let start = || {
        let mut supervision = supervision("** => rtmp://backup/x/{name}");
        supervision.sees(&[source]);
        supervision.look_after();
        assert!(supervision.streams[&key("a/cam")].worker.is_some());
        supervision.sees(&[source, result]);
        assert!(supervision.blocks("x/cam") && !supervision.blocks("a/cam"));
        supervision
    };

    let mut without_worker = start();
    let parent = without_worker.streams.get_mut(&key("a/cam")).unwrap();
    parent.lost_worker();
    without_worker.sees(&[source, result]);
    assert!(!without_worker.blocks("x/cam"));

    let mut forgotten = start();
    forgotten.streams.remove(&key("a/cam"));
    forgotten.sees(&[result]);
    assert!(!forgotten.blocks("x/cam"));

    let mut from_elsewhere = start();
    from_elsewhere.sees(&[source, ("x/cam", "rtspSession", "3")]);
    assert!(!from_elsewhere.blocks("x/cam"));
}

#[test]
fn a_known_result_is_not_taken_for_what_another_stream_has_elsewhere() {
    let mut supervision = supervision("*/* => rtmp://backup/out/{2}");
    supervision.sees(&[("a/cam", "rtspSession", "1")]);
    supervision.look_after();
    let declared = declaration("late", "rtsp://camera/1", "rtmp://127.0.0.1:1935/out/cam");
    supervision.declare(&declared);
    supervision.sees(&[("a/cam", "rtspSession", "1"), ("out/cam", "rtmpConn", "2")]);
    let parent = supervision.streams[&key("out/cam")].parent.clone();
    assert_eq!(parent, Some(declared.key()));
    assert!(!supervision.blocks("out/cam"));
}

#[test]
fn a_circle_through_a_declared_stream_is_blocked() {
    let mut supervision = supervision("cam => copy/cam");
    let declared = declaration(
        "back",
        "rtsp://127.0.0.1:8554/copy/cam",
        "rtmp://127.0.0.1:1935/cam",
    );
    supervision.declare(&declared);
    supervision.sees(&[("cam", "rtmpConn", "1")]);
    assert!(supervision.blocks("cam"));
    supervision.undeclare(&declared.key());
    supervision.sees(&[("cam", "rtspSession", "2")]);
    supervision.streams.remove(&declared.key());
    supervision.sees(&[("cam", "rtspSession", "2")]);
    assert!(!supervision.blocks("cam"));
}

fn declaration(id: &str, source: &str, output: &str) -> Declaration {
    Declaration {
        id: id.parse().unwrap(),
        name: None,
        source: Source::parse(source).unwrap(),
        outputs: Outputs::new(vec![Output::parse(output).unwrap()]).ok(),
        enabled: true,
        created_at: Timestamp::now(),
        updated_at: Timestamp::now(),
    }
}
