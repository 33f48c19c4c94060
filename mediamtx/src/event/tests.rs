use std::collections::BTreeMap;
use std::ffi::OsString;

use super::*;
use proptest::prelude::*;
use serde_json::{Value, json};

const TIME: &str = "2026-11-21T04:18:22.123Z";

/// All that MediaMTX ever sets, which is more than any one hook gets.
const VARIABLES: [(&str, &str); 13] = [
    ("MTX_PATH", "live/cam/in"),
    ("MTX_QUERY", "lang%3Des"),
    ("MTX_SOURCE_TYPE", "rtmpConn"),
    ("MTX_SOURCE_ID", "s1"),
    ("MTX_READER_TYPE", "rtspSession"),
    ("MTX_READER_ID", "r1"),
    ("MTX_CONN_TYPE", "rtspConn"),
    ("MTX_CONN_ID", "c1"),
    ("MTX_SEGMENT_PATH", "./recordings/live/cam/in/a.mp4"),
    ("MTX_SEGMENT_DURATION", "4.567"),
    ("RTSP_PORT", "8554"),
    ("G1", "cam"),
    ("HOME", "/"),
];

fn environment(without: &str) -> HookEnvironment {
    VARIABLES
        .into_iter()
        .filter(|(name, _)| *name != without)
        .map(|(name, value)| (name.into(), value.into()))
        .collect()
}

fn event(name: EventName, without: &str) -> Result<Event, HookError> {
    Event::from_hook(name, &environment(without), TIME.parse().unwrap())
}

fn body(name: EventName) -> Value {
    serde_json::from_str(&event(name, "").unwrap().to_json()).unwrap()
}

#[test]
fn test_ready_event_schema() {
    let expected = json!({
        "path": "live/cam/in",
        "query": "lang=es",
        "sourceType": "rtmpConn",
        "sourceId": "s1",
        "streamId": "cam",
        "timestamp": TIME,
        "rtspPort": 8554,
        "groups": ["cam"],
    });
    for name in ["ready", "not-ready", "online", "offline"] {
        assert_eq!(body(name.parse().unwrap()), expected);
    }
}

#[test]
fn every_other_event_carries_what_mediamtx_gives_it() {
    for (name, expected) in [
        ("demand", json!({"path": "live/cam/in", "query": "lang=es"})),
        (
            "undemand",
            json!({"path": "live/cam/in", "query": "lang=es"}),
        ),
        ("init", json!({"path": "live/cam/in"})),
        (
            "read",
            json!({"path": "live/cam/in", "query": "lang=es", "readerType": "rtspSession", "readerId": "r1"}),
        ),
        (
            "unread",
            json!({"path": "live/cam/in", "query": "lang=es", "readerType": "rtspSession", "readerId": "r1"}),
        ),
        ("connect", json!({"connType": "rtspConn", "connId": "c1"})),
        (
            "disconnect",
            json!({"connType": "rtspConn", "connId": "c1"}),
        ),
        (
            "segment-create",
            json!({"path": "live/cam/in", "segmentPath": "./recordings/live/cam/in/a.mp4"}),
        ),
        (
            "segment-complete",
            json!({"path": "live/cam/in", "segmentPath": "./recordings/live/cam/in/a.mp4", "segmentDuration": 4.567}),
        ),
    ] {
        let mut body = body(name.parse().unwrap());
        let fields = body.as_object_mut().unwrap();
        assert_eq!(fields.remove("timestamp"), Some(TIME.into()));
        assert_eq!(fields.remove("rtspPort"), Some(8554.into()));
        assert_eq!(fields.remove("groups"), Some(json!(["cam"])));
        let id = fields.remove("streamId");
        assert_eq!(id, fields.get("path").map(|_| "cam".into()));
        assert_eq!(body, expected, "{name}");
    }
}

#[test]
fn a_missing_variable_is_named_and_others_are_not_needed() {
    const READER: &[&str] = &["MTX_PATH", "MTX_QUERY", "MTX_READER_TYPE", "MTX_READER_ID"];
    for name in EventName::ALL {
        let needed: &[&str] = match name.as_str() {
            "ready" | "not-ready" | "online" | "offline" | "demand" | "undemand" => {
                &["MTX_PATH", "MTX_QUERY"]
            }
            "init" => &["MTX_PATH"],
            "read" | "unread" => READER,
            "connect" | "disconnect" => &["MTX_CONN_TYPE", "MTX_CONN_ID"],
            "segment-create" => &["MTX_PATH", "MTX_SEGMENT_PATH"],
            _ => &["MTX_PATH", "MTX_SEGMENT_PATH", "MTX_SEGMENT_DURATION"],
        };
        for (variable, _) in VARIABLES {
            match event(name, variable) {
                Ok(_) => assert!(!needed.contains(&variable), "{name} without {variable}"),
                Err(HookError::Missing(named, _)) => {
                    assert_eq!(named, variable);
                    assert!(needed.contains(&variable), "{name} without {variable}");
                }
                Err(error) => panic!("{name} without {variable}: {error}"),
            }
        }
    }
}

