//! mtx-orchestrator over a real MediaMTX: which workers run, whatever gets lost, doubled, killed or restarted.

use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::Value;
use suite_tests::census::Census;
use suite_tests::clips::Clip;
use suite_tests::mediamtx::{Config, MediaMtx};
use suite_tests::orchestrator::{Orchestrator, is_worker};
use suite_tests::processes::Line;
use suite_tests::streams::{ingest, output, publish, send, server_with_hooks};
use suite_tests::waiting::{wait_for, wait_until};
use suite_tests::{http, ports};

const SOON: Duration = Duration::from_secs(20);
/// What the specification grants from the moment it can be known.
const IN_TIME: Duration = Duration::from_secs(5);

#[track_caller]
fn kinds(stream: &Value) -> Vec<&str> {
    let events = stream["events"].as_array().expect("a stream has events");
    let kinds = events.iter().map(|event| event["kind"].as_str());
    kinds.map(Option::unwrap_or_default).collect()
}

#[test]
fn a_published_stream_comes_out_through_hooks() {
    let (server, port) = server_with_hooks();
    let orchestrator = Orchestrator::start_on(port, &server, |_| {});
    let mut publisher = Clip::h264_aac().publish(&server.rtmp(&ingest("cam")));
    let available = server.process().wait_for_line("stream is available", SOON);
    let out = server.wait_ready(&output("cam"), SOON);
    assert!(
        available.at.elapsed() < IN_TIME,
        "{:?}",
        available.at.elapsed()
    );
    assert_eq!(out.tracks(), ["H264", "MPEG-4 Audio"]);
    let pid = orchestrator.wait_running("cam", SOON);
    assert_eq!(orchestrator.workers(), [pid]);
    let stream = orchestrator.wait_stream("cam", "reports", SOON, |stream| {
        let read_by_its_worker = stream["inputReaders"][0]["type"] == "rtspSession";
        read_by_its_worker
            && stream["worker"]["fps"].as_f64() > Some(20.0)
            && kinds(stream).contains(&"ready")
    });
    assert_eq!(stream["source"]["type"], "rtmpConn");
    assert!(stream["memoryBytes"].as_u64() > Some(1 << 20));
    assert_eq!(
        (&stream["restarts"], &stream["breaker"]["state"]),
        (&0.into(), &"closed".into())
    );

    publisher.kill();
    orchestrator.wait_state("cam", "grace", IN_TIME);
}

#[test]
fn a_lost_ready_event_is_found_by_looking_at_the_path_list() {
    let server = MediaMtx::start(Config::default());
    let orchestrator = Orchestrator::start(&server, &[]);
    let _publisher = publish(&server, "quiet");
    let available = server.process().wait_for_line("stream is available", SOON);
    wait_until("the worker", SOON, || !orchestrator.starts().is_empty());
    let took = orchestrator.starts()[0].saturating_duration_since(available.at);
    assert!(took < IN_TIME, "{took:?}");
    server.wait_ready(&output("quiet"), SOON);
}

#[test]
fn streams_that_were_there_before_the_orchestrator_get_their_workers() {
    let server = MediaMtx::start(Config::default());
    let _publishers = [publish(&server, "a"), publish(&server, "b")];
    server.wait_ready(&ingest("a"), SOON);
    server.wait_ready(&ingest("b"), SOON);
    let orchestrator = Orchestrator::start(&server, &[]);
    for stream in ["a", "b"] {
        orchestrator.wait_running(stream, IN_TIME);
    }
    assert_eq!(orchestrator.workers().len(), 2);
}

#[test]
fn doubled_and_reordered_events_give_one_worker() {
    let server = MediaMtx::start(Config::default());
    let orchestrator = Orchestrator::start(&server, &[]);
    let _publisher = publish(&server, "cam");
    server.wait_ready(&ingest("cam"), SOON);
    for _ in 0..50 {
        orchestrator.send_event("not-ready", "cam", "2026-11-21T04:00:01.000Z");
        orchestrator.send_event("ready", "cam", "2026-11-21T04:00:02.000Z");
        orchestrator.send_event("ready", "cam", "2026-11-21T04:00:02.000Z");
        orchestrator.send_event("not-ready", "cam", "2026-11-21T04:00:03.000Z");
        orchestrator.send_event("ready", "nobody", "2026-11-21T04:00:02.000Z");
    }
    let pid = orchestrator.wait_running("cam", SOON);
    assert_eq!(orchestrator.workers(), [pid]);
    assert_eq!(orchestrator.starts().len(), 1);
    assert!(
        orchestrator.stream("nobody").is_none(),
        "MediaMTX knows better"
    );
}

