//! Streams that are asked for: what a body may say, and what is answered.

use common::fields::{FieldError, Fields};
use common::http::{Answer, Problem};

use crate::declaration::{Invalid, Name, Output, Outputs, Source, parse_id};
use crate::registry::{Change, Draft, Registry, RegistryError};
use crate::store::StoreError;
use crate::stream_key::StreamKey;
use crate::supervisor::CommandError;

pub(super) fn declare(registry: &Registry, body: &[u8]) -> Answer {
    match read_draft(body) {
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
    match read_change(body) {
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

/// The fields of a new stream, and those of a change.
const FIELDS: [&str; 5] = ["id", "name", "source", "outputs", "enabled"];
const CHANGEABLE: &[&str] = FIELDS.split_at(1).1;

fn read_draft(body: &[u8]) -> Result<Draft, Problem> {
    let mut fields = Fields::read_only(body, &FIELDS)?;
    let id = fields.text("id")?.map(|id| parse_id(&id));
    let id = id.transpose().map_err(|error| invalid_field(&error))?;
    let source = read_source(&mut fields)?;
    Ok(Draft {
        id,
        name: read_name(&mut fields)?.flatten(),
        source: source.ok_or(FieldError::Missing("source"))?,
        outputs: read_outputs(&mut fields)?.flatten(),
        enabled: fields.boolean("enabled")?.unwrap_or(true),
    })
}

fn read_change(body: &[u8]) -> Result<Change, Problem> {
    let mut fields = Fields::read_only(body, CHANGEABLE)?;
    Ok(Change {
        name: read_name(&mut fields)?,
        source: read_source(&mut fields)?,
        outputs: read_outputs(&mut fields)?,
        enabled: fields.boolean("enabled")?,
    })
}

fn read_name(fields: &mut Fields) -> Result<Option<Option<Name>>, Problem> {
    if fields.take_null("name") {
        return Ok(Some(None));
    }
    let name = fields.text("name")?.map(|name| name.parse());
    let name = name.transpose().map_err(|error| invalid_field(&error))?;
    Ok(name.map(Some))
}

fn read_source(fields: &mut Fields) -> Result<Option<Source>, Problem> {
    let source = fields.text("source")?.map(|text| Source::parse(&text));
    source.transpose().map_err(|error| invalid_field(&error))
}

fn read_outputs(fields: &mut Fields) -> Result<Option<Option<Outputs>>, Problem> {
    if fields.take_null("outputs") {
        return Ok(Some(None));
    }
    let Some(urls) = fields.texts("outputs", "a list of URLs")? else {
        return Ok(None);
    };
    let outputs = urls.iter().map(|url| Output::parse(url)).collect();
    let outputs: Result<_, Invalid> = outputs;
    let outputs = outputs.and_then(Outputs::new);
    let outputs = outputs.map_err(|error| invalid_field(&error))?;
    Ok(Some(Some(outputs)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    fn draft(body: &str) -> Result<Draft, Problem> {
        read_draft(body.as_bytes())
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
            ("{}", "source", "missing"),
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
            let _ = read_draft(&bytes);
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
        let change = |body: &str| read_change(body.as_bytes()).unwrap();
        let nothing = change("{}");
        assert!(nothing.name.is_none() && nothing.outputs.is_none() && nothing.enabled.is_none());
        let cleared = change(r#"{"name":null,"outputs":null}"#);
        assert_eq!((cleared.name, cleared.outputs), (Some(None), Some(None)));
    }
}
