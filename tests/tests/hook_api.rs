//! MediaMTX's API with each kind of login and with TLS, as the suite's client asks it: mtx-hook doctor stands for all.

use std::process::Command;

use suite_tests::binaries::suite_binary;
use suite_tests::certificates::Certificate;
use suite_tests::mediamtx::{Config, MediaMtx, Ports};
use suite_tests::nginx::TlsProxy;
use suite_tests::web::Web;

/// HS256, without an end; it allows to use the API.
const JWT: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6InRlc3QifQ.\
    eyJtZWRpYW10eF9wZXJtaXNzaW9ucyI6W3siYWN0aW9uIjoiYXBpIn1dfQ.\
    JdkNPuiRqUkihrT359H2qow39U9n74PD6-8ESZCVtmk";
/// With which it is signed.
const JWKS: &str = r#"{"keys": [{"kty": "oct", "kid": "test", "alg": "HS256", "use": "sig",
    "k": "b25seSBmb3IgdGhpcyB0ZXN0LCBhbmQgbG9uZyBlbm91Z2g"}]}"#;

/// Has doctor look at a server over its API alone.
fn ask(url: &str, variables: &[(&str, &str)]) -> (bool, String) {
    let folder = tempfile::tempdir().expect("a temp folder");
    let mut command = Command::new(suite_binary("mtx-hook"));
    command
        .args(["doctor", "--timeout", "10s"])
        .env_clear()
        .current_dir(folder.path());
    command
        .env("MEDIAMTX_API_URL", url)
        .envs(variables.iter().copied());
    command.envs(std::env::var_os("LLVM_PROFILE_FILE").map(|file| ("LLVM_PROFILE_FILE", file)));
    let output = command.output().expect("it starts");
    (
        output.status.success(),
        String::from_utf8_lossy(&output.stdout).into_owned(),
    )
}

#[track_caller]
fn works(url: &str, variables: &[(&str, &str)]) {
    let (good, text) = ask(url, variables);
    assert!(good && text.contains("the server at http"), "{text}");
}

#[track_caller]
fn fails(url: &str, variables: &[(&str, &str)], parts: &[&str]) {
    let (good, text) = ask(url, variables);
    assert!(!good, "{text}");
    for part in parts {
        assert!(text.contains(part), "no {part} in {text}");
    }
    assert!(!text.contains("s3cret") && !text.contains(JWT), "{text}");
}

#[test]
fn internal_users() {
    let users = "authInternalUsers:\n\
        - {user: admin, pass: 's3cret#@', permissions: [{action: api}]}\n\
        - {user: viewer, pass: s3cret, permissions: [{action: read}]}";
    let server = MediaMtx::start(Config::default().global(users));
    let at = format!("127.0.0.1:{}", server.ports.api);
    works(&format!("http://admin:s3cret%23%40@{at}"), &[]);
    fails(
        &server.api(""),
        &[],
        &["401", "user: any", "MEDIAMTX_API_TOKEN", "action: api"],
    );
    fails(
        &format!("http://viewer:s3cret@{at}"),
        &[],
        &["401", "lacks", "action: api", "ips"],
    );
    fails(
        &server.api(""),
        &[("MEDIAMTX_API_TOKEN", JWT)],
        &["401", "no tokens"],
    );
}

#[test]
fn json_web_tokens() {
    let keys = Web::start(|_| (200, JWKS.into()));
    let jwt = format!(
        "authMethod: jwt\nauthJWTJWKS: {}/keys\nauthJWTExclude: []",
        keys.url()
    );
    let server = MediaMtx::start(Config::default().global(&jwt));
    works(&server.api(""), &[("MEDIAMTX_API_TOKEN", JWT)]);
    let wrong = format!("{JWT}x");
    fails(
        &server.api(""),
        &[("MEDIAMTX_API_TOKEN", &wrong)],
        &["401", "expired", "authJWTClaimKey"],
    );
}

#[test]
fn an_http_service_that_decides() {
    let service = Web::start(|request| {
        let asked: serde_json::Value = serde_json::from_str(&request.body).unwrap_or_default();
        let right = asked["password"] == "s3cret" && asked["action"] == "api";
        (if right { 200 } else { 401 }, Vec::new())
    });
    let http = format!(
        "authMethod: http\nauthHTTPAddress: {}/auth\nauthHTTPExclude: []",
        service.url()
    );
    let server = MediaMtx::start(Config::default().global(&http));
    let at = format!("127.0.0.1:{}", server.ports.api);
    works(&format!("http://u:s3cret@{at}"), &[]);
    fails(
        &format!("http://u:s3cret2@{at}"),
        &[],
        &["401", "MediaMTX's log says why"],
    );
}

#[test]
fn tls_with_a_self_signed_certificate() {
    let folder = tempfile::tempdir().expect("a temp folder");
    let made = Certificate::generate();
    let (certificate, key) = made.write(folder.path());
    let server = MediaMtx::start(Config::default().global(&format!(
        "apiEncryption: yes\napiServerCert: {}\napiServerKey: {}",
        certificate.display(),
        key.display(),
    )));
    let url = format!("https://127.0.0.1:{}", server.ports.api);
    let fingerprint = made.fingerprint();
    works(&url, &[("MEDIAMTX_FINGERPRINT", &fingerprint)]);
    works(&url, &[("SSL_CERT_FILE", &certificate.to_string_lossy())]);
    fails(
        &url,
        &[],
        &[
            "not trusted",
            "SSL_CERT_FILE",
            &format!("MEDIAMTX_FINGERPRINT={fingerprint}"),
            "openssl x509",
        ],
    );
    fails(&server.api(""), &[], &["write https://"]);
    let other = Certificate::generate().fingerprint();
    fails(
        &url,
        &[("MEDIAMTX_FINGERPRINT", &other)],
        &["not that of MEDIAMTX_FINGERPRINT"],
    );
    let plain = MediaMtx::start(Config::default());
    fails(
        &format!("https://127.0.0.1:{}", plain.ports.api),
        &[],
        &["http:// instead of https://"],
    );
}

#[test]
fn a_proxy_with_tls_and_a_prefix_in_front() {
    let users = "authInternalUsers: [{user: admin, pass: s3cret, permissions: [{action: api}]}]";
    let server = MediaMtx::start(Config::default().global(users));
    let certificate = Certificate::generate();
    let trusted = certificate.fingerprint();
    let proxy = TlsProxy::start(&certificate, "/mtx/", &format!("{}/", server.api("")));
    let url = format!("https://admin:s3cret@localhost:{}", proxy.port());
    works(
        &format!("{url}/mtx/"),
        &[("MEDIAMTX_FINGERPRINT", &trusted)],
    );
    fails(
        &url,
        &[("MEDIAMTX_FINGERPRINT", &trusted)],
        &["404", "prefix"],
    );
    let plain = format!("http://admin:s3cret@localhost:{}/mtx", proxy.port());
    fails(&plain, &[], &["write https://"]);
}

#[test]
fn ipv6() {
    let ports = Ports::choose();
    let everywhere = Config::default().env("MTX_APIADDRESS", format!(":{}", ports.api));
    let server = MediaMtx::start_on(ports, everywhere);
    works(&format!("http://[::1]:{}", server.ports.api), &[]);
}
