//! mtx-orchestrator on a server with paths of its own: which of them are passed on, where to, and what a change of the
//! routes touches.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use serde_json::{Value, json};
use suite_tests::binaries::suite_binary;
use suite_tests::clips::Clip;
use suite_tests::frames::Counter;
use suite_tests::http;
use suite_tests::mediamtx::{Config, MediaMtx};
use suite_tests::orchestrator::Orchestrator;
use suite_tests::packets::{Kind, Reader};
use suite_tests::ports;
use suite_tests::processes::Spawned;
use suite_tests::proxy::FaultProxy;
use suite_tests::raw_http::{Answer, call};
use suite_tests::readme::block;
use suite_tests::streams::send;
use suite_tests::waiting::wait_until;
use tempfile::TempDir;

const SOON: Duration = Duration::from_secs(30);
const YAML: (&str, &str) = ("Content-Type", "application/yaml");

/// A server, an orchestrator with a file of routes, and publishers.
struct Routed {
    orchestrator: Orchestrator,
    port: u16,
    publishers: Vec<Spawned>,
    server: MediaMtx,
    folder: TempDir,
}

impl Routed {
    #[track_caller]
    fn start(routes: &str) -> Self {
        let server = MediaMtx::start(Config::default());
        let folder = tempfile::tempdir().expect("a temp folder");
        let file = folder.path().join("routes.yml");
        fs::write(&file, routes).expect("the temp folder is writable");
        let port = ports::tcp();
        Self {
            orchestrator: Orchestrator::start_on(port, &server, |command| {
                command.env_remove("ORCHESTRATOR_TOKEN");
                command.arg("--routes").arg(file);
                command.arg("--store").arg(folder.path().join("store.db"));
                command.args(["--grace", "1s"]);
            }),
            port,
            publishers: Vec::new(),
            server,
            folder,
        }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("routes.yml")
    }

    #[track_caller]
    fn publish(&mut self, path: &str) {
        self.publish_clip(path, Clip::h264_aac());
    }

    #[track_caller]
    fn publish_clip(&mut self, path: &str, clip: Clip) {
        self.publishers.push(clip.publish(&self.server.rtsp(path)));
        self.server.wait_ready(path, SOON);
    }

    #[track_caller]
    fn ask(&self, method: &str, path: &str, body: &str) -> Answer {
        let address = SocketAddr::from(([127, 0, 0, 1], self.port));
        call(address, method, path, &[YAML], body)
    }

    #[track_caller]
    fn hang_up(&self, routes: &str) {
        fs::write(self.file(), routes).expect("the temp folder is writable");
        send(Signal::SIGHUP, self.orchestrator.process().pid());
    }
}

