//! mtx-worker as a process: signals, exit codes, usage, statistics, secrets, an empty root.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use suite_tests::binaries::{delivered_binary, place_program, suite_binary};
use suite_tests::nginx::Nginx;
use suite_tests::packets::{Kind, Reader};
use suite_tests::processes::Spawned;
use suite_tests::procfs;
use suite_tests::stack::{IN, OUT, SOON, Stack};
use suite_tests::waiting::{wait_for, wait_until};
use suite_tests::worker::Worker;

fn ends_within_a_second(mut worker: Worker, signal: Signal) {
    let told = Instant::now();
    worker.process().signal(signal);
    let code = worker.wait_code(SOON);
    let took = told.elapsed();
    assert_eq!(code, 0, "{}", worker.process().output());
    assert!(took < Duration::from_secs(1), "{signal} took {took:?}");
    assert_eq!(worker.states().last().map(String::as_str), Some("ended"));
}

fn streaming_to_nginx() -> (Stack, Nginx, Worker) {
    let (stack, nginx) = (Stack::start(), Nginx::start());
    let worker = Worker::start(&stack.input(), &nginx.rtmp("test"));
    worker.wait_state("streaming", SOON);
    wait_until("the stream at nginx", SOON, || nginx.has_publisher("test"));
    (stack, nginx, worker)
}

#[test]
fn sigint_ends_a_streaming_worker_within_a_second_and_closes_its_output() {
    let (_stack, nginx, worker) = streaming_to_nginx();
    ends_within_a_second(worker, Signal::SIGINT);
    nginx.process().wait_for_line("deleteStream", SOON);
}

#[test]
fn sigterm_ends_a_streaming_worker_within_a_second_and_closes_its_output() {
    let (_stack, nginx, worker) = streaming_to_nginx();
    ends_within_a_second(worker, Signal::SIGTERM);
    nginx.process().wait_for_line("deleteStream", SOON);
}

#[test]
fn signals_end_a_worker_that_waits_for_its_next_retry() {
    let stack = Stack::start();
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let worker = Worker::start(&stack.server.rtsp("live/nobody/in"), &stack.output());
        worker.wait_state("retrying", SOON);
        ends_within_a_second(worker, signal);
    }
}

#[test]
fn a_signal_ends_a_worker_whose_source_does_not_answer() {
    let stack = Stack::start();
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = silent.local_addr().expect("a bound socket").port();
    let worker = Worker::start(&format!("rtsp://127.0.0.1:{port}/{IN}"), &stack.output());
    worker.wait_state("connecting", SOON);
    ends_within_a_second(worker, Signal::SIGINT);
}

/// Arguments, environment, and what the message has to name.
type Case = (
    &'static [&'static str],
    &'static [(&'static str, &'static str)],
    &'static str,
);
const WRONG_USAGE: [Case; 7] = [
    (&[], &[], "MTX_PATH"),
    (
        &[],
        &[("MTX_PATH", "live/a b/in"), ("RTSP_PORT", "8554")],
        "live/a b/in",
    ),
    (
        &[],
        &[("MTX_PATH", "live/test/out"), ("RTSP_PORT", "8554")],
        "live/test/out",
    ),
    (
        &[],
        &[("MTX_PATH", "cam1")],
        "--output rtmp://localhost:1935/{path}/out",
    ),
    (
        &[
            "--input",
            "http://127.0.0.1/x",
            "--output",
            "rtmp://127.0.0.1/a/b",
        ],
        &[],
        "http",
    ),
    (
        &[
            "--input",
            "rtsp://127.0.0.1/x",
            "--output",
            "udp://127.0.0.1/a/b",
        ],
        &[],
        "udp",
    ),
    (
        &[
            "--input",
            "rtsp://127.0.0.1/x",
            "--output",
            "rtmp://127.0.0.1/a/b",
            "--retry",
            "soon",
        ],
        &[],
        "soon",
    ),
];

#[test]
fn wrong_usage_is_exit_code_2_with_a_line_that_helps() {
    for (arguments, environment, hint) in WRONG_USAGE {
        let folder = tempfile::tempdir().expect("a temp folder");
        let mut command = Command::new(suite_binary("mtx-worker"));
        command
            .args(arguments)
            .env("XDG_RUNTIME_DIR", folder.path())
            .env_remove("MTX_PATH")
            .env_remove("RTSP_PORT")
            .envs(environment.iter().copied());
        let mut process = Spawned::start("mtx-worker", command);
        assert_eq!(
            process.wait_code(SOON),
            2,
            "{arguments:?} {environment:?}: {}",
            process.output()
        );
        let output = process.output();
        assert!(
            output.contains(hint),
            "{arguments:?} {environment:?} should name {hint}:\n{output}"
        );
    }
}

