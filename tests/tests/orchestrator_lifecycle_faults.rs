//! Policies over mtx-orchestrator's API, where somebody else works on them, the server does not answer, and where
//! sources have passwords.

use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;
use suite_tests::binaries::suite_binary;
use suite_tests::policies::{JSON, Policies, YAML};
use suite_tests::processes::Spawned;
use suite_tests::proxy::{FaultProxy, Mode};
use suite_tests::raw_http::{Answer, call, call_within};
use suite_tests::receiver::{self, Receiver};
use suite_tests::waiting::wait_until;
use suite_tests::{ports, procfs};

const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn commands_and_the_api_work_on_one_journal_at_the_same_time() {
    let policies = Policies::start_with(&["a", "b"], |_, _| {});
    thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..3 {
                policies.told(200, "POST", "paths/a/start", r#"{"useCase": "viewing"}"#);
                policies.told(200, "POST", "paths/a/stop", "");
            }
            policies.told(200, "POST", "paths/a/start", r#"{"useCase": "recording"}"#);
        });
        scope.spawn(|| {
            for _ in 0..3 {
                policies.commands.ok(&["start", "viewing", "b"]);
                policies.commands.ok(&["stop", "b"]);
            }
            policies.commands.ok(&["start", "recording", "b"]);
        });
    });
    for path in ["a", "b"] {
        assert_eq!(policies.status(path)["recording"], true);
        assert_eq!(
            policies.commands.status(path)["useCases"],
            json!(["recording"])
        );
    }
    // There is one who watches.
    let said = policies.commands.fails(1, &["watch"]);
    let pid = policies.orchestrator.process().pid();
    assert!(
        said.contains(&format!("mtx-orchestrator with pid {pid} is at work")),
        "{said}"
    );
    assert_eq!(said.lines().count(), 1, "{said}");
    let mut second = Command::new(suite_binary("mtx-orchestrator"));
    second.args([
        "--listen",
        &format!("127.0.0.1:{}", ports::tcp()),
        "--lifecycle-state",
    ]);
    second
        .arg(policies.commands.state_dir())
        .env_remove("ORCHESTRATOR_TOKEN");
    second.env("MTX_WORKER", suite_binary("mtx-worker"));
    let mut second = Spawned::start("a second orchestrator", second);
    assert_eq!(second.wait_code(PATIENCE), 1);
    let line = second.wait_for_line("--lifecycle-state", PATIENCE).text;
    assert!(
        line.contains(&format!("mtx-orchestrator with pid {pid}")),
        "{line}"
    );
}

#[test]
fn a_server_that_does_not_answer_holds_up_neither_events_nor_health_checks() {
    let mut proxy = None;
    let policies = Policies::start_with(&[], |server, command| {
        let between = FaultProxy::start(server.ports.api);
        command.env(
            "MEDIAMTX_API_URL",
            format!("http://127.0.0.1:{}", between.port()),
        );
        proxy = Some(between);
    });
    let proxy = proxy.unwrap();
    proxy.set(Mode::Freeze);
    let address = policies.address;
    let waiting: Vec<_> = (0..60)
        .map(|number| {
            thread::spawn(move || match number % 2 {
                0 => call_within(PATIENCE, address, "GET", "/v1/lifecycle/paths", &[], ""),
                _ => {
                    let body = r#"{"useCase": "recording"}"#;
                    call_within(
                        PATIENCE,
                        address,
                        "POST",
                        "/v1/lifecycle/paths/cam/start",
                        &[JSON],
                        body,
                    )
                }
            })
        })
        .collect();
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(4) {
        let start = Instant::now();
        policies
            .orchestrator
            .send_event("ready", "x", "2026-11-21T04:18:22.123Z");
        assert_eq!(call(address, "GET", "/healthz", &[], "").status, 200);
        assert!(
            start.elapsed() < Duration::from_secs(1),
            "{:?}",
            start.elapsed()
        );
        thread::sleep(Duration::from_millis(100));
    }
    let answers: Vec<Answer> = waiting.into_iter().map(|one| one.join().unwrap()).collect();
    let turned_away: Vec<_> = answers
        .iter()
        .filter(|answer| answer.header("retry-after").is_some())
        .collect();
    assert!(turned_away.iter().all(|answer| answer.status == 503));
    assert!(
        turned_away.len() >= 60 - 32 && turned_away.len() < 60,
        "{}",
        turned_away.len()
    );
    for answer in answers.iter().filter(|answer| answer.status == 200) {
        assert!(
            answer.json()["apiError"]
                .as_str()
                .unwrap()
                .contains("timeout"),
            "{answer:?}"
        );
    }
    proxy.set(Mode::Pass);
    proxy.cut();
    wait_until("its recovery", PATIENCE, || {
        let path = "/v1/lifecycle/paths/cam/start";
        call_within(
            PATIENCE,
            address,
            "POST",
            path,
            &[JSON],
            r#"{"useCase": "recording"}"#,
        )
        .status
            == 200
    });
}

