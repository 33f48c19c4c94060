//! A client of the orchestrator's WebSocket.

use std::io::{ErrorKind, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde_json::Value;
use tungstenite::client::IntoClientRequest;
use tungstenite::http::{HeaderName, HeaderValue};
use tungstenite::{Error, HandshakeError, Message, WebSocket};

/// One that listens to /v1/events.
pub struct Listener(WebSocket<TcpStream>);

/// What came.
#[derive(Debug)]
pub enum Heard {
    /// A message's JSON.
    Json(Value),
    /// The answer to a ping.
    Pong,
    /// A farewell with its code, or the end of the connection without one.
    End(Option<u16>),
    /// Nothing in time.
    Nothing,
}

impl Listener {
    /// Connects.
    ///
    /// # Panics
    /// When that is refused.
    #[track_caller]
    pub fn connect(address: SocketAddr) -> Self {
        match Self::try_connect(address, &[]) {
            Ok(listener) => listener,
            Err(status) => panic!("refused with {status}"),
        }
    }

    /// Connects with further headers; the status with which that was refused.
    ///
    /// # Panics
    /// When nobody answers.
    #[track_caller]
    pub fn try_connect(address: SocketAddr, headers: &[(&str, &str)]) -> Result<Self, u16> {
        let stream = TcpStream::connect(address).expect("somebody listens");
        Self::over(stream, address, headers)
    }

    /// The same over a socket that is there already.
    ///
    /// # Panics
    /// When nobody answers.
    #[track_caller]
    pub fn over(
        stream: TcpStream,
        address: SocketAddr,
        headers: &[(&str, &str)],
    ) -> Result<Self, u16> {
        let url = format!("ws://{address}/v1/events");
        let mut request = url.into_client_request().expect("a URL");
        for (name, value) in headers {
            let name: HeaderName = name.parse().expect("a name");
            let value = HeaderValue::from_str(value).expect("a value");
            request.headers_mut().insert(name, value);
        }
        match tungstenite::client(request, stream) {
            Ok((socket, _)) => Ok(Self(socket)),
            Err(HandshakeError::Failure(Error::Http(answer))) => Err(answer.status().as_u16()),
            Err(error) => panic!("{error}"),
        }
    }

    /// What comes next within `timeout`.
    pub fn hear(&mut self, timeout: Duration) -> Heard {
        let deadline = Instant::now() + timeout;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let left = left.max(Duration::from_millis(1));
            let stream = self.0.get_ref();
            stream.set_read_timeout(Some(left)).expect("not zero");
            match self.0.read() {
                Ok(Message::Text(text)) => {
                    return Heard::Json(serde_json::from_str(&text).expect("messages are JSON"));
                }
                Ok(Message::Pong(_)) => return Heard::Pong,
                Ok(Message::Close(frame)) => {
                    return Heard::End(frame.map(|frame| frame.code.into()));
                }
                Ok(_) => {}
                Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => {
                    return Heard::Nothing;
                }
                Err(_) => return Heard::End(None),
            }
        }
    }

    /// Waits for a message that `matches`; `what` describes it.
    ///
    /// # Panics
    /// When it does not come within `timeout`; the message shows what came instead.
    #[track_caller]
    pub fn wait(
        &mut self,
        what: &str,
        timeout: Duration,
        matches: impl Fn(&Value) -> bool,
    ) -> Value {
        let start = Instant::now();
        let mut others = String::new();
        while start.elapsed() < timeout {
            match self.hear(timeout.saturating_sub(start.elapsed())) {
                Heard::Json(message) if matches(&message) => return message,
                other => others += &format!("{other:?}\n"),
            }
        }
        panic!("no {what} in {timeout:?}, but:\n{others}");
    }

    /// Waits for the end and returns the farewell's code, if there was one.
    ///
    /// # Panics
    /// When it does not come within `timeout`.
    #[track_caller]
    pub fn wait_end(&mut self, timeout: Duration) -> Option<u16> {
        let start = Instant::now();
        while start.elapsed() < timeout {
            if let Heard::End(code) = self.hear(timeout.saturating_sub(start.elapsed())) {
                return code;
            }
        }
        panic!("still connected after {timeout:?}");
    }

    /// Says something; whether the other side still takes it is its affair.
    pub fn say(&mut self, message: Message) {
        let _ = self.0.send(message);
    }

    /// Sends bytes that need not be a frame.
    pub fn write(&self, bytes: &[u8]) {
        let _ = self.stream().write_all(bytes);
    }

    /// The socket itself.
    pub fn stream(&self) -> &TcpStream {
        self.0.get_ref()
    }
}
