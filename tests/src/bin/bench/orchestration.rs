//! What happens when a stream comes: with mtx-orchestrator, and with the script that people write instead.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use suite_tests::clips::{Audio, Clip, Video};
use suite_tests::mediamtx::{Config, MediaMtx};
use suite_tests::orchestrator::Orchestrator;
use suite_tests::processes::{Line, Spawned};
use suite_tests::procfs;
use suite_tests::receiver::{Answer, Receiver};
use suite_tests::streams::{INGEST, ingest, output, server_with_hooks};
use suite_tests::waiting::wait_for;
use tempfile::TempDir;

use crate::table::{Table, median, milliseconds, quantile, with_ratio};

const STARTS: usize = 25;
const STREAMS: usize = 32;
const WINDOW: Duration = Duration::from_secs(10);
/// More than headers, less than a key frame.
const SOME_MEDIA: u64 = 10_000;
const PATIENCE: Duration = Duration::from_secs(60);

const SCRIPT: &str = r#"#!/bin/sh
curl --silent --fail --max-time 2 --header 'Content-Type: application/json' --data "{\"path\":\"$MTX_PATH\"}" "$ORCHESTRATOR_URL/v1/mediamtx/events/ready"
exec ffmpeg -nostdin -loglevel error -rtsp_transport tcp -i "rtsp://127.0.0.1:$RTSP_PORT/$MTX_PATH" -c copy -f flv "rtmp://127.0.0.1:$RTMP_PORT/live/$G1/out"
"#;

/// Who takes the events, and starts what passes the streams on.
enum Service {
    Orchestrator(Orchestrator),
    /// Only takes the events; the hook does the rest.
    Script {
        receiver: Receiver,
        _folder: TempDir,
    },
}

/// A server with its hooks.
struct Setup {
    service: Service,
    server: MediaMtx,
}

/// What was measured of one setup.
#[derive(Default)]
struct Measured {
    event: Vec<f64>,
    ready: Vec<f64>,
    media: Vec<f64>,
    memory: f64,
    cpu: f64,
}

