//! JSON objects that clients send, read field by field. What is wrong is told with the name of its field; values are
//! not quoted, since they may be secrets.

use std::fmt::Display;
use std::str::FromStr;

use serde_json::{Map, Value};
use thiserror::Error;

use crate::{excerpt, secret};

/// Longer texts are not quoted whole.
const LONGEST: usize = 300;

/// What is wrong with an object.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FieldError {
    /// It is no JSON, from this place on; both count from 1.
    #[error("the body is not JSON")]
    Json {
        /// The line.
        line: usize,
        /// The byte of the line.
        column: usize,
    },
    /// It is another value.
    #[error("the body is not a JSON object")]
    NotAnObject,
    /// It has a field that it must not have.
    #[error("{field:?} is not a field here; there are {known}")]
    Unknown {
        /// The field.
        field: String,
        /// Those there are.
        known: String,
    },
    /// It lacks a field.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// A field is of another type.
    #[error("{field} has to be {expected}")]
    Type {
        /// The field.
        field: &'static str,
        /// What it should be.
        expected: &'static str,
    },
    /// A field is of the right type, and yet malformed.
    #[error("{field}: {message}")]
    Malformed {
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        message: String,
    },
}

impl FieldError {
    /// The field at fault, if it is one.
    #[must_use]
    pub fn field(&self) -> Option<&str> {
        match self {
            Self::Json { .. } | Self::NotAnObject => None,
            Self::Unknown { field, .. } => Some(field),
            Self::Missing(field) | Self::Type { field, .. } | Self::Malformed { field, .. } => {
                Some(field)
            }
        }
    }

    /// A field that is malformed.
    pub fn malformed(field: &'static str, message: &impl Display) -> Self {
        Self::Malformed {
            field,
            message: excerpt(&message.to_string(), LONGEST),
        }
    }
}

/// The fields of an object that were not taken yet.
#[derive(Debug)]
pub struct Fields(Map<String, Value>);

impl Fields {
    /// Reads an object.
    ///
    /// # Errors
    /// When it is none.
    pub fn read(body: &[u8]) -> Result<Self, FieldError> {
        match serde_json::from_slice(body) {
            Ok(Value::Object(fields)) => Ok(Self(fields)),
            Ok(_) => Err(FieldError::NotAnObject),
            Err(error) => Err(FieldError::Json {
                line: error.line(),
                column: error.column(),
            }),
        }
    }

    /// Reads an object that has no other fields than these.
    ///
    /// # Errors
    /// When it is none, or has another field.
    pub fn read_only(body: &[u8], known: &[&str]) -> Result<Self, FieldError> {
        let fields = Self::read(body)?;
        let mut names = fields.0.keys();
        match names.find(|name| !known.contains(&name.as_str())) {
            None => Ok(fields),
            Some(name) => Err(FieldError::Unknown {
                field: excerpt(&secret::redact_url(name), 60),
                known: known.join(", "),
            }),
        }
    }

    /// Takes a field if it is `null`.
    pub fn take_null(&mut self, field: &str) -> bool {
        let is_null = self.0.get(field) == Some(&Value::Null);
        if is_null {
            self.0.remove(field);
        }
        is_null
    }

    /// Takes a text.
    ///
    /// # Errors
    /// When the field is something else.
    pub fn text(&mut self, field: &'static str) -> Result<Option<String>, FieldError> {
        self.take(field, "a text", |value| match value {
            Value::String(text) => Some(text),
            _ => None,
        })
    }

    /// Takes a text that may also be `null`, which is as if it were not there.
    ///
    /// # Errors
    /// When the field is something else.
    pub fn text_or_null(&mut self, field: &'static str) -> Result<Option<String>, FieldError> {
        self.take_null(field);
        self.text(field)
    }

    /// Takes a text that says something in its own grammar.
    ///
    /// # Errors
    /// When the field is no text, or is not of that grammar.
    pub fn parse<T: FromStr<Err: Display>>(
        &mut self,
        field: &'static str,
    ) -> Result<Option<T>, FieldError> {
        let Some(text) = self.text(field)? else {
            return Ok(None);
        };
        let value = text.parse().map(Some);
        value.map_err(|error| FieldError::malformed(field, &error))
    }