#[test]
fn twenty_connects_in_ten_seconds_never_yield_two_workers_or_a_storm() {
    let (server, port) = server_with_hooks();
    let orchestrator = Orchestrator::start_on(port, &server, |_| {});
    let census = Census::start(&orchestrator);
    let start = Instant::now();
    for round in 1..=20 {
        let mut publisher = publish(&server, "churn");
        thread::sleep((round * Duration::from_millis(500)).saturating_sub(start.elapsed()));
        publisher.kill();
    }
    let _publisher = publish(&server, "churn");
    server.wait_ready(&ingest("churn"), SOON);
    let pid = orchestrator.wait_running("churn", SOON);
    server.wait_ready(&output("churn"), SOON);
    assert_eq!(orchestrator.workers(), [pid]);
    assert_eq!(census.most(), 1);
    let starts = orchestrator.starts().len();
    assert!(starts <= 3, "{starts} workers were started");
}

/// When the orchestrator first wrote a line about a stream that contains `text`, from the `mark`th line on.
#[track_caller]
fn said(orchestrator: &Orchestrator, mark: usize, stream: &str, text: &str) -> Instant {
    let stream = format!("\"streamId\":\"{stream}\"");
    let is_it = |line: &Line| line.text.contains(&stream) && line.text.contains(text);
    orchestrator.process().find_line(mark, text, SOON, is_it).at
}

#[test]
fn workers_that_hang_are_killed_and_replaced_within_100_ms_of_knowing() {
    let server = MediaMtx::start(Config::default());
    let orchestrator = Orchestrator::start(&server, &[]);
    let streams = ["a", "b", "c"];
    let _publishers = streams.map(|stream| publish(&server, stream));
    let pids = streams.map(|stream| orchestrator.wait_running(stream, SOON));
    let mark = orchestrator.process().mark();
    pids.iter().for_each(|pid| send(Signal::SIGSTOP, *pid));
    let took = streams.map(|stream| {
        let known = said(
            &orchestrator,
            mark,
            stream,
            "worker hung: no report for 5 s: killed",
        );
        let begun = said(&orchestrator, mark, stream, " started\"");
        begun.saturating_duration_since(known)
    });
    // The best of three, so that another test's load does not count.
    let least = took.iter().min();
    assert!(least < Some(&Duration::from_millis(100)), "{took:?}");
    for (stream, old) in streams.iter().zip(pids) {
        let stream = orchestrator.wait_stream(stream, "next worker", SOON, |stream| {
            stream["state"] == "running" && stream["pid"] != old
        });
        assert_eq!(stream["lastFailure"], "hung: no report for 5 s");
        assert!(!is_worker(old));
    }
}

#[test]
fn a_worker_that_is_killed_is_replaced_within_100_ms() {
    let server = MediaMtx::start(Config::default());
    let orchestrator =
        Orchestrator::start(&server, &["--recovery", "immediate", "--breaker", "100/1m"]);
    let _publisher = publish(&server, "cam");
    let mut took = vec![];
    for _ in 0..3 {
        let pid = orchestrator.wait_running("cam", SOON);
        let mark = orchestrator.process().mark();
        let killed = Instant::now();
        send(Signal::SIGKILL, pid);
        let begun = said(&orchestrator, mark, "cam", " started\"");
        took.push(begun.saturating_duration_since(killed));
        orchestrator.wait_stream("cam", "next worker", SOON, |stream| stream["pid"] != pid);
    }
    let least = took.iter().min();
    assert!(least < Some(&Duration::from_millis(100)), "{took:?}");
}

#[test]
fn told_to_end_it_ends_all_workers_first() {
    let server = MediaMtx::start(Config::default());
    let mut orchestrator = Orchestrator::start(&server, &[]);
    let _publishers = [publish(&server, "a"), publish(&server, "b")];
    orchestrator.wait_running("a", SOON);
    let frozen = orchestrator.wait_running("b", SOON);
    let workers = orchestrator.workers();
    // One of them does not hear.
    send(Signal::SIGSTOP, frozen);
    orchestrator.process().signal(Signal::SIGTERM);
    let code = orchestrator.process_mut().wait_code(Duration::from_secs(3));
    assert_eq!(code, 0);
    assert!(!workers.into_iter().any(is_worker));
    // The other one had time to say goodbye.
    orchestrator.process().wait_for_line("told to end", IN_TIME);
    server.wait_gone(&output("a"), IN_TIME);
}