#[test]
fn streams_of_any_path_come_out_where_their_route_leads() {
    let mut routed = Routed::start(
        "routes:\n\
         - path: building/**\n  name: The building\n  outputs: copy/building/*\n\
         - path: cam*\n  outputs: ['copy/{name}', 'second/{1}/x']\n  limits: {memory: 256}\n",
    );
    for path in ["cam1", "building/floor.1/a-b_c", "elsewhere/x"] {
        routed.publish(path);
    }
    for output in ["copy/cam1", "second/1/x", "copy/building/floor.1/a-b_c"] {
        routed.server.wait_ready(output, SOON);
    }
    let status = |url: &str| routed.orchestrator.wait_state(url, "running", SOON);
    let cam = status("%2Fcam1");
    assert_eq!(
        (&cam["id"], &cam["path"]),
        (&json!("/cam1"), &json!("cam1"))
    );
    assert_eq!(cam["outputs"][1]["path"], "second/1/x");
    assert_eq!(status("cam1")["id"], "/cam1", "no live/cam1/in is there");
    for url in ["building%2Ffloor.1%2Fa-b_c", "building/floor.1/a-b_c"] {
        let floor = status(url);
        assert_eq!(floor["id"], "building/floor.1/a-b_c");
        assert_eq!(floor["route"], "The building");
    }
    let ids = routed.orchestrator.get("/v1/streams").expect("streams");
    assert_eq!(ids["streams"].as_array().map(Vec::len), Some(2), "{ids}");
    for stream in ["%2Fcam1", "building%2Ffloor.1%2Fa-b_c"] {
        let reported = |stream: &Value| stream["worker"]["discontinuities"] == 0;
        let orchestrator = &routed.orchestrator;
        orchestrator.wait_stream(stream, "report", SOON, reported);
    }
    let metrics = routed.ask("GET", "/metrics", "").body;
    for stream in ["/cam1", "building/floor.1/a-b_c"] {
        let line = format!("mtx_orchestrator_stream_restarts_total{{stream=\"{stream}\"}} 0\n");
        assert!(metrics.contains(&line), "{metrics}");
        let line =
            format!("mtx_orchestrator_stream_discontinuities_total{{stream=\"{stream}\"}} 0\n");
        assert!(metrics.contains(&line), "{metrics}");
    }
    let routes = routed.orchestrator.get("/v1/routes").expect("routes");
    let counts: Vec<&Value> = (0..2)
        .map(|number| &routes["routes"][number]["streams"])
        .collect();
    assert_eq!(counts, [1, 1], "{routes}");
    assert_eq!(routes["routes"][1]["limits"], json!({ "memory": 256 }));

    // Readers of every output on the server count.
    let _reader = Reader::start(&routed.server.rtsp("second/1/x"));
    routed
        .orchestrator
        .wait_stream("cam1", "a reader of the second output", SOON, |stream| {
            stream["outputReaders"].as_array().map(Vec::len) == Some(1)
        });
    assert_eq!(
        table(&ids.to_string()),
        ["cam1", "building/floor.1/a-b_c"].map(str::to_owned)
    );

    routed
        .orchestrator
        .command("building%2Ffloor.1%2Fa-b_c", "stop");
    routed.server.wait_gone("copy/building/floor.1/a-b_c", SOON);
    assert!(routed.server.is_ready("copy/cam1"));
}

/// The names that `make ps` shows.
fn table(answer: &str) -> Vec<String> {
    let text = suite_tests::streams::table(answer);
    let mut names: Vec<String> = text
        .lines()
        .skip(1)
        .filter_map(|line| line.split_whitespace().next().map(str::to_owned))
        .collect();
    names.sort_by_key(|name| name.contains('/'));
    names
}

#[test]
fn the_table_tells_a_path_from_the_short_id_that_reads_like_it() {
    let streams = ["/cam", "cam", "/b"].map(|id| json!({ "id": id, "state": "running" }));
    let answer = json!({ "streams": streams }).to_string();
    assert_eq!(table(&answer), ["cam", "b", "/cam"]);
}

#[test]
fn the_lines_and_routes_of_the_readme_pass_streams_of_a_foreign_server_on() {
    let port = ports::tcp();
    let hook = suite_binary("mtx-hook");
    let folder = hook.parent().expect("a folder").display().to_string();
    let lines: serde_yaml::Value = serde_yaml::from_str(&block("yaml", "foreign")).expect("YAML");
    let defaults = serde_yaml::to_string(&lines["pathDefaults"]).expect("it was read");
    let config = Config::default()
        .env("ORCHESTRATOR_URL", format!("http://127.0.0.1:{port}"))
        .env("PATH", folder)
        .path_default(&defaults);
    let server = MediaMtx::start(config);
    let folder = tempfile::tempdir().expect("a temp folder");
    let file = folder.path().join("routes.yml");
    let routes =
        block("yaml", "routes").replace("rtmps://a.rtmps.youtube.com/", "rtmp://127.0.0.1:1/");
    fs::write(&file, routes).expect("the temp folder is writable");
    let orchestrator = Orchestrator::start_on(port, &server, |command| {
        command.arg("--routes").arg(&file);
    });
    let _studio = Clip::h264_aac().publish(&server.rtsp("studio"));
    let _floor = Clip::h264_aac().publish(&server.rtsp("building/a/floor1"));
    for output in ["copy/studio", "restream/a/floor1"] {
        server.wait_ready(output, SOON);
    }
    let stream = orchestrator.wait_stream("studio", "event of the hook", SOON, |stream| {
        let events = stream["events"].as_array().cloned().unwrap_or_default();
        events.iter().any(|event| event["kind"] == "ready")
    });
    assert_eq!(stream["route"], "The studio");
    assert_eq!(stream["outputs"][1]["url"], "rtmp://127.0.0.1:1/live2/***");
}

