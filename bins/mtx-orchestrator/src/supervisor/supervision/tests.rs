mod histories;
mod launching;
mod scheduling;

use std::sync::mpsc;

use mediamtx::api::Login;
use mediamtx::via::Mark;

use super::super::failure::FailureKind;
use super::super::names::Addresses;
use super::super::names::tests::{addresses, endpoint};
use super::super::policy::{BreakerPolicy, Policy, Recovery};
use super::super::processes::Processes;
use super::super::worker::{Limits, Template};
use super::*;
use crate::declaration::{Declaration, Endpoint, Output, Outputs, Servers, Source};
use crate::routes::Layers;

const MINUTE: Duration = Duration::from_secs(60);

/// Without a server, which nothing here waits for; its workers end at once, and are not looked after.
fn supervision(route: &str) -> Supervision {
    supervision_with(&[route])
}

fn supervision_with(routes: &[&str]) -> Supervision {
    let servers = Servers {
        rtsp: "rtsp://127.0.0.1:8554".parse().unwrap(),
        rtmp: "rtmp://127.0.0.1:1935".parse().unwrap(),
    };
    let layers = Layers {
        flags: routes.iter().map(|route| route.parse().unwrap()).collect(),
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
        max_streams: 100,
    };
    let view = Arc::new(View {
        streams: std::sync::Mutex::default(),
        routes: std::sync::Mutex::new(Arc::clone(&routes)),
        changes: super::super::Changes::default(),
        totals: std::sync::Mutex::default(),
        pulse: super::super::Pulse::new(Instant::now()),
        ready: std::sync::Mutex::new(Ok(())),
    });
    let messages = mpsc::channel().0;
    let template = Arc::new(config.worker.clone());
    let launcher = Box::new(Processes::new(template, messages.clone()));
    let poller = Poller::start(config.api.clone(), messages).unwrap();
    let unreachable = |_: &Endpoint| Addresses::new();
    let server = config.worker.servers.rtmp_endpoint();
    let names = Names::start(server, unreachable, mpsc::channel().0).unwrap();
    let mut supervision = Supervision::new(config, routes, launcher, (poller, names), view);
    supervision.resolves("backup", 1935, &["192.0.2.1"]);
    supervision
}

fn key(path: &str) -> StreamKey {
    path.parse::<PathName>().unwrap().into()
}

impl Supervision {
    fn resolves(&mut self, host: &str, port: u16, found: &[&str]) {
        self.take(Message::Lookup(Lookup {
            name: endpoint(host, port),
            addresses: addresses(found),
            server: addresses(&["127.0.0.1"]),
        }));
    }

    /// MediaMTX has these paths, with the kind and the id of who publishes them.
    fn sees(&mut self, paths: &[(&str, &str, &str)]) {
        self.sees_with(paths, Findings::default());
    }

