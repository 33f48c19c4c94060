//! Where the stream comes from.

mod entry;
mod error;
mod nal;
mod rtsp;
mod session;
mod sps;
mod tracks;
mod url;

pub(crate) use error::SourceError;
pub(crate) use nal::nal_units;
pub(crate) use rtsp::RtspSource;
pub(crate) use session::{Session, SourceItem};
pub(crate) use sps::is_h264_full_range;
pub(crate) use url::{RtspUrl, Transport};
