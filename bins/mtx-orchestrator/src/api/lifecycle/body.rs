//! Bodies of commands.

use std::str::FromStr;

use common::fields::{FieldError, Fields};
use common::secret;
use common::timestamp::Timestamp;

/// It goes into each line of the log, and stays in the journal.
const LONGEST_REASON: usize = 200;

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Start {
    pub(super) use_case: String,
    pub(super) until: Option<Timestamp>,
}

impl Start {
    pub(super) fn read(body: &[u8]) -> Result<Self, FieldError> {
        let mut fields = Fields::read_only(body, &["useCase", "until"])?;
        fields.take_null("until");
        Ok(Self {
            use_case: fields
                .text("useCase")?
                .ok_or(FieldError::Missing("useCase"))?,
            until: fields.parse("until")?,
        })
    }
}

/// Why a path is stopped. The body may be left out.
pub(super) fn read_reason(body: &[u8]) -> Result<Reason, FieldError> {
    if body.is_empty() {
        return Ok(Reason::default());
    }
    let mut fields = Fields::read_only(body, &["reason"])?;
    Ok(fields.parse("reason")?.unwrap_or_default())
}

/// What to go back to, if that is not what was before the last change. The body may be left out.
pub(super) fn read_revision(body: &[u8]) -> Result<Option<u64>, FieldError> {
    if body.is_empty() {
        return Ok(None);
    }
    let mut fields = Fields::read_only(body, &["revision"])?;
    fields.whole_or_null("revision", "the number of a revision")
}

/// One line of text, without passwords: everybody may read it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Reason(String);

impl Reason {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Reason {
    fn default() -> Self {
        Self("over the API".to_owned())
    }
}

impl FromStr for Reason {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fits = !text.trim().is_empty()
            && text.chars().count() <= LONGEST_REASON
            && !text.chars().any(char::is_control);
        match fits {
            true => Ok(Self(secret::redact_url(text))),
            false => Err(format!(
                "a reason is one line of up to {LONGEST_REASON} characters"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_wrong_is_told_with_its_field() {
        for (body, expected) in [
            ("", "not JSON"),
            ("[]", "not a JSON object"),
            ("{}", "useCase is missing"),
            (r#"{"useCase": 1}"#, "useCase has to be a text"),
            (r#"{"useCase": "x", "until": "soon"}"#, "until: "),
            (
                r#"{"useCase": "x", "usecase": "y"}"#,
                "\"usecase\" is not a field",
            ),
        ] {
            let message = Start::read(body.as_bytes()).unwrap_err().to_string();
            assert!(message.contains(expected), "{body}: {message}");
        }
        let long = format!(r#"{{"reason": "{}"}}"#, "x".repeat(201));
        for body in [r#"{"reason": "a\nb"}"#, r#"{"reason": " "}"#, &long] {
            let error = read_reason(body.as_bytes()).unwrap_err();
            assert_eq!(error.field(), Some("reason"));
            assert!(error.to_string().contains("one line"), "{error}");
        }
    }

    #[test]
    fn a_stop_needs_no_body() {
        for body in ["", "{}"] {
            let reason = read_reason(body.as_bytes()).unwrap();
            assert_eq!(reason.as_str(), "over the API");
        }
        assert!(read_reason(b" ").is_err());
    }

    #[test]
    fn a_revision_may_be_left_out() {
        for (body, expected) in [
            ("", None),
            ("{}", None),
            (r#"{"revision": null}"#, None),
            (r#"{"revision": 0}"#, Some(0)),
            (r#"{"revision": 7.0}"#, Some(7)),
        ] {
            assert_eq!(read_revision(body.as_bytes()), Ok(expected), "{body}");
        }
        assert!(read_revision(br#"{"revision": -1}"#).is_err());
    }

    proptest! {
        #[test]
        fn no_body_panics(body in any::<Vec<u8>>()) {
            let _ = Start::read(&body);
            let _ = read_reason(&body);
            let _ = read_revision(&body);
        }
    }
}
