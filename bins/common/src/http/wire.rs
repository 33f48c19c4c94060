//! A connection's bytes, read and written within deadlines and sizes.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use super::Problem;
use super::head::{self, Framing, Head};

/// Four times what browsers send with all their headers.
const MAX_HEAD: usize = 16 * 1024;
/// MediaMTX's events have some hundred bytes.
pub(super) const MAX_BODY: usize = 64 * 1024;
/// From a request's first byte to its last; hooks take milliseconds.
const REQUEST_TIME: Duration = Duration::from_secs(5);
/// Without any request.
const IDLE_TIME: Duration = Duration::from_secs(30);
const ANSWER_TIME: Duration = Duration::from_secs(5);
const LINGER_TIME: Duration = Duration::from_secs(1);

/// Why there is no request.
#[derive(Debug)]
pub(super) enum Failure {
    /// The client is to be told.
    Refused(Problem),
    /// There is nobody to tell.
    Gone,
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self::Refused(problem)
    }
}

pub(super) struct Wire<'a> {
    stream: &'a TcpStream,
    /// What was received and not yet used; never more than the limits and one read.
    buffer: Vec<u8>,
    deadline: Instant,
}

impl<'a> Wire<'a> {
    pub(super) fn new(stream: &'a TcpStream) -> Self {
        Self {
            stream,
            buffer: Vec::new(),
            deadline: Instant::now(),
        }
    }

