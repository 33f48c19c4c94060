//! Streams that are asked for: what a body may say, and what is answered.

use common::http::{Answer, Problem};
use common::secret;
use serde_json::{Map, Value};

use crate::declaration::{Invalid, Name, Output, Outputs, Source, parse_id};
use crate::registry::{Change, Draft, Registry, RegistryError};
use crate::store::StoreError;
use crate::stream_key::StreamKey;
use crate::supervisor::CommandError;

pub(super) fn declare(registry: &Registry, body: &[u8]) -> Answer {
    let draft = Fields::read(body, &["id", "name", "source", "outputs", "enabled"]);
    match draft.and_then(Fields::draft) {
        Err(problem) => problem.into(),
        Ok(draft) => match registry.declare(draft) {
            Err(error) => problem(&error).into(),
            Ok(status) => {
                let mut answer = Answer::json(201, &status);
                let location = format!("/v1/streams/{}", status.id);
                answer.headers.push(("Location", location));
                answer
            }
        },
    }
}

pub(super) fn change(registry: &Registry, key: &StreamKey, body: &[u8]) -> Answer {
    let change = Fields::read(body, &["name", "source", "outputs", "enabled"]);
    match change.and_then(Fields::change) {
        Err(problem) => problem.into(),
        Ok(change) => match registry.change(key, change) {
            Err(error) => problem(&error).into(),
            Ok(status) => Answer::json(200, &status),
        },
    }
}

pub(super) fn remove(registry: &Registry, key: &StreamKey) -> Answer {
    match registry.remove(key) {
        Err(error) => problem(&error).into(),
        Ok(()) => Answer::new(204, "", ""),
    }
}

/// What is answered where the registry refuses or fails.
pub(super) fn problem(error: &RegistryError) -> Problem {
    let detail = error.to_string();
    match error {
        RegistryError::Invalid(invalid) => invalid_field(invalid),
        RegistryError::Published(_)
        | RegistryError::NotDeclared(_)
        | RegistryError::Store(StoreError::Taken(_)) => Problem::new(409, detail).field("id"),
        RegistryError::Stopped(_) | RegistryError::Command(CommandError::Blocked(..)) => {
            Problem::new(409, detail)
        }
        RegistryError::NoStore => Problem::new(503, detail),
        RegistryError::Command(CommandError::Unknown(_)) => Problem::new(404, detail).field("id"),
        RegistryError::Command(CommandError::NoAnswer | CommandError::ShuttingDown) => {
            Problem::new(503, detail)
        }
        RegistryError::Store(_) => {
            log::error!("{detail}");
            Problem::new(503, format!("{detail}; nothing has changed"))
        }
    }
}

fn invalid_field(invalid: &Invalid) -> Problem {
    Problem::new(400, invalid.to_string()).field(invalid.field)
}

/// A body's fields. Messages about them never show a value: it may be a secret.
struct Fields(Map<String, Value>);

impl Fields {
    fn read(body: &[u8], known: &[&str]) -> Result<Self, Problem> {
        let Ok(value) = serde_json::from_slice(body) else {
            return Err(Problem::new(400, "the body is not JSON"));
        };
        let Value::Object(fields) = value else {
            return Err(Problem::new(400, "the body is not a JSON object"));
        };
        let unknown = fields.keys().find(|name| !known.contains(&name.as_str()));
        if let Some(name) = unknown {
            let name: String = secret::redact_url(name).chars().take(60).collect();
            let detail = format!(
                "{name:?} is not a field here; there are {}",
                known.join(", ")
            );
            return Err(Problem::new(400, detail).field(name));
        }
        Ok(Self(fields))
    }

    fn draft(mut self) -> Result<Draft, Problem> {
        let id = self.text("id")?.map(|id| parse_id(&id));
        let source = self.source()?;
        Ok(Draft {
            id: id.transpose().map_err(|error| invalid_field(&error))?,
            name: self.name()?.flatten(),
            source: source.ok_or_else(|| must("source", "a URL"))?,
            outputs: self.outputs()?.flatten(),
            enabled: self.enabled()?.unwrap_or(true),
        })
    }

    fn change(mut self) -> Result<Change, Problem> {
        Ok(Change {
            name: self.name()?,
            source: self.source()?,
            outputs: self.outputs()?,
            enabled: self.enabled()?,
        })
    }

