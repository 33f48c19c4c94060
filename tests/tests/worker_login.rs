//! mtx-worker as a hook of servers that ask for a login, speak TLS, or listen elsewhere.

use std::path::Path;

use suite_tests::certificates::Certificate;
use suite_tests::clips::Clip;
use suite_tests::mediamtx::{Config, MediaMtx, Ports};
use suite_tests::packets::{Kind, Reader};
use suite_tests::processes::Spawned;
use suite_tests::stack::{IN, OUT, SOON};
use suite_tests::web::Web;
use suite_tests::worker::Worker;

const USER: &str = "worker";
const PASSWORD: &str = "s3cret+of@the#worker";
const ENCODED: &str = "s3cret%2Bof%40the%23worker";

fn config() -> Config {
    let hook = "runOnAvailable: mtx-worker\nrunOnAvailableRestart: yes";
    Config::default()
        .worker_for_hooks()
        .path("~^(.+)/in$", hook)
}

/// With the login that the README has in MediaMTX's environment.
fn config_with_login() -> Config {
    config()
        .env("RTSP_USERNAME", USER)
        .env("RTSP_PASSWORD", PASSWORD)
}

/// What is published to `/in` comes out at `/out`, and no password is in the log.
#[track_caller]
fn passes_through(server: &MediaMtx, credentials: &str) {
    let with_login = |path| {
        server
            .rtsp(path)
            .replace("://", &format!("://{credentials}"))
    };
    let _publisher = Clip::h264_aac().publish(&with_login(IN));
    server.wait_ready(IN, 2 * SOON);
    server.wait_ready(OUT, SOON);
    Reader::start(&with_login(OUT)).collect(Kind::Video, 25, SOON);
    let log = server.process().output();
    assert!(!log.contains("s3cret"), "{log}");
}

#[test]
fn internal_users() {
    for methods in ["[basic]", "[digest]"] {
        let config = config_with_login().only_user(USER, &format!("{PASSWORD:?}"));
        let server = MediaMtx::start(config.global(&format!("rtspAuthMethods: {methods}")));
        passes_through(&server, &format!("{USER}:{ENCODED}@"));
    }
}

#[test]
fn an_http_service_that_decides() {
    let service = Web::start(|request| {
        let asked: serde_json::Value = serde_json::from_str(&request.body).unwrap_or_default();
        let right = asked["user"] == USER && asked["password"] == PASSWORD;
        (if right { 200 } else { 401 }, Vec::new())
    });
    let http = format!("authMethod: http\nauthHTTPAddress: {}/auth", service.url());
    let server = MediaMtx::start(config_with_login().global(&http));
    passes_through(&server, &format!("{USER}:{ENCODED}@"));
}

/// HS256, without an end; it allows to publish and to read all paths.
const JWT: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6InRlc3QifQ.\
    eyJtZWRpYW10eF9wZXJtaXNzaW9ucyI6W3siYWN0aW9uIjoicHVibGlzaCIsInBhdGgiOiIifSx7ImFjdGlvbiI6InJlYWQiLCJwYXRoIjoiIn1dfQ.\
    Qlf626aSCamxLzUcN9AuXFyhV28XzwaLN9QkbqDdIbg";
/// With which it is signed.
const JWKS: &str = r#"{"keys": [{"kty": "oct", "kid": "test", "alg": "HS256", "use": "sig",
    "k": "b25seSBmb3IgdGhpcyB0ZXN0LCBhbmQgbG9uZyBlbm91Z2g"}]}"#;

#[test]
fn a_json_web_token_as_the_password() {
    let keys = Web::start(|_| (200, JWKS.into()));
    let jwt = format!(
        "authMethod: jwt\nauthJWTJWKS: {}/keys\nauthJWTClaimKey: mediamtx_permissions\nauthJWTExclude: [{{action: api}}]",
        keys.url()
    );
    let server = MediaMtx::start(config().env("RTSP_PASSWORD", JWT).global(&jwt));
    let with_token = |path| format!("{}?jwt={JWT}", server.rtsp(path));
    let _publisher = Clip::h264_aac().publish(&with_token(IN));
    server.wait_ready(IN, 2 * SOON);
    server.wait_ready(OUT, SOON);
    Reader::start(&with_token(OUT)).collect(Kind::Video, 25, SOON);
    let log = server.process().output();
    assert!(!log.contains(JWT), "{log}");
}

/// A server that takes RTMP over TLS only, whose hook says so.
fn rtmps_only(
    certificate: Certificate,
    change: impl FnOnce(Config) -> Config,
) -> (MediaMtx, Spawned) {
    let ports = Ports::choose();
    let hook = format!(
        "runOnAvailable: mtx-worker --output rtmps://127.0.0.1:{}/{{1}}/out\nrunOnAvailableRestart: yes",
        ports.rtmps
    );
    let config = Config::default()
        .worker_for_hooks()
        .path("~^(.+)/in$", &hook);
    let config = config
        .rtmps(certificate)
        .env("MTX_RTMPENCRYPTION", "strict");
    let server = MediaMtx::start_on(ports, change(config));
    let publisher = Clip::h264_aac().publish(&server.rtsp(IN));
    server.wait_ready(IN, 2 * SOON);
    (server, publisher)
}

#[test]
fn rtmp_over_tls_only_with_the_fingerprint_of_its_certificate() {
    let certificate = Certificate::generate();
    let fingerprint = certificate.fingerprint();
    let (server, _publisher) = rtmps_only(certificate, |config| {
        config.env("MEDIAMTX_FINGERPRINT", fingerprint)
    });
    server.wait_ready(OUT, SOON);
    assert_eq!(server.connections("rtmpsconns").len(), 1);
}

