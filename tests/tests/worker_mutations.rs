//! Conversations that are damaged on the way: the worker ends like one that lost its input or output, or goes on.
//!
//! `MTX_MUTATIONS` sets how many there are. More of them, without sockets, are beside the worker's code.

use std::os::unix::process::ExitStatusExt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use suite_tests::camera::{Camera, Habits};
use suite_tests::clips::Clip;
use suite_tests::mediamtx::{Config, MediaMtx};
use suite_tests::procfs;
use suite_tests::proxy::{FaultProxy, Mode};
use suite_tests::random::Random;
use suite_tests::stack::SOON;
use suite_tests::worker::Worker;

const USUAL_COUNT: u64 = 120;
const AT_ONCE: u64 = 8;

/// Damaged places in a thousand bytes.
const RATES: [f64; 5] = [0.05, 0.2, 0.5, 2.0, 5.0];

/// How long a conversation lasts if nothing ends it.
const LENGTH: Duration = Duration::from_millis(1_500);

/// In KiB; a worker takes 6 MiB.
const MOST_MEMORY: u64 = 48 * 1024;

/// Whose bytes are damaged.
#[derive(Clone, Copy, Debug)]
enum Side {
    Rtsp,
    Rtmp,
}

/// One worker between two servers, the answers of one of which are damaged.
#[track_caller]
fn converse(seed: u64, side: Side, camera: &Camera, server: &MediaMtx) {
    let mut random = Random::new(seed);
    let per_thousand = match side {
        Side::Rtsp => RATES[random.below(RATES.len())],
        // A server has not much to say.
        Side::Rtmp => 4.0 * RATES[random.below(RATES.len())],
    };
    let mode = Mode::Mutate { per_thousand, seed };
    let (input, output) = (camera.rtsp(), server.rtmp(&format!("mutated/{seed}")));
    let port = |url: &str| -> u16 {
        let host = url.split('/').nth(2).expect("a host");
        host.rsplit(':')
            .next()
            .expect("a port")
            .parse()
            .expect("a number")
    };
    let (input, output, _proxy) = match side {
        Side::Rtsp => {
            let proxy = FaultProxy::start(port(&input));
            proxy.set(mode);
            (
                input.replace(&port(&input).to_string(), &proxy.port().to_string()),
                output,
                proxy,
            )
        }
        Side::Rtmp => {
            let proxy = FaultProxy::start(port(&output));
            proxy.set(mode);
            let through = output.replace(&port(&output).to_string(), &proxy.port().to_string());
            (input, through, proxy)
        }
    };
    let mut worker = Worker::start_with(&input, &output, |command| {
        command.args(["--retry", "100ms,100ms,100ms"]);
    });
    thread::sleep(LENGTH);
    // None of a worker that has ended.
    let memory = procfs::memory_kib(worker.process().pid()).unwrap_or_default();
    assert!(memory < MOST_MEMORY, "{side:?} {seed}: {memory} KiB");
    worker.process().signal(nix::sys::signal::Signal::SIGTERM);
    let status = worker.process_mut().wait(SOON);
    let log = worker.process().output();
    assert!(!log.contains("panicked"), "{side:?} {seed}: {log}");
    assert!(
        matches!(status.code(), Some(0 | 1)),
        "{side:?} {seed}: {status}, {:?}: {log}",
        status.signal()
    );
}

fn converse_often(side: Side) {
    let count = std::env::var("MTX_MUTATIONS").map(|text| text.parse().expect("a number"));
    let count = count.unwrap_or(USUAL_COUNT);
    let server = MediaMtx::start(Config::default());
    let camera = Camera::start(Clip::h264_aac(), Habits::default());
    let next = AtomicU64::new(0);
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(seed) =
                    Some(next.fetch_add(1, Ordering::Relaxed)).filter(|seed| *seed < count)
                {
                    converse(seed, side, &camera, &server);
                }
            });
        }
    });
}

#[test]
fn no_bytes_of_an_rtsp_server_break_the_worker() {
    converse_often(Side::Rtsp);
}

#[test]
fn no_bytes_of_an_rtmp_server_break_the_worker() {
    converse_often(Side::Rtmp);
}
