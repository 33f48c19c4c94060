//! A client of MediaMTX's Control API: what the server knows of its paths, and how it is told.

mod config;
mod error;
mod paths;

use std::env;
use std::time::{Duration, Instant};

use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use ureq::http::header::{AUTHORIZATION, CONTENT_TYPE};
use ureq::http::{HeaderValue, Method, Request, Uri};
use ureq::{Agent, Body};

pub use config::{Fields, Global, User};
pub use error::{ApiError, Login};
pub use paths::{Client, PathInfo, Recordings, RtmpConnection, Segment, ServerInfo};

use common::tls::MEDIAMTX_FINGERPRINT;
use common::{https, secret};

/// Two hundred paths with all their settings take a megabyte.
const LARGEST_ANSWER: u64 = 16 * 1024 * 1024;
/// More pages than any server fills; an answer that says so is none.
const MOST_PAGES: usize = 1000;

/// Asks one server.
#[derive(Debug, Clone)]
pub struct Api {
    agent: Agent,
    base: String,
    authorization: Option<HeaderValue>,
    login: Login,
    deadline: Duration,
}

impl Api {
    /// A client of the API at `url`, whose every call ends within `deadline`. With https, the environment says whom
    /// to trust: see [`common::tls`].
    pub fn new(url: &str, deadline: Duration) -> Result<Self, ApiError> {
        let wrong = || ApiError::Url {
            url: secret::redact_url(url),
        };
        let uri: Uri = url.parse().map_err(|_| wrong())?;
        let (Some(scheme @ ("http" | "https")), Some(authority)) =
            (uri.scheme_str(), uri.authority())
        else {
            return Err(wrong());
        };
        let (login, address) = match authority.as_str().rsplit_once('@') {
            Some((login, address)) => (Some(login), address),
            None => (None, authority.as_str()),
        };
        let has_host = !address.is_empty() && !address.starts_with(':');
        let port = address
            .rsplit_once(':')
            .filter(|(_, port)| !port.ends_with(']'));
        let has_port = port.is_none_or(|(_, port)| port.parse::<u16>().is_ok());
        // A password's `/` or `#` that is not escaped would end the login, and be shown.
        let is_cut = uri.path().contains('@') || uri.query().is_some() || url.contains('#');
        if !has_host || !has_port || is_cut {
            return Err(wrong());
        }
        let shown = login.map_or(Login::None, |_| Login::Password);
        let authorization = login.map(basic).transpose().map_err(|()| wrong())?;
        let config = Agent::config_builder()
            .max_redirects(0)
            .http_status_as_error(false)
            .proxy(None)
            .user_agent(concat!("mtx-suite/", env!("CARGO_PKG_VERSION")))
            .build();
        Ok(Self {
            agent: https::agent(config, &uri, MEDIAMTX_FINGERPRINT)?,
            base: format!("{scheme}://{address}{}", uri.path().trim_end_matches('/')),
            authorization,
            login: shown,
            deadline,
        })
    }

