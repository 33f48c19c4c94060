//! Each token lets its holder do what it is for, as the OpenAPI document has it, and nothing else.

use std::fs;
use std::net::SocketAddr;
use std::process::Command;

use serde_json::Value;
use suite_tests::binaries::suite_binary;
use suite_tests::browser::Browser;
use suite_tests::mediamtx::{Config, MediaMtx};
use suite_tests::orchestrator::Orchestrator;
use suite_tests::ports;
use suite_tests::processes::Spawned;
use suite_tests::raw_http::{Answer, call};
use suite_tests::stack::SOON;

/// Each variable, its token, and what that is for.
const TOKENS: [(&str, &str, &[&str]); 5] = [
    (
        "ORCHESTRATOR_TOKEN",
        "t0ken-of-all",
        &["events", "read", "operate", "policy"],
    ),
    ("ORCHESTRATOR_EVENTS_TOKEN", "t0ken-of-events", &["events"]),
    ("ORCHESTRATOR_READ_TOKEN", "t0ken-of-read", &["read"]),
    (
        "ORCHESTRATOR_OPERATE_TOKEN",
        "t0ken-of-operate",
        &["read", "operate"],
    ),
    (
        "ORCHESTRATOR_POLICY_TOKEN",
        "t0ken-of-policy",
        &["read", "policy"],
    ),
];

/// An orchestrator that knows all the tokens, some of them from files.
struct Service {
    address: SocketAddr,
    orchestrator: Orchestrator,
    _folder: tempfile::TempDir,
    _server: MediaMtx,
}

impl Service {
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temp folder");
        let port = ports::tcp();
        let server = MediaMtx::start(Config::default());
        let orchestrator = Orchestrator::start_on(port, &server, |command| {
            for (number, (variable, token, _)) in TOKENS.into_iter().enumerate() {
                if number % 2 == 0 {
                    command.env(variable, token);
                    continue;
                }
                let file = folder.path().join(variable);
                fs::write(&file, format!("{token}\n")).expect("a file");
                command.env(format!("{variable}_FILE"), file);
            }
            command.arg("--store").arg(folder.path().join("streams.db"));
            let journal = folder.path().join("lifecycle");
            command.arg("--lifecycle-state").arg(journal);
        });
        Self {
            address: SocketAddr::from(([127, 0, 0, 1], port)),
            orchestrator,
            _folder: folder,
            _server: server,
        }
    }

    fn call(&self, token: &str, method: &str, path: &str, body: &str) -> Answer {
        let bearer = format!("Bearer {token}");
        let headers = [
            ("Content-Type", "application/json"),
            ("Authorization", &bearer),
        ];
        call(self.address, method, path, &headers, body)
    }
}

/// The power that an operation needs, if it is one of them.
fn power(operation: &Value) -> Option<&str> {
    let choices = operation["security"].as_array().expect("its security");
    let named = choices.iter().filter_map(Value::as_object);
    let mut schemes = named.flat_map(|choice| choice.keys().map(String::as_str));
    let powers: Vec<&str> = schemes.by_ref().filter(|name| *name != "login").collect();
    match powers[..] {
        [one] => Some(one),
        _ => None,
    }
}

#[test]
fn every_token_may_do_what_the_document_says_and_nothing_else() {
    let service = Service::start();
    let document = service.call("t0ken-of-all", "GET", "/v1/openapi.json", "");
    let document = document.json();
    let schemes = &document["components"]["securitySchemes"];
    let mut needed = vec![];
    for (template, operations) in document["paths"].as_object().expect("paths") {
        let path = template
            .replace("{path}", "x")
            .replace("{id}", "x")
            .replace("{event}", "read");
        for (method, operation) in operations.as_object().expect("operations") {
            if method == "parameters" {
                continue;
            }
            let is_open = operation["security"].as_array().is_some_and(Vec::is_empty);
            let power = power(operation);
            needed.extend(power);
            assert!(
                power.is_none_or(|power| schemes[power]["scheme"] == "bearer"),
                "{template}"
            );
            let method = method.to_uppercase();
            for (_, token, powers) in TOKENS {
                let answer = service.call(token, &method, &path, "{}");
                let may = power.is_none_or(|power| powers.contains(&power));
                assert_eq!(
                    answer.status != 403,
                    may,
                    "{token}: {method} {path}: {answer:?}"
                );
                assert_ne!(answer.status, 401, "{token}: {method} {path}");
                if !may {
                    let power = power.expect("one that it lacks");
                    refuses_for_want_of(&answer, power);
                }
            }
            for wrong in ["", "t0ken-of-al", "t0ken-of-all2"] {
                let answer = service.call(wrong, &method, &path, "{}");
                assert_eq!(answer.status == 401, !is_open, "{method} {path}");
            }
        }
    }
    for power in ["events", "read", "operate", "policy"] {
        assert!(needed.contains(&power), "nothing needs {power}");
    }
    let log = service.orchestrator.process().output();
    assert!(!log.contains("t0ken"), "{log}");
}

