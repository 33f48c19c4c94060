//! What keeps an on-demand stream open without any viewer.
//!
//! MediaMTX closes an on-demand source some time after its last reader has gone; `0s` is no exception but the
//! shortest such time, and a recording is no reader. So the server is made a reader of its own path, by a second
//! path whose source is the first one over RTSP. It demands the source, holds it, and demands it again after it
//! has ended, with no process but the server's. Adding and removing it touches no other path.

use mediamtx::api::{Api, ApiError, Fields};
use serde_json::Value;
use url::Url;

use crate::server::is_template;

const FOLDER: &str = "lifecycle/keep/";

/// Every hook of a path; a keeper has none, whatever the defaults for paths say.
const HOOKS: [&str; 11] = [
    "runOnInit",
    "runOnDemand",
    "runOnUnDemand",
    "runOnAvailable",
    "runOnUnavailable",
    "runOnOnline",
    "runOnOffline",
    "runOnRead",
    "runOnUnread",
    "runOnRecordSegmentCreate",
    "runOnRecordSegmentComplete",
];
/// The same by names they had before v1.19.3, which beat the new ones where they are set.
const OLD_HOOKS: [&str; 2] = ["runOnReady", "runOnNotReady"];

/// The keeper's name.
#[must_use]
pub fn name(path: &str) -> String {
    format!("{FOLDER}{path}")
}

/// The path that is kept, if this is a keeper.
#[must_use]
pub fn kept(entry: &str) -> Option<&str> {
    if is_template(entry) {
        return None;
    }
    entry.strip_prefix(FOLDER)
}

/// Why there can be no keeper.
#[derive(Debug, thiserror::Error)]
pub enum KeeperError {
    /// The server can't be asked.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// A keeper reads over RTSP.
    #[error(
        "MediaMTX has RTSP switched off, by which it would keep on-demand streams open: set rtsp: yes"
    )]
    NoRtsp,
    /// It reads itself without encryption only.
    #[error(
        "MediaMTX has rtspEncryption: strict, so that it can't read its own paths: set it to optional"
    )]
    Encrypted,
    /// Its address can't be made into a URL.
    #[error("MediaMTX's rtspAddress {0:?} is no address: name its URL with --rtsp")]
    Address(String),
}

/// Where the server reaches its own paths over RTSP, as it is configured.
///
/// # Errors
/// When it can't be asked, or does not speak RTSP.
pub fn own_rtsp(api: &Api) -> Result<Url, KeeperError> {
    let global = api.global()?;
    if !global.rtsp {
        return Err(KeeperError::NoRtsp);
    }
    if global.rtsp_encryption == "strict" {
        return Err(KeeperError::Encrypted);
    }
    let address = &global.rtsp_address;
    let (host, port) = address.rsplit_once(':').unwrap_or((address, ""));
    let host = match host {
        "" | "0.0.0.0" | "[::]" => "127.0.0.1",
        host => host,
    };
    let url = format!("rtsp://{host}:{port}").parse();
    url.map_err(|_| KeeperError::Address(address.clone()))
}

/// The keeper's settings. `defaults` are those of all paths.
#[must_use]
pub fn fields(rtsp: &Url, path: &str, defaults: &Fields) -> Fields {
    let source = format!("{}/{path}", rtsp.as_str().trim_end_matches('/'));
    let mut fields = Fields::from_iter([
        ("source".to_owned(), Value::from(source)),
        ("sourceOnDemand".to_owned(), Value::from(false)),
        ("rtspTransport".to_owned(), Value::from("tcp")),
        ("alwaysAvailable".to_owned(), Value::from(false)),
        ("record".to_owned(), Value::from(false)),
    ]);
    let hooks = HOOKS.iter().chain(&OLD_HOOKS);
    let set = hooks.filter(|hook| defaults.get(**hook).is_some_and(|value| value != ""));
    fields.extend(set.map(|hook| ((*hook).to_owned(), Value::from(""))));
    fields
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_keeper_reads_the_path_and_does_nothing_else() {
        let rtsp: Url = "rtsp://u:p@127.0.0.1:8554".parse().unwrap();
        let defaults =
            json!({"runOnReady": "x", "runOnRead": "y", "runOnInit": "", "record": true});
        let fields = fields(&rtsp, "live/a/in", defaults.as_object().unwrap());
        assert_eq!(
            Value::from(fields),
            json!({
                "source": "rtsp://u:p@127.0.0.1:8554/live/a/in", "sourceOnDemand": false, "rtspTransport": "tcp",
                "alwaysAvailable": false, "record": false, "runOnReady": "", "runOnRead": "",
            })
        );
        assert_eq!(kept(&name("live/a/in")), Some("live/a/in"));
        assert_eq!(kept("live/a/in"), None);
    }
}
