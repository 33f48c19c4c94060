//! Who may use the API, and for what.

use anyhow::{Context, Result};
use common::http::{Challenge, Head, Problem, Session, Token, bearer_token, unauthorized};

use crate::power::{Grant, Power};

/// The tokens that let somebody in.
pub(crate) struct Access {
    holders: Vec<Holder>,
}

/// Whoever has one of the tokens.
pub(super) struct Holder {
    variable: &'static str,
    token: Token,
    /// Of a cookie that stands for the token in browsers: their scripts can't give a WebSocket a header.
    session: Session,
    powers: Vec<Power>,
}

impl Access {
    /// None if there is no token: everybody may do everything then. The port is that of the server.
    pub(crate) fn new(grants: Vec<Grant>, port: u16) -> Result<Option<Self>> {
        let mut holders: Vec<Holder> = Vec::new();
        for grant in grants {
            let value = grant.token.as_bytes();
            // One token in two variables has the powers of both.
            if let Some(known) = holders.iter_mut().find(|it| it.token.is(value)) {
                known.powers.extend(grant.powers);
                continue;
            }
            let session = Session::new(format!("mtx-orchestrator-{port}"));
            holders.push(Holder {
                variable: grant.variable,
                token: Token::new(&grant.token),
                session: session.context("no randomness for the session's cookie")?,
                powers: grant.powers.to_vec(),
            });
        }
        Ok((!holders.is_empty()).then_some(Self { holders }))
    }

    /// Whose request it is: its token counts, and without a known one its cookie.
    pub(super) fn holder(&self, head: &Head) -> Option<&Holder> {
        let given = bearer_token(head);
        let by_token = given.and_then(|given| self.holders.iter().find(|it| it.token.is(&given)));
        by_token.or_else(|| self.holders.iter().find(|it| it.session.is_in(head)))
    }

    /// What a request is answered that nobody who is known sends.
    pub(super) fn unknown(&self, head: &Head, challenge: Challenge) -> Problem {
        let variables: Vec<_> = self.holders.iter().map(|it| it.variable).collect();
        let variables = variables.join(" or ");
        let detail = match bearer_token(head) {
            Some(_) => format!("the token is not the one in {variables}"),
            None => format!(
                "this needs one header Authorization: Bearer <token>, or a login with any name and the token for the \
                 password; the token is that in {variables}"
            ),
        };
        unauthorized(detail, challenge)
    }
}

impl Holder {
    pub(super) fn has(&self, power: Power) -> bool {
        self.powers.contains(&power)
    }

    /// Lets the holder of a power do what needs it.
    pub(super) fn check(&self, power: Power) -> Result<(), Problem> {
        if self.has(power) {
            return Ok(());
        }
        let detail = format!(
            "this needs the power {power}, which the token in {} has not",
            self.variable
        );
        // RFC 6750, section 3.1.
        let challenge = format!(r#"Bearer error="insufficient_scope", scope="{power}""#);
        let problem = Problem::new(403, detail).field("Authorization");
        Err(problem.header("WWW-Authenticate", challenge))
    }

    /// The value of a header `Set-Cookie`, for the one who sent this request.
    pub(super) fn cookie(&self, head: &Head) -> String {
        self.session.cookie(head)
    }
}
