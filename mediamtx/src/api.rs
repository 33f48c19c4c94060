//! A client of MediaMTX's Control API: what the server knows of its paths.

use std::time::{Duration, Instant};

use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};
use ureq::Agent;
use ureq::http::header::AUTHORIZATION;
use ureq::http::{HeaderValue, Uri};
use ureq::tls::{RootCerts, TlsConfig};

use crate::secret;

/// As many as MediaMTX gives in one answer.
const ITEMS_PER_PAGE: usize = 1000;
/// A path with its readers takes about a kilobyte.
const LARGEST_PAGE: u64 = 16 * 1024 * 1024;
/// More pages than any server fills; an answer that says so is none.
const MOST_PAGES: usize = 1000;

/// Why the server could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// Not the address of an API.
    #[error("{url:?} is not http(s)://[user:password@]host[:port] of MediaMTX's API")]
    Url {
        /// The address, without its password.
        url: String,
    },
    /// It did not answer, or not in time, or not with what was asked for.
    #[error("MediaMTX's API at {url}: {error}")]
    Request {
        /// What was asked, without its password.
        url: String,
        /// What went wrong.
        error: Box<ureq::Error>,
    },
    /// What it answered is no path list.
    #[error("MediaMTX's API at {url} answers something else than a path list: {error}")]
    Answer {
        /// What was asked.
        url: String,
        /// What is wrong with it.
        error: serde_json::Error,
    },
    /// It answers, but not to us.
    #[error(
        "MediaMTX's API at {url} answers {status}: its authInternalUsers give this user no permission for the API"
    )]
    Refused {
        /// What was asked.
        url: String,
        /// 401 or 403.
        status: u16,
    },
}

/// A path, as far as the suite cares.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PathInfo {
    /// Its name: not necessarily one of the suite's.
    pub name: String,
    /// Since v1.19.3, where `ready` is its deprecated name.
    #[serde(default)]
    available: bool,
    #[serde(default)]
    ready: bool,
    /// Who publishes.
    #[serde(default)]
    pub source: Option<Client>,
    /// Who reads.
    #[serde(default)]
    pub readers: Vec<Client>,
}

impl PathInfo {
    /// Whether a stream is there to be read.
    #[must_use]
    pub fn is_available(&self) -> bool {
        self.available || self.ready
    }
}

/// A publisher or a reader.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Client {
    /// MediaMTX's name for the kind, for example `rtmpConn`.
    #[serde(rename = "type")]
    pub kind: String,
    /// MediaMTX's id of it.
    #[serde(default)]
    pub id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    page_count: usize,
    items: Vec<PathInfo>,
}

/// Asks one server.
#[derive(Debug, Clone)]
pub struct Api {
    agent: Agent,
    base: String,
    authorization: Option<HeaderValue>,
    deadline: Duration,
}

impl Api {
    /// A client of the API at `url`, whose every call ends within `deadline`.
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
        if address.is_empty() || address.starts_with(':') || uri.query().is_some() {
            return Err(wrong());
        }
        let authorization = login.map(basic).transpose().map_err(|()| wrong())?;
        let agent = Agent::config_builder()
            .tls_config(TlsConfig::builder().root_certs(RootCerts::WebPki).build())
            .max_redirects(0)
            .http_status_as_error(true)
            .proxy(None)
            .user_agent(concat!("mtx-suite/", env!("CARGO_PKG_VERSION")))
            .build()
            .new_agent();
        Ok(Self {
            agent,
            base: format!("{scheme}://{address}{}", uri.path().trim_end_matches('/')),
            authorization,
            deadline,
        })
    }

    /// Where it asks, without a login.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.base
    }

    /// Every path the server knows, all within the deadline.
    pub fn paths(&self) -> Result<Vec<PathInfo>, ApiError> {
        let start = Instant::now();
        let mut paths = Vec::new();
        for number in 0..MOST_PAGES {
            let left = self.deadline.saturating_sub(start.elapsed());
            let page = self.page(number, left.max(Duration::from_millis(1)))?;
            paths.extend(page.items);
            if number + 1 >= page.page_count {
                break;
            }
        }
        Ok(paths)
    }

    fn page(&self, number: usize, timeout: Duration) -> Result<Page, ApiError> {
        let call = format!("/v3/paths/list?itemsPerPage={ITEMS_PER_PAGE}&page={number}");
        let url = format!("{}{call}", self.base);
        let get = || -> Result<Vec<u8>, ureq::Error> {
            let request = self.agent.get(&url).config();
            let mut request = request.timeout_global(Some(timeout)).build();
            if let Some(value) = &self.authorization {
                request = request.header(AUTHORIZATION, value);
            }
            let mut answer = request.call()?;
            let body = answer.body_mut().with_config();
            body.limit(LARGEST_PAGE).read_to_vec()
        };
        match get() {
            Ok(body) => {
                serde_json::from_slice(&body).map_err(|error| ApiError::Answer { url, error })
            }
            Err(ureq::Error::StatusCode(status @ (401 | 403))) => {
                Err(ApiError::Refused { url, status })
            }
            Err(error) => Err(ApiError::Request {
                url,
                error: Box::new(error),
            }),
        }
    }
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
        ] {
            let message = Api::new(url, SECOND).unwrap_err().to_string();
            assert!(!message.contains("hunter2"), "{message}");
        }
    }

    #[test]
    fn a_page_of_v1_19_and_of_older_servers_is_read() {
        let page: Page = serde_json::from_str(
            r#"{"itemCount":3,"pageCount":1,"items":[
                {"name":"a","ready":true,"available":true,"source":{"type":"rtmpConn","id":"1"},
                 "readers":[{"type":"rtspSession","id":"2"}],"tracks":["H264"]},
                {"name":"b","ready":true,"source":null,"readers":[]},
                {"name":"c","available":false}]}"#,
        )
        .unwrap();
        let available: Vec<_> = page.items.iter().map(PathInfo::is_available).collect();
        assert_eq!(available, [true, true, false]);
        assert_eq!(page.items[0].readers[0].kind, "rtspSession");
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
