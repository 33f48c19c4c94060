//! Streams that are declared over the API: they run, wherever they come from and go to.

use std::fs;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use suite_tests::clips::Clip;
use suite_tests::declared::Kept;
use suite_tests::mediamtx::{Config, MediaMtx};
use suite_tests::packets::{Kind, Reader};
use suite_tests::processes::Spawned;
use suite_tests::readme::{command, start, with_ports};
use suite_tests::streams::{ingest, output, publish, send};
use suite_tests::waiting::{poll, wait_until};
use suite_tests::{ports, procfs};

const SOON: Duration = Duration::from_secs(20);
const FRAMES: usize = 25;

/// A server that knows nothing of the orchestrator, with something to watch.
struct Camera {
    server: MediaMtx,
    _publisher: Spawned,
}

impl Camera {
    fn start() -> Self {
        Self::start_with(Config::default(), "")
    }

    /// `login` is `user:password@`.
    fn start_with(config: Config, login: &str) -> Self {
        let server = MediaMtx::start(config);
        let url = server.rtsp("1");
        let publisher =
            Clip::h264_aac().publish(&url.replace("rtsp://", &format!("rtsp://{login}")));
        server.wait_ready("1", SOON);
        Self {
            server,
            _publisher: publisher,
        }
    }

    fn url(&self) -> String {
        self.server.rtsp("1")
    }
}

#[track_caller]
fn assert_frames(url: &str) {
    let packets = Reader::start(url).collect(Kind::Video, FRAMES, SOON);
    assert!(packets.iter().any(|packet| packet.key), "{url}");
}

fn environment(pid: u32) -> String {
    let raw = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    String::from_utf8_lossy(&raw).replace('\0', "\n")
}

/// A URL that nobody answers.
fn nobody(scheme: &str) -> String {
    format!("{scheme}://127.0.0.1:{}/app/x", ports::tcp())
}

#[test]
fn a_declared_camera_comes_out_of_mediamtx_and_its_password_nowhere() {
    const PASSWORD: &str = "s3cret-of-the-camera";
    const KEY: &str = "s3cret-stream-key";
    let login = format!("me:{PASSWORD}@");
    let camera = Camera::start_with(Config::default().only_user("me", PASSWORD), &login);
    let kept = Kept::new();
    let orchestrator = kept.orchestrator();
    let source = camera.url().replace("rtsp://", &format!("rtsp://{login}"));
    let answer = kept.ask(
        "POST",
        "",
        &json!({ "id": "gate", "name": "Gate 3", "source": source }).to_string(),
    );
    assert_eq!(answer.status, 201, "{answer:?}");
    assert_eq!(answer.header("location"), Some("/v1/streams/gate"));
    kept.server.wait_ready(&output("gate"), SOON);
    assert_frames(&kept.server.rtsp(&output("gate")));
    let stream = orchestrator.wait_stream("gate", "frames", SOON, |stream| {
        stream["state"] == "running" && stream["worker"]["fps"].as_f64() > Some(20.0)
    });
    let declared = &stream["declared"];
    assert_eq!(declared["name"], "Gate 3");
    assert_eq!(
        declared["source"],
        camera.url().replace("rtsp://", "rtsp://me:***@")
    );
    assert_eq!(
        declared["outputs"],
        json!([kept.server.rtmp(&output("gate"))])
    );
    assert_eq!(orchestrator.workers().len(), 1);

    // One whose outputs fail tells more in its log.
    let to_nobody = nobody("rtmp").replace("/app/x", &format!("/app/{KEY}?sig={KEY}"));
    kept.declare(&json!({ "id": "lost", "source": source, "outputs": [to_nobody] }));
    orchestrator.wait_stream("lost", "failure", 2 * SOON, |stream| {
        !stream["lastFailure"].is_null()
    });
    let mut told = vec![orchestrator.process().output()];
    for path in [
        "/v1/streams",
        "/v1/streams/gate",
        "/v1/streams/lost",
        "/metrics",
    ] {
        told.push(kept.look(path).body);
    }
    let pids = procfs::descendants(orchestrator.process().pid());
    told.extend(pids.into_iter().filter_map(procfs::command_line));
    let refused = [
        json!({ "source": source, "outputs": [to_nobody, to_nobody] }),
        json!({ "source": [source] }),
        json!({ "source": source, "outputs": source }),
        json!({ source.as_str(): 1 }),
    ];
    for body in refused {
        let answer = kept.ask("POST", "", &body.to_string());
        assert_eq!(answer.status, 400, "{answer:?}");
        told.push(answer.body);
    }
    for text in told {
        assert!(!text.contains("s3cret"), "{text}");
    }
}

