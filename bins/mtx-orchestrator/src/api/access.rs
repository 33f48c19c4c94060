//! Who may use the API.

use anyhow::{Context, Result};
use common::http::{Challenge, Head, Problem, Session, Token};

/// The token, and the cookie that stands for it in browsers: their scripts can't give a WebSocket a header.
pub(crate) struct Access {
    token: Token,
    session: Session,
}

impl Access {
    pub(crate) fn new(token: &str, port: u16) -> Result<Self> {
        let session = Session::new(format!("mtx-orchestrator-{port}"));
        Ok(Self {
            token: Token::new(token, "ORCHESTRATOR_TOKEN"),
            session: session.context("no randomness for the session's cookie")?,
        })
    }

    pub(super) fn check(&self, head: &Head, challenge: Challenge) -> Result<(), Problem> {
        if self.session.is_in(head) {
            return Ok(());
        }
        self.token.check(head, challenge)
    }

    /// The value of a header `Set-Cookie`, for the one who sent this request.
    pub(super) fn cookie(&self, head: &Head) -> String {
        self.session.cookie(head)
    }
}
