//! What is known of codecs: parameter sets, and what bitstreams tell of themselves.

pub(crate) mod aac;
pub(crate) mod av1;
pub(crate) mod h264;
pub(crate) mod h265;
mod h265_timing;
pub(crate) mod mpeg_audio;
pub(crate) mod nal;
pub(crate) mod opus;
pub(crate) mod vp9;
