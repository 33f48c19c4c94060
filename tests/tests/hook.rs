//! mtx-hook as MediaMTX starts it: real streams, a real server, a receiver that remembers.

use std::time::{Duration, Instant};

use suite_tests::binaries::suite_binary;
use suite_tests::clips::{Clip, Video};
use suite_tests::mediamtx::{Config, MediaMtx};
use suite_tests::ports;
use suite_tests::processes::Spawned;
use suite_tests::receiver::{Answer, Received, Receiver};
use suite_tests::waiting::wait_until;

const SOON: Duration = Duration::from_secs(20);
/// What the specification grants an event.
const SECOND: Duration = Duration::from_secs(1);
const INGEST: &str = "~^live/([A-Za-z0-9_-]+)/in$";

/// A line of configuration: this hook for this event.
fn hook(setting: &str, event: &str) -> String {
    format!(
        "{setting}: {} {event}\n",
        suite_binary("mtx-hook").display()
    )
}

fn server(orchestrator: &str, config: Config) -> MediaMtx {
    MediaMtx::start(config.env("ORCHESTRATOR_URL", orchestrator))
}

/// The usual: a hook when a stream comes and one when it goes.
fn ready_hooks() -> Config {
    Config::default().path(INGEST, &ready_and_not_ready())
}

fn ready_and_not_ready() -> String {
    hook("runOnAvailable", "ready") + &hook("runOnUnavailable", "not-ready")
}

fn publish(server: &MediaMtx, path: &str) -> Spawned {
    Clip::h264_aac().publish(&server.rtmp(path))
}

fn of<'a>(path: &'a str, event: &'a str) -> impl Fn(&Received) -> bool + 'a {
    move |one| one.event() == event && one.json()["path"] == path
}

fn count(receiver: &Receiver, event: &str) -> usize {
    receiver
        .received()
        .iter()
        .filter(|one| one.event() == event)
        .count()
}

#[track_caller]
fn within_a_second(since: Instant, received: &Received) {
    let took = received.at.saturating_duration_since(since);
    assert!(took < SECOND, "{} took {took:?}", received.request_line);
}

#[test]
fn test_rtmp_publish_triggers_ready_event() {
    let receiver = Receiver::start(Answer::Status(204));
    let server = server(&receiver.url(), ready_hooks());
    let mut publisher = publish(&server, "live/stream123/in?lang=es");
    let available = server.process().wait_for_line("stream is available", SOON);
    let ready = receiver.wait_event("ready", SOON);
    within_a_second(available.at, &ready);
    let body = ready.json();
    assert_eq!(body["path"], "live/stream123/in");
    assert_eq!(body["query"], "lang=es");
    let (_, id) = server
        .path("live/stream123/in")
        .expect("it is live")
        .source();
    assert_eq!(
        (&body["sourceType"], &body["sourceId"]),
        (&"rtmpConn".into(), &id.into())
    );
    assert_eq!(body["rtspPort"], server.ports.rtsp);
    assert_eq!(body["groups"], serde_json::json!(["stream123"]));
    server
        .process()
        .wait_for_line("ready event delivered", SOON);

    publisher.kill();
    let gone = server
        .process()
        .wait_for_line("runOnUnavailable command launched", SOON);
    let not_ready = receiver.wait_event("not-ready", SOON);
    within_a_second(gone.at, &not_ready);
    let last = not_ready.json();
    for field in ["path", "query", "sourceType", "sourceId"] {
        assert_eq!(last[field], body[field], "{field}");
    }
    assert!(last["timestamp"].as_str() > body["timestamp"].as_str());
}

#[test]
fn the_old_names_of_the_settings_work_too() {
    let receiver = Receiver::start(Answer::Status(204));
    let hooks = hook("runOnReady", "ready") + &hook("runOnNotReady", "not-ready");
    let server = server(&receiver.url(), Config::default().path(INGEST, &hooks));
    let mut publisher = publish(&server, "live/old/in");
    receiver.wait_event("ready", SOON);
    publisher.kill();
    receiver.wait_event("not-ready", SOON);
}

