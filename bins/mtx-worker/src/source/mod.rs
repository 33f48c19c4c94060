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
pub(crate) use rtsp::{Session, is_published};
pub(crate) use url::{RtspUrl, Transport};
