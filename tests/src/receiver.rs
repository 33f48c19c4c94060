//! An HTTP server that takes events, remembers them, and answers as a test wants it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::waiting::poll;

/// How every request is answered.
#[derive(Clone, Copy, Debug)]
pub enum Answer {
    /// With this status, at once.
    Status(u16),
    /// With 204, after this time.
    Late(Duration),
    /// With a redirection to the same server.
    Redirect,
    /// With a byte of a head that never ends, every 50 ms.
    DripFed,
    /// With 200 and a body that never ends.
    EndlessBody,
    /// Not at all, the connection staying open.
    Never,
    /// By closing the connection.
    Close,
}

/// One request.
#[derive(Clone, Debug)]
pub struct Received {
    /// When it had arrived as a whole.
    pub at: Instant,
    /// Method, target and version.
    pub request_line: String,
    /// Its head's other lines, names in lower case.
    pub headers: Vec<(String, String)>,
    /// What was posted.
    pub body: Vec<u8>,
}

impl Received {
    /// The last segment of its target.
    pub fn event(&self) -> &str {
        let target = self.request_line.split(' ').nth(1).unwrap_or_default();
        target.rsplit('/').next().unwrap_or_default()
    }

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
        match serde_json::from_slice(&self.body) {
            Ok(value) => value,
            Err(error) => panic!("{error}: {}", String::from_utf8_lossy(&self.body)),
        }
    }
}

/// A receiver on a free loopback port.
pub struct Receiver {
    address: SocketAddr,
    received: Arc<Mutex<Vec<Received>>>,
    ended: Arc<AtomicBool>,
}

impl Receiver {
    /// Starts one.
    ///
    /// # Panics
    /// When no port is free.
    pub fn start(answer: Answer) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener
            .local_addr()
            .expect("a bound socket has an address");
        let receiver = Self {
            address,
            received: Arc::default(),
            ended: Arc::default(),
        };
        let (received, ended) = (receiver.received.clone(), receiver.ended.clone());
        thread::spawn(move || {
            for connection in listener.incoming().map_while(Result::ok) {
                if ended.load(Ordering::Relaxed) {
                    return;
                }
                let (received, ended) = (received.clone(), ended.clone());
                thread::spawn(move || {
                    // A client that goes away in the middle is the client's affair.
                    let _ = serve(connection, answer, &received, &ended);
                });
            }
        });
        receiver
    }

    /// Its URL, without a path.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Everything that came so far.
    pub fn received(&self) -> Vec<Received> {
        self.received
            .lock()
            .expect("no connection panicked")
            .clone()
    }

    /// Waits for an event that `matches`.
    ///
    /// # Panics
    /// When there is none within `timeout`; the message shows what came instead.
    #[track_caller]
    pub fn wait(
        &self,
        what: &str,
        timeout: Duration,
        matches: impl Fn(&Received) -> bool,
    ) -> Received {
        let found = poll(timeout, || {
            self.received().into_iter().find(|one| matches(one))
        });
        match found {
            Ok(received) => received,
            Err(waited) => {
                let instead: Vec<String> = self.received().iter().map(summary).collect();
                panic!(
                    "no {what} in {waited:.1?}; received:\n{}",
                    instead.join("\n")
                )
            }
        }
    }

    /// Waits for an event of this name.
    ///
    /// # Panics
    /// When there is none within `timeout`; the message shows what came instead.
    #[track_caller]
    pub fn wait_event(&self, name: &str, timeout: Duration) -> Received {
        self.wait(name, timeout, |one| one.event() == name)
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.address);
    }
}

fn summary(received: &Received) -> String {
    format!(
        "{} {}",
        received.request_line,
        String::from_utf8_lossy(&received.body)
    )
}

fn serve(
    mut connection: TcpStream,
    answer: Answer,
    received: &Mutex<Vec<Received>>,
    ended: &AtomicBool,
) -> std::io::Result<()> {
    let request = read(&connection)?;
    received
        .lock()
        .expect("no other holder panics")
        .push(request);
    let forever = |connection: &mut TcpStream, bytes: &[u8], pause: u64| {
        while !ended.load(Ordering::Relaxed) {
            connection.write_all(bytes)?;
            thread::sleep(Duration::from_millis(pause));
        }
        Ok(())
    };
    match answer {
        Answer::Status(status) => head(&mut connection, &format!("{status} Of the test"), ""),
        Answer::Late(pause) => {
            thread::sleep(pause);
            head(&mut connection, "204 No Content", "")
        }
        Answer::Redirect => head(&mut connection, "301 Elsewhere", "Location: /elsewhere\r\n"),
        Answer::DripFed => {
            connection.write_all(b"HTTP/1.1 200 OK\r\nX-Drip: ")?;
            forever(&mut connection, b"x", 50)
        }
        Answer::EndlessBody => {
            connection.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
            forever(&mut connection, &[b'x'; 65_536], 1)
        }
        Answer::Never => forever(&mut connection, b"", 50),
        Answer::Close => Ok(()),
    }
}

fn head(connection: &mut TcpStream, status: &str, headers: &str) -> std::io::Result<()> {
    write!(
        connection,
        "HTTP/1.1 {status}\r\n{headers}Content-Length: 0\r\n\r\n"
    )
}

fn read(connection: &TcpStream) -> std::io::Result<Received> {
    let mut reader = BufReader::new(connection);
    let mut request_line = String::new();
    reader.read_line(&mut request_line)?;
    let mut headers = vec![];
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        match line.trim_end().split_once(": ") {
            Some((name, value)) => headers.push((name.to_lowercase(), value.to_owned())),
            None => break,
        }
    }
    let mut received = Received {
        at: Instant::now(),
        request_line: request_line.trim_end().to_owned(),
        headers,
        body: vec![],
    };
    let length = received.header("content-length").unwrap_or("0");
    received.body = vec![0; length.parse().unwrap_or_default()];
    reader.read_exact(&mut received.body)?;
    received.at = Instant::now();
    Ok(received)
}
