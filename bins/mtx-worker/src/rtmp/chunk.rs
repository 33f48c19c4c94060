//! RTMP chunk stream: messages cut into chunks and put together again (Adobe RTMP 1.0, section 5.3).

use std::collections::HashMap;

use bytes::Bytes;
use thiserror::Error;

use super::outgoing::Outgoing;

/// What we cut our own messages into. Large, so that nearly every frame is one chunk.
pub(crate) const OUT_CHUNK_SIZE: usize = 65_536;

/// A server that only answers a publisher sends short commands; more is a mistake or an attack.
const MAX_MESSAGE: usize = 256 * 1024;
const MAX_CHUNK_STREAMS: usize = 32;
const DEFAULT_CHUNK_SIZE: usize = 128;
const EXTENDED: u32 = 0xff_ffff;

/// What stands before a message's payload. The time stamp is in milliseconds and wraps at 2^32.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Header {
    /// Chunk stream it travels on, 2 to 63.
    pub(crate) chunk_stream: u8,
    pub(crate) timestamp: u32,
    pub(crate) kind: u8,
    pub(crate) stream_id: u32,
}

/// One RTMP message.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Message {
    pub(crate) header: Header,
    pub(crate) payload: Vec<u8>,
}

/// Message type ids (sections 5.4 and 7.1).
pub(crate) mod kind {
    pub(crate) const SET_CHUNK_SIZE: u8 = 1;
    pub(crate) const ACKNOWLEDGEMENT: u8 = 3;
    pub(crate) const USER_CONTROL: u8 = 4;
    pub(crate) const WINDOW_ACK_SIZE: u8 = 5;
    pub(crate) const AUDIO: u8 = 8;
    pub(crate) const VIDEO: u8 = 9;
    pub(crate) const DATA_AMF0: u8 = 18;
    pub(crate) const COMMAND_AMF0: u8 = 20;
}

/// Why the bytes of a server are not a chunk stream.
#[derive(Debug, Error, PartialEq)]
pub(crate) enum ChunkError {
    #[error(
        "the server sent a message of {0} bytes, more than the {MAX_MESSAGE} a publisher needs"
    )]
    MessageTooLong(usize),
    #[error("the server opened more than {MAX_CHUNK_STREAMS} chunk streams")]
    TooManyStreams,
    #[error("the server continued chunk stream {0}, which it had not started")]
    NotStarted(u32),
    #[error("the server set a chunk size of {0}")]
    BadChunkSize(u32),
}

/// Appends a message to `out`, in chunks of at most `chunk_size` bytes. Its payload is `head`, one part behind the other,
/// and then `body`, which is not copied.
///
/// Every message starts with a full header (type 0, absolute time stamp): seven bytes more than a
/// delta, and a server that lost its place can't drift.
pub(crate) fn write(
    header: Header,
    head: &[&[u8]],
    body: &Bytes,
    chunk_size: usize,
    out: &mut Outgoing,
) {
    let length = head.iter().map(|part| part.len()).sum::<usize>() + body.len();
    let extended = (header.timestamp >= EXTENDED).then(|| header.timestamp.to_be_bytes());
    let extended = extended.as_ref().map_or(&[][..], |bytes| bytes);
    out.extend_from_slice(&[header.chunk_stream & 0x3f]);
    out.extend_from_slice(&header.timestamp.min(EXTENDED).to_be_bytes()[1..]);
    out.extend_from_slice(&(length as u32).to_be_bytes()[1..]);
    out.extend_from_slice(&[header.kind]);
    out.extend_from_slice(&header.stream_id.to_le_bytes());
    out.extend_from_slice(extended);
    let mut room = chunk_size;
    let mut continued = |out: &mut Outgoing, left: usize| {
        if room == 0 {
            out.extend_from_slice(&[0xc0 | (header.chunk_stream & 0x3f)]);
            out.extend_from_slice(extended);
            room = chunk_size;
        }
        let now = left.min(room);
        room -= now;
        now
    };
    for part in head {
        let mut left = *part;
        while !left.is_empty() {
            let (now, later) = left.split_at(continued(out, left.len()));
            out.extend_from_slice(now);
            left = later;
        }
    }
    let mut left = body.clone();
    while !left.is_empty() {
        let now = left.split_to(continued(out, left.len()));
        out.share(now);
    }
}

