//! The OpenAPI document says what the running server does.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use suite_tests::listener::Listener;
use suite_tests::orchestrator::Orchestrator;
use suite_tests::ports;
use suite_tests::raw_http::{Answer, call, call_within};
use suite_tests::stack::{SOON, Stack};

const JSON: (&str, &str) = ("Content-Type", "application/json");
const DECLARATION: &str = r#"{"id":"declared","source":"rtsp://127.0.0.1:1/x","enabled":false}"#;
const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

/// A server with a running stream called `test`, and its document.
struct Service {
    address: SocketAddr,
    document: Value,
    orchestrator: Orchestrator,
    _folder: tempfile::TempDir,
    _stack: Stack,
}

impl Service {
    fn start() -> Self {
        let stack = Stack::start();
        let folder = tempfile::tempdir().expect("a temp folder");
        let port = ports::tcp();
        let orchestrator = Orchestrator::start_on(port, &stack.server, |command| {
            command.env_remove("ORCHESTRATOR_TOKEN");
            command.arg("--store").arg(folder.path().join("streams.db"));
            command
                .arg("--lifecycle-state")
                .arg(folder.path().join("lifecycle"));
        });
        orchestrator.wait_running("test", 2 * SOON);
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        Self {
            document: call(address, "GET", "/v1/openapi.json", &[], "").json(),
            address,
            orchestrator,
            _folder: folder,
            _stack: stack,
        }
    }

    /// Each path of the document with an example of it, and its operations.
    fn paths(&self) -> Vec<(String, String, Value)> {
        let paths = self.document["paths"].as_object().expect("paths");
        let example = |template: &str| {
            let template = template.replace("{path}", "live%2Ftest%2Fin");
            template.replace("{event}", "read").replace("{id}", "test")
        };
        paths
            .iter()
            .map(|(template, operations)| (template.clone(), example(template), operations.clone()))
            .collect()
    }

    /// The schema of an answer as the document has it for this status and content type.
    #[track_caller]
    fn schema(&self, operation: &Value, answer: &Answer) -> Value {
        let response = self.resolve(&operation["responses"][answer.status.to_string()]);
        let content_type = answer.header("content-type").expect("a content type");
        let content_type = content_type.split(';').next().unwrap_or_default();
        let schema = &response["content"][content_type]["schema"];
        assert!(
            schema.is_object(),
            "not documented for {}: {answer:?}",
            operation["operationId"]
        );
        for header in response["headers"]
            .as_object()
            .into_iter()
            .flat_map(|all| all.keys())
        {
            assert!(
                answer.header(&header.to_lowercase()).is_some(),
                "{header}: {answer:?}"
            );
        }
        schema.clone()
    }

    fn resolve<'a>(&'a self, value: &'a Value) -> &'a Value {
        match value["$ref"].as_str() {
            Some(reference) => {
                let found = self.document.pointer(reference.trim_start_matches('#'));
                found.unwrap_or_else(|| panic!("{reference} leads nowhere"))
            }
            None => value,
        }
    }

    /// An answer has exactly the documented shape.
    #[track_caller]
    fn check(&self, operation: &Value, answer: &Answer) {
        if answer.status == 204 {
            assert!(operation["responses"]["204"].is_object(), "{operation}");
            assert_eq!(answer.body, "");
            return;
        }
        let schema = self.schema(operation, answer);
        if schema["type"] != "string" {
            let at = operation["operationId"].as_str().unwrap_or_default();
            self.check_value(&schema, &answer.json(), at);
        }
    }

    /// A request to an operation, for instance `GET streams/{id}`, about something called `name` is refused with
    /// this status, as the document has it.
    #[track_caller]
    fn refuses(
        &self,
        operation: &str,
        name: &str,
        headers: &[(&str, &str)],
        body: &str,
        status: u16,
    ) {
        let (method, template) = operation.split_once(' ').expect("a method");
        let template = format!("/v1/{template}");
        let path = ["{event}", "{id}", "{path}"]
            .into_iter()
            .fold(template.clone(), |path, part| path.replace(part, name));
        let answer = call_within(2 * SOON, self.address, method, &path, headers, body);
        assert_eq!(answer.status, status, "{method} {path}: {answer:?}");
        let operation = &self.document["paths"][template][method.to_lowercase()];
        self.check(operation, &answer);
    }

