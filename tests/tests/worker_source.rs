//! A source that ends, resets, freezes, is missing or comes back.

use std::time::{Duration, Instant};

use suite_tests::clips::Clip;
use suite_tests::compare::{assert_decodable_order, greatest_gap};
use suite_tests::gstreamer::GstRtspServer;
use suite_tests::nginx::Nginx;
use suite_tests::packets::{Kind, Reader};
use suite_tests::processes::Spawned;
use suite_tests::proxy::{FaultProxy, Mode};
use suite_tests::stack::{IN, OUT, SOON, Stack};
use suite_tests::waiting::wait_until;
use suite_tests::worker::{Event, Worker};

/// A stack whose input passes a proxy, and a worker that streams.
fn behind_proxy() -> (Stack, FaultProxy, Worker) {
    let stack = Stack::start();
    let proxy = FaultProxy::start(stack.server.ports.rtsp);
    let worker = Worker::start(
        &format!("rtsp://127.0.0.1:{}/{IN}", proxy.port()),
        &stack.output(),
    );
    worker.wait_state("streaming", SOON);
    stack.wait_out();
    (stack, proxy, worker)
}

/// Attempts 1, 2 and 3 of 3 after 1 s, 2 s and 4 s, each with a reason, and really that far apart.
fn assert_three_retries(worker: &Worker) {
    let retries = worker.retries();
    let announced: Vec<String> = retries
        .iter()
        .map(|retry| {
            format!(
                "{}/{} after {}",
                retry.text("attempt"),
                retry.text("of"),
                retry.text("delay")
            )
        })
        .collect();
    assert_eq!(announced, ["1/3 after 1s", "2/3 after 2s", "3/3 after 4s"]);
    assert!(
        retries.iter().all(|retry| !retry.text("reason").is_empty()),
        "{retries:?}"
    );
    for (pair, seconds) in retries.windows(2).zip([1, 2]) {
        let apart = pair[1].at - pair[0].at;
        assert!(
            apart >= Duration::from_millis(seconds * 1000 - 50),
            "{seconds} s were only {apart:?}"
        );
    }
}

fn wait_retry(worker: &Worker, mark: usize, within: Duration) -> Event {
    worker.wait_event(mark, "retry", within, |event| {
        !event.text("attempt").is_empty()
    })
}

#[test]
fn worker_retries_three_times_and_ends_well_when_the_publisher_is_gone() {
    let mut stack = Stack::start();
    let mut worker = Worker::start(&stack.input(), &stack.output());
    worker.wait_state("streaming", SOON);
    let since = Instant::now();
    stack.unpublish();
    wait_retry(&worker, 0, Duration::from_secs(5));
    assert_eq!(worker.wait_code(2 * SOON), 0);
    let took = since.elapsed();
    assert!(
        took >= Duration::from_secs(7),
        "gave up after {took:?} only"
    );
    assert!(took <= Duration::from_secs(14), "took {took:?} to give up");
    assert_three_retries(&worker);
    assert_eq!(worker.states().last().map(String::as_str), Some("ended"));
    stack.server.wait_gone(OUT, SOON);
}

#[test]
fn worker_notices_a_frozen_source_within_five_seconds_and_gives_up_after_three_retries() {
    let clip = Clip::h264_aac();
    let source = GstRtspServer::start(clip);
    let nginx = Nginx::start();
    let mut worker = Worker::start(&source.rtsp(), &nginx.rtmp("test"));
    worker.wait_state("streaming", SOON);
    wait_until("the stream at nginx", SOON, || nginx.has_publisher("test"));
    let frozen = Instant::now();
    source.process().freeze();
    let retry = wait_retry(&worker, 0, Duration::from_secs(8));
    let noticed = retry.at - frozen;
    assert!(
        noticed <= Duration::from_millis(5_200),
        "noticed after {noticed:?}"
    );
    assert_eq!(worker.wait_code(Duration::from_secs(40)), 0);
    assert_three_retries(&worker);
    wait_until("the end of the stream at nginx", SOON, || {
        !nginx.has_publisher("test")
    });
}

