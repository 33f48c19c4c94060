//! Where the stream goes to.

mod carried;
mod connection;
mod error;
mod opening;
mod queue;
mod rtmp;
mod timestamps;

pub(crate) use error::SinkError;
pub(crate) use queue::Queue;
pub(crate) use rtmp::RtmpSink;
