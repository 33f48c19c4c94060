//! Whether somebody publishes to a path already.

use std::time::Duration;

use tokio::time::timeout;

use super::rtsp::RtspSource;
use super::url::RtspUrl;
use crate::digest::digest;
use crate::rtsp::sdp::{Description, Media};

/// What an answer may take. The input is read meanwhile, and a queue holds 3 s of it. MediaMTX keeps those waiting who may
/// not read the path (up to 4 s, `internal/auth/log_and_delay_error.go`), and those who ask for a path that is started on
/// demand: neither tells anything.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// A camera tells of any path what it tells of one. Without an answer, somebody publishes.
const SECOND_ANSWER_TIMEOUT: Duration = Duration::from_secs(1);

/// The SPS of the picture that MediaMTX sends on a path with `alwaysAvailable` while nobody publishes there, as its
/// description has it (`offlineH264SPS` and `offlineH265SPS` in `internal/stream/offline_sub_stream_track.go`).
const SLATE_H264: &str = "Z0LAKNoB4AiflwEQAAADABAAAAMDwPGDKg==";
const SLATE_H265: &str = "QgEBAWAAAAMAkAAAAwAAAwB4oAPAgBEHy5bpKTC8BaAgAAADACAAAAMDwQ==";

impl RtspSource {
    /// Whether somebody publishes to `url`, by a DESCRIBE. Cameras describe themselves whatever the path, which tells
    /// nothing.
    pub(crate) async fn is_published(&self, url: &RtspUrl) -> bool {
        if !self.has_publisher(url, ANSWER_TIMEOUT).await {
            return false;
        }
        let nobodys = format!(
            "{}-{}",
            url.path(),
            digest(&[url.path(), &std::process::id().to_string()])
        );
        let nobodys = url.with_path(&nobodys);
        !self.has_publisher(&nobodys, SECOND_ANSWER_TIMEOUT).await
    }

    /// A redirection is where readers are sent while there is no stream (`fallback` in mediamtx.yml).
    async fn has_publisher(&self, url: &RtspUrl, patience: Duration) -> bool {
        match timeout(patience, self.describe_at(url)).await {
            Ok(Ok(Ok(described))) => !is_slate(&described.description),
            _ => false,
        }
    }
}

fn is_slate(description: &Description) -> bool {
    description.media.iter().any(is_slate_track)
}

fn is_slate_track(media: &Media) -> bool {
    let has = |name, slate: &str| {
        let sets = media.parameter(name);
        sets.is_some_and(|sets| sets.split(',').any(|set| set == slate))
    };
    match media.encoding.as_str() {
        "h264" => has("sprop-parameter-sets", SLATE_H264),
        "h265" => has("sprop-sps", SLATE_H265),
        _ => false,
    }
}