#[test]
fn worker_notices_a_route_that_swallows_everything_and_goes_on_when_it_is_back() {
    let (stack, proxy, worker) = behind_proxy();
    let mark = worker.process().mark();
    proxy.set(Mode::Discard);
    let cut = Instant::now();
    let retry = wait_retry(&worker, mark, Duration::from_secs(8));
    assert!(
        retry.at - cut <= Duration::from_millis(5_200),
        "noticed after {:?}",
        retry.at - cut
    );
    proxy.set(Mode::Pass);
    worker.wait_state_after(mark, "streaming", 2 * SOON);
    stack.wait_out();
    Reader::start(&stack.server.rtsp(OUT)).collect(Kind::Video, 25, SOON);
}

#[test]
fn worker_comes_back_after_a_reset_of_its_source() {
    let (stack, proxy, worker) = behind_proxy();
    let mark = worker.process().mark();
    proxy.reset();
    let retry = wait_retry(&worker, mark, Duration::from_secs(2));
    assert_eq!(
        (retry.text("attempt"), retry.text("delay")),
        ("1".to_owned(), "1s".to_owned())
    );
    worker.wait_state_after(mark, "streaming", SOON);
    stack.wait_out();
    Reader::start(&stack.server.rtsp(OUT)).collect(Kind::Video, 25, SOON);
}

#[test]
fn retries_count_from_one_again_after_ten_healthy_seconds_but_not_before() {
    let (_stack, proxy, worker) = behind_proxy();
    let cut_and_come_back = || {
        let mark = worker.process().mark();
        proxy.cut();
        let attempt = wait_retry(&worker, mark, Duration::from_secs(3)).text("attempt");
        worker.wait_state_after(mark, "streaming", SOON);
        attempt
    };
    assert_eq!(cut_and_come_back(), "1");
    assert_eq!(cut_and_come_back(), "2");
    // What is waited for here is that nothing happens for so long.
    std::thread::sleep(Duration::from_secs(12));
    assert_eq!(cut_and_come_back(), "1");
}

#[test]
fn worker_without_a_source_retries_three_times_and_says_that_the_path_is_missing() {
    let stack = Stack::start();
    let mut worker = Worker::start(&stack.server.rtsp("live/nobody/in"), &stack.output());
    assert_eq!(worker.wait_code(2 * SOON), 1);
    assert_three_retries(&worker);
    let reasons = worker
        .retries()
        .iter()
        .map(|retry| retry.text("reason").to_lowercase())
        .collect::<String>();
    assert!(
        reasons.contains("404") || reasons.contains("not found") || reasons.contains("no stream"),
        "{reasons}"
    );
    assert!(!worker.states().contains(&"streaming".to_owned()));
}

#[test]
fn worker_without_a_server_retries_three_times_and_says_that_nobody_answers() {
    let stack = Stack::start();
    let closed = suite_tests::ports::tcp();
    let mut worker = Worker::start(&format!("rtsp://127.0.0.1:{closed}/{IN}"), &stack.output());
    assert_eq!(worker.wait_code(2 * SOON), 1);
    assert_three_retries(&worker);
    assert!(
        worker
            .retries()
            .iter()
            .all(|retry| retry.text("reason").to_lowercase().contains("refused"))
    );
}

#[test]
fn worker_that_comes_too_early_streams_as_soon_as_there_is_a_stream() {
    let mut stack = Stack::start();
    stack.unpublish();
    let worker = Worker::start(&stack.input(), &stack.output());
    wait_retry(&worker, 0, Duration::from_secs(3));
    stack.publish();
    worker.wait_state("streaming", SOON);
    stack.wait_out();
}

