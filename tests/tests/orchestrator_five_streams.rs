//! mtx-orchestrator with five real streams whose frames are counted: what happens to one is no other's trouble.

use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::Value;
use suite_tests::binaries::{place_script, suite_binary};
use suite_tests::census::Census;
use suite_tests::frames::Counter;
use suite_tests::mediamtx::MediaMtx;
use suite_tests::orchestrator::{Orchestrator, is_worker};
use suite_tests::packets::{Kind, Reader};
use suite_tests::processes::Spawned;
use suite_tests::streams::{ingest, output, send, server_with_hooks};
use suite_tests::waiting::wait_until;

const SOON: Duration = Duration::from_secs(30);
/// What the specification grants from the moment it can be known.
const IN_TIME: Duration = Duration::from_secs(5);
const STREAMS: [&str; 5] = ["a", "b", "c", "d", "e"];
/// Frames that are read before something happens, and after it.
const SOME: usize = 50;

/// A server with hooks, an orchestrator, and streams.
struct Five {
    orchestrator: Orchestrator,
    publishers: Vec<(String, Spawned)>,
    counter: Counter,
    server: MediaMtx,
    port: u16,
}

impl Five {
    #[track_caller]
    fn start() -> Self {
        let mut five = Self::start_with(|_| {});
        STREAMS.iter().for_each(|stream| five.publish(stream));
        five.wait_out(&STREAMS);
        five
    }

    /// Without a stream yet, the orchestrator with more flags.
    #[track_caller]
    fn start_with(change: impl FnOnce(&mut Command)) -> Self {
        let (server, port) = server_with_hooks();
        Self {
            counter: Counter::learn(&server),
            orchestrator: Orchestrator::start_on(port, &server, change),
            publishers: vec![],
            server,
            port,
        }
    }

    #[track_caller]
    fn publish(&mut self, stream: &str) {
        let publisher = self
            .counter
            .clip()
            .publish(&self.server.rtsp(&ingest(stream)));
        self.publishers.push((stream.to_owned(), publisher));
    }

    fn unpublish(&mut self, stream: &str) {
        self.publishers.retain(|(name, _)| name != stream);
    }

    #[track_caller]
    fn wait_out(&self, streams: &[&str]) {
        for stream in streams {
            self.orchestrator.wait_running(stream, SOON);
            self.server.wait_ready(&output(stream), SOON);
        }
    }

    /// Readers of these streams that have got their first frames.
    #[track_caller]
    fn read<'a>(&self, streams: &[&'a str]) -> Vec<(&'a str, Reader)> {
        let reader =
            |stream: &&'a str| (*stream, Reader::start(&self.server.rtsp(&output(stream))));
        let readers: Vec<(&str, Reader)> = streams.iter().map(reader).collect();
        for (_, reader) in &readers {
            reader.collect(Kind::Video, SOME, SOON);
        }
        readers
    }

    /// Lets the readers read on for a while, and looks at every frame they got since they came.
    #[track_caller]
    fn assert_undisturbed(&self, readers: &[(&str, Reader)]) {
        for (stream, reader) in readers {
            let seen = reader.packets_of(Kind::Video).len();
            let packets = reader.collect(Kind::Video, seen + SOME, SOON);
            self.counter.assert_gapless(stream, &packets);
        }
    }

    /// That the frames of a stream come out (again).
    #[track_caller]
    fn assert_comes_out(&self, stream: &str) {
        let readers = self.read(&[stream]);
        self.assert_undisturbed(&readers);
    }

    /// How much later a stream came out than in, since its server started.
    #[track_caller]
    fn late(&self, stream: &str) -> Duration {
        let came = self.server.wait_available(&ingest(stream), SOON);
        let out = self.server.wait_available(&output(stream), SOON);
        out.saturating_duration_since(came)
    }

    fn pids(&self) -> Vec<u32> {
        let pid = |stream: &&str| self.orchestrator.wait_running(stream, SOON);
        STREAMS.iter().map(pid).collect()
    }
}

#[test]
fn a_worker_that_is_killed_or_crashes_is_replaced_and_the_other_four_lose_no_frame() {
    let five = Five::start();
    let others = five.read(&["a", "b", "d", "e"]);
    for (signal, failure) in [
        (Signal::SIGKILL, "killed by SIGKILL"),
        (Signal::SIGSEGV, "killed by SIGSEGV"),
    ] {
        let before = five.pids();
        let shot = Instant::now();
        // Rust's handler of SIGSEGV lets the first one pass that no access of memory has caused.
        wait_until("the end of the worker", IN_TIME, || {
            let runs = is_worker(before[2]);
            if runs {
                send(signal, before[2]);
            }
            !runs
        });
        let next = |stream: &Value| stream["state"] == "running" && stream["pid"] != before[2];
        let stream = (five.orchestrator).wait_stream("c", "next worker", IN_TIME, next);
        five.server.wait_ready(&output("c"), IN_TIME);
        assert!(shot.elapsed() < IN_TIME, "{:?}", shot.elapsed());
        let said = stream["lastFailure"].as_str().unwrap_or_default();
        assert!(said.starts_with(failure), "{said}");
        five.assert_comes_out("c");
        five.assert_undisturbed(&others);
        let after = five.pids();
        for (index, stream) in STREAMS.iter().enumerate().filter(|(_, name)| **name != "c") {
            assert_eq!(before[index], after[index], "{stream} has the same worker");
        }
        let mut running = five.orchestrator.workers();
        running.sort_unstable();
        let mut expected = after;
        expected.sort_unstable();
        assert_eq!(running, expected, "one worker a stream");
    }
}

