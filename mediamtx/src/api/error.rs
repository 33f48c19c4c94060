//! Why a call came to nothing.

use serde::Deserialize;

use common::secret;
use common::tls::TrustError;

/// Why the server could not be asked, or did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// Not the address of an API.
    #[error(
        "{url:?} is not http(s)://[user:password@]host[:port] of MediaMTX's API; in a password, write %2F for /, %23 for #, %40 for @"
    )]
    Url {
        /// The address, without its password.
        url: String,
    },
    /// Not a bearer token; what is wrong with it would be part of the secret.
    #[error("the bearer token for MediaMTX's API has a character that no header can hold")]
    Token,
    /// It did not answer, or not in time.
    #[error("MediaMTX's API at {url}: {error}")]
    Request {
        /// What was asked, without its password.
        url: String,
        /// What went wrong.
        error: Box<ureq::Error>,
    },
    /// It answered that it failed, or with a status nobody expects of it.
    #[error("MediaMTX's API at {url} answers {status}{message}")]
    Failed {
        /// What was asked.
        url: String,
        /// Its answer.
        status: u16,
        /// What it says about it, after a colon; empty if it says nothing.
        message: String,
    },
    /// What it answered is not what was asked for.
    #[error("MediaMTX's API at {url} answers something else than was asked for: {error}")]
    Answer {
        /// What was asked.
        url: String,
        /// What is wrong with it.
        error: serde_json::Error,
    },
    /// It answers, but not to us.
    #[error("MediaMTX's API at {url} answers {status}{}", .login.advice())]
    Refused {
        /// What was asked.
        url: String,
        /// 401 or 403.
        status: u16,
        /// What it was shown.
        login: Login,
    },
    /// It is asked in plain HTTP and speaks TLS only.
    #[error(
        "the server at {url} speaks TLS at this port (apiEncryption: yes, or a proxy): write https:// in place of http://"
    )]
    WantsTls {
        /// What was asked.
        url: String,
    },
    /// It is not known whom to trust.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// It understood, and does not want it so.
    #[error("MediaMTX rejects {url}{message}")]
    Rejected {
        /// What was asked.
        url: String,
        /// Why, in its own words, after a colon.
        message: String,
    },
    /// There is no such thing.
    #[error(
        "MediaMTX knows nothing at {url} (404); is a prefix of a proxy missing in the address?"
    )]
    NotFound {
        /// What was asked.
        url: String,
    },
}

/// What a request identifies itself with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Login {
    /// Nothing.
    None,
    /// `user:password` of the URL.
    Password,
    /// `MEDIAMTX_API_TOKEN`.
    Token,
}

impl Login {
    /// What to change where this is not accepted; MediaMTX itself does not say what it misses.
    fn advice(self) -> &'static str {
        match self {
            Self::None => {
                ": nobody may use it from here without a login. Put one into the URL, in front of the host, or a \
                 token into MEDIAMTX_API_TOKEN; or let this address in, in mediamtx.yml: an entry of \
                 authInternalUsers with `user: any`, the address in its `ips` and `permissions: [{action: api}]`"
            }
            Self::Password => {
                " to the login in the URL: wrong, or that entry of authInternalUsers lacks \
                 `permissions: [{action: api}]`, or this address in its `ips`; with authMethod http or jwt \
                 MediaMTX's log says why"
            }
            Self::Token => {
                " to MEDIAMTX_API_TOKEN: with authMethod jwt it may have expired, or its claim (authJWTClaimKey) \
                 lacks {\"action\": \"api\"}: MediaMTX's log says which; with authMethod internal there are no \
                 tokens: put user:password into the URL"
            }
        }
    }
}

impl ApiError {
    pub(super) fn from_status(url: String, status: u16, body: &[u8], login: Login) -> Self {
        let message = message(body);
        match status {
            400 if wants_tls(&message) => Self::WantsTls { url },
            400 => Self::Rejected { url, message },
            401 | 403 => Self::Refused { url, status, login },
            404 => Self::NotFound { url },
            _ => Self::Failed {
                url,
                status,
                message,
            },
        }
    }

    /// Whether the server answered as itself and said no: asking again changes nothing, and it is no sign that
    /// the server is in trouble.
    #[must_use]
    pub fn is_verdict(&self) -> bool {
        !matches!(
            self,
            Self::Request { .. }
                | Self::Failed { .. }
                | Self::Answer { .. }
                | Self::WantsTls { .. }
        )
    }
}

/// In the words of Go's net/http, or of nginx.
fn wants_tls(message: &str) -> bool {
    message.contains("HTTP request to an HTTPS server")
        || message.contains("plain HTTP request was sent to HTTPS port")
}

#[derive(Deserialize)]
struct Problem {
    error: String,
}

/// What the server says about its refusal; it quotes settings, which can hold a password.
fn message(body: &[u8]) -> String {
    let text = match serde_json::from_slice::<Problem>(body) {
        Ok(problem) => problem.error,
        Err(_) => String::from_utf8_lossy(body).trim().to_owned(),
    };
    match common::excerpt(&text, 300) {
        text if text.is_empty() => text,
        text => format!(": {}", secret::redact_url(&text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_server_says_is_passed_on_without_passwords() {
        let url = || "http://h/v3".to_owned();
        let body = br#"{"status":"error","error":"'rtsp://u:hunter2@h' is not a valid URL"}"#;
        let error = ApiError::from_status(url(), 400, body, Login::None);
        let message = error.to_string();
        assert!(
            message.contains("not a valid URL") || message.contains("***"),
            "{message}"
        );
        assert!(!message.contains("hunter2"), "{message}");
        assert!(error.is_verdict());
        let broken = ApiError::from_status(url(), 500, b"", Login::None);
        assert_eq!(
            broken.to_string(),
            "MediaMTX's API at http://h/v3 answers 500"
        );
        assert!(!broken.is_verdict());
    }
}