#[test]
fn a_path_that_reads_like_a_short_id_is_another_stream() {
    let mut routed = Routed::start(
        "routes:\n- {path: live/*/in, outputs: live/*/out}\n- {path: '*', outputs: 'copy/*'}\n",
    );
    routed.publish("cam");
    assert_eq!(
        routed.orchestrator.wait_state("cam", "running", SOON)["path"],
        "cam"
    );
    routed.publish("live/cam/in");
    for (url, id, path) in [
        ("cam", "cam", "live/cam/in"),
        ("live%2Fcam%2Fin", "cam", "live/cam/in"),
        ("%2Fcam", "/cam", "cam"),
    ] {
        let stream = routed
            .orchestrator
            .wait_stream(url, "its id", SOON, |stream| {
                stream["id"] == id && stream["state"] == "running"
            });
        assert_eq!(stream["path"], path, "{url}");
    }
    routed.orchestrator.command("cam", "stop");
    routed.server.wait_gone("live/cam/out", SOON);
    assert!(routed.server.is_ready("copy/cam"));
    routed.orchestrator.command("%2Fcam", "stop");
    routed.server.wait_gone("copy/cam", SOON);
    // A declared stream has a short id, too, and neither of the others is it.
    let declared = json!({ "id": "cam2", "source": routed.server.rtsp("cam") }).to_string();
    let json = [("Content-Type", "application/json")];
    let address = SocketAddr::from(([127, 0, 0, 1], routed.port));
    routed.publish("cam2");
    assert_eq!(
        call(address, "POST", "/v1/streams", &json, &declared).status,
        201
    );
    assert!(
        routed
            .orchestrator
            .stream("cam2")
            .is_some_and(|stream| stream["path"].is_null())
    );
    routed
        .orchestrator
        .wait_stream("%2Fcam2", "the path", SOON, |stream| {
            stream["path"] == "cam2"
        });
    assert_eq!(routed.ask("DELETE", "/v1/streams/cam2", "").status, 204);
    assert_eq!(
        routed.ask("DELETE", "/v1/streams/cam2", "").status,
        409,
        "the path was not declared"
    );
}

#[test]
fn at_sighup_only_streams_whose_route_comes_to_something_else_are_touched() {
    let mut routed = Routed::start(
        "routes:\n- {path: 'a/*', outputs: 'out/a-*'}\n- {path: 'b/*', outputs: 'out/b-*'}\n",
    );
    let counter = Counter::learn(&routed.server);
    for path in ["a/1", "b/1", "c/1"] {
        routed.publish_clip(path, counter.clip());
    }
    let before = routed.orchestrator.wait_running("a%2F1", SOON);
    routed.orchestrator.wait_running("b%2F1", SOON);
    routed.server.wait_ready("out/a-1", SOON);
    let reader = Reader::start(&routed.server.rtsp("out/a-1"));
    reader.collect(Kind::Video, 50, SOON);

    routed.hang_up(
        "routes:\n- {path: 'c/*', outputs: 'out/c-*'}\n- {path: 'b/*', outputs: 'out/new-*'}\n\
         - {path: a/1, outputs: out/a-1, name: The same by another route, recovery: fixed:2s}\n",
    );
    for output in ["out/c-1", "out/new-1"] {
        routed.server.wait_ready(output, SOON);
    }
    routed.server.wait_gone("out/b-1", SOON);
    routed
        .orchestrator
        .wait_stream("a%2F1", "the new route", SOON, |stream| {
            stream["route"] == "The same by another route"
        });

    routed.hang_up(
        "routes:\n- {path: 'b/*', outputs: 'out/new-*'}\n- {path: a/1, output: out/a-1}\n",
    );
    let line = routed
        .orchestrator
        .process()
        .wait_for_line("the routes stay as they were", SOON)
        .text;
    assert!(
        line.contains("routes.yml")
            && line.contains("unknown field `output`")
            && line.contains("line 3 column"),
        "{line}"
    );
    assert!(routed.server.is_ready("out/c-1"));

    routed.hang_up("routes:\n- {path: a/1, outputs: out/a-1}\n");
    for gone in ["out/c-1", "out/new-1"] {
        routed.server.wait_gone(gone, SOON);
    }
    assert!(routed.orchestrator.stream("c%2F1").is_none());
    assert_eq!(
        routed.orchestrator.wait_running("a%2F1", SOON),
        before,
        "the same worker"
    );
    let seen = reader.packets_of(Kind::Video).len();
    let packets = reader.collect(Kind::Video, seen + 50, SOON);
    counter.assert_gapless("a/1", &packets);
}