#[test]
fn time_stamps_run_forward_over_a_restart_of_the_source() {
    let mut stack = Stack::start();
    let nginx = Nginx::start();
    let worker = Worker::start(&stack.input(), &nginx.rtmp("test"));
    worker.wait_state("streaming", SOON);
    wait_until("the stream at nginx", SOON, || nginx.has_publisher("test"));
    let reader = Reader::start(&nginx.rtmp("test"));
    reader.collect(Kind::Video, 50, SOON);
    stack.unpublish();
    let mark = worker.process().mark();
    stack.publish();
    worker.wait_state_after(mark, "streaming", SOON);
    let before = reader.packets_of(Kind::Video).len();
    let packets = reader.collect(Kind::Video, before + 50, SOON);
    for kind in [Kind::Video, Kind::Audio] {
        assert_decodable_order(kind, &packets);
        let gap = greatest_gap(kind, &packets);
        assert!(gap < 12_000_000, "time jumps by {gap} µs");
    }
    assert!(
        !nginx.log().contains("recv: client closed"),
        "the output was kept"
    );
}

#[test]
fn worker_survives_a_restart_of_mediamtx() {
    let mut stack = Stack::start();
    let worker = Worker::start(&stack.input(), &stack.output());
    worker.wait_state("streaming", SOON);
    stack.wait_out();
    stack.server.stop();
    let mark = worker.process().mark();
    stack.server.start_again();
    stack.publish();
    worker.wait_state_after(mark, "streaming", SOON);
    stack.wait_out();
    Reader::start(&stack.server.rtsp(OUT)).collect(Kind::Video, 25, SOON);
}

#[test]
fn a_stream_with_nothing_to_pass_on_is_named_as_such() {
    let server = suite_tests::mediamtx::MediaMtx::start(suite_tests::mediamtx::Config::default());
    let mut command = std::process::Command::new("ffmpeg");
    command.args([
        "-loglevel",
        "error",
        "-re",
        "-f",
        "lavfi",
        "-i",
        "testsrc2=size=320x180:rate=10",
    ]);
    command.args([
        "-c:v", "mjpeg", "-pix_fmt", "yuvj420p", "-huffman", "default", "-f", "rtsp",
    ]);
    command.args(["-rtsp_transport", "tcp", &server.rtsp(IN)]);
    let _publisher = Spawned::start("publisher of MJPEG", command);
    server.wait_ready(IN, SOON);
    let mut worker = Worker::start(&server.rtsp(IN), &server.rtmp(OUT));
    assert_eq!(worker.wait_code(2 * SOON), 1);
    let log = worker.process().output().to_lowercase();
    assert!(log.contains("jpeg"), "the log names the codec:\n{log}");
}

#[test]
fn worker_survives_garbage_in_the_protocol() {
    let (stack, proxy, worker) = behind_proxy();
    let mark = worker.process().mark();
    proxy.set(Mode::Garble);
    wait_retry(&worker, mark, SOON);
    proxy.set(Mode::Pass);
    proxy.cut();
    worker.wait_state_after(mark, "streaming", SOON);
    stack.wait_out();
    Reader::start(&stack.server.rtsp(OUT)).collect(Kind::Video, 25, SOON);
}

#[test]
fn worker_survives_a_publisher_of_broken_frames() {
    let server = suite_tests::mediamtx::MediaMtx::start(suite_tests::mediamtx::Config::default());
    let mut command = std::process::Command::new("ffmpeg");
    command
        .args(["-loglevel", "error", "-re", "-stream_loop", "-1", "-i"])
        .arg(Clip::h264_aac().file());
    command.args([
        "-c",
        "copy",
        "-bsf:v",
        "noise=amount=if(key\\,0\\,300)",
        "-bsf:a",
        "noise=amount=300",
        "-f",
        "rtsp",
    ]);
    command.args(["-rtsp_transport", "tcp", &server.rtsp(IN)]);
    let _publisher = Spawned::start("publisher of garbage", command);
    server.wait_ready(IN, SOON);
    let mut worker = Worker::start(&server.rtsp(IN), &server.rtmp(OUT));
    server.wait_ready(OUT, SOON);
    let path = |bytes| {
        server
            .path(OUT)
            .is_some_and(|path| path.bytes_received() > bytes)
    };
    wait_until("broken frames at the output", 2 * SOON, || path(150_000));
    assert!(worker.process_mut().try_wait().is_none());
}
