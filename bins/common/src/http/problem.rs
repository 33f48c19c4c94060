//! Errors as RFC 9457 has them.

use serde::Serialize;
use tiny_http::StatusCode;

use super::Answer;
use crate::fields::FieldError;

/// What was wrong with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// HTTP's status code.
    pub status: u16,
    detail: String,
    field: Option<String>,
    place: Option<(usize, usize)>,
    headers: Vec<(&'static str, String)>,
}

#[derive(Serialize)]
struct Body<'a> {
    r#type: &'static str,
    title: &'static str,
    status: u16,
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<usize>,
}

impl Problem {
    /// One that says in `detail` what is wrong, and what would be right.
    pub fn new(status: u16, detail: impl Into<String>) -> Self {
        Self {
            status,
            detail: detail.into(),
            field: None,
            place: None,
            headers: Vec::new(),
        }
    }

    /// Names the field, header or parameter at fault.
    #[must_use]
    pub fn field(mut self, name: impl Into<String>) -> Self {
        self.field = Some(name.into());
        self
    }

    /// Says where in the body it is; both count from 1.
    #[must_use]
    pub fn at(mut self, line: usize, column: usize) -> Self {
        self.place = Some((line, column));
        self
    }

    /// Adds a header to the answer.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// What is wrong.
    pub fn detail(&self) -> &str {
        &self.detail
    }
}

impl From<FieldError> for Problem {
    fn from(error: FieldError) -> Self {
        let problem = Self::new(400, error.to_string());
        match (&error, error.field()) {
            (FieldError::Json { line, column }, _) => problem.at(*line, *column),
            (_, Some(field)) => problem.field(field),
            (_, None) => problem,
        }
    }
}

impl From<Problem> for Answer {
    fn from(problem: Problem) -> Self {
        let body = Body {
            r#type: "about:blank",
            // With the type about:blank, the title is the status' own phrase.
            title: StatusCode(problem.status).default_reason_phrase(),
            status: problem.status,
            detail: &problem.detail,
            field: problem.field.as_deref(),
            line: problem.place.map(|(line, _)| line),
            column: problem.place.map(|(_, column)| column),
        };
        let mut answer = Self::json(problem.status, &body);
        answer.content_type = "application/problem+json";
        answer.headers = problem.headers;
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_names_status_reason_and_field() {
        let problem = Problem::new(400, "what and why").field("path");
        let answer = Answer::from(problem.header("Allow", "GET"));
        assert_eq!(answer.content_type, "application/problem+json");
        assert_eq!(answer.headers, [("Allow", "GET".to_owned())]);
        let body = String::from_utf8(answer.body).unwrap();
        assert_eq!(
            body,
            r#"{"type":"about:blank","title":"Bad Request","status":400,"detail":"what and why","field":"path"}"#
        );
    }
}
