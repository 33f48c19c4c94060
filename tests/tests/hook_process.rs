//! mtx-hook as a process: what it sends, what it prints, how it exits.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::Value;
use suite_tests::binaries::suite_binary;
use suite_tests::certificates::Certificate;
use suite_tests::events::{ENVIRONMENT, EVENTS, hook};
use suite_tests::mediamtx::{Config, MediaMtx};
use suite_tests::ports;
use suite_tests::processes::Spawned;
use suite_tests::receiver::{Answer, Receiver};

const SOON: Duration = Duration::from_secs(10);
const TOKEN: &str = "hunter2-hunter2";

/// Runs it to its end and checks what always holds: nothing on stdout, at most one line on stderr
/// unless the usage was wrong.
#[track_caller]
fn run(mut command: Command) -> (i32, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().expect("it starts");
    assert_eq!(stdout, b"", "something on stdout");
    let line = String::from_utf8(stderr).expect("what it prints is text");
    (status.code().expect("it exits by itself"), line)
}

#[track_caller]
fn fails(code: i32, parts: &[&str], command: Command) {
    let (exit, line) = run(command);
    assert_eq!(exit, code, "{line}");
    assert_eq!(line.lines().count(), 1, "{line}");
    for part in parts {
        assert!(line.contains(part), "no {part} in {line}");
    }
}

#[test]
fn ready_event_reaches_the_orchestrator_as_one_json_post() {
    let receiver = Receiver::start(Answer::Status(204));
    let (exit, line) = run(hook(&["ready"], &receiver.url()));
    assert_eq!(exit, 0, "{line}");
    assert_eq!(line.lines().count(), 1, "{line}");
    for part in [
        "INF",
        "event=ready",
        "path=live/cam/in",
        "streamId=cam",
        "sourceId=s1",
        "status=204",
    ] {
        assert!(line.contains(part), "no {part} in {line}");
    }
    let [request] = &receiver.received()[..] else {
        panic!("{:?}", receiver.received());
    };
    assert_eq!(
        request.request_line,
        "POST /v1/mediamtx/events/ready HTTP/1.1"
    );
    assert_eq!(request.header("content-type"), Some("application/json"));
    assert_eq!(request.header("authorization"), None);
    let mut body = request.json();
    let timestamp = body.as_object_mut().expect("an object").remove("timestamp");
    let timestamp = timestamp.and_then(|time| time.as_str().map(str::to_owned));
    let timestamp = timestamp.expect("a time stamp");
    assert!(
        timestamp.len() == 24 && timestamp.ends_with('Z'),
        "{timestamp}"
    );
    let expected = serde_json::json!({
        "path": "live/cam/in", "query": "lang=es&x=a%20b", "sourceType": "rtmpConn", "sourceId": "s1", "rtspPort": 8554,
        "streamId": "cam",
    });
    assert_eq!(body, expected);
}

#[test]
fn every_event_goes_to_its_own_url_below_the_orchestrators() {
    let receiver = Receiver::start(Answer::Status(200));
    for event in EVENTS {
        let (exit, line) = run(hook(&[event], &format!("{}/media/", receiver.url())));
        assert_eq!(exit, 0, "{line}");
    }
    let lines: Vec<String> = receiver
        .received()
        .into_iter()
        .map(|one| one.request_line)
        .collect();
    let expected = EVENTS.map(|event| format!("POST /media/v1/mediamtx/events/{event} HTTP/1.1"));
    assert_eq!(lines, expected);
}

#[test]
fn the_token_goes_along_and_is_never_shown() {
    for answer in [Answer::Status(200), Answer::Status(401), Answer::Close] {
        let receiver = Receiver::start(answer);
        let mut command = hook(&["ready"], &receiver.url());
        command.env("ORCHESTRATOR_TOKEN", TOKEN);
        let (_, line) = run(command);
        assert!(!line.contains("hunter2"), "{line}");
        let bearer = format!("Bearer {TOKEN}");
        assert_eq!(
            receiver.received()[0].header("authorization"),
            Some(bearer.as_str())
        );
    }
}

#[test]
fn any_status_but_2xx_is_a_failure_that_names_it() {
    for status in ["300", "304", "400", "401", "404", "500", "503"] {
        let receiver = Receiver::start(Answer::Status(status.parse().expect("a number")));
        let url = format!("{}/v1/mediamtx/events/ready", receiver.url());
        let parts = [
            "ERR",
            "ready",
            "live/cam/in",
            &url,
            &format!("status={status}"),
        ];
        fails(1, &parts, hook(&["ready"], &receiver.url()));
        assert_eq!(receiver.received().len(), 1, "{status} was tried again");
    }
}

#[test]
fn a_redirect_is_a_failure_and_not_followed() {
    let receiver = Receiver::start(Answer::Redirect);
    fails(
        1,
        &["status=301", "live/cam/in"],
        hook(&["ready"], &receiver.url()),
    );
    assert_eq!(receiver.received().len(), 1);
}

