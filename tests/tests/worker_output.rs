//! An output that dies, comes back, is slow or is taken.

use std::time::Duration;

use suite_tests::clips::{Audio, Clip, Video};
use suite_tests::compare::{assert_decodable_order, assert_no_gap};
use suite_tests::mediamtx::Config;
use suite_tests::nginx::Nginx;
use suite_tests::packets::{Kind, Reader};
use suite_tests::proxy::{FaultProxy, Mode};
use suite_tests::stack::{IN, OUT, SOON, Stack};
use suite_tests::waiting::wait_until;
use suite_tests::worker::Worker;

/// Ids of those who read the input, which stay the same as long as nobody reconnects.
fn readers(stack: &Stack) -> String {
    let path = stack.server.path(IN).expect("the input is there");
    path.0["readers"].to_string()
}

/// Kind and id of the connection that publishes the output.
fn publisher(stack: &Stack) -> (String, String) {
    let path = stack.server.path(OUT).expect("the output is there");
    path.source()
}

/// The id of the connection that publishes the output.
fn publisher_of_output(stack: &Stack) -> String {
    publisher(stack).1
}

#[test]
fn worker_reconnects_to_an_output_that_was_restarted_and_keeps_its_input() {
    let stack = Stack::start();
    let mut nginx = Nginx::start();
    let worker = Worker::start(&stack.input(), &nginx.rtmp("test"));
    worker.wait_state("streaming", SOON);
    wait_until("the stream at nginx", SOON, || nginx.has_publisher("test"));
    let before = readers(&stack);
    let mark = worker.process().mark();
    nginx.stop();
    worker.wait_event(mark, "retry", Duration::from_secs(5), |event| {
        !event.text("reason").is_empty()
    });
    nginx.start_again();
    wait_until("the stream at nginx again", SOON, || {
        nginx.has_publisher("test")
    });
    worker.wait_state_after(mark, "streaming", SOON);
    assert_eq!(readers(&stack), before, "the input was kept");
    Reader::start(&nginx.rtmp("test")).collect(Kind::Video, 25, SOON);
}

#[test]
fn worker_reconnects_to_mediamtx_when_it_throws_the_output_out() {
    let stack = Stack::start();
    let worker = Worker::start(&stack.input(), &stack.output());
    worker.wait_state("streaming", SOON);
    stack.wait_out();
    let mark = worker.process().mark();
    let id = publisher_of_output(&stack);
    stack
        .server
        .post(&format!("/v3/rtmpconns/kick/{id}"))
        .expect("the connection can be kicked");
    worker.wait_state_after(mark, "streaming", SOON);
    stack.wait_out();
    let now = publisher_of_output(&stack);
    assert_ne!(now, id);
}

#[test]
fn an_output_that_gets_sound_alone_after_a_reconnect_is_not_streaming() {
    let mut clip = Clip::new(Video::H264OneKeyFrame, Audio::Aac);
    clip.seconds = 25;
    let stack = Stack::start_with(Config::default(), clip);
    let worker = Worker::start_with(&stack.input(), &stack.output(), |command| {
        command.args(["--stats-interval", "1s"]);
    });
    worker.wait_state("streaming", 4 * SOON);
    let mark = worker.process().mark();
    let id = publisher_of_output(&stack);
    stack
        .server
        .post(&format!("/v3/rtmpconns/kick/{id}"))
        .expect("the connection can be kicked");
    let lost = worker.wait_event(mark, "loss", SOON, |event| {
        event.text("state") == "retrying"
    });
    let missing = worker.wait_event(mark, "missing video", 2 * SOON, |event| {
        event.text("reason") == "no key frame has come for 10s"
    });
    let streaming = worker.wait_state_after(mark, "streaming", 3 * SOON);
    assert!(missing.at < streaming.at, "{}", worker.process().output());
    let mut waiting = worker.events();
    waiting.retain(|event| event.at > lost.at && event.at < streaming.at);
    let frames: Vec<_> = waiting
        .iter()
        .filter(|event| event.text("message") == "stats")
        .map(|event| event.number("videoFrames"))
        .collect();
    assert!(
        frames.len() > 5 && frames.iter().all(|count| *count == frames[0]),
        "{frames:?}"
    );
}

