//! RTSP (RFC 2326) without sockets: bytes in, bytes out.

pub(crate) mod conversation;
pub(crate) mod headers;
pub(crate) mod message;
pub(crate) mod sdp;
