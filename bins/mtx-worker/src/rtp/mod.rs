//! RTP (RFC 3550) without sockets: packets, their order, their reports, and what codecs put into them.

pub(crate) mod packet;
pub(crate) mod payload;
pub(crate) mod reception;
pub(crate) mod rtcp;