    /// Takes a list of texts.
    ///
    /// # Errors
    /// When the field is something else, which `expected` describes.
    pub fn texts(
        &mut self,
        field: &'static str,
        expected: &'static str,
    ) -> Result<Option<Vec<String>>, FieldError> {
        self.take(field, expected, |value| match value {
            Value::Array(texts) => texts
                .into_iter()
                .map(|text| text.as_str().map(str::to_owned))
                .collect(),
            _ => None,
        })
    }

    /// Takes `true` or `false`.
    ///
    /// # Errors
    /// When the field is something else.
    pub fn boolean(&mut self, field: &'static str) -> Result<Option<bool>, FieldError> {
        self.take(field, "true or false", |value| value.as_bool())
    }

    /// Takes a number.
    ///
    /// # Errors
    /// When the field is something else.
    pub fn number(&mut self, field: &'static str) -> Result<Option<f64>, FieldError> {
        self.take(field, "a number", |value| value.as_f64())
    }

    /// Takes a whole number that is not negative; JSON may write 7 as 7.0. As of [`text_or_null`](Self::text_or_null),
    /// `null` is as if it were not there.
    ///
    /// # Errors
    /// When the field is something else, or too large a number.
    pub fn whole_or_null<T: TryFrom<u64>>(
        &mut self,
        field: &'static str,
        expected: &'static str,
    ) -> Result<Option<T>, FieldError> {
        self.take_null(field);
        self.take(field, expected, |value| T::try_from(whole(&value)?).ok())
    }

    fn take<T>(
        &mut self,
        field: &'static str,
        expected: &'static str,
        read: impl FnOnce(Value) -> Option<T>,
    ) -> Result<Option<T>, FieldError> {
        let Some(value) = self.0.remove(field) else {
            return Ok(None);
        };
        let value = read(value).ok_or(FieldError::Type { field, expected })?;
        Ok(Some(value))
    }
}

/// Up to here, each whole number is one of floating point's.
const EXACT: f64 = 9_007_199_254_740_992.0;

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "whole, and between 0 and 2^53"
)]
fn whole(value: &Value) -> Option<u64> {
    let of_float = |number: f64| {
        let is_whole = number.fract() == 0.0 && (0.0..=EXACT).contains(&number);
        is_whole.then_some(number as u64)
    };
    value.as_u64().or_else(|| value.as_f64().and_then(of_float))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_wrong_is_told_with_its_field_and_without_values() {
        let read = |body: &str| {
            let mut fields = Fields::read_only(body.as_bytes(), &["a", "b"])?;
            fields.whole_or_null::<u16>("a", "a port")?;
            fields.text("b")?.ok_or(FieldError::Missing("b"))
        };
        for (body, field, expected) in [
            ("s3cret", None, "not JSON"),
            (r#"["s3cret"]"#, None, "JSON object"),
            ("{}", Some("b"), "b is missing"),
            (r#"{"b":{"s3cret":1}}"#, Some("b"), "b has to be a text"),
            (r#"{"b":null}"#, Some("b"), "b has to be a text"),
            (r#"{"a":"s3cret"}"#, Some("a"), "a has to be a port"),
            (r#"{"a":70000}"#, Some("a"), "a has to be a port"),
            (r#"{"a":-1}"#, Some("a"), "a has to be a port"),
            (r#"{"a":1.5}"#, Some("a"), "a has to be a port"),
            (r#"{"c":"s3cret"}"#, Some("c"), "there are a, b"),
        ] {
            let error = read(body).unwrap_err();
            assert_eq!(error.field(), field, "{body}");
            let message = error.to_string();
            assert!(message.contains(expected), "{body}: {message}");
            assert!(!message.contains("s3cret"), "{message}");
        }
        for body in [
            r#"{"a":1,"b":""}"#,
            r#"{"a":1.0,"b":""}"#,
            r#"{"a":null,"b":""}"#,
        ] {
            assert_eq!(read(body), Ok(String::new()), "{body}");
        }
        let place = FieldError::Json { line: 2, column: 1 };
        assert_eq!(read("{\n]"), Err(place));
    }

    proptest! {
        #[test]
        fn no_body_panics(body in any::<Vec<u8>>(), text in r#"\{"[a-c]":[-0-9.eE"\[\]]{1,20}\}"#) {
            for body in [&body[..], text.as_bytes()] {
                let Ok(mut fields) = Fields::read(body) else { continue };
                let _ = fields.whole_or_null::<u64>("a", "a number");
                let _ = fields.number("b");
                let _ = fields.texts("c", "texts");
            }
        }
    }
}
