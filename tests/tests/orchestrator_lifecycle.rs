//! Policies over mtx-orchestrator's API: what mtx-lifecycle does, without starting it.

use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use suite_tests::mediamtx::{Config, MediaMtx};
use suite_tests::orchestrator::Orchestrator;
use suite_tests::packets::read_file;
use suite_tests::policies::{JSON, Policies, YAML, address};
use suite_tests::ports;
use suite_tests::raw_http::call;
use suite_tests::readme::{command, start, with_ports};
use suite_tests::waiting::wait_until;

const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn a_recording_is_started_and_stopped_and_lies_on_the_disk() {
    let policies = Policies::start_with(&["hall/gate"], |_, _| {});
    let list = policies.told(200, "GET", "paths", "");
    let names: Vec<_> = list["paths"]
        .as_array()
        .unwrap()
        .iter()
        .map(|path| &path["path"])
        .collect();
    assert_eq!(names, ["cam", "hall/gate"]);
    assert_eq!(policies.status("cam")["state"], "idle");

    // The slashes of a path stand as they are, or escaped.
    for (path, escaped) in [("cam", "cam"), ("hall/gate", "hall%2Fgate")] {
        let body = r#"{"useCase": "recording"}"#;
        let started = policies.told(200, "POST", &format!("paths/{path}/start"), body);
        assert_eq!(
            (&started["path"], &started["state"]),
            (&path.into(), &"running".into())
        );
        assert!(
            started["seconds"]
                .as_f64()
                .is_some_and(|seconds| seconds < 10.0),
            "{started}"
        );
        assert!(!policies.segments(path).is_empty(), "{started}");
        let status = policies.status(escaped);
        assert_eq!(
            (&status["state"], &status["recording"]),
            (&"live".into(), &true.into()),
            "{status}"
        );
        assert_eq!(status["useCases"], json!(["recording"]));
        // The recording goes on, and others write to the disk.
        let without_sizes = |mut status: Value| {
            for size in ["used", "free"] {
                let size = status.pointer_mut(&format!("/storage/disk/{size}"));
                assert!(size.expect("it is recorded").take().is_u64());
            }
            status
        };
        assert_eq!(
            without_sizes(status),
            without_sizes(policies.commands.status(path)),
            "as mtx-lifecycle tells it"
        );
    }
    // Five times what the cameras stay open without it.
    thread::sleep(Duration::from_secs(5));
    for path in ["cam", "hall/gate"] {
        let body = r#"{"reason": "the test is over"}"#;
        let stopped = policies.told(200, "POST", &format!("paths/{path}/stop"), body);
        assert_eq!(stopped["reason"], "the test is over");
    }
    wait_until("the end of the sources", PATIENCE, || {
        policies.server.hooks().is_empty()
    });
    for path in ["cam", "hall/gate"] {
        let files = policies.segments(path);
        let frames: usize = files.iter().map(|file| read_file(file).len()).sum();
        assert!(frames > 100, "{frames} frames of {path}");
        assert_eq!(policies.status(path)["state"], "idle");
    }
    let log = policies.orchestrator.process().output();
    assert!(
        log.contains("use case started") && log.contains("the test is over"),
        "{log}"
    );
}