    /// Where it asks, without a login.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.base
    }

    /// The client with a bearer token in place of a login.
    fn with_token(mut self, token: &str) -> Result<Self, ApiError> {
        secret::register(token);
        let value = HeaderValue::from_str(&format!("Bearer {token}"));
        let mut value = value.map_err(|_| ApiError::Token)?;
        value.set_sensitive(true);
        self.authorization = Some(value);
        self.login = Login::Token;
        Ok(self)
    }

    /// The same with the token in `MEDIAMTX_API_TOKEN`, if there is one.
    pub fn with_token_of_environment(self) -> Result<Self, ApiError> {
        match env::var("MEDIAMTX_API_TOKEN") {
            Ok(token) if !token.is_empty() => self.with_token(&token),
            _ => Ok(self),
        }
    }

    fn get<T: DeserializeOwned>(&self, call: &str, timeout: Duration) -> Result<T, ApiError> {
        let body = self.call(&Method::GET, call, None, timeout)?;
        serde_json::from_slice(&body).map_err(|error| ApiError::Answer {
            url: format!("{}{call}", self.base),
            error,
        })
    }

    /// The items of all pages of a list, within the deadline.
    fn list<T: DeserializeOwned>(&self, call: &str, per_page: usize) -> Result<Vec<T>, ApiError> {
        let start = Instant::now();
        let mut items = Vec::new();
        for number in 0..MOST_PAGES {
            let left = self.deadline.saturating_sub(start.elapsed());
            let call = format!("{call}?itemsPerPage={per_page}&page={number}");
            let page: Page<T> = self.get(&call, left.max(Duration::from_millis(1)))?;
            items.extend(page.items);
            if number + 1 >= page.page_count {
                break;
            }
        }
        Ok(items)
    }

    fn call(
        &self,
        method: &Method,
        call: &str,
        body: Option<Vec<u8>>,
        timeout: Duration,
    ) -> Result<Vec<u8>, ApiError> {
        let url = format!("{}{call}", self.base);
        let answer = self.send(method, &url, body.unwrap_or_default(), timeout);
        let (status, body) = match answer {
            Ok(answer) => answer,
            Err(error) => {
                let error = Box::new(error);
                return Err(ApiError::Request { url, error });
            }
        };
        match status {
            200..=299 => Ok(body),
            _ => Err(ApiError::from_status(url, status, &body, self.login)),
        }
    }

    fn send(
        &self,
        method: &Method,
        url: &str,
        body: Vec<u8>,
        timeout: Duration,
    ) -> Result<(u16, Vec<u8>), ureq::Error> {
        let mut request = Request::builder().method(method).uri(url);
        if let Some(value) = &self.authorization {
            request = request.header(AUTHORIZATION, value);
        }
        let mut answer: ureq::http::Response<Body> = if body.is_empty() {
            let request = request.body(())?;
            let request = self.agent.configure_request(request);
            let request = request.timeout_global(Some(timeout)).build();
            self.agent.run(request)?
        } else {
            let request = request
                .header(CONTENT_TYPE, "application/json")
                .body(body)?;
            let request = self.agent.configure_request(request);
            let request = request.timeout_global(Some(timeout)).build();
            self.agent.run(request)?
        };
        let status = answer.status().as_u16();
        let body = answer.body_mut().with_config().limit(LARGEST_ANSWER);
        Ok((status, body.read_to_vec()?))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page<T> {
    page_count: usize,
    items: Vec<T>,
}

/// The header for `user:password`, both of them percent-encoded where a URL asks for it.
fn basic(login: &str) -> Result<HeaderValue, ()> {
    let (user, password) = login.split_once(':').unwrap_or((login, ""));
    let decode = |text: &str| percent_decode_str(text).decode_utf8().map(String::from);
    let (user, password) = (
        decode(user).map_err(|_| ())?,
        decode(password).map_err(|_| ())?,
    );
    secret::register(&password);
    let value = format!("Basic {}", base64(format!("{user}:{password}").as_bytes()));
    let mut value = HeaderValue::from_str(&value).map_err(|_| ())?;
    value.set_sensitive(true);
    Ok(value)
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_login_goes_into_a_header_and_nowhere_else() {
        let api = Api::new("http://u:p%40ssword@h:9997/", SECOND).unwrap();
        assert_eq!(api.url(), "http://h:9997");
        let value = api.authorization.unwrap();
        assert_eq!(value.to_str().unwrap(), "Basic dTpwQHNzd29yZA==");
        assert!(!format!("{value:?}").contains("dTp"));
    }

    #[test]
    fn what_is_no_address_of_an_api_is_refused_without_its_password() {
        for url in [
            "",
            "localhost:9997",
            "rtsp://u:hunter2@h/",
            "http://u:hunter2@:99/",
            "http://h/?token=hunter2",
            "http://u:hunter2@/",
            "http://u:12/hunter2@h:9997",
            "http://u:hunter2/x@h:9997",
            "http://u:hunter2#x@h:9997",
        ] {
            let message = Api::new(url, SECOND).unwrap_err().to_string();
            assert!(!message.contains("hunter2"), "{message}");
        }
    }

    #[test]
    fn a_server_that_is_not_there_is_named() {
        let api = Api::new("http://127.0.0.1:1", SECOND).unwrap();
        let message = api.paths().unwrap_err().to_string();
        assert!(
            message.contains("127.0.0.1:1") && message.contains("refused"),
            "{message}"
        );
    }
}