#[test]
fn worker_gives_up_with_a_reason_when_the_output_stays_away() {
    let stack = Stack::start();
    let mut nginx = Nginx::start();
    let mut worker = Worker::start(&stack.input(), &nginx.rtmp("test"));
    worker.wait_state("streaming", SOON);
    nginx.stop();
    assert_eq!(worker.wait_code(2 * SOON), 1);
    let delays: Vec<String> = worker
        .retries()
        .iter()
        .map(|retry| retry.text("delay"))
        .collect();
    assert_eq!(delays, ["1s", "2s", "4s"]);
    wait_until("the end of the input's reader", SOON, || {
        readers(&stack) == "[]"
    });
}

#[test]
fn worker_gives_up_with_a_reason_when_there_never_was_an_output() {
    let stack = Stack::start();
    let closed = suite_tests::ports::tcp();
    let mut worker = Worker::start(&stack.input(), &format!("rtmp://127.0.0.1:{closed}/{OUT}"));
    assert_eq!(worker.wait_code(2 * SOON), 1);
    assert_eq!(worker.retries().len(), 3);
    assert!(worker.process().output().to_lowercase().contains("refused"));
}

#[test]
fn worker_notices_a_frozen_output() {
    let stack = Stack::start();
    let proxy = FaultProxy::start(stack.server.ports.rtmp);
    let worker = Worker::start(
        &stack.input(),
        &format!("rtmp://127.0.0.1:{}/{OUT}", proxy.port()),
    );
    worker.wait_state("streaming", SOON);
    stack.wait_out();
    let before = readers(&stack);
    let mark = worker.process().mark();
    proxy.set(Mode::Freeze);
    // The buffers of both systems would swallow a minute of so small a stream before anything is noticed at the socket.
    worker.wait_event(mark, "retry", 2 * SOON, |event| {
        !event.text("attempt").is_empty()
    });
    proxy.set(Mode::Pass);
    proxy.cut();
    worker.wait_state_after(mark, "streaming", SOON);
    assert_eq!(readers(&stack), before, "the input was kept");
}

/// The first worker streams on without a gap while a second one finds its output taken.
fn second_worker_gives_way(config: Config) {
    let stack = Stack::start_with(config, Clip::h264_aac());
    let first = Worker::start(&stack.input(), &stack.output());
    first.wait_state("streaming", SOON);
    stack.wait_out();
    let reader = Reader::start(&stack.output());
    reader.collect(Kind::Video, 25, SOON);
    let source = publisher_of_output(&stack);

    let mut second = Worker::start(&stack.input(), &stack.output());
    assert_eq!(second.wait_code(SOON), 1);
    let log = second.process().output().to_lowercase();
    assert!(
        log.contains("already") || log.contains("taken") || log.contains("another"),
        "{log}"
    );
    assert!(!second.states().contains(&"streaming".to_owned()), "{log}");

    let count = reader.packets_of(Kind::Video).len();
    let packets = reader.collect(Kind::Video, count + 25, SOON);
    assert_no_gap(Kind::Video, &packets);
    assert_eq!(publisher_of_output(&stack), source);
    assert_eq!(first.states().last().map(String::as_str), Some("streaming"));
    assert!(first.retries().is_empty());
}

#[test]
fn second_worker_for_an_output_says_so_and_ends() {
    second_worker_gives_way(Config::default());
}

#[test]
fn second_worker_ends_as_well_where_the_server_refuses_a_second_publisher() {
    second_worker_gives_way(Config::default().path_default("overridePublisher: no"));
}

/// The worker publishes to [`OUT`] as it is configured, and ends again.
#[track_caller]
fn publishes_once(stack: &Stack) {
    let worker = Worker::start(&stack.input(), &stack.output());
    worker.wait_state("streaming", 2 * SOON);
    wait_until("the worker's stream", SOON, || {
        publisher(stack).0 == "rtmpConn"
    });
    drop(worker);
    wait_until("the end of the output's publisher", SOON, || {
        stack.server.connections("rtmpconns").is_empty()
    });
}