#[test]
fn a_receiver_that_is_down_is_a_failure_that_says_so() {
    let url = format!("http://localhost:{}", ports::tcp());
    fails(
        1,
        &["ready", "live/cam/in", &url, "Connection refused"],
        hook(&["ready"], &url),
    );
    let url = "http://nobody.invalid";
    fails(
        1,
        &["ready", "live/cam/in", url, "lookup"],
        hook(&["ready"], url),
    );
}

#[test]
fn a_connection_closed_without_an_answer_is_a_failure_and_not_tried_again() {
    let receiver = Receiver::start(Answer::Close);
    fails(
        1,
        &["ready", "live/cam/in"],
        hook(&["ready"], &receiver.url()),
    );
    assert_eq!(receiver.received().len(), 1);
}

#[test]
fn an_answer_that_never_ends_fails_at_the_deadline() {
    for answer in [Answer::Never, Answer::DripFed] {
        let receiver = Receiver::start(answer);
        let command = hook(&["ready", "--timeout", "500ms"], &receiver.url());
        let start = Instant::now();
        fails(
            1,
            &["ready", "live/cam/in", "no answer within 500ms"],
            command,
        );
        let took = start.elapsed();
        assert!(
            (500..1_000).contains(&took.as_millis()),
            "{answer:?} took {took:?}"
        );
    }
}

#[test]
fn the_deadline_is_two_seconds_and_can_be_set_by_environment() {
    let receiver = Receiver::start(Answer::Never);
    fails(
        1,
        &["no answer within 2s"],
        hook(&["ready"], &receiver.url()),
    );
    let mut command = hook(&["ready"], &receiver.url());
    command.env("MTX_HOOK_TIMEOUT", "100ms");
    fails(1, &["no answer within 100ms"], command);
}

/// Runs a command where the only name server takes every question and answers none: in a network of its own, with
/// the loopback interface up.
#[cfg(target_os = "linux")]
const BEHIND_A_SILENT_NAME_SERVER: &str = r#"
import fcntl, socket, struct, subprocess, sys
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
SIOCSIFFLAGS, IFF_UP = 0x8914, 1
fcntl.ioctl(server, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP))
server.bind(("127.0.0.1", 53))
subprocess.run(["mount", "--bind", sys.argv[1], "/etc/resolv.conf"], check=True)
sys.exit(subprocess.run(sys.argv[2:]).returncode)
"#;

#[cfg(target_os = "linux")]
#[test]
fn a_name_lookup_that_hangs_fails_at_the_deadline() {
    let folder = tempfile::tempdir().expect("a temp folder");
    let resolver = folder.path().join("resolv.conf");
    std::fs::write(&resolver, "nameserver 127.0.0.1\n").expect("a writable folder");
    let mut command = Command::new("unshare");
    command.args(["--map-root-user", "--mount", "--net", "python3", "-c"]);
    command.arg(BEHIND_A_SILENT_NAME_SERVER).arg(&resolver);
    command
        .arg(suite_binary("mtx-hook"))
        .args(["ready", "--timeout", "1s"]);
    command
        .envs(ENVIRONMENT)
        .env("ORCHESTRATOR_URL", "http://orchestrator.example");
    fails(1, &["orchestrator.example", "no answer within 1s"], command);
}

#[test]
fn a_body_without_end_does_not_matter() {
    let receiver = Receiver::start(Answer::EndlessBody);
    let (exit, line) = run(hook(&["ready"], &receiver.url()));
    assert_eq!(exit, 0, "{line}");
}