#[test]
fn a_self_signed_certificate_is_refused_with_the_variable_that_trusts_it() {
    let certificate = Certificate::generate();
    let remedy = format!("MEDIAMTX_FINGERPRINT={}", certificate.fingerprint());
    let (server, _publisher) = rtmps_only(certificate, |config| config);
    server.process().wait_for_line(&remedy, SOON);
    assert!(!server.is_ready(OUT));
}

#[test]
fn rtmp_that_is_off_is_named_with_its_settings() {
    let server = MediaMtx::start(config().env("MTX_RTMP", "no"));
    let _publisher = Clip::h264_aac().publish(&server.rtsp(IN));
    let line = server
        .process()
        .wait_for_line("connection refused at port", 2 * SOON)
        .text;
    assert!(line.contains(&server.ports.rtmp.to_string()), "{line}");
    assert!(
        line.contains("rtmpEncryption") && line.contains("RTMP_PORT"),
        "{line}"
    );
}

/// A server that takes RTSP over TLS only; its hook is given.
fn rtsps_only(certificate: &Certificate, folder: &Path, port: u16, hook: &str) -> MediaMtx {
    let (cert, key) = certificate.write(folder);
    let tls = format!(
        "rtspServerCert: {}\nrtspServerKey: {}\nrtspsAddress: 127.0.0.1:{port}\nrtspTransports: [tcp]",
        cert.display(),
        key.display(),
    );
    let config = Config::default()
        .worker_for_hooks()
        .path(
            "~^(.+)/in$",
            &format!("runOnAvailable: {hook}\nrunOnAvailableRestart: yes"),
        )
        .global(&tls)
        .env("MTX_RTSPENCRYPTION", "strict")
        .env("MEDIAMTX_FINGERPRINT", certificate.fingerprint());
    MediaMtx::start(config)
}

#[test]
fn rtsp_over_tls_only_is_named_with_its_setting() {
    let folder = tempfile::tempdir().unwrap();
    let port = suite_tests::ports::tcp();
    let server = rtsps_only(&Certificate::generate(), folder.path(), port, "mtx-worker");
    let _publisher = Clip::h264_aac().publish(&server.rtmp(IN));
    let line = server
        .process()
        .wait_for_line("connection refused at port", 2 * SOON)
        .text;
    assert!(
        line.contains("rtspEncryption") && line.contains("rtsps://"),
        "{line}"
    );
}

#[test]
fn rtsp_over_tls_only_is_read_where_the_hook_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let port = suite_tests::ports::tcp();
    let hook = format!("mtx-worker --input rtsps://localhost:{port}/$MTX_PATH");
    let server = rtsps_only(&Certificate::generate(), folder.path(), port, &hook);
    let _publisher = Clip::h264_aac().publish(&server.rtmp(IN));
    server.wait_ready(OUT, 2 * SOON);
    assert_eq!(server.connections("rtspsconns").len(), 1);
}

#[test]
fn ipv6_only() {
    let ports = Ports::choose();
    let at = |port: u16| format!("[::1]:{port}");
    let config = config()
        .env("MTX_RTSPADDRESS", at(ports.rtsp))
        .env("MTX_RTMPADDRESS", at(ports.rtmp))
        .global("rtspTransports: [tcp]");
    let server = MediaMtx::start_on(ports, config);
    let _publisher = Clip::h264_aac().publish(&format!("rtsp://[::1]:{}/{IN}", ports.rtsp));
    server.wait_ready(OUT, 2 * SOON);
}

/// Everybody may read, and nobody but `may` publish.
fn readable_by_all() -> MediaMtx {
    MediaMtx::start(Config::default().global(
        "authInternalUsers:\n\
         - user: may\n  permissions: [{action: publish}]\n\
         - user: any\n  permissions: [{action: read}, {action: api}]",
    ))
}

#[test]
fn a_worker_whose_login_may_not_publish_says_so_and_never_streams() {
    let server = readable_by_all();
    let _publisher = Clip::h264_aac().publish(&format!("{}?user=may", server.rtmp(IN)));
    server.wait_ready(IN, SOON);
    // MediaMTX takes its time, another one for each.
    let workers = ["a", "b", "c", "d"].map(|path| {
        let output = format!("{}?user=may_not", server.rtmp(path));
        Worker::start_with(&server.rtsp(IN), &output, |command| {
            command.args(["--retry", "none"]);
        })
    });
    for mut worker in workers {
        assert_eq!(worker.wait_code(SOON), 1);
        let output = worker.process().output();
        assert_eq!(worker.states(), ["connecting", "ended"], "{output}");
        assert!(output.contains("right after it accepted"), "{output}");
    }
    let output = format!("{}?user=may", server.rtmp(OUT));
    let worker = Worker::start(&server.rtsp(IN), &output);
    worker.wait_state("streaming", SOON);
}

#[test]
fn a_wrong_password_of_the_input_is_said_to_be_wrong() {
    let server = MediaMtx::start(Config::default().only_user(USER, &format!("{PASSWORD:?}")));
    // MediaMTX takes its time, another one for each.
    let workers = ["a", "b", "c", "d", "e", "f"].map(|output| {
        let input = server.rtsp(IN).replace("://", "://worker:wrong@");
        Worker::start_with(&input, &server.rtmp(output), |command| {
            command.args(["--retry", "none"]);
        })
    });
    for mut worker in workers {
        assert_eq!(worker.wait_code(SOON), 1);
        let output = worker.process().output();
        assert!(output.contains("authentication failed"), "{output}");
    }
}
