//! What is to be sent and where, checked before anything is.

use std::ffi::OsString;

use anyhow::{Context, Result, bail};
use common::secret;
use common::timestamp::Timestamp;
use common::token;
use mediamtx::event::{ENDPOINT, Event};
use mediamtx::hook::HookEnvironment;
use ureq::Agent;
use ureq::http::{HeaderValue, Uri};

use crate::cli::{Cli, Command};
use crate::send;

/// The variable that has the bearer token, or with `_FILE` behind it the token's file.
pub(crate) const TOKEN: &str = "ORCHESTRATOR_TOKEN";

/// One request.
pub(crate) struct Request {
    pub(crate) agent: Agent,
    pub(crate) url: Uri,
    pub(crate) content: Content,
}

pub(crate) enum Content {
    Event {
        event: Box<Event>,
        authorization: Option<HeaderValue>,
    },
    Check,
}

impl Request {
    /// Reads what is missing on the command line from the environment.
    pub(crate) fn new(cli: Cli, timestamp: Timestamp) -> Result<Self> {
        let (url, content) = match (cli.event, cli.command) {
            (Some(name), _) => {
                let event = Event::from_hook(name, &HookEnvironment::of_this_process(), timestamp)?;
                let url = receiver(cli.orchestrator_url, &format!("{ENDPOINT}{name}"))?;
                let token = token::from_environment(TOKEN)?;
                let content = Content::Event {
                    event: Box::new(event),
                    authorization: bearer(token.as_deref())?,
                };
                (url, content)
            }
            (None, Some(Command::Check { url: text })) => (url(text)?, Content::Check),
            (None, _) => bail!("neither an event nor a command was given"),
        };
        Ok(Self {
            agent: send::agent(&url)?,
            url,
            content,
        })
    }

    /// What goes on its log line, as far as it is known.
    pub(crate) fn fields(&self) -> Vec<(&'static str, String)> {
        let mut fields = Vec::new();
        if let Content::Event { event, .. } = &self.content {
            if let Some(path) = event.kind.path() {
                fields.push(("path", path.to_string()));
                let id = event.kind.stream_id();
                fields.extend(id.map(|id| ("streamId", id.to_string())));
            }
            fields.extend(event.kind.id().map(|(key, id)| (key, id.to_owned())));
        }
        fields.push(("url", secret::redact_url(&self.url.to_string())));
        fields
    }
}

fn url(text: OsString) -> Result<Uri> {
    let Ok(text) = text.into_string() else {
        bail!("the URL is not valid UTF-8");
    };
    let shown = || secret::redact_url(&text);
    const FORM: &str = "is not http(s)://host[:port][/path]";
    let Ok(url) = text.parse::<Uri>() else {
        bail!("{:?} {FORM}", shown());
    };
    if !matches!(url.scheme_str(), Some("http" | "https")) || url.host().is_none_or(str::is_empty) {
        bail!("{:?} {FORM}", shown());
    }
    let authority = url.authority().map_or("", |authority| authority.as_str());
    if authority.contains('@') {
        bail!(
            "{:?} has a user in it, which nobody would be told; a token goes into ORCHESTRATOR_TOKEN",
            shown()
        );
    }
    if authority
        .rsplit_once(':')
        .is_some_and(|(_, port)| bad_port(port))
    {
        bail!("{:?} has a port that is none", shown());
    }
    Ok(url)
}

/// What follows the last colon: a port, or the end of an IPv6 address.
fn bad_port(text: &str) -> bool {
    !text.ends_with(']') && !text.parse::<u16>().is_ok_and(|port| port != 0)
}

/// The URL of a page below `ORCHESTRATOR_URL`.
pub(crate) fn receiver(base: OsString, page: &str) -> Result<Uri> {
    let base = url(base).context("ORCHESTRATOR_URL")?;
    if let Some(query) = base.query() {
        let query = secret::redact_query(query);
        bail!("ORCHESTRATOR_URL has a query, ?{query}: events go to a path below it");
    }
    let path = format!("{}{page}", base.path().trim_end_matches('/'));
    let mut parts = base.into_parts();
    parts.path_and_query = Some(path.parse()?);
    Ok(Uri::from_parts(parts)?)
}

/// The header that bears a token.
pub(crate) fn bearer(token: Option<&str>) -> Result<Option<HeaderValue>> {
    let Some(token) = token else {
        return Ok(None);
    };
    let value = HeaderValue::from_str(&format!("Bearer {token}"));
    let mut value = value.context("ORCHESTRATOR_TOKEN fits into no header")?;
    value.set_sensitive(true);
    Ok(Some(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn checked(text: &str) -> Result<String> {
        Ok(receiver(text.into(), &format!("{ENDPOINT}ready"))?.to_string())
    }

    #[test]
    fn the_events_path_goes_below_the_given_url() {
        for (base, expected) in [
            (
                "http://localhost:8080",
                "http://localhost:8080/v1/mediamtx/events/ready",
            ),
            ("https://h/", "https://h/v1/mediamtx/events/ready"),
            ("http://h/a/b/", "http://h/a/b/v1/mediamtx/events/ready"),
            (
                "http://[::1]:80/a",
                "http://[::1]:80/a/v1/mediamtx/events/ready",
            ),
            ("http://[::1]", "http://[::1]/v1/mediamtx/events/ready"),
        ] {
            assert_eq!(checked(base).unwrap(), expected);
        }
    }

    #[test]
    fn what_is_no_url_of_a_receiver_is_refused_without_its_secrets() {
        for text in [
            "",
            "localhost",
            "localhost:8080",
            "/x",
            "ftp://h/",
            "http://",
            "http://:80/",
            "http:///x",
            "http://h:0/",
            "http://h:x/",
            "http://h:99999/",
            "http://h:/",
            "http://a b/",
            "http://h/?token=hunter2",
            "http://u:hunter2@h/",
            "http://hunter2@h",
            "http://u:hunter2@h:99999/",
            "http://u:hun/ter2@h/",
            "http://h\n/",
            "http://ü/",
        ] {
            let message = format!("{:#}", checked(text).unwrap_err());
            assert!(
                !message.contains("ter2") && !message.contains('\n'),
                "{message}"
            );
        }
    }

    #[test]
    fn a_token_is_sent_as_bearer_and_shown_to_nobody() {
        assert!(bearer(None).unwrap().is_none());
        let value = bearer(Some("abc.DEF-123")).unwrap().unwrap();
        assert_eq!(value.to_str().unwrap(), "Bearer abc.DEF-123");
        assert!(!format!("{value:?}").contains("abc"));
    }

    proptest! {
        #[test]
        fn no_url_and_no_token_panics(text in "\\PC*", authority in "[a-z0-9:@\\[\\]./?#%]*") {
            let _ = checked(&text);
            let _ = checked(&format!("http://{authority}"));
            let _ = bearer(Some(&text));
        }
    }
}