#[test]
fn after_a_restart_of_mediamtx_the_streams_come_out_again() {
    let (mut server, port) = server_with_hooks();
    let orchestrator = Orchestrator::start_on(port, &server, |_| {});
    let mut publisher = publish(&server, "cam");
    orchestrator.wait_running("cam", SOON);

    server.kill();
    publisher.kill();
    wait_until("the loss to be known", IN_TIME, || {
        orchestrator.get("/readyz").is_err()
    });
    let stream = orchestrator.stream("cam").expect("it is not forgotten");
    assert_ne!(
        stream["state"], "grace",
        "an unreachable API changes nothing"
    );

    server.start_again();
    let _publisher = publish(&server, "cam");
    server.wait_ready(&ingest("cam"), SOON);
    let ready = Instant::now();
    server.wait_ready(&output("cam"), SOON);
    assert!(ready.elapsed() < IN_TIME, "{:?}", ready.elapsed());
    orchestrator.wait_running("cam", SOON);
    assert_eq!(orchestrator.workers().len(), 1);
    assert!(orchestrator.get("/readyz").is_ok());
}

#[test]
fn a_short_interruption_keeps_the_worker_and_a_long_one_ends_it() {
    let (server, port) = server_with_hooks();
    let orchestrator = Orchestrator::start_on(port, &server, |command| {
        command.args(["--grace", "3s"]);
    });
    let mut publisher = publish(&server, "cam");
    let pid = orchestrator.wait_running("cam", SOON);

    publisher.kill();
    orchestrator.wait_state("cam", "grace", IN_TIME);
    let mut publisher = publish(&server, "cam");
    assert_eq!(
        orchestrator.wait_running("cam", SOON),
        pid,
        "the same worker"
    );
    server.wait_ready(&output("cam"), SOON);
    assert_eq!(orchestrator.starts().len(), 1);

    publisher.kill();
    let since = Instant::now();
    orchestrator.wait_state("cam", "grace", IN_TIME);
    wait_until("the end of the worker", SOON, || !is_worker(pid));
    let took = since.elapsed();
    assert!(
        took > Duration::from_secs(2) && took < Duration::from_secs(6),
        "{took:?}"
    );
    wait_until("the stream to be forgotten", IN_TIME, || {
        orchestrator.stream("cam").is_none()
    });
}

#[test]
fn a_stream_that_comes_back_after_its_worker_has_given_up_gets_another_at_once() {
    let (server, port) = server_with_hooks();
    let orchestrator = Orchestrator::start_on(port, &server, |command| {
        command.env("MTX_WORKER_RETRY", "none");
    });
    let mut publisher = publish(&server, "cam");
    let pid = orchestrator.wait_running("cam", SOON);
    publisher.kill();
    wait_until("the end of the worker", SOON, || !is_worker(pid));
    orchestrator.wait_state("cam", "grace", IN_TIME);
    let _publisher = publish(&server, "cam");
    server.wait_ready(&ingest("cam"), SOON);
    let back = Instant::now();
    server.wait_ready(&output("cam"), SOON);
    assert!(
        back.elapsed() < Duration::from_secs(2),
        "{:?}",
        back.elapsed()
    );
}

#[test]
fn a_worker_that_always_fails_opens_its_streams_breaker_which_shows_the_reason() {
    let server = MediaMtx::start(Config::default());
    let closed = ports::tcp();
    let orchestrator = Orchestrator::start_on(ports::tcp(), &server, |command| {
        command
            .args(["--mediamtx-rtmp", &format!("rtmp://127.0.0.1:{closed}")])
            .args([
                "--recovery",
                "fixed:100ms",
                "--breaker",
                "3/1m",
                "--breaker-pause",
                "1s",
            ])
            .env("MTX_WORKER_RETRY", "none");
    });
    let _publisher = publish(&server, "cam");
    let stream = orchestrator.wait_state("cam", "broken", SOON);
    assert_eq!(stream["breaker"]["state"], "open");
    let reason = stream["breaker"]["reason"].as_str().unwrap_or_default();
    assert!(
        reason.contains("exit code 1: the output ") && reason.contains(" is gone"),
        "{reason}"
    );
    let metrics = http::get(&format!("{}/metrics", orchestrator.url())).unwrap();
    let line = "mtx_orchestrator_stream_breaker_open{stream=\"cam\",reason=\"exited\"} 1\n";
    assert!(metrics.contains(line), "{metrics}");
    assert_eq!(orchestrator.starts().len(), 3);
    // After the pause it is tried again, and fails again.
    wait_for("the probe", SOON, || {
        (orchestrator.starts().len() == 4).then_some(())
    });
    let stream = orchestrator.wait_state("cam", "broken", SOON);
    assert!(kinds(&stream).contains(&"breaker-half-open"));
}

