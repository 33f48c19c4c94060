//! What mtx-worker says of what goes wrong, once, and with which exit code it ends.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use nix::sys::signal::Signal;
use suite_tests::binaries::suite_binary;
use suite_tests::mediamtx::{Config, MediaMtx};
use suite_tests::nginx::Nginx;
use suite_tests::ports;
use suite_tests::stack::{SOON, Stack};
use suite_tests::web::Web;
use suite_tests::worker::Worker;

/// The lines that were logged as errors.
fn errors(worker: &Worker) -> Vec<String> {
    let events = worker.events().into_iter();
    let errors = events.filter(|event| event.text("level") == "ERR");
    errors.map(|event| event.json.to_string()).collect()
}

/// Runs `mtx-worker` to its end, as the hook of a path if there is one.
fn run(arguments: &[&str], path: Option<&str>, folder: &Path) -> Output {
    let mut command = Command::new(suite_binary("mtx-worker"));
    command
        .args(arguments)
        .env("XDG_RUNTIME_DIR", folder)
        .env_remove("MTX_PATH")
        .envs(path.map(|path| ("MTX_PATH", path)));
    command.output().expect("it runs")
}

fn text(output: &Output) -> String {
    let bytes = [output.stdout.as_slice(), &output.stderr].concat();
    String::from_utf8(bytes).expect("text")
}

#[test]
fn a_certificate_that_can_t_be_read_is_wrong_usage() {
    for (variable, value) in [
        ("SSL_CERT_FILE", "/nowhere/ca.pem"),
        ("MEDIAMTX_FINGERPRINT", "xyz"),
    ] {
        let url = "rtmps://127.0.0.1:1/live/a/out";
        let mut worker = Worker::start_with("rtsp://127.0.0.1:1/live/a/in", url, |command| {
            command.env(variable, value);
        });
        assert_eq!(worker.wait_code(SOON), 2, "{}", worker.process().output());
        assert_eq!(errors(&worker).len(), 1, "{}", worker.process().output());
    }
}

#[test]
fn a_picture_that_is_called_off_ends_well() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = silent.local_addr().expect("it is bound").port();
    let input = format!("rtsp://127.0.0.1:{port}/a");
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let folder = tempfile::tempdir().expect("a folder");
        let picture = folder.path().join("picture.jpg");
        let mut worker = Worker::start(&input, picture.to_str().expect("a plain name"));
        let _connection = silent.accept().expect("the worker calls");
        worker.process().signal(signal);
        assert_eq!(worker.wait_code(SOON), 0, "{}", worker.process().output());
        assert!(!picture.exists() && errors(&worker).is_empty());
    }
}

#[test]
fn why_there_is_no_picture_is_said_once() {
    let input = format!("rtsp://127.0.0.1:{}/a", ports::tcp());
    let mut worker = Worker::start(&input, "/tmp/never.jpg");
    assert_eq!(worker.wait_code(SOON), 1);
    let output = worker.process().output();
    assert_eq!(output.matches("refused at port").count(), 1, "{output}");
}

#[test]
fn one_refused_output_of_two_is_one_error() {
    let (stack, nginx) = (Stack::start(), Nginx::start());
    let refused = format!("rtmp://127.0.0.1:{}/live/x", ports::tcp());
    let outputs = format!("{refused} {}", nginx.rtmp("test"));
    let worker = Worker::start_with(&stack.input(), &outputs, |command| {
        command.args(["--retry", "none"]);
    });
    worker.wait_event(0, "end of its tries", SOON, |event| {
        event.text("message").contains("the others go on")
    });
    let errors = errors(&worker);
    assert!(
        errors.len() == 1 && errors[0].contains("reason"),
        "{errors:?}"
    );
}

#[test]
fn without_retries_none_is_announced() {
    let stack = Stack::start();
    let nobody = stack.server.rtsp("live/nobody/in");
    let refused = format!("rtmp://127.0.0.1:{}/live/x", ports::tcp());
    for (input, output) in [(nobody, stack.output()), (stack.input(), refused)] {
        let mut worker = Worker::start_with(&input, &output, |command| {
            command.args(["--retry", "none"]);
        });
        assert_eq!(worker.wait_code(SOON), 1);
        assert_eq!(worker.states(), ["connecting", "ended"]);
        assert_eq!(errors(&worker).len(), 1, "{}", worker.process().output());
    }
}