#[test]
fn what_can_not_be_done_is_told_with_what_can() {
    let policies = Policies::start();
    let path = |problem: &Value| (problem["status"].as_u64(), problem["field"].clone());
    let unknown = policies.told(400, "POST", "paths/cam/start", r#"{"useCase": "party"}"#);
    assert_eq!(path(&unknown), (Some(400), "useCase".into()));
    assert!(
        unknown["detail"]
            .as_str()
            .unwrap()
            .contains("recording, viewing, snapshot"),
        "{unknown}"
    );
    for (status, method, name, body, part) in [
        (
            400,
            "POST",
            "paths/a%20b/start",
            r#"{"useCase": "viewing"}"#,
            "a path has letters, digits",
        ),
        (
            400,
            "POST",
            "paths/lifecycle/keep/cam/start",
            r#"{"useCase": "viewing"}"#,
            "no path of its own",
        ),
        (
            400,
            "POST",
            "paths/cam/start",
            r#"{"usecase": "viewing"}"#,
            "there are useCase, until",
        ),
        (
            400,
            "POST",
            "paths/cam/stop",
            r#"{"reason": "a\nb"}"#,
            "one line",
        ),
        (404, "GET", "paths/nowhere", "", "no path nowhere"),
        (
            404,
            "POST",
            "rollback",
            r#"{"revision": 77}"#,
            "no revision 77",
        ),
        (404, "GET", "path", "", "below /v1/lifecycle"),
        (405, "GET", "paths/cam/start", "", "only POST"),
        (405, "POST", "policy", "{}", "PUT"),
    ] {
        let problem = policies.told(status, method, name, body);
        assert!(
            problem["detail"].as_str().unwrap().contains(part),
            "{problem} lacks {part}"
        );
    }
    let plain = policies.ask("PUT", "policy", ("Content-Type", "text/plain"), "{}");
    assert_eq!(
        (plain.status, plain.body.contains("application/yaml")),
        (415, true),
        "{plain:?}"
    );
    // Whoever publishes may come later.
    let armed = policies.told(
        200,
        "POST",
        "paths/push/start",
        r#"{"useCase": "recording"}"#,
    );
    assert_eq!(
        (&armed["state"], &armed["seconds"]),
        (&"armed".into(), &Value::Null)
    );
    let foreign = [JSON, ("Origin", "http://evil.example")];
    for (method, name) in [
        ("POST", "paths/cam/stop"),
        ("PUT", "policy"),
        ("POST", "rollback"),
    ] {
        let answer = call(
            policies.address,
            method,
            &format!("/v1/lifecycle/{name}"),
            &foreign,
            "{}",
        );
        assert_eq!(answer.status, 403, "{answer:?}");
    }
}

#[test]
fn a_policy_is_tried_applied_and_taken_back() {
    let policies = Policies::start();
    let revision = || policies.told(200, "GET", "policy", "")["revision"].take();
    for (yaml, line, part) in [
        (
            "paths:\n- path: cam\n  usecase: viewing\n",
            3,
            "unknown field `usecase`",
        ),
        (
            "paths:\n- path: cam\n  useCase: party\n",
            2,
            "there is no use case",
        ),
        (
            "paths:\n- path: cam\n  overrides: {closeAfter: 0s}\n",
            3,
            "write never",
        ),
        ("paths: [", 2, "did not find expected"),
    ] {
        let problem = policies.told(400, "PUT", "policy", yaml);
        assert!(
            problem["detail"].as_str().unwrap().contains(part),
            "{problem} lacks {part}"
        );
        assert!(
            problem["line"] == line && problem["column"].is_u64(),
            "{yaml:?}: {problem}"
        );
    }
    let deep = policies.ask("PUT", "policy", YAML, &"[".repeat(60_000));
    assert_eq!(deep.status, 400, "{deep:?}");
    let yaml = "paths:\n- {path: cam, useCase: viewing, overrides: {closeAfter: 7m}}\n";
    for query in ["?dryrun=true", "?dryRun", "?dryRun=true&x=y"] {
        policies.told(400, "PUT", &format!("policy{query}"), yaml);
    }
    let tried = policies.told(200, "PUT", "policy?dryRun=true", yaml);
    assert!(
        tried["changes"]
            .to_string()
            .contains("runOnDemandCloseAfter=7m (was"),
        "{tried}"
    );
    assert_eq!(
        (revision(), &policies.entry("cam")["runOnDemandCloseAfter"]),
        (0.into(), &"1s".into())
    );

    let applied = policies.told(200, "PUT", "policy", yaml);
    assert_eq!(applied["paths"][0]["path"], "cam", "{applied}");
    assert_eq!(policies.entry("cam")["runOnDemandCloseAfter"], "7m0s");
    let shown = policies.told(200, "GET", "policy", "");
    assert_eq!(shown["policy"]["paths"][0]["overrides"]["closeAfter"], "7m");
    assert_eq!(
        (&shown["revision"], &shown["revisions"][0]["what"]),
        (&1.into(), &"apply".into())
    );
    // What is shown can be changed and sent back, as JSON.
    let again = shown["policy"].to_string().replace("7m", "8m");
    assert_eq!(policies.ask("PUT", "policy", JSON, &again).status, 200);
    assert_eq!(policies.entry("cam")["runOnDemandCloseAfter"], "8m0s");
    assert_eq!(policies.told(200, "POST", "rollback", "")["revision"], 1);
    assert_eq!(policies.entry("cam")["runOnDemandCloseAfter"], "7m0s");
    assert_eq!(
        policies.told(200, "POST", "rollback", r#"{"revision": 0}"#)["revision"],
        0
    );
    assert_eq!(policies.entry("cam")["runOnDemandCloseAfter"], "1s");
    assert_eq!(
        policies.told(200, "POST", "reconcile", ""),
        json!({ "paths": [] })
    );
}

#[test]
fn it_watches_and_its_metrics_tell_of_it() {
    let mut policies = Policies::start();
    policies.told(
        200,
        "POST",
        "paths/cam/start",
        r#"{"useCase": "recording"}"#,
    );
    let metrics = || call(policies.address, "GET", "/metrics", &[], "").body;
    wait_until("the stream in the metrics", PATIENCE, || {
        metrics().contains("mtx_lifecycle_paths{state=\"live\"} 1\n")
    });
    let text = metrics();
    for line in [
        "mtx_lifecycle_api_up 1",
        "# TYPE mtx_lifecycle_changes_total counter",
    ] {
        assert!(text.contains(&format!("{line}\n")), "{text}");
    }
    assert!(!text.contains("# EOF"), "{text}");
    let own = call(policies.address, "GET", "/v1/lifecycle/metrics", &[], "");
    assert_eq!(own.status, 200, "{own:?}");
    assert!(own.body.contains("mtx_lifecycle_api_up 1\n"), "{own:?}");
    assert!(!own.body.contains("mtx_orchestrator"), "{own:?}");
    let files = policies.segments("cam").len();
    policies.server.kill();
    policies.server.start_again();
    wait_until("the recording to go on", PATIENCE, || {
        policies.segments("cam").len() > files
    });
}

#[test]
fn the_readmes_request_works_as_it_is_printed() {
    let policies = Policies::start();
    let request = with_ports(
        &command("lifecycle-api"),
        &[(8080, policies.address.port())],
    );
    start("lifecycle-api", &request).wait_code(PATIENCE);
    assert_eq!(policies.status("cam")["recording"], true);
    assert!(!policies.segments("cam").is_empty());
}

#[test]
fn without_a_journal_it_says_how_to_have_one() {
    let server = MediaMtx::start(Config::default());
    let port = ports::tcp();
    let _orchestrator = Orchestrator::start_on(port, &server, |command| {
        command.env("ORCHESTRATOR_TOKEN", "s3cret-token");
    });
    let token = ("Authorization", "Bearer s3cret-token");
    for (method, path) in [
        ("GET", "paths"),
        ("GET", "paths/cam"),
        ("POST", "paths/cam/start"),
        ("POST", "paths/cam/stop"),
        ("GET", "policy"),
        ("PUT", "policy"),
        ("POST", "reconcile"),
        ("POST", "rollback"),
        ("GET", "metrics"),
    ] {
        let path = format!("/v1/lifecycle/{path}");
        let answer = call(address(port), method, &path, &[JSON, token], "{}");
        assert_eq!(answer.status, 503, "{path}: {answer:?}");
        let detail = answer.json()["detail"].to_string();
        assert!(detail.contains("--lifecycle-state FOLDER"), "{detail}");
        let answer = call(address(port), method, &path, &[JSON], "{}");
        assert_eq!(answer.status, 401, "{path}: {answer:?}");
    }
    let metrics = call(address(port), "GET", "/metrics", &[token], "").body;
    assert!(!metrics.contains("mtx_lifecycle"), "{metrics}");
}