#[test]
fn passwords_of_sources_are_nowhere() {
    const SECRET: &str = "s3cret-of-the-camera";
    let policies = Policies::start();
    let nobody = ports::tcp();
    let url = format!("rtsp://me:{SECRET}@127.0.0.1:{nobody}/1");
    let yaml = format!(
        "paths:\n- {{path: gate, source: {{rtsp: '{url}'}}}}\n\
         - {{path: door, source: {{command: 'ffmpeg -i {url} -c copy -f rtsp rtsp://127.0.0.1:$RTSP_PORT/$MTX_PATH'}}}}\n"
    );
    let mut told = vec![];
    let mut tell = |answer: Answer, status: u16| {
        assert_eq!(answer.status, status, "{answer:?}");
        told.push(answer.body);
    };
    for wrong in [
        format!("paths:\n- path: gate\n  source: {url}\n"),
        format!("paths:\n- path: {url}\n"),
        format!(
            "paths:\n- path: gate\n  source: {{rtsp: '{}'}}\n",
            url.replace("rtsp:", "http:")
        ),
        format!("paths: '{url}'\n"),
    ] {
        tell(policies.ask("PUT", "policy", YAML, &wrong), 400);
    }
    tell(policies.ask("PUT", "policy?dryRun=true", YAML, &yaml), 200);
    tell(policies.ask("PUT", "policy", YAML, &yaml), 200);
    assert_eq!(policies.entry("gate")["source"], url);
    let shown = policies.told(200, "GET", "policy", "")["policy"].to_string();
    assert!(shown.contains("rtsp://me:***@"), "{shown}");
    tell(policies.ask("PUT", "policy", JSON, &shown), 400);
    let start = format!(r#"{{"useCase": "{url}"}}"#);
    tell(policies.ask("POST", "paths/gate/start", JSON, &start), 400);
    // Nobody answers there.
    tell(
        policies.ask(
            "POST",
            "paths/gate/start",
            JSON,
            r#"{"useCase": "viewing"}"#,
        ),
        504,
    );
    let reason = format!(r#"{{"reason": "{url}"}}"#);
    tell(policies.ask("POST", "paths/gate/stop", JSON, &reason), 200);
    for path in ["paths", "paths/gate", "paths/door", "policy"] {
        tell(policies.ask("GET", path, JSON, ""), 200);
    }
    tell(policies.ask("POST", "reconcile", JSON, ""), 200);
    tell(
        policies.ask("POST", "rollback", JSON, r#"{"revision": 0}"#),
        200,
    );
    tell(call(policies.address, "GET", "/metrics", &[], ""), 200);
    told.push(policies.orchestrator.process().output());
    told.extend(procfs::command_line(policies.orchestrator.process().pid()));
    for text in told {
        assert!(!text.contains("s3cret"), "{text}");
    }
}

#[test]
fn the_token_for_mediamtx_goes_to_it_and_nowhere_else() {
    const TOKEN: &str = "s3cret-of-the-api";
    let mut api = None;
    let policies = Policies::start_with(&[], |_, command| {
        let receiver = Receiver::start(receiver::Answer::Status(401));
        command.env("MEDIAMTX_API_URL", receiver.url());
        command.env("MEDIAMTX_API_TOKEN", TOKEN);
        api = Some(receiver);
    });
    let api = api.unwrap();
    // The supervision of streams asks for paths, policies ask for more.
    for part in ["/v3/paths/list", "/v3/config/paths/list"] {
        let asked = api.wait(part, PATIENCE, |one| one.request_line.contains(part));
        assert_eq!(
            asked.header("authorization"),
            Some("Bearer s3cret-of-the-api")
        );
    }
    let refused = policies.ask("POST", "reconcile", JSON, "");
    assert_eq!(refused.status, 503, "{refused:?}");
    assert!(
        refused.body.contains("answers 401 to MEDIAMTX_API_TOKEN"),
        "{refused:?}"
    );
    let status = policies.ask("GET", "paths", JSON, "");
    assert!(status.json()["apiError"].is_string(), "{status:?}");
    for text in [
        refused.body,
        status.body,
        policies.orchestrator.process().output(),
    ] {
        assert!(!text.contains("s3cret"), "{text}");
    }
}
