//! Where the stream goes to.

mod connection;
mod error;
mod queue;
mod rtmp;
mod timestamps;

pub(crate) use error::SinkError;
pub(crate) use queue::Queue;
pub(crate) use rtmp::RtmpSink;
