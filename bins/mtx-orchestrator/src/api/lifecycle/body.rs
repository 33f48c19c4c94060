//! Bodies of commands.

use common::http::Problem;
use common::secret;
use common::timestamp::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// It goes into each line of the log, and stays in the journal.
const LONGEST_REASON: usize = 200;

#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Start {
    pub(super) use_case: String,
    pub(super) until: Option<Timestamp>,
}

#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Stop {
    #[serde(default)]
    pub(super) reason: Reason,
}

#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rollback {
    pub(super) revision: Option<u64>,
}

/// One line of text, without passwords: everybody may read it.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
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

impl TryFrom<String> for Reason {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let fits = !text.trim().is_empty()
            && text.chars().count() <= LONGEST_REASON
            && !text.chars().any(char::is_control);
        match fits {
            true => Ok(Self(secret::redact_url(&text))),
            false => Err(format!(
                "a reason is one line of up to {LONGEST_REASON} characters"
            )),
        }
    }
}

/// A body that may be left out.
pub(super) fn read_or_default<T: DeserializeOwned + Default>(body: &[u8]) -> Result<T, Problem> {
    match body {
        [] => Ok(T::default()),
        body => read(body),
    }
}

pub(super) fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(body).map_err(|error| {
        let detail: String = secret::redact_url(&error.to_string())
            .chars()
            .take(300)
            .collect();
        Problem::new(400, detail).at(error.line(), error.column())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        for (body, told) in [
            ("", "EOF"),
            ("[]", "invalid length"),
            ("{}", "missing field `useCase`"),
            (r#"{"useCase": 1}"#, "expected a string"),
            (
                r#"{"useCase": "x", "usecase": "y"}"#,
                "unknown field `usecase`",
            ),
        ] {
            let problem = read::<Start>(body.as_bytes()).unwrap_err();
            assert_eq!(problem.status, 400);
            let detail = problem.detail();
            assert!(detail.contains(told), "{body}: {detail}");
        }
        let long = format!(r#"{{"reason": "{}"}}"#, "x".repeat(201));
        for body in [r#"{"reason": "a\nb"}"#, r#"{"reason": " "}"#, &long] {
            let problem = read::<Stop>(body.as_bytes()).unwrap_err();
            assert!(
                problem.detail().contains("one line"),
                "{}",
                problem.detail()
            );
        }
    }

    #[test]
    fn a_stop_needs_no_body() {
        for body in ["", "{}"] {
            let stop: Stop = read_or_default(body.as_bytes()).unwrap();
            assert_eq!(stop.reason.as_str(), "over the API");
        }
        assert!(read_or_default::<Stop>(b" ").is_err());
    }

    proptest! {
        #[test]
        fn no_body_panics(body in any::<Vec<u8>>()) {
            let _ = read::<Start>(&body);
            let _ = read_or_default::<Stop>(&body);
            let _ = read_or_default::<Rollback>(&body);
        }
    }
}
