//! RTSP messages on the wire, and the RTP packets between them (RFC 2326, sections 4 to 7 and 10.12).

use bytes::{Buf, Bytes, BytesMut};
use thiserror::Error;

use super::headers::Headers;

/// No server's head or session description comes near.
const MAX_HEAD: usize = 64 * 1024;
const MAX_BODY: usize = 256 * 1024;

/// What stands before an interleaved packet: `$`, its channel, its length in two bytes.
const PACKET_MARK: u8 = b'$';
const PACKET_HEAD: usize = 4;

/// Channels that servers use: two for each of some tracks.
const CHANNELS: u8 = 64;

/// How answers begin.
const ANSWER: &[u8] = b"RTSP/1.0 ";

/// Bytes of no meaning in a row before the connection is given up. Some cameras put a few between packets.
const MAX_GARBAGE: usize = 64 * 1024;

/// Bytes that are no RTSP.
#[derive(Clone, Copy, Debug, Error, PartialEq)]
pub(crate) enum MessageError {
    #[error("the server does not speak RTSP, or its bytes were damaged on the way")]
    NotRtsp,
    #[error("the server's message is longer than {MAX_HEAD} bytes of head or {MAX_BODY} of body")]
    TooLong,
}

/// An answer of the server.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: Headers,
    pub(crate) body: Bytes,
}

/// What a server sends.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Incoming {
    Response(Response),
    /// A request of the server's own.
    Request {
        method: String,
        headers: Headers,
    },
    /// An RTP or RTCP packet.
    Packet {
        channel: u8,
        data: Bytes,
    },
}

/// Cuts a stream of bytes into messages and packets.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    buffer: BytesMut,
    /// So many bytes of an unfinished head were searched for its end.
    searched: usize,
    /// A head whose body is not complete.
    head: Option<(Head, usize)>,
    /// Whether the server has shown that it speaks RTSP.
    is_rtsp: bool,
    /// Whether what comes is garbage, up to the next packet or answer.
    is_lost: bool,
    /// Bytes of no meaning since the last message or packet.
    garbage: usize,
}

impl Reader {
    /// Where what arrives has to be appended.
    pub(crate) fn buffer(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    /// The next message or packet, if it is complete.
    pub(crate) fn next(&mut self) -> Result<Option<Incoming>, MessageError> {
        let found = self.read()?;
        if found.is_some() {
            self.is_rtsp = true;
            self.garbage = 0;
        }
        Ok(found)
    }

    fn read(&mut self) -> Result<Option<Incoming>, MessageError> {
        if self.head.is_none() {
            // Some servers end a body with a line break of its own.
            let blank = self
                .buffer
                .iter()
                .take_while(|byte| matches!(byte, b'\r' | b'\n'));
            self.buffer.advance(blank.count());
            self.is_lost |= self.searched == 0 && self.buffer.first().is_some_and(is_garbage);
            if self.is_lost {
                self.skip_garbage()?;
            }
            if self.is_lost {
                return Ok(None);
            }
            match self.buffer.first() {
                Some(&PACKET_MARK) => return Ok(self.packet()),
                Some(byte) if !is_garbage(byte) => {}
                _ => return Ok(None),
            }
            let Some(text) = self.take_head()? else {
                return Ok(None);
            };
            let head = Head::parse(&text)?;
            let length = head.headers().number("Content-Length").unwrap_or(0);
            if length > MAX_BODY {
                return Err(MessageError::TooLong);
            }
            self.head = Some((head, length));
        }
        let is_complete = |(_, length): &mut (Head, usize)| self.buffer.len() >= *length;
        let Some((head, length)) = self.head.take_if(is_complete) else {
            return Ok(None);
        };
        let body = self.buffer.split_to(length).freeze();
        Ok(Some(match head {
            Head::Response(status, headers) => Incoming::Response(Response {
                status,
                headers,
                body,
            }),
            Head::Request(method, headers) => Incoming::Request { method, headers },
        }))
    }

    /// Goes on to where a packet or a message seems to begin.
    fn skip_garbage(&mut self) -> Result<(), MessageError> {
        let starts = 0..self.buffer.len();
        let start = starts.into_iter().find(|&at| is_start(&self.buffer[at..]));
        // What begins at the very end can only be told with what follows.
        let end = start.unwrap_or(self.buffer.len().saturating_sub(ANSWER.len()));
        self.is_lost = start.is_none();
        self.garbage += end;
        if !self.is_rtsp || self.garbage > MAX_GARBAGE {
            return Err(MessageError::NotRtsp);
        }
        self.buffer.advance(end);
        Ok(())
    }

    fn packet(&mut self) -> Option<Incoming> {
        let &[_, channel, high, low] = self.buffer.first_chunk::<PACKET_HEAD>()?;
        let length = usize::from(u16::from_be_bytes([high, low]));
        if self.buffer.len() < PACKET_HEAD + length {
            return None;
        }
        self.buffer.advance(PACKET_HEAD);
        let data = self.buffer.split_to(length).freeze();
        Some(Incoming::Packet { channel, data })
    }

    /// The head up to the empty line, which is taken off with it. Lines may end without a carriage return (section 4).
    fn take_head(&mut self) -> Result<Option<BytesMut>, MessageError> {
        let from = self.searched.saturating_sub(2);
        let line_ends = |at: &usize| self.buffer[*at] == b'\n';
        let end = (from..self.buffer.len()).filter(line_ends).find_map(|at| {
            match self.buffer.get(at + 1..) {
                Some([b'\n', ..]) => Some(at + 2),
                Some([b'\r', b'\n', ..]) => Some(at + 3),
                _ => None,
            }
        });
        match end {
            Some(end) if end <= MAX_HEAD => {
                self.searched = 0;
                Ok(Some(self.buffer.split_to(end)))
            }
            None if self.buffer.len() <= MAX_HEAD => {
                self.searched = self.buffer.len();
                Ok(None)
            }
            _ => Err(MessageError::TooLong),
        }
    }
}

fn is_garbage(byte: &u8) -> bool {
    *byte != PACKET_MARK && !byte.is_ascii_alphabetic()
}

/// Whether bytes behind garbage are the start of a packet, which is RTP or RTCP of version 2, or of an answer.
fn is_start(bytes: &[u8]) -> bool {
    match bytes {
        &[PACKET_MARK, channel, _, _, first, ..] => channel < CHANNELS && first >> 6 == 2,
        bytes => bytes.starts_with(ANSWER),
    }
}

#[derive(Debug)]
enum Head {
    Response(u16, Headers),
    Request(String, Headers),
}

impl Head {
    fn headers(&self) -> &Headers {
        match self {
            Self::Response(_, headers) | Self::Request(_, headers) => headers,
        }
    }