#[test]
fn a_password_with_a_colon_is_said_to_be_the_reason() {
    let service = Web::start(|request| {
        let asked: serde_json::Value = serde_json::from_str(&request.body).unwrap_or_default();
        (if asked["user"] == "me" { 200 } else { 401 }, Vec::new())
    });
    let http = format!(
        "authMethod: http\nauthHTTPAddress: {}/auth\nauthHTTPExclude: [{{action: api}}]",
        service.url()
    );
    let server = MediaMtx::start(Config::default().global(&http));
    for (password, expected) in [("s3:cret", "colon"), ("s3cret", "404")] {
        let mut worker = Worker::start_with(&server.rtsp("a/in"), &server.rtmp("o"), |command| {
            command.args(["--retry", "none"]);
            command
                .env("RTSP_USERNAME", "me")
                .env("RTSP_PASSWORD", password);
        });
        assert_eq!(worker.wait_code(SOON), 1);
        let output = worker.process().output();
        assert!(
            output.contains(expected) && !output.contains(password),
            "{output}"
        );
    }
}

#[test]
fn a_wrong_line_in_the_key_file_stops_its_own_path_only() {
    let (stack, nginx) = (Stack::start(), Nginx::start());
    let folder = tempfile::tempdir().expect("a folder");
    let keys = folder.path().join("keys");
    fs::write(
        &keys,
        "\u{feff}other s3cret s3cret\r\nlive/test/in s7ream-key\r\n",
    )
    .expect("it is ours");
    fs::set_permissions(&keys, fs::Permissions::from_mode(0o600)).expect("it is ours");
    let file = keys.to_str().expect("a plain name");
    let application = nginx.rtmp("x").replace("/x", "");
    let worker = Worker::start_with(&stack.input(), &application, |command| {
        command.args(["--key-file", file]);
    });
    worker.wait_state("streaming", SOON);
    let warning = worker.wait_event(0, "warning", SOON, |event| event.text("level") == "WAR");
    let message = warning.text("message");
    assert!(
        message.contains("line 1") && !message.contains("s3cret"),
        "{message}"
    );
}

#[test]
fn a_check_says_what_would_be_done_or_what_is_wrong_and_remembers_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    for (arguments, path, code, expected) in [
        (
            &["--output", "rtmp://h/{name}"][..],
            Some("a/b"),
            0,
            "ok: rtsp://localhost:8554/a/b goes to rtmp://h:1935/b\n",
        ),
        (
            &["--input", "rtsp://h/a", "--output", "x.jpg"],
            None,
            0,
            "ok: a picture of rtsp://h/a goes to x.jpg\n",
        ),
        (
            &["--bogus"],
            Some("a/in"),
            2,
            "error: unexpected argument '--bogus' found\n",
        ),
        (
            &["--output", "rtmp://h/{nam}"],
            Some("a"),
            2,
            "error: --output: {nam} is nothing",
        ),
        (&[], Some("a"), 2, "error: a does not end in /in"),
        (
            &["--output", "rtmp://localhost/a"],
            Some("a"),
            2,
            "is the input itself",
        ),
        (
            &["--output", "rtmp://h/a", "--key-file", "/nowhere"],
            Some("a"),
            2,
            "error: can't read the keys in /nowhere",
        ),
    ] {
        let output = run(&[&["--check"], arguments].concat(), path, folder.path());
        let text = text(&output);
        assert_eq!(output.status.code(), Some(code), "{text}");
        assert!(text.contains(expected), "{text}");
    }
    let left = fs::read_dir(folder.path()).expect("it is there").count();
    assert_eq!(left, 0, "a check is no failure");
}

/// Started by MediaMTX, their standard error is its log.
#[test]
fn a_url_in_the_wrong_place_is_not_repeated_by_any_program() {
    for program in [
        "mtx-hook",
        "mtx-worker",
        "mtx-lifecycle",
        "mtx-orchestrator",
    ] {
        let mut command = Command::new(suite_binary(program));
        let refused = command
            .args(["--bogus", "rtmp://h/live2/k3y-in-url"])
            .output();
        let refused = refused.expect("it starts");
        let said = String::from_utf8_lossy(&refused.stderr);
        assert_eq!(refused.status.code(), Some(2), "{program}: {said}");
        assert!(
            said.contains("--bogus") && !said.contains("k3y"),
            "{program}: {said}"
        );
        let mut command = Command::new(suite_binary(program));
        let refused = command.arg("rtmp://h/live2/k3y-in-url").output();
        let said = String::from_utf8_lossy(&refused.expect("it starts").stderr).into_owned();
        assert!(
            !said.contains("k3y") && said.contains("://***"),
            "{program}: {said}"
        );
    }
}
