//! What keeps an on-demand stream open without any viewer.
//!
//! MediaMTX closes an on-demand source some time after its last reader has gone; `0s` is no exception but the
//! shortest such time, and a recording is no reader. So the server is made a reader of its own path, by a second
//! path whose source is the first one over RTSP. It demands the source, holds it, and demands it again after it
//! has ended, with no process but the server's. Adding and removing it touches no other path.

use mediamtx::api::Fields;
use serde_json::Value;
use url::Url;

use crate::server::is_managed;

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

/// The keeper's settings. `defaults` are those of all paths.
#[must_use]
pub fn fields(rtsp: &Url, path: &str, defaults: &Fields) -> Fields {
    let source = format!("{}/{path}", rtsp.as_str().trim_end_matches('/'));
    let mut fields = Fields::from_iter([
        ("source".to_owned(), Value::from(source)),
        ("sourceOnDemand".to_owned(), Value::from(false)),
        ("rtspTransport".to_owned(), Value::from("tcp")),
        ("record".to_owned(), Value::from(false)),
    ]);
    // Unknown to older servers.
    if defaults.contains_key("alwaysAvailable") {
        fields.insert("alwaysAvailable".to_owned(), Value::from(false));
    }
    let hooks = HOOKS.iter().chain(&OLD_HOOKS);
    // MediaMTX refuses it where nobody publishes.
    let unwanted = hooks.chain(&["srtPublishPassphrase"]);
    let set = unwanted.filter(|name| defaults.get(**name).is_some_and(|value| value != ""));
    fields.extend(set.map(|name| ((*name).to_owned(), Value::from(""))));
    fields
}

/// Of a keeper's settings those that a look at the server shows.
pub(super) fn visible(fields: &Fields) -> Fields {
    let known = fields.iter().filter(|(name, _)| is_managed(name));
    known
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_keeper_reads_the_path_and_does_nothing_else() {
        let rtsp: Url = "rtsp://u:p@127.0.0.1:8554".parse().unwrap();
        let defaults = json!({"runOnReady": "x", "runOnRead": "y", "runOnInit": "", "record": true, "alwaysAvailable": true, "srtPublishPassphrase": "a passphrase"});
        let fields = fields(&rtsp, "live/a/in", defaults.as_object().unwrap());
        assert_eq!(
            Value::from(fields),
            json!({
                "source": "rtsp://u:p@127.0.0.1:8554/live/a/in", "sourceOnDemand": false, "rtspTransport": "tcp",
                "alwaysAvailable": false, "record": false, "runOnReady": "", "runOnRead": "", "srtPublishPassphrase": "",
            })
        );
    }
}
