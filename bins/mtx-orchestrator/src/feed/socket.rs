//! One WebSocket (RFC 6455), on its connection's thread.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

use common::http::Upgraded;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tungstenite::{Error, Message, WebSocket};

use super::{Batch, Subscription};

/// How long a client that says something waits to be heard, at most.
const TICK: Duration = Duration::from_millis(100);
/// For one batch to be taken by the client's system.
const WRITE_TIME: Duration = Duration::from_secs(10);
/// What the system may hold for a client that does not read; left alone, it takes some megabytes.
const SEND_BUFFER: usize = 64 * 1024;
/// A client that was not heard of for so long is pinged, …
const PING_AFTER: Duration = Duration::from_secs(20);
/// … and after this it is gone.
const DEAD_AFTER: Duration = Duration::from_secs(45);
/// For a client's part of the farewell.
const FAREWELL: Duration = Duration::from_millis(500);
/// Nothing a client says is of use here, save pongs and its farewell.
const MAX_MESSAGE: usize = 1024;
/// Messages of whatever kind …
const MOST_MESSAGES: u32 = 50;
/// … in this time.
const PERIOD: Duration = Duration::from_secs(10);

/// Why a WebSocket ends.
enum End {
    /// There is nobody to tell.
    Gone,
    Told(CloseCode, &'static str),
}

impl From<Error> for End {
    fn from(error: Error) -> Self {
        match error {
            Error::Capacity(_) => Self::Told(CloseCode::Size, "messages are not for this server"),
            Error::Utf8(_) => Self::Told(CloseCode::Invalid, "that was no text"),
            Error::Protocol(_) => Self::Told(CloseCode::Protocol, "that was no WebSocket frame"),
            _ => Self::Gone,
        }
    }
}

/// Tells the client all that the subscription brings, until either ends.
pub(crate) fn serve(connection: Upgraded<'_>, subscription: Subscription) {
    let config = WebSocketConfig::default()
        .read_buffer_size(4 * 1024)
        .write_buffer_size(16 * 1024)
        .max_message_size(Some(MAX_MESSAGE))
        .max_frame_size(Some(MAX_MESSAGE));
    bound_send_buffer(connection.stream);
    let socket = Socket {
        stream: connection.stream,
        deadline: Instant::now(),
    };
    let received = connection.received;
    let mut client = Client {
        socket: WebSocket::from_partially_read(socket, received, Role::Server, Some(config)),
        heard: Instant::now(),
        pinged: Instant::now(),
        period: Instant::now(),
        messages: 0,
    };
    let end = client.follow(&subscription);
    if let End::Told(code, reason) = end {
        client.bid_farewell(code, reason);
    }
}

/// Where that can't be done, a slow client is noticed later.
fn bound_send_buffer(stream: &TcpStream) {
    #[cfg(unix)]
    let _ = nix::sys::socket::setsockopt(stream, nix::sys::socket::sockopt::SndBuf, &SEND_BUFFER);
    #[cfg(not(unix))]
    let _ = (stream, SEND_BUFFER);
}

struct Client<'a> {
    socket: WebSocket<Socket<'a>>,
    heard: Instant,
    pinged: Instant,
    period: Instant,
    /// Since the period began.
    messages: u32,
}

impl Client<'_> {
    fn follow(&mut self, subscription: &Subscription) -> End {
        loop {
            let result = match subscription.batches.recv_timeout(TICK) {
                Ok(batch) => self.tell(&batch),
                Err(RecvTimeoutError::Timeout) => Ok(()),
                Err(RecvTimeoutError::Disconnected) if subscription.is_closing() => {
                    return End::Told(CloseCode::Away, "the orchestrator is shutting down");
                }
                Err(RecvTimeoutError::Disconnected) => {
                    return End::Told(CloseCode::Again, "too slow: connect again");
                }
            };
            if let Err(end) = result
                .and_then(|()| self.listen())
                .and_then(|()| self.ping())
            {
                return end;
            }
        }
    }

    fn tell(&mut self, batch: &Batch) -> Result<(), End> {
        self.socket.get_mut().deadline = Instant::now() + WRITE_TIME;
        for message in batch.iter() {
            self.socket.write(Message::Text(message.clone()))?;
        }
        Ok(self.socket.flush()?)
    }

    /// Takes what the client has said by now.
    fn listen(&mut self) -> Result<(), End> {
        self.socket.get_mut().deadline = Instant::now() + WRITE_TIME;
        loop {
            match self.socket.read() {
                Ok(_) => {}
                Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            }
            self.heard = Instant::now();
            if self.period.elapsed() >= PERIOD {
                self.period = Instant::now();
                self.messages = 0;
            }
            self.messages += 1;
            if self.messages > MOST_MESSAGES {
                return Err(End::Told(
                    CloseCode::Policy,
                    "this server tells and does not listen",
                ));
            }
        }
    }

    fn ping(&mut self) -> Result<(), End> {
        if self.heard.elapsed() >= DEAD_AFTER {
            return Err(End::Gone);
        }
        if self.heard.elapsed().min(self.pinged.elapsed()) >= PING_AFTER {
            self.pinged = Instant::now();
            self.socket.get_mut().deadline = Instant::now() + WRITE_TIME;
            self.socket.send(Message::Ping(Default::default()))?;
        }
        Ok(())
    }

    fn bid_farewell(&mut self, code: CloseCode, reason: &'static str) {
        let deadline = Instant::now() + FAREWELL;
        self.socket.get_mut().deadline = deadline;
        let frame = CloseFrame {
            code,
            reason: reason.into(),
        };
        let mut sent = self.socket.close(Some(frame));
        while Instant::now() < deadline {
            match sent {
                Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => {
                    std::thread::sleep(TICK / 10);
                }
                Ok(()) => {}
                Err(_) => return,
            }
            sent = self.socket.read().map(drop);
        }
    }
}

/// A socket that is read without waiting, and written within a deadline.
struct Socket<'a> {
    stream: &'a TcpStream,
    deadline: Instant,
}

impl Read for Socket<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.stream.set_nonblocking(true)?;
        let result = self.stream.read(into);
        self.stream.set_nonblocking(false)?;
        result
    }
}

impl Write for Socket<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        self.stream.set_write_timeout(Some(left))?;
        match self.stream.write(bytes) {
            // Linux' word for a send time-out.
            Err(error) if error.kind() == ErrorKind::WouldBlock => Err(ErrorKind::TimedOut.into()),
            result => result,
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