#[test]
fn the_readmes_declaration_works_as_it_is_printed() {
    let kept = Kept::new();
    let orchestrator = kept.orchestrator();
    let _publisher = publish(&kept.server, "test");
    let ports = [(8080, kept.port()), (8554, kept.server.ports.rtsp)];
    let declare = with_ports(&command("declare"), &ports);
    let mut curl = start("declare", &declare);
    curl.wait_code(SOON);
    orchestrator.wait_running("gate", SOON);
    kept.server.wait_ready(&output("gate"), SOON);
}

#[test]
fn only_a_change_of_source_replaces_the_worker() {
    let (camera, other) = (Camera::start(), Camera::start());
    let kept = Kept::new();
    let orchestrator = kept.orchestrator();
    kept.declare(&json!({ "id": "x", "source": camera.url() }));
    let first = orchestrator.wait_running("x", SOON);
    let same = json!({ "name": "X", "source": camera.url(), "enabled": true });
    let changed = kept.change("x", &same);
    assert_eq!(changed["declared"]["name"], "X");
    assert_eq!(
        kept.change("x", &json!({ "name": null }))["declared"]["name"],
        Value::Null
    );
    assert_eq!(orchestrator.wait_running("x", SOON), first);

    kept.change("x", &json!({ "source": other.url() }));
    let replaced = |stream: &Value, old: u32| {
        stream["state"] == "running"
            && stream["pid"]
                .as_u64()
                .is_some_and(|pid| pid != u64::from(old))
    };
    let stream = orchestrator.wait_stream("x", "another worker", SOON, |stream| {
        replaced(stream, first)
    });
    assert_eq!(stream["restarts"], 0, "it was asked for");
    wait_until("readers of the other camera", SOON, || {
        other
            .server
            .path("1")
            .is_some_and(|path| path.readers() == 1)
    });

    kept.change("x", &json!({ "outputs": [other.server.rtmp("copy/x")] }));
    other.server.wait_ready("copy/x", SOON);
    kept.server.wait_gone(&output("x"), SOON);
    assert_eq!(orchestrator.starts().len(), 2);

    kept.delete("x");
    assert_eq!(kept.look("/v1/streams/x").status, 404);
    wait_until("the worker's end", SOON, || {
        orchestrator.workers().is_empty()
    });
    other.server.wait_gone("copy/x", SOON);
    // Its name can be had again, at once.
    kept.declare(&json!({ "id": "x", "source": camera.url() }));
    kept.delete("x");
    kept.declare(&json!({ "id": "x", "source": camera.url() }));
    orchestrator.wait_running("x", SOON);
    assert_eq!(orchestrator.workers().len(), 1);
}

#[test]
fn a_declared_stream_goes_to_two_outputs() {
    let camera = Camera::start();
    let kept = Kept::new();
    let orchestrator = kept.orchestrator();
    let outputs = [kept.server.rtmp(&output("x")), camera.server.rtmp("copy/x")];
    kept.declare(&json!({ "id": "x", "source": camera.url(), "outputs": outputs }));
    for (server, path) in [
        (&kept.server, output("x")),
        (&camera.server, "copy/x".to_owned()),
    ] {
        server.wait_ready(&path, SOON);
        assert_frames(&server.rtsp(&path));
    }
    assert_eq!(orchestrator.workers().len(), 1);
}

