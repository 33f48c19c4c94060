//! Hooks of real streams that get lost, doubled, reordered, or find nobody: the right workers run all the same.

use std::time::{Duration, Instant};

use serde_json::Value;
use suite_tests::binaries::{place_script, suite_binary};
use suite_tests::census::Census;
use suite_tests::frames::Counter;
use suite_tests::mediamtx::MediaMtx;
use suite_tests::orchestrator::Orchestrator;
use suite_tests::packets::{Kind, Reader};
use suite_tests::streams::{ingest, output, publish, server_with, server_with_hooks};
use suite_tests::waiting::wait_until;
use tempfile::TempDir;

const SOON: Duration = Duration::from_secs(20);
/// What the specification grants from the moment it can be known.
const IN_TIME: Duration = Duration::from_secs(5);

/// What happens to a hook depends on its stream's name. MediaMTX interrupts a hook whose stream has ended.
const FATE: &str = r#"#!/bin/sh
trap '' INT
case $MTX_PATH:$1 in
live/lost/in:*) ;;
live/doubled/in:*) "$HOOK" "$1"; "$HOOK" "$1" ;;
live/late/in:ready | live/back/in:not-ready) sleep 2; "$HOOK" "$1" ;;
*) "$HOOK" "$1" ;;
esac
"#;

/// A server whose hooks meet their fate on the way to the returned port.
fn server_with_fate() -> (MediaMtx, u16, TempDir) {
    let folder = tempfile::tempdir().expect("a temp folder");
    let script = folder.path().join("fate");
    place_script(FATE, &script);
    let script = format!(
        "env HOOK={} {}",
        suite_binary("mtx-hook").display(),
        script.display()
    );
    let (server, port) = server_with(&format!(
        "runOnAvailable: {script} ready\nrunOnUnavailable: {script} not-ready\n"
    ));
    (server, port, folder)
}

/// The events of a stream that have arrived, in their order.
fn arrived(orchestrator: &Orchestrator, stream: &str) -> Vec<String> {
    let lines = orchestrator.process().lines();
    let events = lines
        .iter()
        .filter_map(|line| serde_json::from_str(&line.text).ok());
    let events = events
        .filter(|line: &Value| line["message"] == "event received" && line["streamId"] == stream);
    events
        .map(|line| line["event"].as_str().unwrap_or_default().to_owned())
        .collect()
}

#[test]
fn lost_and_doubled_hooks_give_one_worker_a_stream_in_time_and_none_when_it_is_gone() {
    let (server, port, _folder) = server_with_fate();
    let orchestrator = Orchestrator::start_on(port, &server, |command| {
        command.args(["--grace", "1s"]);
    });
    let census = Census::start(&orchestrator);
    let streams = ["lost", "doubled"];
    let publishers = streams.map(|stream| publish(&server, stream));
    for stream in streams {
        let came = server.wait_available(&ingest(stream), SOON);
        let out = server.wait_available(&output(stream), SOON);
        let late = out.saturating_duration_since(came);
        assert!(late < IN_TIME, "{stream}: {late:?}");
    }
    wait_until("both events", SOON, || {
        arrived(&orchestrator, "doubled") == ["ready", "ready"]
    });
    assert_eq!(arrived(&orchestrator, "lost"), Vec::<String>::new());
    assert_eq!(orchestrator.workers().len(), 2);

    drop(publishers);
    for stream in streams {
        server.wait_gone(&ingest(stream), SOON);
    }
    // Until the next look at the path list, the grace period, and the end of the workers.
    wait_until("the end of all workers", IN_TIME, || {
        orchestrator.workers().is_empty()
    });
    for stream in streams {
        wait_until("the stream to be forgotten", IN_TIME, || {
            orchestrator.stream(stream).is_none()
        });
    }
    assert_eq!(arrived(&orchestrator, "doubled").len(), 4);
    assert_eq!(census.most(), 2, "never two for one stream");
}

#[test]
fn a_ready_that_comes_after_its_not_ready_starts_nothing() {
    let (server, port, _folder) = server_with_fate();
    let orchestrator = Orchestrator::start_on(port, &server, |command| {
        command.args(["--grace", "500ms"]);
    });
    let publisher = publish(&server, "late");
    server.wait_ready(&ingest("late"), SOON);
    drop(publisher);
    wait_until("both events", SOON, || {
        arrived(&orchestrator, "late") == ["not-ready", "ready"]
    });
    wait_until("the stream to be forgotten", IN_TIME, || {
        orchestrator.stream("late").is_none()
    });
    assert!(orchestrator.workers().is_empty());

    let _publisher = publish(&server, "late");
    server.wait_ready(&output("late"), SOON);
    assert_eq!(orchestrator.workers().len(), 1);
}

#[test]
fn a_not_ready_that_comes_after_the_next_ready_ends_nothing() {
    let (server, port, _folder) = server_with_fate();
    let counter = Counter::learn(&server);
    let orchestrator = Orchestrator::start_on(port, &server, |_| {});
    let publish = || counter.clip().publish(&server.rtsp(&ingest("back")));
    let publisher = publish();
    orchestrator.wait_running("back", SOON);
    drop(publisher);
    server.wait_gone(&ingest("back"), SOON);
    let _publisher = publish();
    server.wait_ready(&ingest("back"), SOON);
    let pid = orchestrator.wait_running("back", SOON);
    server.wait_ready(&output("back"), SOON);
    let reader = Reader::start(&server.rtsp(&output("back")));
    wait_until("all three events", SOON, || {
        arrived(&orchestrator, "back") == ["ready", "ready", "not-ready"]
    });
    let seen = reader.packets_of(Kind::Video).len();
    let packets = reader.collect(Kind::Video, seen + 50, SOON);
    counter.assert_gapless("back", &packets);
    assert_eq!(orchestrator.wait_running("back", SOON), pid);
    assert_eq!(orchestrator.workers(), [pid]);
}

#[test]
fn streams_whose_hooks_found_nobody_get_their_workers_once_the_orchestrator_runs() {
    let (server, port) = server_with_hooks();
    let streams = ["a", "b"];
    let _publishers = streams.map(|stream| publish(&server, stream));
    for stream in streams {
        server.wait_ready(&ingest(stream), SOON);
        let lost = format!(
            "ready event failed: Connection refused (os error 111) event=ready path={}",
            ingest(stream)
        );
        server.process().wait_for_line(&lost, SOON);
    }
    let orchestrator = Orchestrator::start_on(port, &server, |_| {});
    let started = Instant::now();
    for stream in streams {
        server.wait_ready(&output(stream), SOON);
    }
    assert!(started.elapsed() < IN_TIME, "{:?}", started.elapsed());
    for stream in streams {
        assert_eq!(arrived(&orchestrator, stream), Vec::<String>::new());
    }
    assert_eq!(orchestrator.workers().len(), 2);
}
