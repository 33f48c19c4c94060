//! What the program means by what the user typed.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use common::secret;
use mediamtx::api::Api;
use mtx_lifecycle::commands::{Options, default_folder};
use url::Url;

use super::arguments::Common;

/// For one call, which MediaMTX answers within milliseconds.
const API_DEADLINE: Duration = Duration::from_secs(5);
const TIMEOUT: Duration = Duration::from_secs(15);

/// Everything, checked.
pub(crate) fn options(common: &Common) -> Result<Options> {
    let timeout = common.timeout.unwrap_or(TIMEOUT);
    let deadline = API_DEADLINE.min(timeout);
    let api = Api::new(&common.api, deadline).context("--api")?;
    let api = api
        .with_token_of_environment()
        .context("MEDIAMTX_API_TOKEN")?;
    let folder = common.state_dir.clone().or_else(default_folder);
    Ok(Options {
        api,
        rtsp: common
            .rtsp
            .as_deref()
            .map(rtsp)
            .transpose()
            .context("--rtsp")?,
        folder: folder.context("no home folder for the journal: name one with --state-dir")?,
        timeout,
    })
}

/// The URL of an RTSP server.
pub(crate) fn rtsp(text: &str) -> Result<Url> {
    let shown = || secret::redact_url(text);
    let Ok(url) = text.parse::<Url>() else {
        bail!("{:?} is not rtsp://[user:password@]host[:port]", shown());
    };
    let is_server = matches!(url.scheme(), "rtsp" | "rtsps") && matches!(url.path(), "" | "/");
    if !is_server || url.host_str().is_none_or(str::is_empty) || url.query().is_some() {
        bail!("{:?} is not rtsp://[user:password@]host[:port]", shown());
    }
    secret::register(url.password().unwrap_or_default());
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_server_is_refused_without_its_password() {
        for text in [
            "h",
            "http://u:hunter2@h",
            "rtsp://u:hunter2@h/cam",
            "rtsp://h?pass=hunter2",
        ] {
            let message = rtsp(text).unwrap_err().to_string();
            assert!(!message.contains("hunter2"), "{message}");
        }
        assert!(rtsp("rtsp://u:p@127.0.0.1:8554").is_ok());
    }
}