    #[track_caller]
    fn check_value(&self, schema: &Value, value: &Value, at: &str) {
        let schema = self.resolve(schema);
        if let Some(choices) = schema["oneOf"].as_array() {
            let of_kind = |choice: &&Value| (choice["type"] == "null") == value.is_null();
            let choice = choices.iter().find(of_kind).expect("one that fits");
            return self.check_value(choice, value, at);
        }
        let kinds = match &schema["type"] {
            Value::Array(kinds) => kinds.clone(),
            kind => vec![kind.clone()],
        };
        assert!(
            kinds.iter().any(|kind| is(value, kind)),
            "{at}: {value} is not {kinds:?}"
        );
        if let Some(choices) = schema["enum"].as_array() {
            assert!(
                choices.contains(value),
                "{at}: {value} is not in {choices:?}"
            );
        }
        if let Some(fields) = value.as_object() {
            self.check_fields(schema, fields, at);
        }
        for (number, item) in value.as_array().into_iter().flatten().enumerate() {
            self.check_value(&schema["items"], item, &format!("{at}[{number}]"));
        }
    }

    #[track_caller]
    fn check_fields(&self, schema: &Value, fields: &serde_json::Map<String, Value>, at: &str) {
        for name in schema["required"].as_array().into_iter().flatten() {
            let name = name.as_str().expect("a name");
            assert!(fields.contains_key(name), "{at} lacks {name}: {fields:?}");
        }
        for (name, value) in fields {
            match schema["properties"].get(name) {
                Some(property) => self.check_value(property, value, &format!("{at}.{name}")),
                None => assert_ne!(
                    schema["additionalProperties"], false,
                    "{at}.{name} is not documented"
                ),
            }
        }
    }
}

fn is(value: &Value, kind: &Value) -> bool {
    match kind.as_str() {
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("integer") => value.is_i64() || value.is_u64(),
        Some("number") => value.is_number(),
        Some("boolean") => value.is_boolean(),
        Some("null") => value.is_null(),
        other => panic!("a type nobody expected: {other:?}"),
    }
}

/// The default, put over the API.
const ROUTES: &str = r#"{"routes": [{"path": "live/*/in", "outputs": "live/*/out", "name": "All",
    "recovery": "fixed:2s", "limits": {"cpu": 50}}]}"#;

fn event() -> String {
    json!({
        "timestamp": "2026-11-21T04:18:22.123Z", "path": "live/test/in", "query": "",
        "readerType": "rtspSession", "readerId": "r1",
    })
    .to_string()
}

#[test]
fn the_document_and_the_server_agree_on_paths_and_methods() {
    let service = Service::start();
    for (template, path, operations) in service.paths() {
        let documented: Vec<&str> = METHODS
            .into_iter()
            .filter(|method| operations.get(*method).is_some())
            .collect();
        assert!(!documented.is_empty(), "{template}");
        for method in METHODS {
            let upper = method.to_uppercase();
            let body = match (path.as_str(), method) {
                ("/v1/streams", "post") => DECLARATION.to_owned(),
                ("/v1/routes", "put") => ROUTES.to_owned(),
                ("/v1/lifecycle/paths/live%2Ftest%2Fin/start", _) => {
                    r#"{"useCase":"viewing"}"#.to_owned()
                }
                (path, _) if path.starts_with("/v1/lifecycle/") => "{}".to_owned(),
                (_, "patch") => r#"{"name":"Gate"}"#.to_owned(),
                _ => event(),
            };
            // Only what was declared can be changed.
            let path = match method {
                "patch" | "delete" => path.replace("/test", "/declared"),
                _ => path.clone(),
            };
            let answer = call(service.address, &upper, &path, &[JSON], &body);
            if documented.contains(&method) {
                let is_socket = operations[method]["responses"].get("101").is_some();
                assert!(
                    matches!(answer.status, 200 | 201 | 202 | 204)
                        || is_socket && answer.status == 426,
                    "{upper} {path}: {answer:?}"
                );
                service.check(&operations[method], &answer);
            } else {
                assert_eq!(answer.status, 405, "{upper} {path}: {answer:?}");
                let allow = answer.header("allow").unwrap_or_default().to_lowercase();
                let allowed: Vec<&str> = allow
                    .split(", ")
                    .filter(|method| *method != "head")
                    .collect();
                assert_eq!(allowed, documented, "{path}");
                service.check(&operations[documented[0]], &answer);
            }
        }
    }
}

