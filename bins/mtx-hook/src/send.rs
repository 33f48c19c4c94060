//! One HTTP request within one deadline.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use ureq::Agent;
use ureq::http::StatusCode;
use ureq::http::header::{AUTHORIZATION, CONNECTION, CONTENT_TYPE};
use ureq::tls::TlsConfig;

use crate::request::{Content, Request};

/// The status of the answer, whichever it is. What follows the answer's head is not waited for.
pub(crate) fn send_within(request: Request, deadline: Instant) -> Result<StatusCode> {
    let timeout = request.timeout;
    let (result, answer) = mpsc::sync_channel(1);
    // The deadline is watched from outside: no time-out of a socket ends a name lookup that hangs,
    // and each byte of a drip-fed answer would start one anew. The thread dies with the process.
    thread::Builder::new()
        .spawn(move || result.send(send(request)))
        .context("no thread for the request")?;
    match answer.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
        Ok(answer) => answer,
        Err(RecvTimeoutError::Timeout) => bail!("no answer within {timeout:?}"),
        Err(RecvTimeoutError::Disconnected) => bail!("the request ended without a result"),
    }
}

fn send(request: Request) -> Result<StatusCode> {
    let agent = Agent::config_builder()
        .tls_config(TlsConfig::builder().root_certs(request.roots).build())
        // A redirected event would arrive as a GET, or with the token somewhere else.
        .max_redirects(0)
        .http_status_as_error(false)
        // The receiver is the one that was named, whatever proxy the server's environment has.
        .proxy(None)
        .user_agent(concat!("mtx-hook/", env!("CARGO_PKG_VERSION")))
        .build()
        .new_agent();
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
