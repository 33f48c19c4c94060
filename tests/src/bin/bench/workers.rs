//! mtx-worker against what people restream with today: ffmpeg, gst-launch and go2rtc.

use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use suite_tests::clips::{Audio, Clip, Video};
use suite_tests::mediamtx::{Config, MediaMtx};
use suite_tests::processes::Spawned;
use suite_tests::procfs;

use crate::contenders::CONTENDERS;
use crate::latency;
use crate::table::{Table, median, milliseconds, quantile, with_ratio};

/// Streams at once, and how often each contender has its turn.
const LOADS: [(usize, usize); 3] = [(1, 5), (8, 2), (32, 1)];
const WINDOW: Duration = Duration::from_secs(8);
/// More than headers, less than a key frame.
const SOME_MEDIA: u64 = 10_000;
const PATIENCE: Duration = Duration::from_secs(60);

/// What one contender did.
#[derive(Default)]
struct Measured {
    ready: Vec<f64>,
    media: Vec<f64>,
    late: Vec<f64>,
    memory: Vec<f64>,
    cpu: Vec<f64>,
}

pub(crate) fn measure() -> Table {
    let note = "H.264 (720p, 25 frames and 2 Mbit a second, a key frame a second) and AAC, from RTSP to RTMP on \
        one MediaMTX. «Ready»: from the process' start until the API says that the output is there. «Media»: until \
        10 kB have come there. «Added»: how much \
        later one reader gets a frame from the output than from the input. CPU: seconds a minute of one stream. Medians over all \
        streams and rounds; contenders take turns. In brackets, how many times what mtx-worker takes.";
    let header = [
        "",
        "ready",
        "media",
        "added latency",
        "95th percentile",
        "peak memory",
        "CPU",
    ];
    let mut table = Table::new("Workers", note, &header);
    for (streams, rounds) in LOADS {
        let measured = measure_load(streams, rounds);
        for ((name, _), one) in CONTENDERS.iter().zip(&measured) {
            let cell =
                |what: fn(&Measured) -> f64, unit| with_ratio(what(one), what(&measured[0]), unit);
            table.row(vec![
                format!(
                    "{name}, {streams} stream{}",
                    if streams == 1 { "" } else { "s" }
                ),
                cell(|one| median(&one.ready), "ms"),
                cell(|one| median(&one.media), "ms"),
                cell(|one| median(&one.late), "ms"),
                cell(|one| quantile(&one.late, 0.95), "ms"),
                cell(|one| median(&one.memory), "MiB"),
                cell(|one| median(&one.cpu), "s"),
            ]);
        }
    }
    table
}

/// go2rtc publishes to paths of two segments only.
fn path(number: usize, leg: &str) -> String {
    format!("{leg}/{number}")
}

fn measure_load(streams: usize, rounds: usize) -> Vec<Measured> {
    let server = MediaMtx::start(Config::default().path("all_others", ""));
    let clip = Clip::new(Video::H264, Audio::Aac).in_720p();
    let _publishers: Vec<Spawned> = (0..streams)
        .map(|number| clip.publish(&server.rtsp(&path(number, "in"))))
        .collect();
    for number in 0..streams {
        server.wait_ready(&path(number, "in"), PATIENCE);
    }
    let mut measured: Vec<Measured> = CONTENDERS.iter().map(|_| Measured::default()).collect();
    for round in 1..=rounds {
        for ((name, command), measured) in CONTENDERS.iter().zip(&mut measured) {
            eprintln!("{name}: {streams} streams, round {round} of {rounds}");
            take_turn(&server, streams, *command, measured);
        }
    }
    measured
}

fn take_turn(
    server: &MediaMtx,
    streams: usize,
    command: fn(&str, &str) -> Command,
    measured: &mut Measured,
) {
    let mut running: Vec<(Instant, Spawned)> = vec![];
    for number in 0..streams {
        let command = command(
            &server.rtsp(&path(number, "in")),
            &server.rtmp(&path(number, "out")),
        );
        running.push((Instant::now(), Spawned::start("contender", command)));
    }
    let (ready, media) = watch_starts(server, &running);
    measured.ready.extend(ready);
    measured.media.extend(media);
    // What a start costs is in «ready»; from here on it runs.
    thread::sleep(Duration::from_secs(1));
    let cpu = |running: &[(Instant, Spawned)]| -> Vec<Duration> {
        running
            .iter()
            .map(|(_, process)| procfs::cpu_time(process.pid()).expect("it runs"))
            .collect()
    };
    let (before, start) = (cpu(&running), Instant::now());
    let late = latency::measure(
        &server.rtsp(&path(0, "in")),
        &server.rtsp(&path(0, "out")),
        WINDOW,
    );
    assert!(late.len() > 50, "only {} frames came out", late.len());
    let (after, minutes) = (cpu(&running), start.elapsed().as_secs_f64() / 60.0);
    measured.late.extend(late);
    measured.cpu.extend(
        before
            .iter()
            .zip(&after)
            .map(|(before, after)| (*after - *before).as_secs_f64() / minutes),
    );
    let peak = |process: &Spawned| {
        procfs::peak_memory_kib(process.pid()).expect("it runs") as f64 / 1024.0
    };
    measured
        .memory
        .extend(running.iter().map(|(_, process)| peak(process)));
    drop(running);
    for number in 0..streams {
        server.wait_gone(&path(number, "out"), PATIENCE);
    }
}

/// Milliseconds from the start of each process until its stream was there, and until media came on it.
fn watch_starts(server: &MediaMtx, running: &[(Instant, Spawned)]) -> (Vec<f64>, Vec<f64>) {
    let (mut ready, mut media) = (vec![None; running.len()], vec![None; running.len()]);
    let start = Instant::now();
    while media.iter().any(Option::is_none) {
        assert!(
            start.elapsed() < PATIENCE,
            "not all outputs have media: {media:?}"
        );
        let paths = server.paths();
        for (number, (started, _)) in running.iter().enumerate() {
            let name = path(number, "out");
            let Some(path) = paths.iter().find(|path| path.name() == name) else {
                continue;
            };
            let now = Some(milliseconds(started.elapsed()));
            if path.ready() {
                ready[number] = ready[number].or(now);
            }
            if path.bytes_received() >= SOME_MEDIA {
                media[number] = media[number].or(now);
            }
        }
        thread::sleep(Duration::from_millis(5));
    }
    (
        ready.into_iter().flatten().collect(),
        media.into_iter().flatten().collect(),
    )
}