#[test]
fn every_message_of_the_websocket_has_the_documented_fields() {
    let service = Service::start();
    let documented = &service.document["paths"]["/v1/events"]["get"]["x-websocket-messages"];
    let mut listener = Listener::connect(service.address);
    for kind in ["status", "report", "heartbeat", "event", "gone"] {
        if kind == "event" {
            service.orchestrator.command("test", "stop");
        }
        if kind == "gone" {
            let path = "/v1/streams/fleeting";
            let body = r#"{"id": "fleeting", "source": "rtsp://127.0.0.1:1/x", "enabled": false}"#;
            call(service.address, "POST", "/v1/streams", &[JSON], body);
            listener.wait("declared stream", SOON, |message| {
                message["stream"]["id"] == "fleeting"
            });
            call(service.address, "DELETE", path, &[], "");
        }
        let name = format!("stream:{kind}");
        let message = listener.wait(&name, 2 * SOON, |message| message["type"] == name);
        service.check_value(&documented[&name], &message, &name);
    }
}

#[test]
fn every_answer_has_the_documented_fields() {
    let service = Service::start();
    let id = "test";
    service
        .orchestrator
        .wait_stream(id, "report", SOON, |stream| {
            stream["worker"]["frames"]
                .as_u64()
                .is_some_and(|frames| frames > 0)
                && stream["inputReaders"]
                    .as_array()
                    .is_some_and(|readers| !readers.is_empty())
        });
    let get = |template: &str| service.document["paths"][template]["get"].clone();
    let stream = call(service.address, "GET", "/v1/streams/test", &[], "");
    service.check(&get("/v1/streams/{id}"), &stream);
    let stream = stream.json();
    for key in ["pid", "started", "worker", "source"] {
        assert!(
            !stream[key].is_null(),
            "{key} of a running stream: {stream}"
        );
    }
    assert!(
        stream["events"]
            .as_array()
            .is_some_and(|events| !events.is_empty()),
        "{stream}"
    );
    let list = call(service.address, "GET", "/v1/streams", &[], "");
    service.check(&get("/v1/streams"), &list);
    let summary = &list.json()["streams"][0];
    assert_eq!(summary["id"], id);
    assert!(summary["events"].is_null(), "{summary}");

    let stop = service.document["paths"]["/v1/streams/{id}/stop"]["post"].clone();
    let answer = call(service.address, "POST", "/v1/streams/test/stop", &[], "");
    assert_eq!(answer.json(), json!({ "id": "test", "command": "stop" }));
    service.check(&stop, &answer);
    service.orchestrator.wait_state(id, "stopped", SOON);
    let stopped = call(service.address, "GET", "/v1/streams/test", &[], "");
    service.check(&get("/v1/streams/{id}"), &stopped);
}

#[test]
fn every_problem_is_documented_where_it_happens() {
    let service = Service::start();
    let big = "x".repeat(70_000);
    let taken = DECLARATION.replace("declared", "test");
    let event = event();
    let plain = [("Content-Type", "text/plain")];
    let foreign = [JSON, ("Origin", "http://evil.example")];
    for (operation, name, headers, body, status) in [
        (
            "POST mediamtx/events/{event}",
            "read",
            &[JSON][..],
            "{}",
            400,
        ),
        (
            "POST mediamtx/events/{event}",
            "read",
            &foreign,
            &event,
            403,
        ),
        ("POST mediamtx/events/{event}", "x", &[JSON], &event, 404),
        ("POST mediamtx/events/{event}", "read", &[JSON], &big, 413),
        ("POST mediamtx/events/{event}", "read", &plain, &event, 415),
        ("GET streams/{id}", "a%20b", &[], "", 400),
        ("GET streams/{id}", "x", &[], "", 404),
        ("POST streams", "", &[JSON], "{}", 400),
        ("POST streams", "", &foreign, DECLARATION, 403),
        ("POST streams", "", &[JSON], &taken, 409),
        ("POST streams", "", &[JSON], &big, 413),
        ("POST streams", "", &plain, DECLARATION, 415),
        ("PATCH streams/{id}", "x", &[JSON], "[]", 400),
        ("PATCH streams/{id}", "x", &[JSON], "{}", 404),
        ("PATCH streams/{id}", "test", &[JSON], "{}", 409),
        ("PATCH streams/{id}", "test", &plain, "{}", 415),
        ("DELETE streams/{id}", "x", &[], "", 404),
        ("DELETE streams/{id}", "test", &[], "", 409),
        ("DELETE streams/{id}", "test", &foreign[1..], "", 403),
        ("POST streams/{id}/stop", "x", &[], "", 404),
        ("POST streams/{id}/stop", "a.b", &[], "", 404),
        ("POST streams/{id}/stop", "a%2F", &[], "", 400),
        ("PUT routes", "", &[JSON], "{}", 400),
        ("PUT routes", "", &foreign, ROUTES, 403),
        ("PUT routes", "", &[JSON], &big, 413),
        ("PUT routes", "", &plain, ROUTES, 415),
        ("POST streams/{id}/start", "test", &foreign, "", 403),
        ("POST streams/{id}/restart", "test", &plain, "", 415),
    ] {
        service.refuses(operation, name, headers, body, status);
    }
}

