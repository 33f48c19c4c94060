//! What runs on the server.

use serde::{Deserialize, Serialize};

use super::{Api, ApiError};

/// As many as MediaMTX gives in one answer; a path with its readers takes about a kilobyte.
const PER_PAGE: usize = 1000;

/// A path, as far as the suite cares.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PathInfo {
    /// Its name: not necessarily one of the suite's.
    pub name: String,
    /// The entry of the configuration it gets its settings from.
    #[serde(default)]
    pub conf_name: String,
    /// Up to v1.14.0 there is only its older name, `ready`.
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
    /// What its source has sent since it became available.
    #[serde(default)]
    pub bytes_received: u64,
    /// Since when it is available; another one for each run of its source.
    #[serde(default)]
    pub available_time: Option<String>,
    /// The older name of the same.
    #[serde(default)]
    ready_time: Option<String>,
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

/// A connection over RTMP, as far as the suite cares.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RtmpConnection {
    /// Address and port that the server sees it come from.
    pub remote_addr: String,
    /// The `flashVer` of its `connect` command; servers up to v1.14.0 do not tell.
    #[serde(default)]
    pub user_agent: String,
}

/// The server itself.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ServerInfo {
    /// Its release, for example `v1.19.3`.
    pub version: String,
    /// When it started: another one after each restart.
    pub started: String,
}

/// What has been recorded of a path and is still there.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Recordings {
    /// One for each file.
    pub segments: Vec<Segment>,
}

/// One recorded file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Segment {
    /// When it begins.
    pub start: String,
}

impl Api {
    /// Every path the server knows, all within the deadline.
    pub fn paths(&self) -> Result<Vec<PathInfo>, ApiError> {
        let mut paths: Vec<PathInfo> = self.list("/v3/paths/list", PER_PAGE)?;
        for path in &mut paths {
            path.available_time = path.available_time.take().or(path.ready_time.take());
        }
        Ok(paths)
    }

    /// The connection of a publisher; `None` if it is gone, or does not speak RTMP.
    pub fn rtmp_connection(&self, client: &Client) -> Result<Option<RtmpConnection>, ApiError> {
        let kind = match client.kind.as_str() {
            "rtmpConn" => "rtmpconns",
            "rtmpsConn" => "rtmpsconns",
            _ => return Ok(None),
        };
        match self.get(&format!("/v3/{kind}/get/{}", client.id), self.deadline) {
            Err(ApiError::NotFound { .. }) => Ok(None),
            answer => answer.map(Some),
        }
    }

    /// Which server this is, and since when. Servers up to v1.14.0 do not tell: [`ApiError::NotFound`].
    pub fn info(&self) -> Result<ServerInfo, ApiError> {
        self.get("/v3/info", self.deadline)
    }

    /// What has been recorded of a path; nothing if it is unknown. Of a path that no entry is for, MediaMTX says 400.
    pub fn recordings(&self, name: &str) -> Result<Recordings, ApiError> {
        match self.get(&format!("/v3/recordings/get/{name}"), self.deadline) {
            Err(ApiError::NotFound { .. } | ApiError::Rejected { .. }) => Ok(Recordings {
                segments: Vec::new(),
            }),
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Page;

    #[test]
    fn a_page_of_v1_19_and_of_older_servers_is_read() {
        let page: Page<PathInfo> = serde_json::from_str(
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
}
