//! Why a source yields nothing, told apart for the log.

use std::time::Duration;

use thiserror::Error;

/// Why a source could not be opened, or ended.
#[derive(Clone, Debug, Error, PartialEq)]
pub(crate) enum SourceError {
    #[error("authentication failed: {0}")]
    Unauthorized(&'static str),
    #[error("no such path on the server (RTSP status 404): is the stream published?")]
    NotFound,
    #[error(
        "connection refused at port {0}: is RTSP on there (in mediamtx.yml rtsp: yes, and rtspEncryption: no or optional, \
         since the worker does not speak rtsps)?"
    )]
    NobodyListens(u16),
    #[error("the server refused with RTSP status {0}")]
    Status(u16),
    #[error("nothing in this stream can be passed on over RTMP: it has {0}")]
    Unsupported(String),
    #[error("no answer within {}", mediamtx::duration::format(*.0))]
    Timeout(Duration),
    #[error("no media for {}", mediamtx::duration::format(*.0))]
    Silent(Duration),
    #[error("the source ended the session")]
    Closed,
    #[error("{0}")]
    Protocol(String),
}

impl SourceError {
    /// What retina reports, without the addresses and byte counts behind its first line.
    pub(super) fn of(error: &retina::Error) -> Self {
        match error.status_code() {
            Some(401 | 403) => Self::Unauthorized("check the user and the password of the input"),
            Some(404) => Self::NotFound,
            // A success whose content was wrong is told by its text.
            Some(status) if !(200..300).contains(&status) => Self::Status(status),
            _ => {
                let text = error.to_string();
                Self::Protocol(text.lines().next().unwrap_or_default().trim().to_owned())
            }
        }
    }
}
