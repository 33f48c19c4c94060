//! Why an output does not take the stream, told apart for the log.

use std::io;
use std::time::Duration;

use thiserror::Error;

use crate::rtmp::publish::PublishError;

/// Why an output could not be opened, or was lost.
#[derive(Debug, Error)]
pub(crate) enum SinkError {
    #[error("no connection to the server: {0}")]
    Connect(#[source] io::Error),
    #[error(
        "connection refused at port {0}: is RTMP on there (rtmp, rtmpAddress and rtmpEncryption in mediamtx.yml), and is \
         RTMP_PORT set if it is not 1935?"
    )]
    NobodyListens(u16),
    #[error("the TLS connection failed: {0}")]
    Tls(#[source] io::Error),
    #[error(transparent)]
    Publish(#[from] PublishError),
    #[error(
        "the server closed the connection instead of accepting the stream: is it RTMP there, and does it take the \
         application, the stream key or the login?"
    )]
    Refused,
    #[error(
        "the server closed the connection right after it accepted the stream: is the path taken, or publishing not allowed?"
    )]
    Rejected,
    #[error("somebody publishes there already")]
    Occupied,
    #[error("can't make sure that no other worker has this output: {0}")]
    Lock(#[source] io::Error),
    #[error("the connection broke: {0}")]
    Broken(#[source] io::Error),
    #[error("the server closed the connection")]
    Closed,
    #[error("no answer within {}", common::duration::format(*.0))]
    Timeout(Duration),
    #[error("the server took no data, or confirmed none, for {}", common::duration::format(*.0))]
    Stalled(Duration),
}

impl SinkError {
    /// Whether somebody else has the output: trying again would be a fight.
    pub(crate) fn is_taken(&self) -> bool {
        matches!(self, Self::Occupied | Self::Publish(PublishError::Taken(_)))
    }
}