    fn sees_with(&mut self, paths: &[(&str, &str, &str)], findings: Findings) {
        let paths = paths.iter().map(|(name, kind, id)| {
            let path = serde_json::json!({
                "name": name, "ready": true, "source": { "type": kind, "id": id },
            });
            serde_json::from_value(path).unwrap()
        });
        self.reconcile(0, paths.collect(), findings);
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
    supervision.look_after();
    supervision.sees(&[("a/cam", "rtspSession", "1"), ("out/cam", "rtmpConn", "2")]);
    let parent = supervision.streams[&key("out/cam")].parent.clone();
    assert_eq!(parent, Some(declared.key()));
    assert!(!supervision.blocks("out/cam"));
}

/// A process that starts anew knows what was declared before it knows what MediaMTX has.
#[test]
fn a_worker_that_fails_waits_for_a_server_that_is_away_but_not_for_one_that_refuses_us() {
    let refused = ApiError::Refused {
        url: "http://mediamtx".to_owned(),
        status: 401,
        login: Login::None,
    };
    let nobody_listens = mediamtx::api::Api::new("http://127.0.0.1:1", MINUTE).unwrap();
    let away = nobody_listens.paths().unwrap_err();
    for (error, is_started) in [(refused, true), (away, false)] {
        let mut supervision = supervision("* => rtmp://backup/{name}");
        supervision.sees(&[("cam", "rtspSession", "1")]);
        supervision.look_after();
        supervision.unreachable(0, &error);
        supervision.ended(&key("cam"), FailureKind::Signalled.because("killed"));
        supervision.look_after();
        let has_worker = |it: &Supervision| it.streams[&key("cam")].worker.is_some();
        assert_eq!(has_worker(&supervision), is_started, "{error}");
        // The API alone may be away.
        supervision.lost -= LOST;
        supervision.look_after();
        assert!(has_worker(&supervision));
    }
}

#[test]
fn what_is_published_already_goes_before_a_declared_stream_that_would_feed_it() {
    let mut supervision = supervision("cam => copy/cam");
    let declared = declaration(
        "back",
        "rtsp://127.0.0.1:8554/copy/cam",
        "rtmp://127.0.0.1:1935/cam",
    );
    supervision.declare(&declared);
    supervision.look_after();
    assert!(supervision.streams[&declared.key()].worker.is_none());
    supervision.sees(&[("cam", "rtspSession", "1")]);
    supervision.look_after();
    assert!(!supervision.blocks("cam"));
    assert!(supervision.streams[&key("cam")].worker.is_some());
    assert!(supervision.streams[&declared.key()].is_blocked());
}

#[test]
fn a_circle_through_a_declared_stream_is_blocked() {
    let mut supervision = supervision("cam => copy/cam");
    supervision.sees(&[]);
    let declared = declaration(
        "back",
        "rtsp://127.0.0.1:8554/copy/cam",
        "rtmp://127.0.0.1:1935/cam",
    );
    supervision.declare(&declared);
    supervision.look_after();
    supervision.sees(&[("cam", "rtmpConn", "1")]);
    assert!(supervision.blocks("cam"));
    supervision.undeclare(&declared.key());
    supervision.sees(&[("cam", "rtspSession", "2")]);
    supervision.streams.remove(&declared.key());
    supervision.sees(&[("cam", "rtspSession", "2")]);
    assert!(!supervision.blocks("cam"));
}

#[test]
fn the_first_worker_for_a_server_waits_until_its_name_is_looked_up() {
    let mut supervision = supervision("* => rtmp://other/{name}");
    supervision.sees(&[("cam", "rtspSession", "1")]);
    supervision.look_after();
    assert!(supervision.streams[&key("cam")].worker.is_none());
    supervision.resolves("other", 1935, &["127.0.0.1"]);
    supervision.look_after();
    assert!(supervision.blocks("cam"));
    assert!(supervision.streams[&key("cam")].worker.is_none());
}

#[test]
fn a_stream_is_blocked_as_long_as_its_output_leads_to_this_server() {
    let mut supervision = supervision("* => rtmp://other/{name}");
    let declared = declaration(
        "back",
        "rtsp://127.0.0.1:8554/studio",
        "rtmp://other/studio",
    );
    supervision.declare(&declared);
    supervision.sees(&[("cam", "rtspSession", "1")]);
    let blocked = |supervision: &Supervision| {
        let streams = [&key("cam"), &declared.key()].map(|key| &supervision.streams[key]);
        streams.map(Stream::is_blocked)
    };
    for (addresses, expected) in [
        (&["192.0.2.1"][..], false),
        (&["127.0.0.1"], true),
        (&[], true),
        (&["127.0.0.1", "192.0.2.1"], false),
    ] {
        supervision.resolves("other", 1935, addresses);
        assert_eq!(blocked(&supervision), [expected; 2], "{addresses:?}");
    }
}

#[test]
fn a_publisher_that_turns_out_to_be_a_stranger_is_let_through() {
    let mut supervision = supervision("** => rtmp://backup/x/{name}");
    let paths = [("a/cam", "rtspSession", "1"), ("x/cam", "rtmpConn", "2")];
    supervision.sees(&paths[..1]);
    supervision.look_after();
    supervision.sees(&paths);
    assert!(supervision.blocks("x/cam"));
    supervision.sees_with(
        &paths,
        Findings {
            strangers: ["2".to_owned()].into(),
            ..Findings::default()
        },
    );
    assert!(!supervision.blocks("x/cam"));
}

#[test]
fn a_declared_stream_is_blocked_only_while_the_circle_is_there() {
    let url = |path: &str| format!("rtsp://127.0.0.1:8554/{path}");
    let other = |enabled| Declaration {
        enabled,
        ..declaration("one", &url("b"), "rtmp://127.0.0.1:1935/a")
    };
    let two = declaration("two", &url("a"), "rtmp://127.0.0.1:1935/b");
    let start = || {
        let mut supervision = supervision("none => copy/none");
        supervision.declare(&other(true));
        supervision.declare(&two);
        assert!(supervision.streams[&two.key()].is_blocked());
        assert!(!supervision.streams[&other(true).key()].is_blocked());
        supervision
    };
    let free = |supervision: &Supervision| !supervision.streams[&two.key()].is_blocked();

    let mut stopped = start();
    stopped.declare(&other(false));
    assert!(free(&stopped));
    stopped.declare(&other(true));
    assert!(free(&stopped), "the one that begins later is blocked");
    assert!(stopped.streams[&other(true).key()].is_blocked());

    let mut deleted = start();
    deleted.undeclare(&other(true).key());
    assert!(free(&deleted));

    let mut changed = start();
    changed.declare(&declaration("one", &url("c"), "rtmp://127.0.0.1:1935/a"));
    assert!(free(&changed));
}

#[test]
fn other_routes_free_a_declared_stream() {
    let mut supervision = supervision("cam => copy/cam");
    supervision.sees(&[("cam", "rtspSession", "1")]);
    let declared = declaration(
        "back",
        "rtsp://127.0.0.1:8554/copy/cam",
        "rtmp://127.0.0.1:1935/cam",
    );
    supervision.declare(&declared);
    assert!(supervision.streams[&declared.key()].is_blocked());
    let servers = supervision.config.worker.servers.clone();
    let layers = Layers {
        flags: vec!["cam => other/cam".parse().unwrap()],
        ..Layers::default()
    };
    supervision.set_routes(Arc::new(RouteTable::new(&layers, &servers).unwrap()));
    assert!(!supervision.streams[&declared.key()].is_blocked());
}

#[test]
fn a_stopped_stream_is_shown_and_can_be_started_while_it_is_away() {
    let mut supervision = supervision("* => rtmp://backup/{name}");
    supervision.stopped.insert(key("cam"));
    supervision.stopped.insert(key("no/route"));
    supervision.sees(&[]);
    let state = |supervision: &Supervision| {
        let stream = supervision.streams.get(&key("cam"))?;
        Some(stream.machine.state())
    };
    assert_eq!(state(&supervision), Some(StreamState::Stopped));
    assert_eq!(supervision.streams.len(), 1);
    supervision.command(&key("cam"), Command::Restart);
    assert_eq!(state(&supervision), Some(StreamState::Stopped));
    supervision.command(&key("cam"), Command::Start);
    supervision.sees(&[]);
    assert_eq!(state(&supervision), Some(StreamState::Grace));
    supervision.sees(&[("cam", "rtspSession", "1")]);
    assert_eq!(state(&supervision), Some(StreamState::Starting));
}

#[test]
fn the_stop_of_a_path_ends_when_its_stream_is_declared() {
    let mut supervision = supervision("live/*/in => rtmp://backup/{1}");
    let source = ("live/cam/in", "rtspSession", "1");
    supervision.sees(&[source]);
    let declared = declaration("cam", "rtsp://camera/1", "rtmp://backup/cam");
    supervision.command(&declared.key(), Command::Stop);
    supervision.sees(&[]);
    supervision.declare(&declared);
    assert!(supervision.stopped.is_empty());
    supervision.undeclare(&declared.key());
    supervision.sees(&[source]);
    assert!(supervision.streams[&declared.key()].machine.is_present());
    assert_ne!(
        supervision.streams[&declared.key()].machine.state(),
        StreamState::Stopped
    );
}

/// Paths with who publishes them, and whose outputs their streams have been through: those of the path with this
/// number, or of somebody else.
type Look = BTreeMap<usize, Vec<Option<usize>>>;

impl Supervision {
    fn sees_marks(&mut self, number: usize, look: &Look) {
        let output = |path: usize| {
            let stream = &self.plan(&self.routes, &key(PATHS[path])).unwrap();
            self.marks.mark(&stream.task.outputs[0])
        };
        let id = |path: usize| format!("{path} at look {number}");
        let via = look.iter().map(|(path, marks)| {
            // The oldest one is at the end, the server's own publisher at the beginning.
            let marks = [None].into_iter().chain(marks.iter().copied()).rev();
            let via = marks.fold(Via::default(), |via, mark| {
                via.through(mark.map_or(Mark(7), output))
            });
            (id(*path), via)
        });
        let findings = Findings {
            via: via.collect(),
            ..Findings::default()
        };
        let ids: Vec<_> = look.keys().map(|path| (PATHS[*path], id(*path))).collect();
        let paths: Vec<_> = ids
            .iter()
            .map(|(path, id)| (*path, "rtmpConn", id.as_str()))
            .collect();
        self.sees_with(&paths, findings);
    }
}

const PATHS: [&str; 4] = ["a", "b", "c", "d"];

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(48))]
    #[test]
    fn streams_are_blocked_for_their_own_marks_only_and_for_as_long_as_nobody_starts_them(
        looks in proptest::collection::vec(
            proptest::collection::btree_map(
                0..PATHS.len(),
                proptest::collection::vec(proptest::option::of(0..PATHS.len()), 0..4),
                0..=PATHS.len(),
            ),
            1..6,
        ),
    ) {
        let routes = PATHS.map(|path| format!("{path} => rtmp://backup/x/{path}"));
        let mut known = BTreeSet::<usize>::new();
        let mut supervision = supervision_with(&routes.each_ref().map(String::as_str));
        let (mut came_back, mut returned) = (BTreeSet::<usize>::new(), BTreeSet::<usize>::new());
        for (number, look) in looks.iter().enumerate() {
            supervision.sees_marks(number, look);
            known.extend(look.keys());
            for (path, marks) in look {
                let latest = marks.iter().flatten().find(|mark| known.contains(mark));
                returned.extend(latest);
                came_back.extend(latest.filter(|latest| *latest == path));
            }
            for path in look.keys() {
                let is_blocked = supervision.blocks(PATHS[*path]);
                // Only what one sent oneself, and saw again, is a reason.
                proptest::prop_assert!(is_blocked || !came_back.contains(path), "{path} of {look:?}");
                proptest::prop_assert!(!is_blocked || returned.contains(path), "{path} of {look:?}");
            }
        }
        for path in came_back {
            if supervision.streams.contains_key(&key(PATHS[path])) {
                supervision.command(&key(PATHS[path]), Command::Start);
                proptest::prop_assert!(!supervision.blocks(PATHS[path]));
            }
        }
    }
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