#[test]
fn a_breaker_closes_once_a_probe_stays_healthy() {
    let server = MediaMtx::start(Config::default());
    let orchestrator = Orchestrator::start(
        &server,
        &[
            "--breaker",
            "1/1m",
            "--breaker-pause",
            "2s",
            "--healthy-after",
            "2s",
        ],
    );
    let _publisher = publish(&server, "cam");
    send(Signal::SIGKILL, orchestrator.wait_running("cam", SOON));
    let stream = orchestrator.wait_state("cam", "broken", IN_TIME);
    assert_eq!(stream["breaker"]["reason"], "killed by SIGKILL");
    orchestrator.wait_stream("cam", "half-open breaker", SOON, |stream| {
        stream["breaker"]["state"] == "half-open"
    });
    orchestrator.wait_stream("cam", "closed breaker", SOON, |stream| {
        stream["breaker"]["state"] == "closed" && stream["state"] == "running"
    });
}

#[test]
fn a_stopped_stream_stays_so_until_it_is_started() {
    let server = MediaMtx::start(Config::default());
    let orchestrator = Orchestrator::start(&server, &[]);
    let _publisher = publish(&server, "cam");
    let first = orchestrator.wait_running("cam", SOON);
    orchestrator.command("cam", "stop");
    orchestrator.wait_stream("cam", "stop", IN_TIME, |stream| {
        stream["state"] == "stopped" && stream["pid"].is_null()
    });
    server.wait_gone(&output("cam"), IN_TIME);
    orchestrator.send_event("ready", "cam", "2026-11-21T04:00:02.000Z");
    let looks = || orchestrator.metric("reconciliations_total");
    let before = looks();
    // Those after the event, and one that was asked for by nothing.
    wait_until("three looks at the path list", SOON, || {
        looks() >= before + 3.0
    });
    assert!(orchestrator.workers().is_empty());
    orchestrator.command("cam", "start");
    let second = orchestrator.wait_running("cam", IN_TIME);
    assert_ne!(first, second);
    orchestrator.command("cam", "restart");
    let stream = orchestrator.wait_stream("cam", "third worker", IN_TIME, |stream| {
        stream["state"] == "running" && stream["pid"] != second
    });
    assert_eq!(
        (&stream["restarts"], &stream["lastFailure"]),
        (&0.into(), &Value::Null)
    );
}

#[test]
fn where_mediamtx_cannot_be_asked_its_hooks_are_believed_in_their_order() {
    let server = MediaMtx::start(Config::default());
    let nobody = format!("http://127.0.0.1:{}", ports::tcp());
    let orchestrator = Orchestrator::start(&server, &["--mediamtx-api", &nobody, "--grace", "1s"]);
    assert!(orchestrator.get("/readyz").is_err());
    let _publisher = publish(&server, "cam");
    server.wait_ready(&ingest("cam"), SOON);
    orchestrator.send_event("not-ready", "other", "2026-11-21T04:00:03.000Z");
    orchestrator.send_event("ready", "other", "2026-11-21T04:00:02.000Z");
    for _ in 0..3 {
        orchestrator.send_event("ready", "cam", "2026-11-21T04:00:04.000Z");
    }
    let pid = orchestrator.wait_running("cam", SOON);
    assert_eq!(orchestrator.workers(), [pid]);
    assert!(
        orchestrator.stream("other").is_none(),
        "it went after it came"
    );
    orchestrator.send_event("not-ready", "cam", "2026-11-21T04:00:05.000Z");
    wait_until("the end of the worker", IN_TIME, || !is_worker(pid));
}

#[test]
fn an_orchestrator_that_was_frozen_does_not_take_its_workers_for_hung() {
    let server = MediaMtx::start(Config::default());
    let orchestrator = Orchestrator::start(&server, &[]);
    let _publisher = publish(&server, "cam");
    let pid = orchestrator.wait_running("cam", SOON);
    orchestrator.process().signal(Signal::SIGSTOP);
    // Longer than a worker may be silent.
    thread::sleep(Duration::from_secs(7));
    orchestrator.process().signal(Signal::SIGCONT);
    // The first after the thaw, and one of a second later.
    for frames in [25 * 7, 25 * 8] {
        orchestrator.wait_stream("cam", "new report", IN_TIME, |stream| {
            stream["worker"]["videoFrames"].as_u64() > Some(frames)
        });
    }
    assert_eq!(
        orchestrator.wait_running("cam", SOON),
        pid,
        "the same worker"
    );
}
