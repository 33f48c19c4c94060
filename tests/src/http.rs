//! Plain HTTP calls to servers under test.

use std::time::Duration;

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder()
        .timeout_global(Some(Duration::from_secs(5)))
        .build()
        .into()
}

/// Body of a successful GET, or what went wrong.
pub fn get(url: &str) -> Result<String, String> {
    let mut answer = agent().get(url).call().map_err(|error| error.to_string())?;
    answer
        .body_mut()
        .read_to_string()
        .map_err(|error| error.to_string())
}

/// A POST without a body; what went wrong, if anything did.
pub fn post(url: &str) -> Result<(), String> {
    agent()
        .post(url)
        .send_empty()
        .map(|_| ())
        .map_err(|error| error.to_string())
}

/// A POST of JSON; what went wrong, if anything did.
pub fn post_json(url: &str, body: &str) -> Result<(), String> {
    agent()
        .post(url)
        .header("Content-Type", "application/json")
        .send(body)
        .map(|_| ())
        .map_err(|error| error.to_string())
}

/// Passes a call such as `GET /v3/info` on to the server at `base`, and gives back its status and body; 502 if there
/// is none.
pub fn forward(base: &str, target: &str, body: &str) -> (u16, Vec<u8>) {
    let (method, path) = target.split_once(' ').unwrap_or_default();
    let request = ureq::http::Request::builder()
        .method(method)
        .uri(format!("{base}{path}"));
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_global(Some(Duration::from_secs(5)))
        .http_status_as_error(false)
        .allow_non_standard_methods(true)
        .build()
        .into();
    let answer = match body {
        "" => request.body(()).map(|request| agent.run(request)),
        body => request
            .body(body.to_owned())
            .map(|request| agent.run(request)),
    };
    let Ok(Ok(mut answer)) = answer else {
        return (502, vec![]);
    };
    let body = answer.body_mut().read_to_vec().unwrap_or_default();
    (answer.status().as_u16(), body)
}
