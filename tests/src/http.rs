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
