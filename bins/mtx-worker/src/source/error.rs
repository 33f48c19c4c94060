//! Why a source yields nothing, told apart for the log.

use std::time::Duration;

use thiserror::Error;

use crate::rtsp::conversation::LoginError;
use crate::rtsp::message::MessageError;

/// Why a source could not be opened, or ended.
#[derive(Clone, Debug, Error, PartialEq)]
pub(crate) enum SourceError {
    #[error("no connection to the server: {0}")]
    Connect(String),
    #[error("the TLS connection failed: {0}")]
    Tls(String),
    #[error("authentication failed: {0}")]
    Unauthorized(&'static str),
    #[error("no such path on the server (RTSP status 404): is the stream published?")]
    NotFound,
    #[error(
        "connection refused at port {0}: is RTSP on there (rtsp and rtspAddress in mediamtx.yml)? With rtspEncryption: \
         strict it is at rtsps://, port 8322 by default"
    )]
    NobodyListens(u16),
    #[error("the server refused with RTSP status {0}")]
    Status(u16),
    #[error("the server does not send over {0} (RTSP status 461): try --transport {1}")]
    Transport(&'static str, &'static str),
    #[error("nothing in this stream can be passed on: {0}")]
    Unsupported(String),
    #[error("no answer within {}", common::duration::format(*.0))]
    Timeout(Duration),
    #[error("no media for {}", common::duration::format(*.0))]
    Silent(Duration),
    #[error("no video for {}: {reason}", common::duration::format(*.time))]
    NoVideo {
        time: Duration,
        reason: &'static str,
    },
    #[error("the source ended the session")]
    Closed,
    #[error("the connection to the source broke: {0}")]
    Broken(String),
    #[error("{0}")]
    Protocol(String),
}

impl From<LoginError> for SourceError {
    fn from(error: LoginError) -> Self {
        match error {
            LoginError::Missing => Self::Unauthorized(
                "the input asks for a user and a password; set RTSP_USERNAME and RTSP_PASSWORD",
            ),
            LoginError::Refused => {
                Self::Unauthorized("check the user and the password of the input")
            }
            LoginError::Unknown(_) => Self::Protocol(error.to_string()),
        }
    }
}

impl From<MessageError> for SourceError {
    fn from(error: MessageError) -> Self {
        Self::Protocol(error.to_string())
    }
}