    fn text(&mut self, field: &'static str) -> Result<Option<String>, Problem> {
        match self.0.remove(field) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(must(field, "a text")),
        }
    }

    fn name(&mut self) -> Result<Option<Option<Name>>, Problem> {
        if self.is_null("name") {
            return Ok(Some(None));
        }
        let name = self.text("name")?.map(|name| name.parse());
        let name = name.transpose().map_err(|error| invalid_field(&error))?;
        Ok(name.map(Some))
    }

    fn source(&mut self) -> Result<Option<Source>, Problem> {
        let source = self.text("source")?.map(|text| Source::parse(&text));
        source.transpose().map_err(|error| invalid_field(&error))
    }

    fn outputs(&mut self) -> Result<Option<Option<Outputs>>, Problem> {
        if self.is_null("outputs") {
            return Ok(Some(None));
        }
        let wrong = || must("outputs", "a list of URLs");
        let urls = match self.0.remove("outputs") {
            None => return Ok(None),
            Some(Value::Array(urls)) => urls,
            Some(_) => return Err(wrong()),
        };
        let parse = |url: &Value| {
            let output = Output::parse(url.as_str().ok_or_else(wrong)?);
            output.map_err(|error| invalid_field(&error))
        };
        let outputs = urls.iter().map(parse).collect::<Result<_, _>>()?;
        let outputs = Outputs::new(outputs).map_err(|error| invalid_field(&error))?;
        Ok(Some(Some(outputs)))
    }

    fn enabled(&mut self) -> Result<Option<bool>, Problem> {
        match self.0.remove("enabled") {
            None => Ok(None),
            Some(Value::Bool(enabled)) => Ok(Some(enabled)),
            Some(_) => Err(must("enabled", "true or false")),
        }
    }

    fn is_null(&self, field: &str) -> bool {
        self.0.get(field) == Some(&Value::Null)
    }
}

fn must(field: &'static str, be: &str) -> Problem {
    Problem::new(400, format!("{field} has to be {be}")).field(field)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn draft(body: &str) -> Result<Draft, Problem> {
        let known = ["id", "name", "source", "outputs", "enabled"];
        Fields::read(body.as_bytes(), &known).and_then(Fields::draft)
    }

    #[test]
    fn a_source_is_enough() {
        let draft = draft(r#"{"source":"rtsp://h/x"}"#).unwrap();
        assert!(draft.id.is_none() && draft.name.is_none() && draft.outputs.is_none());
        assert!(draft.enabled);
    }

    #[test]
    fn what_is_wrong_is_told_by_field_and_never_by_value() {
        for (body, field, told) in [
            ("s3cret", "", "not JSON"),
            (r#"["s3cret"]"#, "", "JSON object"),
            ("{}", "source", "a URL"),
            (r#"{"source":{"s3cret":1}}"#, "source", "a text"),
            (r#"{"source":null}"#, "source", "a text"),
            (
                r#"{"source":"rtsp://h/x","sauce":"s3cret"}"#,
                "sauce",
                "source",
            ),
            (r#"{"source":"http://u:s3cret@h/x"}"#, "source", "rtsp://"),
            (
                r#"{"source":"rtsp://h/x","outputs":"rtmp://h/a/s3cret"}"#,
                "outputs",
                "a list",
            ),
            (
                r#"{"source":"rtsp://h/x","outputs":[["rtmp://h/a/s3cret"]]}"#,
                "outputs",
                "a list",
            ),
            (r#"{"source":"rtsp://h/x","outputs":[]}"#, "outputs", "none"),
            (
                r#"{"source":"rtsp://h/x","enabled":"s3cret"}"#,
                "enabled",
                "true or false",
            ),
            (r#"{"source":"rtsp://h/x","name":7}"#, "name", "a text"),
            (
                r#"{"source":"rtsp://h/x","name":"a\nb"}"#,
                "name",
                "control",
            ),
            (r#"{"source":"rtsp://h/x","id":"a b"}"#, "id", "streamId"),
        ] {
            let problem = Answer::from(draft(body).unwrap_err());
            let said: Value = serde_json::from_slice(&problem.body).unwrap();
            let detail = said["detail"].as_str().unwrap();
            assert_eq!(said["field"].as_str().unwrap_or_default(), field, "{said}");
            assert!(
                detail.contains(told) && !detail.contains("s3cret"),
                "{said}"
            );
        }
    }

    proptest! {
        #[test]
        fn whatever_is_sent_nothing_panics_and_no_value_is_told(
            bytes in prop::collection::vec(any::<u8>(), 0..80),
            field in "id|name|source|outputs|enabled|other",
            value in "[ -~]{0,40}",
        ) {
            let _ = Fields::read(&bytes, &["id"]);
            let mut body = serde_json::json!({ "source": "rtsp://h/x" });
            body[&field] = format!("QQ{value}QQ/").into();
            if let Err(problem) = draft(&body.to_string()) {
                // The grammar of an id is told with the id, which is none of the secrets.
                prop_assert!(field == "id" || !problem.detail().contains("QQ"), "{}", problem.detail());
            }
        }
    }

    #[test]
    fn a_change_tells_nothing_from_null() {
        let change = |body: &str| {
            let known = ["name", "source", "outputs", "enabled"];
            Fields::read(body.as_bytes(), &known)
                .and_then(Fields::change)
                .unwrap()
        };
        let nothing = change("{}");
        assert!(nothing.name.is_none() && nothing.outputs.is_none() && nothing.enabled.is_none());
        let cleared = change(r#"{"name":null,"outputs":null}"#);
        assert_eq!((cleared.name, cleared.outputs), (Some(None), Some(None)));
    }
}