#[test]
fn an_output_where_mediamtx_shows_its_own_picture_meanwhile_is_not_taken() {
    for (video, codec) in [(Video::H264, "H264"), (Video::H265, "H265")] {
        let settings = format!(
            "alwaysAvailable: yes\nalwaysAvailableTracks: [{{codec: {codec}}}]\noverridePublisher: no"
        );
        let config = Config::default().path(OUT, &settings);
        let stack = Stack::start_with(config, Clip::new(video, None));
        for _ in 0..2 {
            publishes_once(&stack);
        }
        let _other = Clip::new(video, None).publish(&stack.server.rtsp(OUT));
        wait_until("another publisher", SOON, || {
            publisher(&stack).0 == "rtspSession"
        });
        let mut worker = Worker::start(&stack.input(), &stack.output());
        assert_eq!(worker.wait_code(SOON), 1);
        let log = worker.process().output();
        assert!(log.contains("is taken"), "{log}");
    }
}

#[test]
fn an_output_whose_readers_are_sent_elsewhere_meanwhile_is_not_taken() {
    let fallback = format!("fallback: /{IN}");
    let config = Config::default().path("~^(.+)/out$", &fallback);
    publishes_once(&Stack::start_with(config, Clip::h264_aac()));
}

#[test]
fn the_input_is_opened_while_the_server_does_not_answer_whether_the_output_is_taken() {
    // MediaMTX answers to a reader of such a path once it has a stream.
    let config = Config::default().path(OUT, "runOnDemand: sleep 60\nrunOnDemandStartTimeout: 60s");
    let stack = Stack::start_with(config, Clip::h264_aac());
    let worker = Worker::start_with(&stack.input(), &stack.output(), |command| {
        command.args(["--stats-interval", "100ms"]);
    });
    let asked = stack.server.process().wait_for_line("runOnDemand", SOON);
    let reading = stack
        .server
        .process()
        .wait_for_line("is reading from", SOON);
    let delay = reading.at.saturating_duration_since(asked.at);
    assert!(delay < Duration::from_secs(2), "{delay:?}");
    worker.wait_state("streaming", SOON);
    let stats = worker.wait_event(0, "media", SOON, |event| event.number("videoFrames") > 25.0);
    assert_eq!(
        stats.number("dropped"),
        0.0,
        "nothing of the beginning is lost"
    );
}

#[test]
fn of_two_workers_started_at_once_one_streams() {
    let stack = Stack::start();
    let mut workers = [
        Worker::start(&stack.input(), &stack.output()),
        Worker::start(&stack.input(), &stack.output()),
    ];
    stack.wait_out();
    wait_until("the end of one of them", SOON, || {
        workers
            .iter_mut()
            .filter_map(|worker| worker.process_mut().try_wait())
            .count()
            == 1
    });
    let packets = Reader::start(&stack.output()).collect(Kind::Video, 75, SOON);
    assert_no_gap(Kind::Video, &packets);
    let running = workers
        .iter_mut()
        .filter_map(|worker| worker.process_mut().try_wait())
        .count();
    assert_eq!(running, 1, "one has ended, one runs");
}

#[test]
fn slow_output_loses_frames_but_never_holds_up_the_input() {
    let stack = Stack::start_with(Config::default(), Clip::h264_aac().in_720p());
    let proxy = FaultProxy::start(stack.server.ports.rtmp);
    let output = format!("rtmp://127.0.0.1:{}/{OUT}", proxy.port());
    let worker = Worker::start_with(&stack.input(), &output, |command| {
        command.args(["--stats-interval", "1s"]);
    });
    worker.wait_state("streaming", SOON);
    stack.wait_out();
    let before = readers(&stack);
    let mark = worker.process().mark();
    // A fifth of what the stream needs.
    proxy.set(Mode::Slow(50_000));
    worker.wait_event(mark, "dropped frames", Duration::from_secs(60), |event| {
        event.number("dropped") > 0.0
    });
    // The system takes nothing for many seconds at a time; what the server confirms meanwhile tells slow from frozen.
    worker.wait_event(mark, "more of them", Duration::from_secs(60), |event| {
        event.number("dropped") > 600.0
    });
    let retries = worker
        .events()
        .into_iter()
        .filter(|event| !event.text("attempt").is_empty());
    let reasons: Vec<String> = retries
        .map(|event| event.text("reason").to_owned())
        .collect();
    assert!(reasons.is_empty(), "the output was lost: {reasons:?}");
    proxy.set(Mode::Pass);
    assert_eq!(readers(&stack), before, "the input was kept");
    let source = publisher_of_output(&stack);
    let reader = Reader::start(&stack.output());
    let packets = reader.collect(Kind::Video, 50, SOON);
    assert_decodable_order(Kind::Video, &packets);
    assert_eq!(publisher_of_output(&stack), source);
}
