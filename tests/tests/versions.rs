//! The suite on other versions of MediaMTX; which ones, says `suite_tests::versions`.

use std::fs;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use mediamtx::api::{Api, ApiError, Fields};
use mediamtx::version::{ServerVersion, Version, tried_versions};
use serde_json::{Value, json};
use suite_tests::binaries::{repository, suite_binary};
use suite_tests::clips::{Clip, Video};
use suite_tests::compare::assert_no_gap;
use suite_tests::lifecycle::{Lifecycle, publishing_hook, segments};
use suite_tests::mediamtx::{Config, MediaMtx};
use suite_tests::orchestrator::Orchestrator;
use suite_tests::packets::{Kind, Reader};
use suite_tests::ports;
use suite_tests::processes::Spawned;
use suite_tests::receiver::{Answer, Receiver};
use suite_tests::streams::{INGEST, ingest, output};
use suite_tests::versions::{PINNED, on_every_version};
use suite_tests::waiting::{wait_for, wait_until};

const SOON: Duration = Duration::from_secs(30);

/// Settings of a path that one might want to change while it is watched.
const SETTINGS: [(&str, &str); 12] = [
    ("record", "true"),
    ("recordPath", r#""{folder}/%path/second/%s-%f""#),
    ("recordFormat", r#""mpegts""#),
    ("recordPartDuration", r#""300ms""#),
    ("recordMaxPartSize", r#""20M""#),
    ("recordSegmentDuration", r#""7m""#),
    ("recordDeleteAfter", r#""48h""#),
    ("forward", r#"[{"dest": "rtmp://127.0.0.1:9/nobody"}]"#),
    ("runOnDemandCloseAfter", r#""33s""#),
    ("maxReaders", "44"),
    ("overridePublisher", "false"),
    ("runOnRead", r#""true""#),
];

fn clip() -> Clip {
    Clip::new(Video::H264, None)
}

fn api(server: &MediaMtx) -> Api {
    Api::new(&server.api(""), Duration::from_secs(5)).expect("a URL")
}

fn fields(value: &Value) -> Fields {
    value.as_object().expect("an object").clone()
}

/// A line of configuration: this hook for this event.
fn hook(setting: &str, event: &str) -> String {
    format!(
        "{setting}: {} {event}\n",
        suite_binary("mtx-hook").display()
    )
}

/// Waits until MediaMTX has applied what was changed so far: it answers before, but applies one change after the other.
fn wait_applied(server: &MediaMtx) {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let marker = format!("marker-{}", COUNT.fetch_add(1, Ordering::Relaxed));
    api(server)
        .add_path(&marker, &Fields::new())
        .expect("a new path");
    wait_until("the marker", SOON, || server.path(&marker).is_some());
}

#[test]
fn stream_goes_from_the_hook_to_the_worker_and_comes_out_whole() {
    on_every_version(|version| {
        let port = ports::tcp();
        // These names work everywhere, on newer servers with a warning.
        let hooks = hook("runOnReady", "ready") + &hook("runOnNotReady", "not-ready");
        let config = Config::default()
            .version(version)
            .env("ORCHESTRATOR_URL", format!("http://127.0.0.1:{port}"))
            .path(INGEST, &hooks);
        let server = MediaMtx::start(config);
        let orchestrator = Orchestrator::start_on(port, &server, |_| {});
        let mut publisher = clip().publish(&server.rtmp(&ingest("cam")));
        server.wait_ready(&output("cam"), SOON);
        let reader = Reader::start(&server.rtsp(&output("cam")));
        let seen = reader.collect(Kind::Video, 60, SOON);
        assert_no_gap(Kind::Video, &seen);
        assert_eq!(orchestrator.workers().len(), 1);
        publisher.kill();
        for event in ["ready", "not-ready"] {
            wait_until(event, SOON, || received(&orchestrator, event));
        }
        wait_until("the worker's end", SOON, || {
            orchestrator.workers().is_empty()
        });
    });
}

/// Whether an event of a hook has arrived.
fn received(orchestrator: &Orchestrator, event: &str) -> bool {
    let lines = orchestrator.process().lines();
    let mut lines = lines
        .iter()
        .filter_map(|line| serde_json::from_str(&line.text).ok());
    lines.any(|line: Value| line["message"] == "event received" && line["event"] == event)
}

/// What the settings of a stream's hooks are called.
fn stream_hooks(version: &Version) -> [(&'static str, &'static str); 2] {
    if *version >= Version::release(1, 19, 3) {
        [
            ("runOnAvailable", "ready"),
            ("runOnUnavailable", "not-ready"),
        ]
    } else {
        [("runOnReady", "ready"), ("runOnNotReady", "not-ready")]
    }
}

#[test]
fn events_of_hooks_arrive_with_the_query_as_it_was_written() {
    const QUERY: &str = "lang=es&x=a%20b&y=1+2&z=%22'%25";
    on_every_version(|version| {
        let receiver = Receiver::start(Answer::Status(204));
        let folder = tempfile::tempdir().expect("a temp folder");
        let names = [
            ("runOnRead", "read"),
            ("runOnUnread", "unread"),
            ("runOnRecordSegmentCreate", "segment-create"),
            ("runOnRecordSegmentComplete", "segment-complete"),
        ];
        let names = stream_hooks(version).into_iter().chain(names);
        let hooks: String = names.map(|(setting, event)| hook(setting, event)).collect();
        let recording = format!(
            "record: yes\nrecordPath: {}/%path/%s-%f\n",
            folder.path().display()
        );
        let demand = hook("runOnDemand", "demand") + &hook("runOnUnDemand", "undemand");
        let closes = "runOnDemandCloseAfter: 1s\nrunOnDemandStartTimeout: 20s\n";
        let config = Config::default()
            .version(version)
            .env("ORCHESTRATOR_URL", receiver.url())
            .global(&(hook("runOnConnect", "connect") + &hook("runOnDisconnect", "disconnect")))
            .path("cam", &(hooks + &recording))
            .path("wanted", &(demand + closes))
            .path("fixed", &hook("runOnInit", "init"));
        let server = MediaMtx::start(config);
        let publisher = clip().publish(&server.rtmp(&format!("cam?{QUERY}")));
        let ready = receiver.wait_event("ready", SOON).json();
        assert_eq!(ready["query"], QUERY);
        assert_eq!(ready["sourceType"], "rtmpConn");
        let reader = Reader::start(&server.rtsp(&format!("cam?{QUERY}")));
        assert_eq!(receiver.wait_event("read", SOON).json()["query"], QUERY);
        drop(reader);
        for event in ["unread", "segment-create"] {
            receiver.wait_event(event, SOON);
        }
        drop(publisher);

        let reader = Reader::start(&server.rtsp(&format!("wanted?{QUERY}")));
        let demand = receiver.wait_event("demand", SOON).json();
        assert_eq!(
            (&demand["path"], &demand["query"]),
            (&json!("wanted"), &json!(QUERY))
        );
        let _publisher = clip().publish(&server.rtsp("wanted"));
        server.wait_readers("wanted", 1, SOON);
        drop(reader);
        for event in [
            "undemand",
            "init",
            "connect",
            "disconnect",
            "not-ready",
            "segment-complete",
        ] {
            receiver.wait_event(event, SOON);
        }
    });
}

#[test]
fn calls_that_the_suite_makes_to_the_api_are_there() {
    on_every_version(|version| {
        let folder = tempfile::tempdir().expect("a temp folder");
        let recording = format!(
            "record: yes\nrecordPath: {}/%path/%Y-%m-%d_%H-%M-%S-%f",
            folder.path().display()
        );
        let server = MediaMtx::start(Config::default().version(version).path("cam", &recording));
        let api = api(&server);
        assert_eq!(api.global().expect("settings").rtsp_encryption, "no");
        assert!(
            api.path_defaults()
                .expect("settings")
                .contains_key("record")
        );
        api.add_path("new", &fields(&json!({"maxReaders": 3})))
            .expect("it is added");
        let patch = json!({"runOnDemandCloseAfter": "7m"});
        api.patch_path("new", &fields(&patch))
            .expect("it is changed");
        wait_until("the changed entry", SOON, || {
            let entry = api.path_config("new").expect("an answer");
            entry.is_some_and(|entry| {
                entry["maxReaders"] == 3 && entry["runOnDemandCloseAfter"] == "7m0s"
            })
        });
        let wrong = api.patch_path("new", &fields(&json!({"nonsense": 1})));
        assert!(matches!(wrong, Err(ApiError::Rejected { .. })), "{wrong:?}");
        let configs: Vec<Value> = api.path_configs().expect("a list");
        assert!(configs.iter().any(|entry| entry["name"] == "new"));
        api.delete_path("new").expect("it is removed");
        wait_until("the end of the entry", SOON, || {
            api.path_config("new").expect("an answer").is_none()
        });

        let mut publisher = clip().publish(&server.rtmp("cam"));
        server.wait_ready("cam", SOON);
        let paths = api.paths().expect("a list");
        let cam = paths
            .iter()
            .find(|path| path.name == "cam")
            .expect("it is there");
        assert!(
            cam.is_available() && cam.available_time.is_some() && cam.conf_name == "cam",
            "{cam:?}"
        );
        let source = cam.source.clone().expect("a publisher");
        wait_until("a recorded file", SOON, || {
            !api.recordings("cam").expect("a list").segments.is_empty()
        });
        assert!(
            api.recordings("nowhere")
                .expect("a list")
                .segments
                .is_empty()
        );
        server
            .post(&format!("/v3/rtmpconns/kick/{}", source.id))
            .expect("it is kicked");
        publisher.wait(SOON);
    });
}

#[test]
fn login_with_a_password_holds_a_camera_open() {
    on_every_version(|version| {
        let folder = tempfile::tempdir().expect("a temp folder");
        let users = "authInternalUsers:\n\
            - user: bob\n\
            \x20 pass: s3cret\n\
            \x20 permissions: [{action: read}]\n\
            - user: any\n\
            \x20 permissions: [{action: publish}, {action: api}, {action: metrics}]";
        let settings = format!(
            "{}\nrecordPath: {}/%path/%Y-%m-%d_%H-%M-%S-%f",
            publishing_hook(&clip()),
            folder.path().display()
        );
        let config = Config::default().version(version).global(users);
        let server = MediaMtx::start(config.path("cam", &settings));
        let lifecycle = Lifecycle::of(&server);
        let login = format!("rtsp://bob:s3cret@127.0.0.1:{}", server.ports.rtsp);
        lifecycle.ok(&["start", "recording", "cam", "--rtsp", &login]);
        assert_eq!(lifecycle.status("cam")["recording"], true);
        lifecycle.ok(&["rollback", "0", "--force"]);
    });
}

#[test]
fn viewer_misses_no_frame_while_policies_change_and_recordings_come_and_go() {
    const POLICY: &str = "
useCases:
  lobby: {closeAfter: 7m, startTimeout: 12s}
paths:
- path: cam
  useCase: lobby
  overrides: {recordSegmentDuration: 10m, recordPartDuration: 300ms}
- path: 'many/*'
  overrides: {recordSegmentDuration: 10m, record: true}
";
    on_every_version(|version| {
        let folder = tempfile::tempdir().expect("a temp folder");
        let record_path = format!(
            "recordPath: {}/%path/%Y-%m-%d_%H-%M-%S-%f",
            folder.path().display()
        );
        let settings = format!(
            "{}\nrunOnDemandCloseAfter: 1s\n{record_path}",
            publishing_hook(&clip())
        );
        let config = Config::default()
            .version(version)
            .path("cam", &settings)
            .path("~^many/.*$", &record_path);
        let server = MediaMtx::start(config);
        let lifecycle = Lifecycle::of(&server);
        let _publisher = clip().publish(&server.rtsp("many/one"));
        server.wait_ready("many/one", SOON);
        let viewers = ["cam", "many/one"].map(|path| Reader::start(&server.rtsp(path)));
        for viewer in &viewers {
            viewer.collect(Kind::Video, 10, SOON);
        }
        let policy = lifecycle.file("policy.yml", POLICY);
        let policy = policy.to_str().expect("text");
        for command in [
            &["apply", policy][..],
            &["start", "recording", "cam"],
            &["start", "viewing", "cam"],
            &["stop", "cam"],
            &["start", "recording", "cam"],
            &["rollback"],
            &["reconcile"],
            &["stop", "cam", "--reason", "enough"],
        ] {
            lifecycle.ok(command);
        }
        wait_applied(&server);
        assert!(
            !segments(folder.path(), "cam").is_empty(),
            "it was recorded"
        );
        for viewer in &viewers {
            let seen = viewer.packets().len();
            assert_no_gap(Kind::Video, &viewer.collect(Kind::Video, seen + 50, SOON));
        }
        let status = lifecycle.status("cam");
        assert_eq!(status["viewers"], 1, "{status}");

        // What has waited is written once nobody is there any more.
        drop(viewers);
        server.wait_gone("cam", SOON);
        lifecycle.ok(&["reconcile"]);
        let entry = server.get("/v3/config/paths/get/cam").expect("it is there");
        assert_eq!(entry["runOnDemandCloseAfter"], "7m0s");
        assert_eq!(entry["recordSegmentDuration"], "10m0s");
        assert!(lifecycle.status("cam")["pending"].is_null());
    });
}

/// A stream on `cam` with a viewer.
struct Watched {
    _publisher: Spawned,
    viewer: Reader,
    source: (String, String),
}

impl Watched {
    fn start(server: &MediaMtx) -> Self {
        server.wait_gone("cam", SOON);
        let publisher = clip().publish(&server.rtsp("cam"));
        server.wait_ready("cam", SOON);
        let viewer = Reader::start(&server.rtsp("cam"));
        viewer.collect(Kind::Video, 5, SOON);
        let source = server.wait_ready("cam", SOON).source();
        Self {
            _publisher: publisher,
            viewer,
            source,
        }
    }

    /// Whether the same stream and its reader are there once the server has applied what was changed; if they are,
    /// no frame may be missing.
    fn survived(&self, server: &MediaMtx) -> bool {
        wait_applied(server);
        let path = server.path("cam");
        let same = path.is_some_and(|path| path.readers() == 1 && path.source() == self.source);
        if same {
            let seen = self.viewer.packets().len();
            assert_no_gap(
                Kind::Video,
                &self.viewer.collect(Kind::Video, seen + 15, SOON),
            );
        }
        same
    }
}

/// Those of the settings that this version has, and whether a change of it was survived.
fn changes_under_a_viewer(version: &Version) -> Vec<(&'static str, bool)> {
    let folder = tempfile::tempdir().expect("a temp folder");
    let path = format!("recordPath: {}/%path/%s-%f", folder.path().display());
    let server = MediaMtx::start(Config::default().version(version).path("cam", &path));
    let mut watched = Watched::start(&server);
    let mut seen = vec![];
    for (setting, value) in SETTINGS {
        let value = value.replace("{folder}", &folder.path().display().to_string());
        let value: Value = serde_json::from_str(&value).expect("JSON");
        let change = fields(&json!({setting: value}));
        match api(&server).patch_path("cam", &change) {
            Ok(()) => {}
            Err(ApiError::Rejected { .. }) => continue,
            Err(error) => panic!("{setting}: {error}"),
        }
        let survived = watched.survived(&server);
        seen.push((setting, survived));
        if !survived {
            drop(watched);
            watched = Watched::start(&server);
        }
    }
    seen
}

#[test]
fn settings_are_hot_where_a_viewer_was_seen_to_survive_their_change() {
    on_every_version(|version| {
        let seen = changes_under_a_viewer(version);
        let known = ServerVersion::Known(version.clone());
        let expected: Vec<_> = (seen.iter())
            .map(|(setting, _)| (*setting, known.is_hot(setting)))
            .collect();
        assert_eq!(seen, expected);
        for (setting, _) in SETTINGS {
            let is_there = seen.iter().any(|(name, _)| *name == setting);
            assert!(is_there || !known.is_hot(setting), "{setting} is not there");
        }
    });
}

#[test]
fn stream_survives_that_its_path_gets_and_loses_an_entry_where_the_table_says_so() {
    on_every_version(|version| {
        let folder = tempfile::tempdir().expect("a temp folder");
        let path = format!("recordPath: {}/%path/%s-%f", folder.path().display());
        let server = MediaMtx::start(Config::default().version(version).path("~^ca.$", &path));
        let watched = Watched::start(&server);
        let record_path = format!("{}/%path/%s-%f", folder.path().display());
        let entry = json!({"record": true, "recordPath": record_path});
        api(&server)
            .add_path("cam", &fields(&entry))
            .expect("it is added");
        let mut survived = watched.survived(&server);
        if survived {
            api(&server).delete_path("cam").expect("it is removed");
            survived = watched.survived(&server);
        }
        let known = ServerVersion::Known(version.clone());
        assert_eq!(survived, known.survives_change_of_entry());
    });
}

#[test]
fn path_names_with_tilde_and_colon_are_those_of_the_server() {
    on_every_version(|version| {
        let receiver = Receiver::start(Answer::Status(204));
        let [(available, ready), _] = stream_hooks(version);
        let config = Config::default()
            .version(version)
            .env("ORCHESTRATOR_URL", receiver.url())
            .path("~.*", &hook(available, ready));
        let server = MediaMtx::start(config);
        let _publisher = clip().publish(&server.rtsp("hall~1:a"));
        if has_tilde(version) {
            let event = receiver.wait_event("ready", SOON).json();
            assert_eq!(event["path"], "hall~1:a");
        } else {
            server.process().wait_for_line("invalid path name", SOON);
        }
    });
}

fn has_tilde(version: &Version) -> bool {
    *version <= Version::release(1, 14, 0)
}

#[test]
fn server_of_this_suite_starts_with_its_configuration() {
    on_every_version(|version| {
        let file = repository().join("mediamtx/mediamtx.yml");
        let mut command =
            std::process::Command::new(suite_tests::binaries::mediamtx_of_version(version));
        command.arg(file);
        for listener in ["RTMP", "RTSP", "HLS", "API", "METRICS", "PLAYBACK"] {
            let address = format!("127.0.0.1:{}", ports::tcp());
            command.env(format!("MTX_{listener}ADDRESS"), address);
        }
        let server = Spawned::start("mediamtx", command);
        let line = wait_for("a server or its complaint", SOON, || {
            server.lines().into_iter().find(|line| {
                line.text.contains("configuration loaded") || line.text.contains("ERR")
            })
        });
        let loads = line.text.contains("configuration loaded");
        assert_eq!(loads, *version >= PINNED, "{}", line.text);
    });
}

/// Adds an entry with these settings, and says whether the server took it.
fn takes(server: &MediaMtx, settings: &Value) -> bool {
    match api(server).add_path("probe", &fields(settings)) {
        Ok(()) => {
            api(server).delete_path("probe").expect("it is there");
            true
        }
        Err(ApiError::Rejected { .. }) => false,
        Err(error) => panic!("{settings}: {error}"),
    }
}

/// The line of the README's table, as the server is.
fn row(version: &Version) -> String {
    let server = MediaMtx::start(Config::default().version(version));
    let asked = ServerVersion::ask(&api(&server)).expect("an answer");
    let info = asked == ServerVersion::Known(version.clone());
    assert!(info || asked == ServerVersion::Unknown, "{asked:?}");
    let yes = |is_so: bool| if is_so { "yes" } else { "no" };
    let hooks = if takes(&server, &json!({"runOnAvailable": "true"})) {
        "`runOnAvailable`"
    } else {
        "`runOnReady`"
    };
    let known = ServerVersion::Known(version.clone());
    let hot = |name: &&str| known.is_hot(name);
    let recording = SETTINGS.iter().map(|(name, _)| *name);
    let recording: Vec<_> = recording
        .filter(|name| name.starts_with("record"))
        .collect();
    let hot = if recording.iter().all(hot) {
        "`record`, `record*`"
    } else {
        "`record`"
    };
    let forward = takes(&server, &json!({"forward": []}));
    let cells = [
        hooks,
        yes(info),
        yes(has_tilde(version)),
        hot,
        yes(known.survives_change_of_entry()),
        yes(forward),
    ];
    format!("| {version} | {} |", cells.join(" | "))
}

#[test]
fn readme_says_of_each_version_what_its_server_does() {
    let readme = fs::read_to_string(repository().join("README.md")).expect("there is one");
    for version in tried_versions() {
        let start = format!("| {version} | ");
        let rows = readme.lines().filter(|line| line.starts_with(&start));
        assert_eq!(rows.count(), 1, "{version} has a row");
    }
    on_every_version(|version| {
        let row = row(version);
        assert!(readme.contains(&row), "README.md lacks: {row}");
    });
}

#[test]
fn versions_that_can_be_had_are_those_that_were_tried() {
    let file = repository().join("mediamtx/server/VERSIONS");
    let text = fs::read_to_string(file).expect("there is one");
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let listed: Vec<_> = lines.filter_map(|line| line.split(' ').next()).collect();
    let tried: Vec<_> = tried_versions().map(Version::to_string).collect();
    assert_eq!(listed, tried);
    let pinned = fs::read_to_string(repository().join("mediamtx/server/VERSION"));
    assert_eq!(pinned.expect("there is one").trim(), PINNED.to_string());
}
