//! HTTP as bytes: what no well-behaved client would send, and answers as they are.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde_json::Value;

/// One answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its head's other lines, names in lower case.
    pub headers: Vec<(String, String)>,
    /// What followed.
    pub body: String,
}

impl Answer {
    /// Value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The body's JSON.
    ///
    /// # Panics
    /// When it is none.
    #[track_caller]
    pub fn json(&self) -> Value {
        match serde_json::from_str(&self.body) {
            Ok(value) => value,
            Err(error) => panic!("{error}: {self:?}"),
        }
    }
}

/// An open connection.
pub struct Connection(TcpStream);

impl Connection {
    /// Opens one.
    ///
    /// # Panics
    /// When nobody listens.
    #[track_caller]
    pub fn open(address: SocketAddr) -> Self {
        Self(TcpStream::connect(address).expect("somebody listens"))
    }

    /// Sends some bytes; whether the other side still takes them is its affair.
    pub fn send(&mut self, bytes: &[u8]) {
        let _ = self.0.write_all(bytes);
    }

    /// Says that nothing more will be sent.
    pub fn finish(&self) {
        let _ = self.0.shutdown(Shutdown::Write);
    }

    /// Everything that comes until the other side closes; `None` if it has not within `timeout`.
    pub fn read_to_end(&mut self, timeout: Duration) -> Option<Vec<u8>> {
        let deadline = Instant::now() + timeout;
        let mut all = vec![];
        let mut some = [0; 16 * 1024];
        loop {
            let left = deadline.checked_duration_since(Instant::now())?;
            let left = left.max(Duration::from_millis(1));
            self.0.set_read_timeout(Some(left)).expect("not zero");
            match self.0.read(&mut some) {
                Ok(0) => return Some(all),
                Ok(count) => all.extend_from_slice(&some[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                // A reset is an end, too.
                Err(_) => return Some(all),
            }
        }
    }

    /// The socket itself.
    pub fn stream(&self) -> &TcpStream {
        &self.0
    }
}

/// Sends bytes and returns every answer until the other side closes.
///
/// # Panics
/// When it does not close within 10 s, or what it says is not HTTP.
#[track_caller]
pub fn answers(address: SocketAddr, request: &[u8]) -> Vec<Answer> {
    let mut connection = Connection::open(address);
    connection.send(request);
    let said = connection.read_to_end(Duration::from_secs(10));
    let said = said.unwrap_or_else(|| panic!("still open after {:?}", excerpt(request)));
    parse(&said)
}

/// A request on a connection of its own, and its answer.
///
/// # Panics
/// When it is not answered exactly once.
#[track_caller]
pub fn call(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Answer {
    call_within(
        Duration::from_secs(10),
        address,
        method,
        path,
        headers,
        body,
    )
}

/// The same, for a request that may take so long.
///
/// # Panics
/// When it is not answered exactly once within `timeout`.
#[track_caller]
pub fn call_within(
    timeout: Duration,
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Answer {
    let mut request =
        format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
    for (name, value) in headers {
        request += &format!("{name}: {value}\r\n");
    }
    if matches!(method, "POST" | "PUT" | "PATCH") {
        request += &format!("Content-Length: {}\r\n", body.len());
    }
    request += &format!("\r\n{body}");
    let mut connection = Connection::open(address);
    connection.send(request.as_bytes());
    let said = connection.read_to_end(timeout);
    let said = said.unwrap_or_else(|| panic!("no answer to {method} {path}"));
    let head = method == "HEAD";
    let mut found = if head {
        vec![parse_one(&said, true).0]
    } else {
        parse(&said)
    };
    assert_eq!(found.len(), 1, "answers to {method} {path}: {found:?}");
    found.remove(0)
}

fn excerpt(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).chars().take(200).collect()
}

fn parse(mut said: &[u8]) -> Vec<Answer> {
    let mut found = vec![];
    while !said.is_empty() {
        let (answer, rest) = parse_one(said, false);
        found.push(answer);
        said = rest;
    }
    found
}

#[track_caller]
fn parse_one(said: &[u8], head_only: bool) -> (Answer, &[u8]) {
    let end = said.windows(4).position(|bytes| bytes == b"\r\n\r\n");
    let end = end.unwrap_or_else(|| panic!("no HTTP: {}", excerpt(said)));
    let head = String::from_utf8_lossy(&said[..end]).into_owned();
    let mut lines = head.split("\r\n");
    let status = lines
        .next()
        .and_then(|line| line.split(' ').nth(1)?.parse().ok());
    let headers = lines.filter_map(|line| line.split_once(": "));
    let mut answer = Answer {
        status: status.unwrap_or_else(|| panic!("no status: {head}")),
        headers: headers
            .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
            .collect(),
        body: String::new(),
    };
    let rest = &said[end + 4..];
    let length = answer
        .header("content-length")
        .and_then(|text| text.parse().ok());
    let length = length
        .filter(|_| !head_only && answer.status >= 200)
        .unwrap_or(0);
    answer.body = String::from_utf8_lossy(&rest[..length]).into_owned();
    (answer, &rest[length..])
}
