//! MediaMTX's events: logged, counted, and handed to the supervisor as hints.

use common::http::{Answer, Problem};
use common::secret;
use common::timestamp::Timestamp;
use log::{Level, Record};
use mediamtx::event::{Event, EventKind, EventName};
use mediamtx::path::PathName;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::metrics::Metrics;
use crate::supervisor::{EventOutcome, Supervisor};

type Fields = Vec<(&'static str, String)>;

pub(super) fn receive(
    supervisor: &Supervisor,
    metrics: &Metrics,
    name: EventName,
    body: &[u8],
) -> Answer {
    let event = match Event::from_json(name, body) {
        Ok(event) => event,
        Err(error) => {
            metrics.rejected(Some(name));
            let problem = problem(&error.to_string(), body);
            let fields = vec![
                ("event", name.to_string()),
                ("outcome", "rejected".to_owned()),
                ("reason", problem.detail().to_owned()),
            ];
            log(Level::Warn, &fields);
            return problem.into();
        }
    };
    let mut fields = fields(name, &event);
    let outcome = supervisor.event(&event);
    metrics.received(name, outcome);
    let answer = match outcome {
        EventOutcome::Accepted => json!({ "outcome": "accepted" }),
        EventOutcome::Ignored(reason) => json!({ "outcome": "ignored", "reason": reason }),
    };
    for key in ["outcome", "reason"] {
        fields.extend(answer[key].as_str().map(|value| (key, value.to_owned())));
    }
    log(Level::Info, &fields);
    Answer::json(202, &answer)
}

fn log(level: Level, fields: &Fields) {
    let record = Record::builder()
        .level(level)
        .target(module_path!())
        .key_values(fields)
        .args(format_args!("event received"))
        .build();
    log::logger().log(&record);
}

fn fields(name: EventName, event: &Event) -> Fields {
    let mut fields = vec![("event", name.to_string())];
    if let Some(path) = event.kind.path() {
        fields.push(("path", path.to_string()));
        let id = event.kind.stream_id();
        fields.extend(id.map(|id| ("streamId", id.to_string())));
    }
    fields.extend(event.kind.id().map(|(key, id)| (key, id.to_owned())));
    fields.push(("sent", event.timestamp.to_string()));
    let query = query(&event.kind).filter(|query| !query.is_empty());
    fields.extend(query.map(|query| ("query", secret::redact_query(query))));
    fields
}

fn query(kind: &EventKind) -> Option<&str> {
    use EventKind as Kind;
    match kind {
        Kind::Ready(of) | Kind::NotReady(of) | Kind::Online(of) | Kind::Offline(of) => {
            Some(&of.query)
        }
        Kind::Demand(of) | Kind::Undemand(of) => Some(&of.query),
        Kind::Read(of) | Kind::Unread(of) => Some(&of.query),
        _ => None,
    }
}

fn problem(message: &str, body: &[u8]) -> Problem {
    let missing = message
        .split_once("missing field `")
        .and_then(|(_, rest)| rest.split('`').next());
    if let Some(field) = missing {
        return Problem::new(400, excerpt(message)).field(field);
    }
    match malformed(body) {
        Some((field, why)) => Problem::new(400, excerpt(&format!("{field}: {why}"))).field(field),
        None => Problem::new(400, excerpt(message)),
    }
}

/// serde does not say in which of a flattened struct's fields a value was wrong, so each is tried.
fn malformed(body: &[u8]) -> Option<(&'static str, String)> {
    type Check = fn(&Value) -> Result<(), serde_json::Error>;
    const CHECKS: [(&str, Check); 12] = [
        ("timestamp", is::<Timestamp>),
        ("rtspPort", is::<Option<u16>>),
        ("groups", is::<Vec<String>>),
        ("path", is::<PathName>),
        ("query", is::<String>),
        ("sourceType", is::<String>),
        ("sourceId", is::<String>),
        ("readerType", is::<String>),
        ("readerId", is::<String>),
        ("connType", is::<String>),
        ("connId", is::<String>),
        ("segmentPath", is::<String>),
    ];
    let object: Map<String, Value> = serde_json::from_slice(body).ok()?;
    CHECKS.iter().find_map(|(field, check)| {
        let error = check(object.get(*field)?).err()?;
        Some((*field, error.to_string()))
    })
}

fn is<T: DeserializeOwned>(value: &Value) -> Result<(), serde_json::Error> {
    T::deserialize(value).map(drop)
}

/// Enough to see what was meant, whatever was sent.
fn excerpt(message: &str) -> String {
    match message.char_indices().nth(300) {
        Some((end, _)) => format!("{}…", &message[..end]),
        None => message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(body: &str) -> String {
        let error = Event::from_json(EventName::Ready, body.as_bytes()).unwrap_err();
        let answer = Answer::from(problem(&error.to_string(), body.as_bytes()));
        String::from_utf8(answer.body).unwrap()
    }

    #[test]
    fn a_refused_body_is_told_which_field_is_wrong() {
        const WHOLE: &str = r#"{"timestamp":"2026-11-21T00:00:00Z","path":"live/x/in","query":"","sourceType":"rtmpConn","sourceId":"1"}"#;
        assert!(Event::from_json(EventName::Ready, WHOLE.as_bytes()).is_ok());
        for (right, wrong, field) in [
            ("live/x/in", "/x", "path"),
            ("\"live/x/in\"", "[]", "path"),
            ("\"sourceId\":\"1\"", "\"sourceId\":1", "sourceId"),
            ("\"query\"", "\"Query\"", "query"),
            ("2026-11", "2026-13", "timestamp"),
            ("\"query\":\"\"", "\"query\":null", "query"),
            ("\"query\"", "\"rtspPort\":70000,\"query\"", "rtspPort"),
            ("\"query\"", "\"groups\":[1],\"query\"", "groups"),
        ] {
            let said = refusal(&WHOLE.replace(right, wrong));
            assert!(said.contains(&format!(r#""field":"{field}""#)), "{said}");
        }
        for wrong in ["", "[", "[]", "null", "\u{feff}{}", &"[".repeat(60_000)] {
            let said = refusal(wrong);
            assert!(said.len() < 600 && !said.contains("\"field\""), "{said}");
        }
    }
}
