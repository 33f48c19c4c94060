//! Pages of the service that events go to, asked for as mtx-hook sends them: with its token, its certificates and no proxy.

use std::ffi::{OsStr, OsString};
use std::time::Duration;

use common::https;
use common::tls::ORCHESTRATOR_FINGERPRINT;
use common::token;
use mediamtx::event::{ENDPOINT, EventName};
use serde::de::DeserializeOwned;
use ureq::Agent;
use ureq::http::HeaderValue;

use super::finding::Severity;
use super::process::Process;
use crate::request::{TOKEN, bearer, receiver};

const DEADLINE: Duration = Duration::from_secs(2);

/// Why nothing is known of a service.
pub(super) enum AskError {
    /// It wants another token.
    Locked(String),
    Other(String),
}

/// What a page of the service holds.
pub(super) fn ask<T: DeserializeOwned>(
    address: &OsStr,
    process: &Process,
    call: &str,
) -> Result<T, AskError> {
    let url = format!("{}{call}", shown_url(address));
    let answer =
        get(address, process, call).map_err(|error| AskError::Other(format!("{url}: {error}")))?;
    match answer.status {
        200 => serde_json::from_slice(&answer.body)
            .map_err(|error| AskError::Other(format!("{url} answers something else: {error}"))),
        401 => Err(AskError::Locked(format!("{url} answers 401"))),
        403 => Err(AskError::Locked(format!(
            "{url} answers 403: the token may send events, and does not need to be able to do more; to have this looked \
             at, start mtx-hook doctor with one that may read (ORCHESTRATOR_READ_TOKEN of mtx-orchestrator)"
        ))),
        status => Err(AskError::Other(format!("{url} answers {status}"))),
    }
}

/// That the service takes no events with the token of this process, which is certain in a hook only. A GET, which no
/// service takes for an event, tells: whoever is unknown gets 401 for it, and everybody else another status.
pub(super) fn refusal_of_events(address: &OsStr, process: &Process) -> Option<(Severity, String)> {
    let call = format!("{ENDPOINT}{}", EventName::Ready);
    if get(address, process, &call).ok()?.status != 401 {
        return None;
    }
    let (severity, lost) = if process.is_hook() {
        (Severity::Error, "events are lost")
    } else {
        let lost = "events are lost if the server has the same token";
        (Severity::Warning, lost)
    };
    let owner = process.owner();
    let way_out = if matches!(authorization(process), Ok(Some(_))) {
        format!("{TOKEN} in {owner} is not its token")
    } else {
        format!("set {TOKEN}, which is not in {owner}")
    };
    let url = shown_url(address);
    Some((
        severity,
        format!("{lost}, {url}{call} answers 401: {way_out}"),
    ))
}

pub(super) struct Answer {
    pub(super) status: u16,
    body: Vec<u8>,
}

/// An address without what a URL must not have.
pub(super) fn shown_url(address: &OsStr) -> String {
    common::secret::redact_url(address.to_string_lossy().trim_end_matches('/'))
}

/// What the server's hooks bear.
pub(super) fn authorization(process: &Process) -> anyhow::Result<Option<HeaderValue>> {
    let token = token::from_variables(TOKEN, |name| process.variable(name).map(OsString::from))?;
    bearer(token.as_deref())
}

pub(super) fn get(address: &OsStr, process: &Process, call: &str) -> Result<Answer, String> {
    let uri = receiver(address.to_owned(), call).map_err(|error| format!("{error:#}"))?;
    let authorization = authorization(process).map_err(|error| format!("{error:#}"))?;
    let config = Agent::config_builder()
        .max_redirects(0)
        .http_status_as_error(false)
        .proxy(None)
        .timeout_global(Some(DEADLINE))
        .build();
    let agent =
        https::agent(config, &uri, ORCHESTRATOR_FINGERPRINT).map_err(|error| error.to_string())?;
    let mut request = agent.get(uri);
    if let Some(authorization) = authorization {
        request = request.header("Authorization", authorization);
    }
    let mut answer = request.call().map_err(|error| match error {
        ureq::Error::Io(error) => error.to_string(),
        error => error.to_string(),
    })?;
    let status = answer.status().as_u16();
    let body = answer
        .body_mut()
        .read_to_vec()
        .map_err(|error| error.to_string())?;
    Ok(Answer { status, body })
}