    /// Waits for the next request and reads its head.
    pub(super) fn read_head(&mut self) -> Result<Head, Failure> {
        if self.buffer.is_empty() {
            self.deadline = Instant::now() + IDLE_TIME;
            // One who says nothing need not be told anything.
            self.fill().map_err(|_| Failure::Gone)?;
        }
        self.deadline = Instant::now() + REQUEST_TIME;
        let mut searched = 0;
        let end = loop {
            let fresh = self.buffer.get(searched..).unwrap_or_default();
            if let Some(at) = fresh.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break searched + at + 4;
            }
            if self.buffer.len() > MAX_HEAD {
                break MAX_HEAD + 1;
            }
            searched = self.buffer.len().saturating_sub(3);
            self.fill()?;
        };
        if end > MAX_HEAD {
            let detail = format!("the head is longer than {MAX_HEAD} bytes");
            return Err(Problem::new(431, detail).into());
        }
        let head = head::parse(&self.buffer[..end])?;
        self.buffer.drain(..end);
        Ok(head)
    }

    pub(super) fn read_body(&mut self, head: &Head) -> Result<Vec<u8>, Failure> {
        let length = match head.framing {
            Framing::None => return Ok(Vec::new()),
            Framing::Length(length) => usize::try_from(length).unwrap_or(usize::MAX),
            Framing::Chunked => {
                self.invite(head)?;
                return self.read_chunks();
            }
        };
        if length > MAX_BODY {
            return Err(too_large());
        }
        self.invite(head)?;
        self.take(length)
    }

    fn invite(&mut self, head: &Head) -> Result<(), Failure> {
        if head.expects_continue && self.buffer.is_empty() {
            let sent = self.write(b"HTTP/1.1 100 Continue\r\n\r\n");
            return sent.map_err(|_| Failure::Gone);
        }
        Ok(())
    }

    fn read_chunks(&mut self) -> Result<Vec<u8>, Failure> {
        /// A size of 16 digits and some extension.
        const MAX_LINE: usize = 128;
        let mut body = Vec::new();
        loop {
            let (line, size) = loop {
                match httparse::parse_chunk_size(&self.buffer) {
                    Ok(httparse::Status::Complete(found)) => break found,
                    Ok(httparse::Status::Partial) if self.buffer.len() <= MAX_LINE => {
                        self.fill()?
                    }
                    _ => return Err(bad_chunk()),
                }
            };
            let size = usize::try_from(size).unwrap_or(usize::MAX);
            if size > MAX_BODY - body.len() {
                return Err(too_large());
            }
            self.buffer.drain(..line);
            body.extend(self.take(size)?);
            // What follows the last chunk is the client's last word, so trailers need not be understood.
            if size == 0 {
                self.buffer.clear();
                return Ok(body);
            }
            if self.take(2)? != b"\r\n" {
                return Err(bad_chunk());
            }
        }
    }

    fn take(&mut self, count: usize) -> Result<Vec<u8>, Failure> {
        while self.buffer.len() < count {
            self.fill()?;
        }
        let rest = self.buffer.split_off(count);
        Ok(std::mem::replace(&mut self.buffer, rest))
    }

    /// Receives some more.
    fn fill(&mut self) -> Result<(), Failure> {
        let mut some = [0; 4096];
        match self.receive(&mut some) {
            Ok(0) => Err(Failure::Gone),
            Ok(count) => {
                self.buffer.extend_from_slice(&some[..count]);
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::TimedOut => {
                let detail = format!("the request took longer than {REQUEST_TIME:?}");
                Err(Problem::new(408, detail).into())
            }
            Err(_) => Err(Failure::Gone),
        }
    }

    fn receive(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            self.stream.set_read_timeout(Some(left(self.deadline)?))?;
            match self.stream.read(into) {
                // Linux' word for a receive time-out; left() tells.
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    /// What was received and is nobody's yet.
    pub(super) fn received(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.buffer)
    }

    pub(super) fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        let deadline = Instant::now() + ANSWER_TIME;
        while !bytes.is_empty() {
            self.stream.set_write_timeout(Some(left(deadline)?))?;
            match self.stream.write(bytes) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => bytes = &bytes[count..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Ends the connection. What still comes is thrown away unread for a while: closing a socket with unread
    /// bytes makes the kernel take back the answer.
    pub(super) fn close(mut self) {
        let _ = self.stream.shutdown(Shutdown::Write);
        self.deadline = Instant::now() + LINGER_TIME;
        let mut some = [0; 16 * 1024];
        while self.receive(&mut some).is_ok_and(|count| count > 0) {}
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}

fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(ErrorKind::TimedOut.into());
    }
    Ok(left)
}

fn too_large() -> Failure {
    Problem::new(413, format!("the body is larger than {MAX_BODY} bytes")).into()
}

fn bad_chunk() -> Failure {
    Problem::new(400, "the body is not chunked as Transfer-Encoding says").into()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use proptest::prelude::*;

    use super::*;

    /// What a server reads of a client that sends this and nothing more.
    fn read(sent: &[u8]) -> Result<(Head, Vec<u8>), Failure> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        client.write_all(sent).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let (stream, _) = listener.accept().unwrap();
        let mut wire = Wire::new(&stream);
        let head = wire.read_head()?;
        let body = wire.read_body(&head)?;
        Ok((head, body))
    }

    fn chunked(chunks: &[Vec<u8>]) -> Vec<u8> {
        let mut sent =
            b"POST /v1/streams HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n\
            Transfer-Encoding: chunked\r\n\r\n"
                .to_vec();
        for chunk in chunks.iter().filter(|chunk| !chunk.is_empty()) {
            sent.extend(format!("{:x};name=value\r\n", chunk.len()).bytes());
            sent.extend(chunk);
            sent.extend(b"\r\n");
        }
        sent.extend(b"0\r\n\r\n");
        sent
    }

    /// A byte that is changed, left out or sent again, by the place where that happens.
    fn damage(sent: &mut Vec<u8>, (place, kind, byte): (prop::sample::Index, u8, u8)) {
        let place = place.index(sent.len());
        match kind {
            0 => sent[place] = byte,
            1 => sent.truncate(place.max(1)),
            2 => sent.insert(place, byte),
            _ => sent.extend_from_within(place..),
        }
    }

    proptest! {
        #[test]
        fn a_body_comes_out_whole_however_it_is_cut(
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..700), 0..20),
        ) {
            let (_, body) = read(&chunked(&chunks)).unwrap();
            prop_assert_eq!(body, chunks.concat());
        }

        #[test]
        fn damaged_requests_are_read_within_the_limits_or_refused(
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..4),
            damages in prop::collection::vec((any::<prop::sample::Index>(), 0..4_u8, any::<u8>()), 1..4),
        ) {
            let mut sent = chunked(&chunks);
            for it in damages {
                damage(&mut sent, it);
            }
            match read(&sent) {
                Ok((_, body)) => prop_assert!(body.len() <= MAX_BODY),
                Err(Failure::Refused(problem)) => {
                    prop_assert!([400, 413, 417, 431, 505].contains(&problem.status), "{problem:?}");
                }
                Err(Failure::Gone) => {}
            }
        }
    }
}
