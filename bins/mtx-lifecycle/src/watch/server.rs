//! The metrics' address.

use std::sync::Arc;

use common::http::{Answer, Head, Method, Problem, Service};

use super::Metrics;

/// Answers `GET /metrics`.
pub(super) struct Page(pub(super) Arc<Metrics>);

impl Service for Page {
    type Route = ();

    const NAME: &'static str = env!("CARGO_PKG_NAME");

    fn admit(&self, head: &Head) -> Result<(), Problem> {
        if head.path() != ["metrics"] {
            return Err(Problem::new(404, "there is GET /metrics and nothing else"));
        }
        match head.method() {
            Method::Get | Method::Head => Ok(()),
            _ => Err(Problem::new(405, "GET only").header("Allow", "GET, HEAD")),
        }
    }

    fn answer(&self, _head: &Head, (): (), _body: &[u8]) -> Answer {
        const TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        Answer::new(200, TYPE, self.0.text())
    }
}