#[test]
fn start_and_stop_of_a_declared_stream_are_remembered() {
    let camera = Camera::start();
    let kept = Kept::new();
    let mut orchestrator = kept.orchestrator();
    let made = kept.declare(&json!({ "source": camera.url() }));
    let id = made["id"].as_str().expect("an id was chosen");
    orchestrator.wait_running(id, SOON);
    let of = |command: &str| kept.ask("POST", &format!("/{id}/{command}"), "{}");
    assert_eq!(of("stop").status, 202);
    orchestrator.wait_state(id, "stopped", SOON);
    orchestrator.process_mut().kill();

    let mut orchestrator = kept.orchestrator();
    let stream = orchestrator.wait_state(id, "stopped", SOON);
    assert_eq!(stream["declared"]["enabled"], false);
    let refused = of("restart");
    assert!(
        refused.status == 409 && refused.body.contains("start it"),
        "{refused:?}"
    );
    kept.change(id, &json!({ "source": camera.url().replace("/1", "/2") }));
    kept.change(id, &json!({ "source": camera.url() }));
    assert!(orchestrator.starts().is_empty() && orchestrator.workers().is_empty());
    assert_eq!(of("start").status, 202);
    let pid = orchestrator.wait_running(id, SOON);
    assert_eq!(of("restart").status, 202);
    orchestrator.wait_stream(id, "another worker", SOON, |stream| {
        stream["state"] == "running" && stream["pid"] != pid
    });
    orchestrator.process_mut().kill();

    let orchestrator = kept.orchestrator();
    orchestrator.wait_running(id, SOON);
    assert_eq!(
        kept.change(id, &json!({ "enabled": false }))["declared"]["enabled"],
        false
    );
    orchestrator.wait_stream(id, "no worker", SOON, |stream| stream["pid"].is_null());
    assert_eq!(
        kept.change(id, &json!({ "enabled": true }))["declared"]["enabled"],
        true
    );
    orchestrator.wait_running(id, SOON);
}