#[test]
fn the_query_arrives_as_the_publisher_wrote_it() {
    let receiver = Receiver::start(Answer::Status(204));
    let server = server(&receiver.url(), ready_hooks());
    let _publisher = publish(&server, "live/q/in?lang=es&x=a%20b&y=1+2&z=%22$(id)'%25");
    let body = receiver.wait_event("ready", SOON).json();
    assert_eq!(body["query"], "lang=es&x=a%20b&y=1+2&z=%22$(id)'%25");
}

/// The stream is accepted, and MediaMTX's log says what became of its hook.
#[track_caller]
fn accepted_although(orchestrator: &str, reason: &str) {
    let server = server(orchestrator, ready_hooks());
    let _publisher = publish(&server, "live/lonely/in");
    let line = server
        .process()
        .wait_for_line("ready event failed", SOON)
        .text;
    for part in [
        "path=live/lonely/in",
        &format!("url={orchestrator}/"),
        reason,
    ] {
        assert!(line.contains(part), "no {part} in {line}");
    }
    assert!(server.is_ready("live/lonely/in"));
}

#[test]
fn a_receiver_that_is_down_is_told_in_mediamtx_log_and_the_stream_is_accepted() {
    let url = format!("http://127.0.0.1:{}", ports::tcp());
    accepted_although(&url, "Connection refused");
}

#[test]
fn a_receiver_in_trouble_is_told_in_mediamtx_log_and_the_stream_is_accepted() {
    for (answer, reason) in [
        (Answer::Status(500), "status=500"),
        (Answer::Redirect, "status=301"),
        (Answer::DripFed, "no answer within 2s"),
        (Answer::Never, "no answer within 2s"),
    ] {
        let receiver = Receiver::start(answer);
        accepted_although(&receiver.url(), reason);
        assert_eq!(count(&receiver, "ready"), 1, "{answer:?}");
    }
}

#[test]
fn a_hanging_receiver_does_not_hold_up_mediamtx_beyond_the_deadline() {
    let receiver = Receiver::start(Answer::Never);
    let mut server = server(&receiver.url(), ready_hooks());
    let _publisher = publish(&server, "live/slow/in");
    receiver.wait_event("ready", SOON);
    let told = Instant::now();
    server.stop();
    let took = told.elapsed();
    assert!(
        took < Duration::from_secs(5),
        "MediaMTX took {took:?} to end"
    );
}

#[test]
fn every_event_of_a_stream_and_its_readers_arrives() {
    let receiver = Receiver::start(Answer::Status(204));
    let pairs = [
        ("runOnAvailable", "ready"),
        ("runOnUnavailable", "not-ready"),
        ("runOnOnline", "online"),
        ("runOnOffline", "offline"),
        ("runOnRead", "read"),
        ("runOnUnread", "unread"),
    ];
    let hooks: String = pairs
        .iter()
        .map(|(setting, event)| hook(setting, event))
        .collect();
    let connections = hook("runOnConnect", "connect") + &hook("runOnDisconnect", "disconnect");
    let config = Config::default().path(INGEST, &hooks).global(&connections);
    let config = config.path("live/fixed/out", &hook("runOnInit", "init"));
    let server = server(&receiver.url(), config);
    assert_eq!(
        receiver.wait_event("init", SOON).json()["path"],
        "live/fixed/out"
    );

    let mut publisher = publish(&server, "live/cam/in?lang=es");
    receiver.wait("a connection", SOON, |one| {
        one.event() == "connect" && one.json()["connType"] == "rtmpConn"
    });
    let online = receiver.wait_event("online", SOON).json();
    assert_eq!(
        (&online["query"], &online["sourceType"]),
        (&"lang=es".into(), &"rtmpConn".into())
    );
    server.wait_ready("live/cam/in", SOON);

    let mut reader = read(&server.rtsp("live/cam/in?who=me"));
    let body = receiver.wait_event("read", SOON).json();
    assert_eq!(
        (&body["query"], &body["readerType"]),
        (&"who=me".into(), &"rtspSession".into())
    );
    assert_eq!(body["path"], "live/cam/in");
    reader.kill();
    assert_eq!(
        receiver.wait_event("unread", SOON).json()["readerId"],
        body["readerId"]
    );

    publisher.kill();
    receiver.wait_event("offline", SOON);
    receiver.wait_event("not-ready", SOON);
    receiver.wait("the publisher's end", SOON, |one| {
        one.event() == "disconnect" && one.json()["connType"] == "rtmpConn"
    });
}

