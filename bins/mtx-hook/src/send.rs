//! One HTTP request.

use anyhow::Result;
use common::https;
use common::tls::ORCHESTRATOR_FINGERPRINT;
use ureq::Agent;
use ureq::http::header::{AUTHORIZATION, CONNECTION, CONTENT_TYPE};
use ureq::http::{StatusCode, Uri};

use crate::request::{Content, Request};

/// An event's body and an answer's head are small, and pages that are not touched cost nothing.
const BUFFER: usize = 16 * 1024;

/// What sends to `url`: fails if it is https and it is not known whom to trust.
pub(crate) fn agent(url: &Uri) -> Result<Agent> {
    let config = Agent::config_builder()
        // A redirected event would arrive as a GET, or with the token somewhere else.
        .max_redirects(0)
        .http_status_as_error(false)
        // The receiver is the one that was named, whatever proxy the server's environment has.
        .proxy(None)
        .user_agent(concat!("mtx-hook/", env!("CARGO_PKG_VERSION")))
        .input_buffer_size(BUFFER)
        .output_buffer_size(BUFFER)
        .max_response_header_size(BUFFER)
        .build();
    Ok(https::agent(config, url, ORCHESTRATOR_FINGERPRINT)?)
}

/// The status of the answer, whichever it is. What follows the answer's head is not waited for.
///
/// Without a time limit: see [`crate::deadline`].
pub(crate) fn send(request: Request) -> Result<StatusCode> {
    let agent = request.agent;
    let answer = match request.content {
        Content::Check => agent.get(request.url).header(CONNECTION, "close").call(),
        Content::Event {
            event,
            authorization,
        } => {
            let mut post = agent
                .post(request.url)
                .header(CONNECTION, "close")
                .header(CONTENT_TYPE, "application/json");
            if let Some(value) = authorization {
                post = post.header(AUTHORIZATION, value);
            }
            post.send(event.to_json())
        }
    };
    match answer {
        Ok(answer) => Ok(answer.status()),
        // Says nothing but "io" before it.
        Err(ureq::Error::Io(error)) => Err(error.into()),
        Err(error) => Err(error.into()),
    }
}