#[test]
fn what_is_sent_is_what_the_orchestrator_reads() {
    for name in EventName::ALL {
        let sent = event(name, "").unwrap();
        let read = Event::from_json(name, sent.to_json().as_bytes()).unwrap();
        assert_eq!(read, sent);
        assert_eq!(read.kind.name(), name);
        assert_eq!(
            read.kind.path().is_none(),
            name.as_str().ends_with("connect")
        );
    }
}

#[test]
fn a_path_outside_the_scheme_has_no_stream_id() {
    for path in ["cam1", "building/floor1", "live/a/b/in", "a.b-c:d~e"] {
        let mut hook: BTreeMap<OsString, OsString> = VARIABLES
            .iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect();
        hook.insert("MTX_PATH".into(), path.into());
        let hook = hook.into_iter().collect();
        let event = Event::from_hook(EventName::Ready, &hook, TIME.parse().unwrap()).unwrap();
        let body: Value = serde_json::from_str(&event.to_json()).unwrap();
        assert_eq!(
            (&body["path"], &body["streamId"]),
            (&json!(path), &Value::Null)
        );
    }
}

#[test]
fn port_and_groups_may_be_absent_and_unknown_fields_present() {
    let body = format!(r#"{{"timestamp": "{TIME}", "path": "live/a/in", "later": 1}}"#);
    let event = Event::from_json(EventName::Init, body.as_bytes()).unwrap();
    assert_eq!((event.rtsp_port, event.groups.len()), (None, 0));
}

#[test]
fn a_body_that_lacks_something_is_refused_by_name() {
    for (body, named) in [
        (r#"{"timestamp": "now", "path": "live/a/in"}"#, "RFC 3339"),
        (r#"{"path": "live/a/in"}"#, "timestamp"),
        (r#"{"timestamp": "2026-11-21T04:18:22Z"}"#, "path"),
        (
            r#"{"timestamp": "2026-11-21T04:18:22Z", "path": "/x"}"#,
            "slash",
        ),
        ("", "init"),
        ("[]", "init"),
    ] {
        let error = Event::from_json(EventName::Init, body.as_bytes()).unwrap_err();
        assert!(error.to_string().contains(named), "{error}");
    }
}

#[test]
fn names_are_read_back_and_others_refused() {
    for name in EventName::ALL {
        assert_eq!(name.as_str().parse::<EventName>().unwrap(), name);
        assert!(
            "x".parse::<EventName>()
                .unwrap_err()
                .to_string()
                .contains(name.as_str())
        );
    }
    assert!("Ready".parse::<EventName>().is_err());
}

proptest! {
    #[test]
    fn whatever_the_values_the_body_is_valid_json_with_just_these_values(
        query in any::<String>(), source in proptest::option::of("\\PC{1,40}"), groups in prop::collection::vec(any::<String>(), 0..4),
    ) {
        let event = Event {
            timestamp: TIME.parse().unwrap(),
            rtsp_port: None,
            groups: groups.clone(),
            kind: EventKind::Ready(OfSource {
                path: "live/a/in".parse().unwrap(),
                query: query.clone(),
                source_type: source.clone(),
                source_id: source.clone(),
            }),
        };
        let body: Value = serde_json::from_str(&event.to_json()).unwrap();
        prop_assert_eq!(body["query"].as_str(), Some(query.as_str()));
        prop_assert_eq!(body["sourceId"].as_str(), source.as_deref());
        prop_assert_eq!(Event::from_json(EventName::Ready, event.to_json().as_bytes()).unwrap(), event);
    }

    #[test]
    fn no_body_panics(body in any::<Vec<u8>>(), text in "\\{.*\\}", name in 0..13_usize) {
        let _ = Event::from_json(EventName::ALL[name], &body);
        let _ = Event::from_json(EventName::ALL[name], text.as_bytes());
    }
}
