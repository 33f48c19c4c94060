//! RTMP publishing without sockets: bytes in, bytes out (Adobe RTMP 1.0, and the enhanced RTMP
//! specification for other codecs).

mod acknowledgements;
pub(crate) mod amf0;
pub(crate) mod chunk;
pub(crate) mod flv;
pub(crate) mod multitrack;
pub(crate) mod outgoing;
pub(crate) mod publish;
pub(crate) mod server;
pub(crate) mod url;