#[test]
fn missing_or_malformed_environment_is_refused_and_nothing_sent() {
    let receiver = Receiver::start(Answer::Status(200));
    for (name, value, parts) in [
        ("MTX_PATH", None, ["MTX_PATH", "not set"]),
        ("MTX_QUERY", None, ["MTX_QUERY", "not set"]),
        (
            "MTX_PATH",
            Some(&b"live/a b/in"[..]),
            ["live/a b/in", "letters, digits"],
        ),
        (
            "MTX_PATH",
            Some(b"live/a\nb/in"),
            ["a\\nb", "letters, digits"],
        ),
        ("MTX_PATH", Some(b"cam/"), ["cam/", "slash"]),
        ("MTX_PATH", Some(b"live/\xff/in"), ["MTX_PATH", "UTF-8"]),
        ("MTX_QUERY", Some(b"\xff"), ["MTX_QUERY", "UTF-8"]),
        ("RTSP_PORT", Some(b"x"), ["RTSP_PORT", "port"]),
        (
            "ORCHESTRATOR_URL",
            Some(b""),
            ["ORCHESTRATOR_URL", "http(s)://"],
        ),
        (
            "ORCHESTRATOR_URL",
            Some(b"localhost:8080"),
            ["ORCHESTRATOR_URL", "http(s)://"],
        ),
        (
            "ORCHESTRATOR_URL",
            Some(b"http://a:hunter2@h"),
            ["ORCHESTRATOR_URL", "***"],
        ),
        (
            "ORCHESTRATOR_URL",
            Some(b"http://\xff"),
            ["ORCHESTRATOR_URL", "UTF-8"],
        ),
        (
            "ORCHESTRATOR_TOKEN",
            Some(b"hunter2\n"),
            ["ORCHESTRATOR_TOKEN", "ASCII"],
        ),
    ] {
        let mut command = hook(&["ready"], &receiver.url());
        match value {
            Some(value) => command.env(name, OsStr::from_bytes(value)),
            None => command.env_remove(name),
        };
        let (exit, line) = run(command);
        assert_eq!((exit, line.lines().count()), (2, 1), "{line}");
        assert!(parts.iter().all(|part| line.contains(part)), "{line}");
        assert!(!line.contains("hunter2"), "{line}");
    }
    assert!(receiver.received().is_empty(), "{:?}", receiver.received());
}

#[test]
fn wrong_usage_is_exit_code_2_and_nothing_sent() {
    let receiver = Receiver::start(Answer::Status(200));
    for arguments in [
        &[][..],
        &["rady"],
        &["ready", "x"],
        &["ready", "--timeout", "0s"],
        &["--nonsense"],
        &["doctor", "a.yml", "b.yml"],
    ] {
        let (exit, line) = run(hook(arguments, &receiver.url()));
        assert!(exit == 2 && !line.is_empty(), "{arguments:?}: {line}");
    }
    assert!(receiver.received().is_empty());
}

#[test]
fn hostile_values_arrive_unchanged_as_valid_json() {
    let receiver = Receiver::start(Answer::Status(200));
    let long = "%22%5C".repeat(20_000);
    let (wide, quoted) = (
        "\"\\".repeat(20_000),
        "\"; $(id) `id` \n\r\t\\ '{}' \u{1b}[31m é",
    );
    for (escaped, query) in [
        (long.as_str(), wide.as_str()),
        (quoted, quoted),
        ("a%FFb", "a%FFb"),
    ] {
        let mut command = hook(&["ready"], &receiver.url());
        command
            .env("MTX_QUERY", escaped)
            .env("MTX_SOURCE_ID", quoted);
        let (exit, line) = run(command);
        assert_eq!((exit, line.lines().count()), (0, 1), "{line}");
        let body = receiver.received().last().expect("it arrived").json();
        assert_eq!(body["query"].as_str(), Some(query));
        assert_eq!(body["sourceId"].as_str(), Some(quoted));
    }
}

#[test]
fn sigint_and_sigterm_during_the_post_do_not_lose_the_event() {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let receiver = Receiver::start(Answer::Late(Duration::from_millis(400)));
        let mut process = Spawned::start("mtx-hook", hook(&["ready"], &receiver.url()));
        receiver.wait_event("ready", SOON);
        process.signal(signal);
        assert_eq!(process.wait_code(SOON), 0);
        process.wait_for_line("ready event delivered", SOON);
    }
}

#[test]
fn signals_do_not_outlast_the_deadline() {
    let receiver = Receiver::start(Answer::Never);
    let command = hook(&["ready", "--timeout", "500ms"], &receiver.url());
    let mut process = Spawned::start("mtx-hook", command);
    receiver.wait_event("ready", SOON);
    process.signal(Signal::SIGINT);
    assert_eq!(process.wait_code(Duration::from_secs(2)), 1);
}

#[test]
fn json_log_lines_carry_the_correlation_fields() {
    let url = format!("http://127.0.0.1:{}", ports::tcp());
    let (_, line) = run(hook(&["ready", "--log-format", "json"], &url));
    let line: Value = serde_json::from_str(&line).expect("JSON");
    for (field, value) in [
        ("level", "ERR"),
        ("event", "ready"),
        ("path", "live/cam/in"),
        ("streamId", "cam"),
        ("sourceId", "s1"),
    ] {
        assert_eq!(line[field], value);
    }
    assert!(line["timestamp"].is_string() && line["ms"].is_u64());
}

#[test]
fn a_proxy_of_the_servers_environment_is_not_asked() {
    let receiver = Receiver::start(Answer::Status(200));
    let mut command = hook(&["ready"], &receiver.url());
    command.env("http_proxy", format!("http://127.0.0.1:{}", ports::tcp()));
    assert_eq!(run(command).0, 0);
}

