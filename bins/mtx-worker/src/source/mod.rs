//! Where the stream comes from.

mod connection;
mod datagrams;
mod error;
mod losses;
mod played;
mod published;
mod rtsp;
mod session;
mod tracks;
mod url;

pub(crate) use error::SourceError;
pub(crate) use rtsp::RtspSource;
pub(crate) use session::{Session, SourceItem};
pub(crate) use url::{RtspUrl, Transport};