#[test]
fn problems_with_policies_are_documented_where_they_happen() {
    let service = Service::start();
    let plain = ("Content-Type", "text/plain");
    let foreign = ("Origin", "http://evil.example");
    let start = r#"{"useCase":"viewing"}"#;
    // MediaMTX wants %path in it.
    let rejected =
        r#"{"paths":[{"path":"odd","source":{"command":"x"},"overrides":{"recordPath":"x"}}]}"#;
    let applied = call(
        service.address,
        "PUT",
        "/v1/lifecycle/policy",
        &[JSON],
        rejected,
    );
    service.check(
        &service.document["paths"]["/v1/lifecycle/policy"]["put"],
        &applied,
    );
    assert!(
        applied.json()["paths"][0]["failed"].is_string(),
        "{applied:?}"
    );
    for (operation, name, header, body, status) in [
        ("GET lifecycle/paths/{path}", "a%20b", JSON, "", 400),
        ("GET lifecycle/paths/{path}", "nowhere", JSON, "", 404),
        ("POST lifecycle/paths/{path}/start", "x", JSON, "{}", 400),
        (
            "POST lifecycle/paths/{path}/start",
            "x",
            foreign,
            start,
            403,
        ),
        ("POST lifecycle/paths/{path}/start", "odd", JSON, start, 504),
        ("POST lifecycle/paths/{path}/start", "x", plain, start, 415),
        (
            "POST lifecycle/paths/{path}/stop",
            "x",
            JSON,
            r#"{"reason":1}"#,
            400,
        ),
        ("PUT lifecycle/policy", "", JSON, "[", 400),
        ("PUT lifecycle/policy", "", plain, "{}", 415),
        ("POST lifecycle/reconcile", "", foreign, "", 403),
        (
            "POST lifecycle/rollback",
            "",
            JSON,
            r#"{"revision":99}"#,
            404,
        ),
    ] {
        service.refuses(operation, name, &[header], body, status);
    }
}

#[test]
fn metrics_are_in_prometheus_format_and_tell_of_the_streams() {
    let service = Service::start();
    let frames = |text: &str| -> Option<f64> {
        let series = "mtx_orchestrator_stream_frames_total{stream=\"test\"} ";
        text.lines()
            .find_map(|line| line.strip_prefix(series))?
            .parse()
            .ok()
    };
    let scrape = || call(service.address, "GET", "/metrics", &[], "").body;
    suite_tests::waiting::wait_until("frames", Duration::from_secs(10), || {
        frames(&scrape()).is_some_and(|count| count > 0.0)
    });
    let text = scrape();
    assert!(
        text.contains("mtx_orchestrator_streams{state=\"running\"} 1\n"),
        "{text}"
    );
    assert!(
        text.contains("mtx_orchestrator_worker_starts_total 1\n"),
        "{text}"
    );
    let mut family = String::new();
    let mut helped = Vec::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').expect("a help text");
            assert!(help.ends_with('.') && !helped.contains(&name), "{line}");
            helped.push(name);
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("a type");
            assert_eq!(helped.last(), Some(&name), "{line}");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            name.clone_into(&mut family);
        } else {
            let (series, value) = line.rsplit_once(' ').expect("a value");
            let name = series.split('{').next().unwrap_or_default();
            let suffix = name.strip_prefix(family.as_str());
            assert!(
                matches!(suffix, Some("" | "_bucket" | "_sum" | "_count")),
                "{line}"
            );
            assert!(value.parse::<f64>().is_ok(), "{line}");
        }
    }
}