#[test]
fn statistics_tell_how_the_stream_fares() {
    let stack = Stack::start();
    let worker = Worker::start_with(&stack.input(), &stack.output(), |command| {
        command.args(["--stats-interval", "1s"]);
    });
    let streaming = worker.wait_state("streaming", SOON);
    let late = streaming.at + Duration::from_millis(2_500);
    let stats = worker.wait_event(0, "statistics", SOON, |event| {
        event.text("message") == "stats" && event.at > late
    });
    assert_eq!(stats.text("state"), "streaming");
    assert_eq!(stats.text("path"), OUT.replace("out", "in"));
    assert_eq!(stats.text("streamId"), "test");
    // 25 frames and 47 packets of sound a second, 300 and 64 kbit/s.
    assert!(stats.number("frames") >= 50.0, "{stats:?}");
    assert!(stats.number("bytes") >= 50_000.0, "{stats:?}");
    let bitrate = stats.number("bitrate");
    assert!((200_000.0..800_000.0).contains(&bitrate), "{stats:?}");
    assert_eq!(
        (stats.number("dropped"), stats.number("reconnects")),
        (0.0, 0.0),
        "{stats:?}"
    );
    assert!(
        stats.json.get("latencyMs").is_some() && stats.number("latencyMs") < 500.0,
        "{stats:?}"
    );
}

#[test]
fn text_log_has_the_same_content_in_one_line_an_event() {
    let stack = Stack::start();
    let mut command = Command::new(suite_binary("mtx-worker"));
    command.args(["--input", &stack.input(), "--output", &stack.output()]);
    let process = Spawned::start("mtx-worker", command);
    let line = process.wait_for_line("state=streaming", SOON);
    assert!(
        line.text.contains("path=live/test/in") && line.text.contains("streamId=test"),
        "{}",
        line.text
    );
}

#[test]
fn stream_key_reaches_the_server_but_neither_log_nor_process_list() {
    let key = "k3y-0f-the-platform";
    let (stack, nginx) = (Stack::start(), Nginx::start());
    let output = nginx.rtmp("").trim_end_matches('/').to_owned();
    let worker = Worker::start_with(&stack.input(), &output, |command| {
        command
            .env("RTMP_STREAM_KEY", key)
            .args(["--stats-interval", "1s"]);
    });
    wait_until("the stream at nginx", SOON, || nginx.has_publisher(key));
    worker.wait_event(0, "statistics", SOON, |event| {
        event.text("message") == "stats"
    });
    assert_not_in_process_list(key);
    drop(nginx);
    worker.wait_event(0, "retry", SOON, |event| !event.text("attempt").is_empty());
    let log = worker.process().output();
    assert!(!log.contains(key), "{log}");
}

#[test]
fn passwords_do_not_reach_the_log() {
    let stack = Stack::start();
    let (user, password) = ("somebody", "pa55word-of-somebody");
    let input = stack
        .server
        .rtsp("live/nobody/in")
        .replace("://", &format!("://{user}:{password}@"));
    let output = format!("{}?user={user}&pass={password}", stack.output());
    let worker = Worker::start(&input, &output);
    worker.wait_event(0, "retry", SOON, |event| !event.text("attempt").is_empty());
    let log = worker.process().output();
    assert!(!log.contains(password), "{log}");
}

fn assert_not_in_process_list(secret: &str) {
    for pid in procfs::all_processes() {
        let line = procfs::command_line(pid).unwrap_or_default();
        assert!(!line.contains(secret), "{line}");
    }
}

/// What MediaMTX's own image is: nothing but the program. The kernel's user namespaces make the root.
#[test]
fn worker_streams_from_an_empty_root() {
    let stack = Stack::start();
    let root = tempfile::tempdir().expect("a temp folder");
    let binary = root.path().join("mtx-worker");
    place_program(&delivered_binary("mtx-worker"), &binary);
    fs::create_dir(root.path().join("etc")).expect("a folder");
    fs::write(root.path().join("etc/hosts"), "127.0.0.1 mediamtx\n").expect("a file");
    let by_name = |url: &str| url.replace("127.0.0.1", "mediamtx");
    let mut command = Command::new("unshare");
    command
        .args(["--map-root-user", "chroot"])
        .arg(root.path())
        .arg("/mtx-worker");
    command.args([
        "--input",
        &by_name(&stack.input()),
        "--output",
        &by_name(&stack.output()),
    ]);
    let process = Spawned::start("mtx-worker in an empty root", command);
    process.wait_for_line("state=streaming", SOON);
    stack.wait_out();
    Reader::start(&stack.server.rtsp(OUT)).collect(Kind::Video, 25, SOON);
}

#[test]
fn worker_with_a_closed_standard_error_streams_on() {
    let stack = Stack::start();
    let mut command = Command::new("sh");
    command
        .args(["-c", "exec \"$@\" 2>&- >&-", "sh"])
        .arg(suite_binary("mtx-worker"));
    command.args([
        "--input",
        &stack.input(),
        "--output",
        &stack.output(),
        "--stats-interval",
        "200ms",
    ]);
    let mut process = Spawned::start("mtx-worker", command);
    stack.wait_out();
    wait_for("some frames", SOON, || {
        stack
            .server
            .path(OUT)
            .filter(|path| path.bytes_received() > 100_000)
    });
    assert!(process.try_wait().is_none());
}
