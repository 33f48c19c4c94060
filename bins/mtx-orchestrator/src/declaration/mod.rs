//! Streams that somebody asked for, as opposed to those that MediaMTX has: what may be asked.

mod servers;
mod urls;

use std::fmt;
use std::str::FromStr;

use common::timestamp::Timestamp;
use mediamtx::path::StreamId;

use crate::stream_key::StreamKey;
pub(crate) use servers::{Servers, Target, Task};
pub(crate) use urls::{Endpoint, MOST_OUTPUTS, Output, Outputs, Source};

/// Longer ids fit into no path that anybody would want to type.
const LONGEST_ID: usize = 64;
const LONGEST_NAME: usize = 100;

/// What somebody asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Declaration {
    pub(crate) id: StreamId,
    pub(crate) name: Option<Name>,
    pub(crate) source: Source,
    /// Without any, MediaMTX's own `live/<id>/out`.
    pub(crate) outputs: Option<Outputs>,
    /// Whether a worker is to run.
    pub(crate) enabled: bool,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
}

impl Declaration {
    pub(crate) fn key(&self) -> StreamKey {
        (&self.id).into()
    }
}

/// Why something can't be asked for. It never shows what was asked: that may be a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {why}")]
pub(crate) struct Invalid {
    pub(crate) field: &'static str,
    why: String,
}

impl Invalid {
    pub(crate) fn new(field: &'static str, why: impl Into<String>) -> Self {
        Self {
            field,
            why: why.into(),
        }
    }

    pub(crate) fn why(&self) -> &str {
        &self.why
    }
}

/// A stream's id, as long as a declared one may be.
pub(crate) fn parse_id(text: &str) -> Result<StreamId, Invalid> {
    if text.len() > LONGEST_ID {
        let why = format!("it has more than {LONGEST_ID} characters");
        return Err(Invalid::new("id", why));
    }
    let id: Result<StreamId, _> = text.parse();
    id.map_err(|error| Invalid::new("id", error.to_string()))
}

/// What people call a stream: one line of text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Name(String);

impl Name {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let invalid = |why: String| Err(Invalid::new("name", why));
        if text.trim().is_empty() {
            return invalid("it is empty: leave it out, or set it to null".to_owned());
        }
        if text.chars().count() > LONGEST_NAME {
            return invalid(format!("it has more than {LONGEST_NAME} characters"));
        }
        if text.chars().any(breaks_a_line) {
            return invalid("it has a control character; a name is one line of text".to_owned());
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Control characters, and what Unicode has besides them to end a line or to turn its direction.
fn breaks_a_line(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_bounded_line() {
        for name in ["Gate 3, north", "Ü", &"x".repeat(100), &"é".repeat(100)] {
            assert_eq!(name.parse::<Name>().unwrap().as_str(), name);
        }
        for name in ["", " ", "a\nb", "a\u{7f}", "a\u{202e}b", &"x".repeat(101)] {
            assert_eq!(
                name.parse::<Name>().unwrap_err().field,
                "name",
                "{name:?} is no name"
            );
        }
    }

    #[test]
    fn an_id_has_a_length() {
        assert!(parse_id(&"x".repeat(64)).is_ok());
        for id in [&"x".repeat(65), "", "a/b", "a b", ".."] {
            assert_eq!(parse_id(id).unwrap_err().field, "id");
        }
    }
}