#[track_caller]
fn refuses_for_want_of(answer: &Answer, power: &str) {
    assert_eq!(
        answer.header("content-type"),
        Some("application/problem+json")
    );
    let detail = answer.json()["detail"].to_string();
    assert!(
        detail.contains(&format!("the power {power}")) && !detail.contains("t0ken"),
        "{detail}"
    );
    let challenge = format!(r#"Bearer error="insufficient_scope", scope="{power}""#);
    assert_eq!(answer.header("www-authenticate"), Some(challenge.as_str()));
}

#[test]
fn mtx_hook_needs_no_more_than_the_token_for_events_and_takes_it_from_a_file() {
    let service = Service::start();
    let folder = tempfile::tempdir().expect("a temp folder");
    let file = folder.path().join("token");
    let hook = |variable: &str, value: &std::ffi::OsStr| {
        let mut command = Command::new(suite_binary("mtx-hook"));
        command
            .args(["read", "--orchestrator-url", &service.orchestrator.url()])
            .env_remove("ORCHESTRATOR_TOKEN")
            .env(variable, value)
            .envs([("MTX_PATH", "cam"), ("MTX_QUERY", "")])
            .envs([("MTX_READER_TYPE", "rtspSession"), ("MTX_READER_ID", "r1")]);
        let output = command.output().expect("mtx-hook runs");
        let line = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            line.lines().count() == 1 && !line.contains("t0ken"),
            "{line}"
        );
        (output.status.code(), line)
    };
    fs::write(&file, "t0ken-of-events\n").expect("a file");
    for (variable, value) in [
        ("ORCHESTRATOR_TOKEN", "t0ken-of-events".as_ref()),
        ("ORCHESTRATOR_TOKEN_FILE", file.as_os_str()),
    ] {
        let (code, line) = hook(variable, value);
        assert_eq!(code, Some(0), "{line}");
    }
    let (code, line) = hook("ORCHESTRATOR_TOKEN", "t0ken-of-read".as_ref());
    assert!(code == Some(1) && line.contains("403"), "{line}");
    fs::write(&file, "").expect("a file");
    let (code, line) = hook("ORCHESTRATOR_TOKEN_FILE", file.as_os_str());
    assert!(code == Some(2) && line.contains("is empty"), "{line}");
}

#[test]
fn a_token_that_can_t_be_had_is_refused_in_one_line() {
    let folder = tempfile::tempdir().expect("a temp folder");
    let file = folder.path().join("token");
    let refused = |variables: &[(&str, &std::ffi::OsStr)], expected: &str| {
        let mut command = Command::new(suite_binary("mtx-orchestrator"));
        command.env_remove("ORCHESTRATOR_TOKEN");
        command.arg("--worker").arg(suite_binary("mtx-worker"));
        command.envs(variables.iter().copied());
        let mut process = Spawned::start("mtx-orchestrator", command);
        assert_eq!(process.wait_code(SOON), 2);
        let lines = process.output();
        assert_eq!(lines.lines().count(), 1, "{lines}");
        assert!(
            lines.contains(expected) && !lines.contains("t0ken"),
            "{lines}"
        );
    };
    let both = "ORCHESTRATOR_READ_TOKEN and ORCHESTRATOR_READ_TOKEN_FILE are both set";
    let given = ("ORCHESTRATOR_READ_TOKEN", "t0ken".as_ref());
    let in_file = ("ORCHESTRATOR_READ_TOKEN_FILE", file.as_os_str());
    refused(&[in_file], "can't read");
    refused(&[given, in_file], both);
    fs::write(&file, "\n").expect("a file");
    refused(&[in_file], "is empty");
    fs::write(&file, "t0ken t0ken").expect("a file");
    refused(&[in_file], "is not a token");
}

#[test]
fn the_dashboard_takes_every_token_and_offers_what_it_may_do() {
    let service = Service::start();
    let declaration = r#"{"id":"cam","source":"rtsp://127.0.0.1:1/x","enabled":false}"#;
    let declared = service.call("t0ken-of-operate", "POST", "/v1/streams", declaration);
    assert_eq!(declared.status, 201, "{declared:?}");
    for (_, token, powers) in TOKENS {
        // A browser keeps the login that it has been let in with.
        let browser = Browser::start();
        let url = service.orchestrator.url();
        let url = url.replace("://", &format!("://me:{token}@"));
        browser.open(&format!("{url}/"));
        if powers.contains(&"read") {
            let live = "document.querySelector('#connection').innerText.includes('Live')";
            browser.wait("the page to be live", SOON, live);
            browser.wait(
                "stream",
                SOON,
                "document.querySelector('[data-command=start]')",
            );
        } else {
            let refused = "document.querySelector('#connection').innerText.includes('Not allowed')";
            browser.wait("refusal", SOON, refused);
        }
        let may_operate = powers.contains(&"operate");
        let shown = "const shown = (element) => element !== null && element.offsetParent !== null; \
                     return [...document.querySelectorAll('[data-command=start], #declare')].some(shown)";
        assert_eq!(browser.run(shown), may_operate, "{token}");
        let says = browser.run("return document.querySelector('#powers').innerText");
        assert_eq!(says == "", may_operate, "{token}: {says}");
    }
}