type Contender = (&'static str, fn() -> Setup);

/// The suite comes first: the other is compared with it.
const CONTENDERS: [Contender; 2] = [
    ("mtx-hook, mtx-orchestrator, mtx-worker", Setup::suite),
    ("sh, curl, ffmpeg -c copy", Setup::script),
];

pub(crate) fn measure() -> Table {
    let note = format!(
        "From MediaMTX's line «stream is available» for /in until the event has been received («event»), until the \
        same line for /out («ready»), and until 10 kB have come there («media», which includes the wait for the \
        next key frame: there is one a second): medians and \
        95th percentiles of {STARTS} streams, one after the other. Memory (what processes share counts once) and CPU \
        time of all that runs besides MediaMTX for {STREAMS} streams of 720p at once; CPU: seconds a minute of one \
        stream. In brackets, how many times what the suite takes."
    );
    let header = [
        "",
        "event",
        "95th",
        "ready",
        "95th",
        "media",
        "95th",
        &format!("memory, {STREAMS} streams"),
        "CPU",
    ];
    let mut table = Table::new("Orchestration", &note, &header);
    let measured = CONTENDERS.map(measure_one);
    for ((name, _), one) in CONTENDERS.iter().zip(&measured) {
        let cell =
            |what: fn(&Measured) -> f64, unit| with_ratio(what(one), what(&measured[0]), unit);
        table.row(vec![
            (*name).to_owned(),
            cell(|one| median(&one.event), "ms"),
            cell(|one| quantile(&one.event, 0.95), "ms"),
            cell(|one| median(&one.ready), "ms"),
            cell(|one| quantile(&one.ready, 0.95), "ms"),
            cell(|one| median(&one.media), "ms"),
            cell(|one| quantile(&one.media, 0.95), "ms"),
            cell(|one| one.memory, "MiB"),
            cell(|one| one.cpu, "s"),
        ]);
    }
    table
}

fn measure_one((name, setup): Contender) -> Measured {
    let mut measured = Measured::default();
    eprintln!("{name}: {STARTS} streams, one after the other");
    let one_by_one = setup();
    for number in 0..STARTS {
        one_by_one.start_once(&format!("start-{number}"), &mut measured);
    }
    drop(one_by_one);
    eprintln!("{name}: {STREAMS} streams at once");
    (measured.memory, measured.cpu) = setup().load();
    measured
}

impl Setup {
    fn suite() -> Self {
        let (server, port) = server_with_hooks();
        Self {
            service: Service::Orchestrator(Orchestrator::start_on(port, &server, |_| {})),
            server,
        }
    }

    fn script() -> Self {
        let (receiver, folder) = (
            Receiver::start(Answer::Status(204)),
            tempfile::tempdir().expect("a temp folder"),
        );
        let script = folder.path().join("restream.sh");
        fs::write(&script, SCRIPT).expect("the temp folder is writable");
        let config = Config::default()
            .env("ORCHESTRATOR_URL", receiver.url())
            .rtmp_port_for_hooks()
            .path(INGEST, &format!("runOnAvailable: sh {}", script.display()));
        Self {
            server: MediaMtx::start(config),
            service: Service::Script {
                receiver,
                _folder: folder,
            },
        }
    }

    fn publish(&self, stream: &str) -> Spawned {
        let clip = Clip::new(Video::H264, Audio::Aac).in_720p();
        clip.publish(&self.server.rtsp(&ingest(stream)))
    }

    fn received(&self, stream: &str) -> Instant {
        match &self.service {
            Service::Orchestrator(orchestrator) => {
                let name = format!("\"streamId\":\"{stream}\"");
                let is_it = |line: &Line| {
                    line.text.contains("\"event received\"") && line.text.contains(&name)
                };
                let process = orchestrator.process();
                process.find_line(0, "event received", PATIENCE, is_it).at
            }
            Service::Script { receiver, .. } => {
                let path = ingest(stream);
                let event = receiver.wait(&path, PATIENCE, |one| one.json()["path"] == *path);
                event.at
            }
        }
    }

    fn wait_media(&self, stream: &str) -> Instant {
        let path = output(stream);
        let start = Instant::now();
        loop {
            let bytes = self
                .server
                .path(&path)
                .map_or(0, |path| path.bytes_received());
            if bytes >= SOME_MEDIA {
                return Instant::now();
            }
            assert!(start.elapsed() < PATIENCE, "no media at {path}");
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn start_once(&self, stream: &str, measured: &mut Measured) {
        let publisher = self.publish(stream);
        let there = self.server.wait_available(&ingest(stream), PATIENCE);
        let late = |at: Instant| milliseconds(at.saturating_duration_since(there));
        measured.media.push(late(self.wait_media(stream)));
        measured
            .ready
            .push(late(self.server.wait_available(&output(stream), PATIENCE)));
        measured.event.push(late(self.received(stream)));
        drop(publisher);
        self.server.wait_gone(&ingest(stream), PATIENCE);
    }

    /// All processes that the server's hooks or the orchestrator have started, and the latter itself.
    fn processes(&self) -> Vec<u32> {
        match &self.service {
            Service::Orchestrator(orchestrator) => {
                let own = orchestrator.process().pid();
                let mut all = procfs::descendants(own);
                all.push(own);
                all
            }
            Service::Script { .. } => procfs::descendants(self.server.process().pid()),
        }
    }

    /// Memory in MiB of all processes, and CPU seconds a minute of one stream.
    fn load(&self) -> (f64, f64) {
        let names: Vec<String> = (0..STREAMS)
            .map(|number| format!("load-{number}"))
            .collect();
        let _publishers: Vec<Spawned> = names.iter().map(|name| self.publish(name)).collect();
        for name in &names {
            self.wait_media(name);
        }
        // What a start costs is over by then: hooks have ended.
        let processes = wait_for("one process a stream", PATIENCE, || {
            let processes = self.processes();
            (processes.len() <= STREAMS + 1).then_some(processes)
        });
        let cpu = || -> Duration {
            let times = processes.iter().map(|pid| procfs::cpu_time(*pid));
            times.map(|time| time.expect("it runs")).sum()
        };
        let (before, start) = (cpu(), Instant::now());
        thread::sleep(WINDOW);
        let minutes = start.elapsed().as_secs_f64() / 60.0 * STREAMS as f64;
        let cpu = (cpu() - before).as_secs_f64() / minutes;
        let memory = processes.iter().map(|pid| procfs::memory_share_kib(*pid));
        let kib: u64 = memory.map(|kib| kib.expect("it runs")).sum();
        (kib as f64 / 1024.0, cpu)
    }
}