#[test]
fn check_tells_a_healthy_server_from_a_sick_one() {
    for (answer, code) in [
        (Answer::Status(200), 0),
        (Answer::Status(404), 1),
        (Answer::Redirect, 1),
    ] {
        let receiver = Receiver::start(answer);
        let url = format!("{}/health?token={TOKEN}", receiver.url());
        let (exit, line) = run(hook(&["check", &url], "not looked at"));
        assert_eq!(exit, code, "{line}");
        assert_eq!(line.lines().count(), usize::from(code != 0), "{line}");
        assert!(!line.contains("hunter2"), "{line}");
        let request = &receiver.received()[0];
        assert_eq!(
            request.request_line,
            format!("GET /health?token={TOKEN} HTTP/1.1")
        );
    }
    let url = format!("http://localhost:{}/", ports::tcp());
    fails(
        1,
        &["check failed", &url, "refused"],
        hook(&["check", &url], ""),
    );
    fails(
        2,
        &["check", "http(s)://"],
        hook(&["check", "localhost"], ""),
    );
}

#[test]
fn https_works_with_a_trusted_certificate_only() {
    let folder = tempfile::tempdir().expect("a temp folder");
    let made = Certificate::generate();
    let (certificate, key) = made.write(folder.path());
    let server = MediaMtx::start(Config::default().global(&format!(
        "metricsEncryption: yes\nmetricsServerCert: {}\nmetricsServerKey: {}",
        certificate.display(),
        key.display(),
    )));
    let base = format!("https://localhost:{}", server.ports.metrics);
    let url = format!("{base}/metrics");
    let trusting = |arguments: &[&str], name: &str, value: &OsStr| {
        let mut command = hook(arguments, &base);
        command.env(name, value);
        command
    };
    let (exit, line) = run(trusting(
        &["check", &url],
        "SSL_CERT_FILE",
        certificate.as_os_str(),
    ));
    assert_eq!(exit, 0, "{line}");
    let by_file = trusting(&["ready"], "SSL_CERT_FILE", certificate.as_os_str());
    fails(1, &["status=404", &base], by_file);

    // The message for the certificate that is not trusted holds the fingerprint to trust it by.
    let fingerprint = made.fingerprint();
    fails(
        1,
        &[
            "ready",
            &base,
            "SSL_CERT_FILE",
            &format!("ORCHESTRATOR_FINGERPRINT={fingerprint}"),
        ],
        hook(&["ready"], &base),
    );
    let pinned = |value: &str| trusting(&["ready"], "ORCHESTRATOR_FINGERPRINT", OsStr::new(value));
    fails(1, &["status=404"], pinned(&fingerprint));
    fails(
        1,
        &["status=404"],
        pinned(&fingerprint.replace(':', "").to_lowercase()),
    );
    fails(
        1,
        &["not that of ORCHESTRATOR_FINGERPRINT", &fingerprint],
        pinned(&"0".repeat(64)),
    );
    fails(
        2,
        &["ORCHESTRATOR_FINGERPRINT", "openssl x509"],
        pinned("0123"),
    );

    let no_file = trusting(&["ready"], "SSL_CERT_FILE", OsStr::new("/nowhere/ca.pem"));
    fails(
        2,
        &["SSL_CERT_FILE", "/nowhere/ca.pem", "No such file"],
        no_file,
    );
    let only_a_key = trusting(&["ready"], "SSL_CERT_FILE", key.as_os_str());
    fails(2, &["SSL_CERT_FILE", "no certificate"], only_a_key);
    let plain = format!("https://localhost:{}", server.ports.api);
    fails(
        1,
        &["http:// instead of https://"],
        hook(&["ready"], &plain),
    );
}

/// The commands of MediaMTX's documentation make a certificate that is a CA of its own.
#[test]
fn a_certificate_made_as_mediamtx_documents_it_can_be_trusted_by_its_file() {
    let folder = tempfile::tempdir().expect("a temp folder");
    let openssl = Command::new("openssl")
        .args([
            "req",
            "-new",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=localhost",
        ])
        .args([
            "-addext",
            "subjectAltName=DNS:localhost",
            "-keyout",
            "server.key",
            "-out",
            "server.crt",
        ])
        .current_dir(folder.path())
        .output()
        .expect("openssl runs");
    assert!(openssl.status.success(), "{openssl:?}");
    let file = folder.path().join("server.crt");
    let server = MediaMtx::start(Config::default().global(&format!(
        "metricsEncryption: yes\nmetricsServerCert: {}\nmetricsServerKey: {}",
        file.display(),
        folder.path().join("server.key").display(),
    )));
    let check = |host: &str| {
        let mut command = hook(
            &[
                "check",
                &format!("https://{host}:{}/metrics", server.ports.metrics),
            ],
            "",
        );
        command.env("SSL_CERT_FILE", &file);
        command
    };
    let (exit, line) = run(check("localhost"));
    assert_eq!(exit, 0, "{line}");
    fails(1, &["127.0.0.1", "not valid for name"], check("127.0.0.1"));
}