#[test]
fn routes_that_are_put_are_previewed_and_outlast_the_process() {
    let mut routed = Routed::start("routes:\n- {path: 'a/*', outputs: 'out/a-*'}\n");
    for path in ["a/1", "b/1"] {
        routed.publish(path);
    }
    let before = routed.orchestrator.wait_running("a%2F1", SOON);
    let yaml = "routes:\n- path: b/*\n  outputs: [out/b-*, 'rtmp://127.0.0.1:1/app/s3cret-*']\n";
    let preview = routed.ask("PUT", "/v1/routes?dryRun=true", yaml).json();
    assert_eq!(
        preview,
        json!({ "persisted": false, "start": ["b/1"], "change": [], "stop": [], "shadowed": [] })
    );
    assert!(routed.orchestrator.stream("b%2F1").is_none());
    let put = routed.ask("PUT", "/v1/routes", yaml).json();
    assert_eq!(
        (&put["persisted"], &put["start"]),
        (&json!(true), &json!(["b/1"]))
    );
    routed.server.wait_ready("out/b-1", SOON);
    let shown = routed.ask("GET", "/v1/routes", "");
    assert!(!shown.body.contains("s3cret"), "{}", shown.body);
    let sources: Vec<Value> = (0..2)
        .map(|number| shown.json()["routes"][number]["source"].clone())
        .collect();
    assert_eq!(sources, ["api", "file"]);

    for (wrong, told) in [
        ("routes:\n- path: b\n  outputs: /x\n", "slash"),
        (
            "routes:\n- path: '**'\n  outputs: '{path}/x'\n",
            "fed by itself",
        ),
        (
            "routes:\n- path: b\n  outputs: rtmp://h/app/***\n",
            "hidden",
        ),
    ] {
        let answer = routed.ask("PUT", "/v1/routes", wrong);
        let problem = answer.json();
        assert_eq!(answer.status, 400, "{problem}");
        assert!(
            problem["detail"]
                .as_str()
                .is_some_and(|detail| detail.contains(told)),
            "{problem}"
        );
        assert!(problem["line"].is_number(), "{problem}");
    }
    assert_eq!(
        routed.orchestrator.wait_running("a%2F1", SOON),
        before,
        "the same worker"
    );
    let log = routed.orchestrator.process().output();
    assert!(!log.contains("s3cret"), "{log}");

    // SIGHUP is about the file alone; the next process has both.
    routed.hang_up("routes: []\n");
    routed.server.wait_gone("out/a-1", SOON);
    assert!(routed.server.is_ready("out/b-1"));
    routed.orchestrator.process_mut().stop(SOON);
    let (file, store) = (routed.file(), routed.folder.path().join("store.db"));
    routed.orchestrator = Orchestrator::start_on(routed.port, &routed.server, |command| {
        command.env_remove("ORCHESTRATOR_TOKEN");
        command.arg("--routes").arg(file).arg("--store").arg(store);
    });
    routed.server.wait_ready("out/b-1", SOON);
    let put = routed.ask("PUT", "/v1/routes", "{\"routes\": []}").json();
    assert_eq!(put["stop"], json!(["b/1"]));
    routed.server.wait_gone("out/b-1", SOON);
}