    fn parse(text: &[u8]) -> Result<Self, MessageError> {
        let text = String::from_utf8_lossy(text);
        let mut lines = text.lines();
        let first = lines.next().unwrap_or_default();
        let mut headers = Headers::default();
        for line in lines {
            if let Some((name, value)) = line.split_once(':') {
                headers.add(name.trim(), value.trim());
            }
        }
        let mut words = first.split_ascii_whitespace();
        let (Some(word), Some(second)) = (words.next(), words.next()) else {
            return Err(MessageError::NotRtsp);
        };
        if word.starts_with("RTSP/") {
            let status = second.parse().map_err(|_| MessageError::NotRtsp)?;
            Ok(Self::Response(status, headers))
        } else if words.next().is_some_and(|word| word.starts_with("RTSP/")) {
            Ok(Self::Request(word.to_owned(), headers))
        } else {
            Err(MessageError::NotRtsp)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(bytes: &[u8], cut: usize) -> Result<Vec<Incoming>, MessageError> {
        let mut reader = Reader::default();
        let mut found = Vec::new();
        for piece in bytes.chunks(cut.max(1)) {
            reader.buffer().extend_from_slice(piece);
            while let Some(incoming) = reader.next()? {
                found.push(incoming);
            }
        }
        Ok(found)
    }

    const CONVERSATION: &[u8] = b"RTSP/1.0 200 OK\r\nCSeq: 1\r\ncontent-length: 3\r\n\r\nabc\r\n$\x01\x00\x02xy\
        OPTIONS * RTSP/1.0\r\nCSeq: 7\r\n\r\n$\x00\x00\x00RTSP/1.0 401 Unauthorized\r\nCSeq:2\r\n\r\n";

    proptest! {
        #[test]
        fn messages_and_packets_come_out_however_they_are_cut(cut in 1usize..90) {
            let found = read(CONVERSATION, cut).unwrap();
            let [Incoming::Response(first), Incoming::Packet { channel: 1, data }, Incoming::Request { method, headers: request }, Incoming::Packet { .. }, Incoming::Response(last)] = &found[..] else {
                panic!("{found:?}");
            };
            prop_assert_eq!((first.status, &first.body[..], &data[..]), (200, &b"abc"[..], &b"xy"[..]));
            prop_assert_eq!(method, "OPTIONS");
            prop_assert_eq!((request.get("cseq"), last.status, last.headers.get("CSEQ")), (Some("7"), 401, Some("2")));
        }

        #[test]
        fn any_bytes_are_taken_or_refused(bytes: Vec<u8>, at in 0..CONVERSATION.len(), value: u8) {
            let _ = read(&bytes, 7);
            let mut damaged = CONVERSATION.to_vec();
            damaged[at] = value;
            let _ = read(&damaged, 5);
        }
    }

    #[test]
    fn garbage_between_packets_is_skipped() {
        let packet = b"$\x01\x00\x02\x80y";
        let garbage = b"\xff$\xee\x00\x01\xfe\x00R";
        let answer = b"RTSP/1.0 200 OK\r\n\r\n";
        let stream = [
            &answer[..],
            garbage,
            packet,
            garbage,
            answer,
            garbage,
            packet,
        ]
        .concat();
        for cut in 1..30 {
            let found = read(&stream, cut).unwrap();
            assert_eq!(found.len(), 4, "{found:?}");
        }
        let endless = [&answer[..], &vec![0xff; MAX_GARBAGE + 100]].concat();
        assert_eq!(read(&endless, 999), Err(MessageError::NotRtsp));
        assert_eq!(read(garbage, 3), Err(MessageError::NotRtsp));
    }

    #[test]
    fn what_never_ends_is_refused() {
        let endless = [b"RTSP/1.0 200 OK\r\n".as_slice(), &vec![b'a'; MAX_HEAD + 1]].concat();
        assert_eq!(read(&endless, 4096), Err(MessageError::TooLong));
        let huge = b"RTSP/1.0 200 OK\r\nContent-Length: 99999999\r\n\r\n";
        assert_eq!(read(huge, 10), Err(MessageError::TooLong));
        assert_eq!(
            read(b"HTTP/1.1 400 Bad Request\r\n\r\n", 10),
            Err(MessageError::NotRtsp)
        );
    }
}
