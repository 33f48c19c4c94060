//! Where the stream comes from.

mod clock;
mod dts;
mod error;
mod rtsp;
mod sps;
mod tracks;
mod url;

pub(crate) use clock::SourceClock;
pub(crate) use error::SourceError;
pub(crate) use rtsp::{RtspSource, Session};
pub(crate) use url::{RtspUrl, Transport};