#[test]
fn streams_of_mediamtx_and_declared_ones_do_not_get_in_each_others_way() {
    let camera = Camera::start();
    let kept = Kept::new();
    let orchestrator = kept.orchestrator();
    let _own = publish(&kept.server, "own");
    orchestrator.wait_running("own", SOON);
    for (method, path, body) in [
        ("PATCH", "/own", r#"{"name":"x"}"#),
        ("DELETE", "/own", ""),
        ("POST", "", r#"{"id":"own","source":"rtsp://127.0.0.1/x"}"#),
    ] {
        let answer = kept.ask(method, path, body);
        assert!(
            answer.status == 409 && answer.body.contains("MediaMTX"),
            "{answer:?}"
        );
    }
    kept.declare(&json!({ "id": "x", "source": camera.url() }));
    let twice = kept.ask(
        "POST",
        "",
        &json!({ "id": "x", "source": camera.url() }).to_string(),
    );
    assert!(
        twice.status == 409 && twice.body.contains("declared already"),
        "{twice:?}"
    );
    let pid = orchestrator.wait_running("x", SOON);
    // Somebody publishes under the declared stream's name.
    let mut publisher = publish(&kept.server, "x");
    kept.server.wait_ready(&ingest("x"), SOON);
    orchestrator.wait_stream("x", "source", SOON, |stream| !stream["source"].is_null());
    assert_eq!(orchestrator.wait_running("x", SOON), pid);
    assert_eq!(orchestrator.workers().len(), 2);
    publisher.kill();
    let ended =
        orchestrator.wait_stream("x", "no source", SOON, |stream| stream["source"].is_null());
    assert_eq!(
        (&ended["state"], &ended["pid"]),
        (&"running".into(), &pid.into())
    );

    // What is no longer declared is MediaMTX's again.
    let _publisher = publish(&kept.server, "x");
    orchestrator.wait_stream("x", "source", SOON, |stream| !stream["source"].is_null());
    kept.delete("x");
    let own = orchestrator.wait_stream("x", "another worker", SOON, |stream| {
        stream["state"] == "running" && stream["pid"] != pid
    });
    assert!(own["declared"].is_null(), "{own}");
    kept.server.wait_readers(&ingest("x"), 1, SOON);
}

#[test]
fn the_login_for_mediamtx_goes_to_nobody_else() {
    let kept = Kept::new();
    let orchestrator = kept.orchestrator_with(|command| {
        command.envs([("RTSP_USERNAME", "me"), ("RTSP_PASSWORD", "own-password")]);
        command.env("MTX_WORKER_RETRY", "30s");
    });
    let (own, foreign) = (kept.server.rtsp("somewhere"), nobody("rtsp"));
    let elsewhere = [nobody("rtmp")];
    for (id, declaration, given) in [
        (
            "own",
            json!({ "id": "own", "source": own, "outputs": elsewhere }),
            true,
        ),
        ("result", json!({ "id": "result", "source": foreign }), true),
        (
            "foreign",
            json!({ "id": "foreign", "source": foreign, "outputs": elsewhere }),
            false,
        ),
    ] {
        kept.declare(&declaration);
        let stream =
            orchestrator.wait_stream(id, "a worker", SOON, |stream| stream["pid"].is_u64());
        let pid = stream["pid"]
            .as_u64()
            .and_then(|pid| u32::try_from(pid).ok());
        // Between fork and exec it has the orchestrator's own.
        let environment = poll(SOON, || {
            let environment = environment(pid?);
            environment
                .contains("MTX_WORKER_INPUT")
                .then_some(environment)
        });
        let environment = environment.expect("a worker has its task");
        assert_eq!(
            environment.contains("own-password"),
            given,
            "{id}: {environment}"
        );
    }
}

#[test]
fn while_mediamtx_is_away_only_streams_that_need_it_wait_for_it() {
    let camera = Camera::start();
    let mut kept = Kept::new();
    let orchestrator = kept.orchestrator();
    kept.declare(&json!({ "id": "near", "source": camera.url() }));
    kept.declare(
        &json!({ "id": "far", "source": camera.url(), "outputs": [camera.server.rtmp("copy/far")] }),
    );
    orchestrator.wait_running("near", SOON);
    let far = orchestrator.wait_running("far", SOON);
    kept.server.kill();
    wait_until("the loss of MediaMTX", SOON, || {
        kept.look("/readyz").status == 503
    });
    send(Signal::SIGKILL, far);
    let next = orchestrator.wait_stream("far", "another worker", SOON, |stream| {
        stream["state"] == "running" && stream["pid"] != far
    });
    // Its worker tries for seven seconds, and is not replaced then.
    let near = orchestrator.wait_state("near", "backoff", SOON);
    let since = Instant::now();
    wait_until("some time", SOON, || {
        since.elapsed() > Duration::from_secs(3)
    });
    let still = orchestrator.stream("near").expect("it is declared");
    assert_eq!(
        (&still["state"], &still["restarts"]),
        (&near["state"], &near["restarts"])
    );
    kept.server.start_again();
    kept.server.wait_ready(&output("near"), SOON);
    orchestrator.wait_running("near", SOON);
    assert_eq!(
        orchestrator.stream("far").expect("declared")["pid"],
        next["pid"]
    );
}

#[test]
fn declared_streams_run_before_mediamtx_is_reached() {
    let camera = Camera::start();
    let mut kept = Kept::new();
    let mut orchestrator = kept.orchestrator();
    kept.declare(&json!({ "id": "near", "source": camera.url() }));
    kept.declare(
        &json!({ "id": "far", "source": camera.url(), "outputs": [camera.server.rtmp("copy/far")] }),
    );
    orchestrator.process_mut().kill();
    kept.server.kill();

    let orchestrator = kept.orchestrator_with(|command| {
        // So impatient that the breaker is open when MediaMTX comes.
        command.args([
            "--recovery",
            "immediate",
            "--breaker",
            "2/1h",
            "--breaker-pause",
            "1h",
        ]);
        command.env("MTX_WORKER_RETRY", "none");
    });
    orchestrator.wait_running("far", SOON);
    camera.server.wait_ready("copy/far", SOON);
    orchestrator.wait_state("near", "broken", SOON);
    kept.server.start_again();
    kept.server.wait_ready(&output("near"), SOON);
    orchestrator.wait_running("near", SOON);
}

#[test]
fn hostile_bodies_are_told_what_is_wrong_and_leave_nothing() {
    let kept = Kept::new();
    let orchestrator = kept.orchestrator();
    let source = nobody("rtsp");
    let deep = format!("{}{}", "[".repeat(30_000), "]".repeat(30_000));
    let huge = format!(r#"{{"source":"{}"}}"#, "x".repeat(10_000_000));
    let name = "n".repeat(40_000);
    let many: Vec<String> = (0..9)
        .map(|number| format!("rtmp://127.0.0.1/a/{number}"))
        .collect();
    let with = |field: &str, value: Value| {
        let mut body = json!({ "source": source });
        body[field] = value;
        body.to_string()
    };
    let itself = json!({
        "source": kept.server.rtsp("app/x"), "outputs": [kept.server.rtmp("app/x")],
    });
    for (body, status, field) in [
        (huge, 413, ""),
        (deep.clone(), 400, ""),
        (format!(r#"{{"source":{deep}}}"#), 400, ""),
        ("null".to_owned(), 400, ""),
        (r#"{"source":"#.to_owned(), 400, ""),
        ("{}".to_owned(), 400, "source"),
        (with("source", json!("file:///etc/passwd")), 400, "source"),
        (with("source", json!("rtsp://a b/")), 400, "source"),
        (with("source", json!("rtsp://h/\u{0}")), 400, "source"),
        (with("id", json!("../../etc")), 400, "id"),
        (with("id", json!("x".repeat(65))), 400, "id"),
        (with("name", json!(name)), 400, "name"),
        (with("name", json!("a\r\nb")), 400, "name"),
        (with("outputs", json!(many)), 400, "outputs"),
        (with("outputs", json!([])), 400, "outputs"),
        (
            with("outputs", json!(["rtmp://h/a/b --help"])),
            400,
            "outputs",
        ),
        (
            with("outputs", json!(["rtmp://h/a/b", "rtmp://h/a/b"])),
            400,
            "outputs",
        ),
        (with("enabled", json!("yes")), 400, "enabled"),
        (with("sources", json!(1)), 400, "sources"),
        (itself.to_string(), 400, "outputs"),
    ] {
        let answer = kept.ask("POST", "", &body);
        assert_eq!(answer.status, status, "{answer:?}");
        let problem = answer.json();
        assert_eq!(
            problem["field"].as_str().unwrap_or_default(),
            field,
            "{problem}"
        );
        let detail = problem["detail"].as_str().unwrap_or_default();
        assert!((10..400).contains(&detail.len()), "{problem}");
    }
    assert_eq!(kept.look("/v1/streams").json(), json!({ "streams": [] }));
    assert!(orchestrator.starts().is_empty());
    let plain = kept.ask("PATCH", "/x", "{}");
    assert_eq!(plain.status, 404, "{plain:?}");
}

#[test]
fn why_a_worker_tries_again_is_told_while_it_does() {
    let camera = MediaMtx::start(Config::default());
    let kept = Kept::new();
    let orchestrator = kept.orchestrator();
    kept.declare(&json!({ "id": "late", "source": camera.rtsp("late") }));
    let stream = orchestrator.wait_stream("late", "reason of a retry", SOON, |stream| {
        stream["restarts"] == 0 && !stream["lastFailure"].is_null()
    });
    assert!(stream["pid"].is_u64(), "its worker still runs: {stream}");
    let reason = stream["lastFailure"].as_str().expect("a text");
    assert!(reason.contains("no such path"), "{reason}");
    let answer = orchestrator.get("/v1/streams").expect("the list");
    let table = suite_tests::streams::table(&answer.to_string());
    assert!(
        table.contains("WHY NOT") && table.contains(reason),
        "{table}"
    );
    let _publisher = Clip::h264_aac().publish(&camera.rtsp("late"));
    // Unless the machine is so slow that the worker had to be replaced meanwhile.
    orchestrator.wait_stream("late", "no reason any more", SOON, |stream| {
        stream["state"] == "running" && stream["lastFailure"].is_null() == (stream["restarts"] == 0)
    });
}
