//! MediaMTX's events: logged, counted, and handed to the supervisor as hints.

use common::http::{Answer, Problem};
use common::secret;
use log::{Level, Record};
use mediamtx::event::{Event, EventError, EventKind, EventName};
use serde_json::json;

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
            let problem = problem(&error);
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

fn problem(error: &EventError) -> Problem {
    match error {
        EventError::Body(_, error) => error.clone().into(),
        EventError::Name(_) => Problem::new(404, error.to_string()).field("event"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(body: &str) -> String {
        let error = Event::from_json(EventName::Ready, body.as_bytes()).unwrap_err();
        let answer = Answer::from(problem(&error));
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