/// What the headers of a chunk stream have said so far.
#[derive(Clone, Copy, Default)]
struct Headers {
    timestamp: u32,
    delta: u32,
    extended: bool,
    length: usize,
    kind: u8,
    stream_id: u32,
}

#[derive(Default)]
struct Partial {
    headers: Headers,
    payload: Vec<u8>,
}

/// Puts a server's chunks together again.
pub(crate) struct Reader {
    buffer: Vec<u8>,
    chunk_size: usize,
    streams: HashMap<u32, Partial>,
}

impl Default for Reader {
    fn default() -> Self {
        Self {
            buffer: Vec::new(),
            chunk_size: DEFAULT_CHUNK_SIZE,
            streams: HashMap::new(),
        }
    }
}

impl Reader {
    /// Takes in what the socket yielded.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole message, `None` when more bytes are needed.
    pub(crate) fn next(&mut self) -> Result<Option<Message>, ChunkError> {
        loop {
            let Some((used, message)) = self.chunk()? else {
                return Ok(None);
            };
            self.buffer.drain(..used);
            if let Some(message) = message {
                if message.header.kind == kind::SET_CHUNK_SIZE {
                    self.set_chunk_size(&message.payload)?;
                }
                return Ok(Some(message));
            }
        }
    }

    fn set_chunk_size(&mut self, payload: &[u8]) -> Result<(), ChunkError> {
        let size = payload
            .first_chunk()
            .map_or(0, |bytes| u32::from_be_bytes(*bytes));
        if size == 0 || size > 0x7fff_ffff {
            return Err(ChunkError::BadChunkSize(size));
        }
        self.chunk_size = size as usize;
        Ok(())
    }

    /// Reads one chunk: its length in the buffer, and the message if it was the last of one.
    fn chunk(&mut self) -> Result<Option<(usize, Option<Message>)>, ChunkError> {
        let mut cursor = Cursor {
            bytes: &self.buffer,
            at: 0,
        };
        let Some((format, id)) = cursor.basic_header() else {
            return Ok(None);
        };
        let (mut headers, mut received) = match self.streams.get(&id) {
            Some(partial) => (partial.headers, partial.payload.len()),
            None if format == 0 => (Headers::default(), 0),
            None => return Err(ChunkError::NotStarted(id)),
        };
        if format < 3 {
            // A new header drops what was unfinished; only a type 3 chunk continues it.
            received = 0;
        }
        if cursor
            .message_header(format, &mut headers, received > 0)
            .is_none()
        {
            return Ok(None);
        }
        if headers.length > MAX_MESSAGE {
            return Err(ChunkError::MessageTooLong(headers.length));
        }
        let wanted = (headers.length - received).min(self.chunk_size);
        let Some(part) = cursor.take(wanted) else {
            return Ok(None);
        };
        let partial = self.streams.entry(id).or_default();
        partial.headers = headers;
        partial.payload.truncate(received);
        partial.payload.extend_from_slice(part);
        let used = cursor.at;
        let message = (partial.payload.len() == headers.length).then(|| Message {
            header: Header {
                chunk_stream: (id & 0x3f) as u8,
                timestamp: headers.timestamp,
                kind: headers.kind,
                stream_id: headers.stream_id,
            },
            payload: std::mem::take(&mut partial.payload),
        });
        if self.streams.len() > MAX_CHUNK_STREAMS {
            return Err(ChunkError::TooManyStreams);
        }
        Ok(Some((used, message)))
    }
}

struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let part = self.bytes.get(self.at..self.at.checked_add(count)?)?;
        self.at += count;
        Some(part)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn u24(&mut self) -> Option<u32> {
        let [a, b, c] = self.array()?;
        Some(u32::from_be_bytes([0, a, b, c]))
    }

    /// Format and chunk stream id (section 5.3.1.1).
    fn basic_header(&mut self) -> Option<(u8, u32)> {
        let [first] = self.array()?;
        let id = match first & 0x3f {
            0 => u32::from(self.array::<1>()?[0]) + 64,
            1 => u32::from(u16::from_le_bytes(self.array()?)) + 64,
            id => u32::from(id),
        };
        Some((first >> 6, id))
    }

    /// Message header types 0 to 3 (section 5.3.1.2) and the extended time stamp (5.3.1.3).
    fn message_header(&mut self, format: u8, state: &mut Headers, continues: bool) -> Option<()> {
        let mut time = state.delta;
        if format < 3 {
            time = self.u24()?;
            state.extended = time == EXTENDED;
        }
        if format < 2 {
            state.length = self.u24()? as usize;
            state.kind = self.array::<1>()?[0];
        }
        if format == 0 {
            state.stream_id = u32::from_le_bytes(self.array()?);
        }
        if state.extended {
            time = u32::from_be_bytes(self.array()?);
        }
        if continues {
            return Some(());
        }
        state.timestamp = if format == 0 {
            time
        } else {
            state.timestamp.wrapping_add(time)
        };
        // After a type 0 header a type 3 one starts a message with the same step (5.3.1.2.4).
        state.delta = time;
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read_all(bytes: &[u8], chunk_size: usize, step: usize) -> Result<Vec<Message>, ChunkError> {
        let mut reader = Reader {
            chunk_size,
            ..Reader::default()
        };
        let mut messages = Vec::new();
        for part in bytes.chunks(step.max(1)) {
            reader.push(part);
            while let Some(message) = reader.next()? {
                messages.push(message);
            }
        }
        Ok(messages)
    }

    proptest! {
        #[test]
        fn messages_survive_any_cut(
            timestamp in prop_oneof![any::<u32>(), Just(EXTENDED), Just(EXTENDED - 1), Just(u32::MAX)],
            payload in prop::collection::vec(any::<u8>(), 0..6000),
            stream_id in any::<u32>(),
            cut in 0usize..6000,
            chunk_size in prop_oneof![Just(128usize), Just(2500)],
            step in 1usize..700,
        ) {
            let header = Header { chunk_stream: 6, timestamp, kind: kind::VIDEO, stream_id };
            let (first, second) = payload.split_at(cut.min(payload.len()));
            let mut out = Outgoing::default();
            write(header, &[first, second], &Bytes::new(), chunk_size, &mut out);
            write(header, &[first], &Bytes::copy_from_slice(second), chunk_size, &mut out);
            let message = Message { header, payload };
            let read = read_all(&out.to_vec(), chunk_size, step);
            prop_assert_eq!(read, Ok(vec![message.clone(), message]));
        }

        #[test]
        fn any_bytes_are_read_or_refused_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..2048), step in 1usize..64) {
            let _ = read_all(&bytes, 128, step);
        }
    }

    #[test]
    fn interleaved_chunk_streams_are_kept_apart() {
        let message = |chunk_stream, kind, payload| Message {
            header: Header {
                chunk_stream,
                timestamp: 1,
                kind,
                stream_id: 1,
            },
            payload,
        };
        let video = message(6, kind::VIDEO, vec![7; 200]);
        let audio = message(4, kind::AUDIO, vec![8; 10]);
        let written = |message: &Message| {
            let mut out = Outgoing::default();
            write(
                message.header,
                &[&message.payload],
                &Bytes::new(),
                128,
                &mut out,
            );
            out.to_vec()
        };
        let (first, second) = (written(&video), written(&audio));
        let cut = 12 + 128;
        let bytes = [&first[..cut], &second, &first[cut..]].concat();
        assert_eq!(read_all(&bytes, 128, 9999), Ok(vec![audio, video]));
    }

    #[test]
    fn delta_headers_add_up_past_the_32_bit_wrap() {
        let mut bytes = vec![
            0x06, 0xff, 0xff, 0xff, 0, 0, 1, 9, 1, 0, 0, 0, 0xff, 0xff, 0xff, 0xf0, 0xaa,
        ];
        bytes.extend_from_slice(&[0x86, 0, 0, 0x20, 0xbb]);
        bytes.extend_from_slice(&[0xc6, 0xcc]);
        let times: Vec<u32> = read_all(&bytes, 128, 1)
            .unwrap()
            .iter()
            .map(|message| message.header.timestamp)
            .collect();
        assert_eq!(times, [0xffff_fff0, 0x10, 0x30]);
    }

    #[test]
    fn a_16_mib_message_is_refused_at_its_header() {
        let bytes = [0x03, 0, 0, 0, 0xff, 0xff, 0xff, 20, 0, 0, 0, 0];
        assert_eq!(
            read_all(&bytes, 128, 99),
            Err(ChunkError::MessageTooLong(0xff_ffff))
        );
    }

    #[test]
    fn a_continuation_out_of_nowhere_is_refused() {
        assert_eq!(
            read_all(&[0xc5, 1, 2], 128, 99),
            Err(ChunkError::NotStarted(5))
        );
    }
}