#[test]
fn a_put_route_that_has_no_effect_is_named() {
    let server = MediaMtx::start(Config::default());
    let port = ports::tcp();
    let _orchestrator = Orchestrator::start_on(port, &server, |command| {
        command
            .env_remove("ORCHESTRATOR_TOKEN")
            .args(["--route", "cam* => copy/{name}"]);
    });
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let yaml = "routes:\n- {path: cam1, outputs: other/cam1}\n- {path: x, outputs: other/x}\n";
    for query in ["?dryRun=true", ""] {
        let url = format!("/v1/routes{query}");
        let answer = call(address, "PUT", &url, &[YAML], yaml).json();
        assert_eq!(
            answer["shadowed"],
            json!([{ "path": "cam1", "source": "api", "by": "cam*", "bySource": "flag" }]),
            "{answer}"
        );
    }
}

#[test]
fn a_stopped_stream_stays_so_while_it_is_away_and_after_a_restart() {
    let mut routed = Routed::start("routes:\n- {path: '*', outputs: 'copy/*'}\n");
    for path in ["cam", "other"] {
        routed.publish(path);
        routed.server.wait_ready(&format!("copy/{path}"), SOON);
    }
    routed.orchestrator.command("cam", "stop");
    routed.server.wait_gone("copy/cam", SOON);

    // It is away for longer than --grace.
    routed.publishers.remove(0);
    let is_away = |stream: &Value| stream["state"] == "stopped" && stream["source"].is_null();
    let wait_away = |routed: &Routed| {
        let stopped = "a stopped stream that is away";
        routed
            .orchestrator
            .wait_stream("cam", stopped, SOON, is_away);
    };
    wait_away(&routed);
    routed.publish("cam");
    routed
        .orchestrator
        .wait_stream("cam", "stop", SOON, |stream| {
            stream["state"] == "stopped" && !stream["source"].is_null()
        });
    let address = SocketAddr::from(([127, 0, 0, 1], routed.port));
    let refused = call(address, "POST", "/v1/streams/cam/restart", &[], "");
    assert!(
        refused.status == 409 && refused.body.contains("start it"),
        "{refused:?}"
    );
    routed.publishers.pop();
    wait_away(&routed);

    routed.orchestrator.process_mut().stop(SOON);
    let (file, store) = (routed.file(), routed.folder.path().join("store.db"));
    routed.orchestrator = Orchestrator::start_on(routed.port, &routed.server, |command| {
        command.env_remove("ORCHESTRATOR_TOKEN");
        command.arg("--routes").arg(file).arg("--store").arg(store);
    });
    routed.orchestrator.wait_running("other", SOON);
    wait_away(&routed);
    routed.orchestrator.command("cam", "start");
    routed.publish("cam");
    routed.server.wait_ready("copy/cam", SOON);
}

#[test]
fn a_stream_that_would_feed_itself_under_another_name_of_the_server_is_blocked() {
    let server = MediaMtx::start(Config::default());
    let alias = FaultProxy::start(server.ports.rtmp);
    let route = format!("** => rtmp://127.0.0.1:{}/copy/{{path}}", alias.port());
    let orchestrator = Orchestrator::start(&server, &["--route", &route]);
    let _publisher = Clip::h264_aac().publish(&server.rtsp("a"));
    server.wait_ready("copy/a", SOON);
    let blocked = orchestrator.wait_state("copy%2Fa", "blocked", SOON);
    let why = blocked["blocked"].as_str().unwrap_or_default();
    assert!(
        why.contains("feed itself") && why.contains("comes from"),
        "{blocked}"
    );
    assert!(blocked["pid"].is_null(), "{blocked}");
    let refused = http::post_json(
        &format!("{}/v1/streams/copy%2Fa/start", orchestrator.url()),
        "{}",
    );
    assert!(refused.is_err_and(|error| error.contains("409")));
    // Several looks at the path list later, there is still one worker, and one result.
    let looks = orchestrator.metric("reconciliations_total");
    wait_until("three more looks", SOON, || {
        orchestrator.metric("reconciliations_total") > looks + 2.0
    });
    assert_eq!(orchestrator.workers().len(), 1);
    assert!(server.path("copy/copy/a").is_none());
    orchestrator.wait_running("%2Fa", SOON);
}