/// A reader that keeps reading.
fn read(url: &str) -> Spawned {
    let mut ffmpeg = std::process::Command::new("ffmpeg");
    ffmpeg.args([
        "-nostdin",
        "-loglevel",
        "error",
        "-rtsp_transport",
        "tcp",
        "-i",
        url,
    ]);
    ffmpeg.args(["-c", "copy", "-f", "null", "-"]);
    Spawned::start("reader", ffmpeg)
}

#[test]
fn a_demand_and_its_end_arrive() {
    let receiver = Receiver::start(Answer::Status(204));
    let hooks = hook("runOnDemand", "demand")
        + &hook("runOnUnDemand", "undemand")
        + "runOnDemandStartTimeout: 20s\nrunOnDemandCloseAfter: 1s\n";
    let server = server(&receiver.url(), Config::default().path(INGEST, &hooks));
    let mut reader = read(&server.rtsp("live/wanted/in?by=me"));
    let demand = receiver.wait_event("demand", SOON).json();
    assert_eq!(
        (&demand["path"], &demand["query"]),
        (&"live/wanted/in".into(), &"by=me".into())
    );
    let _publisher = publish(&server, "live/wanted/in");
    server.wait_readers("live/wanted/in", 1, SOON);
    reader.kill();
    assert_eq!(
        receiver.wait_event("undemand", SOON).json()["path"],
        "live/wanted/in"
    );
}

#[test]
fn segments_of_a_recording_arrive() {
    let receiver = Receiver::start(Answer::Status(204));
    let folder = tempfile::tempdir().expect("a temp folder");
    let hooks = hook("runOnRecordSegmentCreate", "segment-create")
        + &hook("runOnRecordSegmentComplete", "segment-complete")
        + "record: yes\nrecordSegmentDuration: 1s\n"
        + &format!("recordPath: {}/%path/%s-%f\n", folder.path().display());
    let server = server(&receiver.url(), Config::default().path(INGEST, &hooks));
    let _publisher = publish(&server, "live/rec/in");
    let complete = receiver.wait_event("segment-complete", SOON).json();
    let create = receiver.wait("its beginning", SOON, |one| {
        one.event() == "segment-create" && one.json()["segmentPath"] == complete["segmentPath"]
    });
    assert_eq!(create.json()["path"], "live/rec/in");
    let file = complete["segmentPath"].as_str().expect("a path");
    assert!(std::path::Path::new(file).is_file(), "{file}");
    let seconds = complete["segmentDuration"].as_f64().expect("a number");
    assert!((0.5..5.0).contains(&seconds), "{seconds}");
}

/// MediaMTX interrupts the opening hook of a stream that has ended; the receiver is slow enough for
/// the SIGINT to come in the middle of the POST.
#[test]
fn a_stream_that_ends_at_once_still_delivers_ready() {
    let receiver = Receiver::start(Answer::Late(Duration::from_millis(1500)));
    let server = server(&receiver.url(), ready_hooks());
    let mut publisher = publish(&server, "live/short/in");
    receiver.wait_event("ready", SOON);
    publisher.kill();
    let log = server.process();
    let interrupted = log.wait_for_line("] runOnAvailable command stopped", SOON);
    let delivered = log.wait_for_line("INF ready event delivered", SOON);
    assert!(interrupted.at < delivered.at, "{}", log.output());
    log.wait_for_line("INF not-ready event delivered", SOON);
}