/// Three of the streams have a first worker that takes too much of something, and then the real one.
const HOGS: &str = r#"#!/usr/bin/env bash
stream=${MTX_WORKER_INPUT%/in}
stream=${stream##*/}
first() { mkdir "${0%/*}/$stream" 2>/dev/null; }
case $stream in
c) first && exec python3 -c 'hoard = bytearray(200 << 20)' ;;
d) first && exec python3 -c 'hoard = [open("/dev/null") for _ in range(100)]' ;;
e) if first; then while :; do
    if ((SECONDS != last)); then
        last=$SECONDS
        echo '{"level":"INF","message":"stats","state":"streaming","frames":1}' >&2
    fi
done; fi ;;
esac
exec "{worker}"
"#;

#[test]
fn workers_that_take_too_much_are_replaced_and_the_others_lose_no_frame() {
    let folder = tempfile::tempdir().expect("a temp folder");
    let worker = folder.path().join("mtx-worker");
    // Workers get an environment of their own, so the real one can't be named in it.
    let real = suite_binary("mtx-worker");
    let script = HOGS.replace("{worker}", &real.display().to_string());
    place_script(&script, &worker);
    let mut five = Five::start_with(|command| {
        command.arg("--worker").arg(&worker);
        let limits = [
            "--worker-memory",
            "64",
            "--worker-files",
            "32",
            "--worker-cpu",
            "25",
        ];
        command.args(limits);
    });
    for stream in ["a", "b"] {
        five.publish(stream);
    }
    five.wait_out(&["a", "b"]);
    let others = five.read(&["a", "b"]);
    let hogs = [
        ("c", "exit code 1: MemoryError"),
        ("d", "Too many open files"),
        ("e", "% of a processor, where 25 % are allowed"),
    ];
    for (stream, _) in hogs {
        five.publish(stream);
    }
    for (stream, failure) in hogs {
        let replaced = |stream: &Value| stream["state"] == "running" && stream["restarts"] == 1;
        let status = (five.orchestrator).wait_stream(stream, "replacement", SOON, replaced);
        let said = status["lastFailure"].as_str().unwrap_or_default();
        assert!(said.contains(failure), "{said}");
        five.server.wait_ready(&output(stream), SOON);
        five.assert_comes_out(stream);
    }
    five.assert_undisturbed(&others);
}

#[test]
fn streams_that_come_and_go_disturb_nobody() {
    let mut five = Five::start();
    let others = five.read(&["a", "b", "c"]);
    for round in 0..3 {
        for stream in ["d", "e"] {
            five.unpublish(stream);
            five.server.wait_gone(&ingest(stream), SOON);
        }
        let new = format!("new-{round}");
        for stream in ["d", "e", &new] {
            five.publish(stream);
        }
        five.wait_out(&["d", "e", &new]);
        five.orchestrator.command(&new, "stop");
        five.server.wait_gone(&output(&new), SOON);
        five.orchestrator.command(&new, "start");
        five.server.wait_ready(&output(&new), SOON);
    }
    five.assert_undisturbed(&others);
    for stream in ["d", "e", "new-0", "new-1", "new-2"] {
        five.assert_comes_out(stream);
    }
    assert_eq!(five.orchestrator.workers().len(), 8);
}

#[test]
fn a_killed_orchestrator_leaves_no_worker_and_the_next_one_has_the_right_set_in_time() {
    let mut five = Five::start();
    let old = five.orchestrator.workers();
    assert_eq!(old.len(), 5);
    send(Signal::SIGKILL, five.orchestrator.process().pid());
    wait_until("the end of all workers", Duration::from_secs(1), || {
        !old.iter().any(|pid| is_worker(*pid))
    });
    // Meanwhile one goes and another one comes, and no hook reaches anybody.
    five.unpublish("e");
    five.publish("f");
    five.server.wait_gone(&ingest("e"), SOON);
    five.server.wait_ready(&ingest("f"), SOON);

    let started = Instant::now();
    five.orchestrator = Orchestrator::start_on(five.port, &five.server, |_| {});
    let census = Census::start(&five.orchestrator);
    let streams = ["a", "b", "c", "d", "f"];
    five.wait_out(&streams);
    assert!(started.elapsed() < IN_TIME, "{:?}", started.elapsed());
    let readers = five.read(&streams);
    five.assert_undisturbed(&readers);
    assert_eq!(five.orchestrator.workers().len(), 5);
    assert_eq!(census.most(), 5, "never two for one stream");
    assert!(five.orchestrator.stream("e").is_none());
    assert!(!five.server.is_ready(&output("e")));
}

#[test]
fn after_a_kill_of_mediamtx_all_five_come_out_again_in_time() {
    let mut five = Five::start();
    let census = Census::start(&five.orchestrator);
    five.server.kill();
    // They end with their server.
    five.publishers.clear();
    wait_until("the loss to be known", IN_TIME, || {
        five.orchestrator.get("/readyz").is_err()
    });
    five.server.start_again();
    for stream in STREAMS {
        five.publish(stream);
    }
    let late = STREAMS.map(|stream| five.late(stream));
    assert!(late.iter().all(|late| *late < IN_TIME), "{late:?}");
    five.wait_out(&STREAMS);
    let readers = five.read(&STREAMS);
    five.assert_undisturbed(&readers);
    assert_eq!(five.orchestrator.workers().len(), 5);
    assert_eq!(census.most(), 5, "never two for one stream");
}