#[test]
fn the_same_path_on_another_server_is_no_circle() {
    let server = MediaMtx::start(Config::default());
    let backup = MediaMtx::start(Config::default());
    let route = format!("** => {}", backup.rtmp("{path}"));
    let orchestrator = Orchestrator::start(&server, &["--route", &route]);
    let _publishers =
        ["cam", "building/floor1"].map(|path| Clip::h264_aac().publish(&server.rtsp(path)));
    for path in ["cam", "building/floor1"] {
        backup.wait_ready(path, SOON);
    }
    orchestrator.wait_running("%2Fcam", SOON);
    let stream = orchestrator.wait_state("building%2Ffloor1", "running", SOON);
    assert_eq!(stream["outputs"][0]["path"], Value::Null);
    assert_eq!(stream["outputs"][0]["url"], backup.rtmp("building/floor1"));
}

#[test]
fn a_routes_file_that_became_a_pipe_holds_up_nothing() {
    let routes = "routes:\n- {path: 'a/*', outputs: 'out/a-*'}\n";
    let mut routed = Routed::start(routes);
    fs::remove_file(routed.file()).expect("it is ours");
    nix::unistd::mkfifo(&routed.file(), Mode::S_IRWXU).expect("a pipe can be made");
    let pid = routed.orchestrator.process().pid();
    send(Signal::SIGHUP, pid);
    wait_until("a line of the log", SOON, || {
        let log = routed.orchestrator.process().output();
        log.contains("no regular file")
    });
    let put = routed.ask("PUT", "/v1/routes", "routes: [{path: b, outputs: c}]");
    assert_eq!(put.status, 200, "{put:?}");
    send(Signal::SIGTERM, pid);
    assert_eq!(routed.orchestrator.process_mut().wait_code(SOON), 0);
}

#[test]
fn routes_that_cannot_be_are_refused_at_the_start_with_their_place() {
    let folder = tempfile::tempdir().expect("a temp folder");
    let file = folder.path().join("routes.yml");
    let run = |arguments: &[&str]| {
        let output = Command::new(suite_binary("mtx-orchestrator"))
            .args(["--listen", "127.0.0.1:0", "--worker"])
            .arg(suite_binary("mtx-worker"))
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .expect("it runs");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert_eq!(text.lines().count(), 1, "{text}");
        text
    };
    for (route, told) in [
        ("** => {path}/out", "fed by itself"),
        ("cam", "=>"),
        ("cam => rtmp://{name}/s3cret/x", "host"),
        ("cam => live/{1}/out", "wildcards"),
    ] {
        let text = run(&["--route", route]);
        assert!(
            text.contains("--route") && text.contains(told) && !text.contains("s3cret"),
            "{text}"
        );
    }
    let text = run(&["--route", "** => rtmp://h/{path}", "--route", "cam => x"]);
    assert!(text.contains("no path ever"), "{text}");
    let pipe = run(&["--routes", "/dev/stdin"]);
    assert!(pipe.contains("no regular file"), "{pipe}");
    let shown = file.display().to_string();
    for (yaml, told, place) in [
        (
            "routes:\n- path: cam\n  output: x\n",
            "unknown field `output`",
            "line 3 column 3",
        ),
        (
            "routes:\n- path: cam\n  outputs: x\n  recovery: later\n",
            "exponential",
            "line 4",
        ),
        (
            "routes:\n- path: a\n  outputs: b\n- path: b\n  outputs: a\n",
            "fed by itself",
            "line 4 column 3",
        ),
    ] {
        fs::write(&file, yaml).expect("the temp folder is writable");
        let text = run(&["--routes", &shown]);
        for part in [told, place, shown.as_str()] {
            assert!(text.contains(part), "{text} lacks {part}");
        }
    }
}