#[test]
fn events_of_any_path_arrive_with_what_its_expression_matched() {
    let receiver = Receiver::start(Answer::Status(204));
    let config = Config::default()
        .path("~^site/([a-z]+)/(cam-[0-9]+)$", "")
        .path_default(&ready_and_not_ready());
    let server = server(&receiver.url(), config);
    for (path, groups, id) in [
        ("cam1", serde_json::Value::Null, serde_json::Value::Null),
        (
            "building/floor1",
            serde_json::Value::Null,
            serde_json::Value::Null,
        ),
        (
            "a.b-c_d/e.f",
            serde_json::Value::Null,
            serde_json::Value::Null,
        ),
        (
            "site/north/cam-7",
            serde_json::json!(["north", "cam-7"]),
            serde_json::Value::Null,
        ),
        ("live/x/in", serde_json::Value::Null, "x".into()),
        (
            "live/a/b/in",
            serde_json::Value::Null,
            serde_json::Value::Null,
        ),
    ] {
        let mut publisher = Clip::h264_aac().publish(&server.rtsp(path));
        let ready = receiver.wait("its beginning", SOON, of(path, "ready"));
        publisher.kill();
        let gone = receiver.wait("its end", SOON, of(path, "not-ready"));
        for event in [ready.json(), gone.json()] {
            assert_eq!(
                (&event["groups"], &event["streamId"]),
                (&groups, &id),
                "{path}"
            );
        }
    }
}

/// A static source has no id, and what an always available path shows before a publisher comes has not even a type.
#[test]
fn a_camera_and_an_always_available_path_send_what_mediamtx_knows_of_them() {
    let receiver = Receiver::start(Answer::Status(204));
    let origin = MediaMtx::start(Config::default());
    let _publisher = Clip::h264_aac().publish(&origin.rtsp("lens"));
    origin.wait_ready("lens", SOON);
    let camera =
        format!("source: {}\nrtspTransport: tcp\n", origin.rtsp("lens")) + &ready_and_not_ready();
    let always = "alwaysAvailable: yes\nalwaysAvailableTracks:\n- codec: H264\n".to_owned()
        + &ready_and_not_ready()
        + &hook("runOnOnline", "online");
    let config = Config::default()
        .path("camera", &camera)
        .path("always", &always);
    let server = server(&receiver.url(), config);

    let pulled = receiver
        .wait("the camera", SOON, of("camera", "ready"))
        .json();
    assert_eq!(pulled["sourceType"], "rtspSource");
    let ready = receiver
        .wait("the path", SOON, of("always", "ready"))
        .json();
    for missing in [
        &pulled["sourceId"],
        &ready["sourceType"],
        &ready["sourceId"],
    ] {
        assert!(missing.is_null(), "{pulled} {ready}");
    }
    let _second = Clip::new(Video::H264, None).publish(&server.rtsp("always"));
    let online = receiver
        .wait("its publisher", SOON, of("always", "online"))
        .json();
    assert_eq!(online["sourceType"], "rtspSession");
    assert!(!server.process().output().contains("refused"));
}

#[test]
fn special_characters_in_a_path_are_refused_by_the_server_and_start_no_hook() {
    let receiver = Receiver::start(Answer::Status(204));
    let config = Config::default().path("~.*", &hook("runOnAvailable", "ready"));
    let server = server(&receiver.url(), config);
    for path in [
        "live/a~b/in",
        "live/a%20b/in",
        "live/$(id)/in",
        "live/%C3%BC/in",
    ] {
        let mark = server.process().mark();
        let _publisher = Clip::h264_aac().publish(&server.rtsp(path));
        server
            .process()
            .find_line(mark, "invalid path name", SOON, |line| {
                line.text.contains("invalid path name")
            });
    }
    assert!(receiver.received().is_empty());
    assert!(!server.process().output().contains("ready event"));
}

#[test]
fn twenty_connects_and_disconnects_deliver_every_event() {
    const ROUNDS: usize = 20;
    let receiver = Receiver::start(Answer::Status(204));
    let server = server(&receiver.url(), ready_hooks());
    for round in 1..=ROUNDS {
        let path = format!("live/churn-{}/in", round % 2);
        let mut publisher = Clip::h264_aac().publish(&server.rtsp(&path));
        wait_until("the stream's ready event", SOON, || {
            count(&receiver, "ready") == round
        });
        publisher.kill();
        server.wait_gone(&path, SOON);
    }
    wait_until("all events", SOON, || {
        count(&receiver, "not-ready") == ROUNDS
    });
    assert_eq!(
        (count(&receiver, "ready"), receiver.received().len()),
        (ROUNDS, 2 * ROUNDS)
    );
    let last = receiver.wait("its event", SOON, of("live/churn-1/in", "not-ready"));
    assert_eq!(last.json()["sourceType"], "rtspSession");
}
