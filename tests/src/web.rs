//! A small HTTP server that answers as the test says and remembers what it was asked.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// What a client sent.
#[derive(Clone, Debug)]
pub struct Request {
    /// For instance `GET /v3/info`.
    pub target: String,
    /// The body, as text.
    pub body: String,
}

/// A running server. It ends with the test process.
pub struct Web {
    port: u16,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Web {
    /// Serves on a free port. `answer` gets a request and gives the status and the body.
    pub fn start(answer: impl Fn(&Request) -> (u16, Vec<u8>) + Send + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let requests = Arc::new(Mutex::new(vec![]));
        let log = Arc::clone(&requests);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A client that breaks off does not concern the others.
                let _ = serve(stream, &answer, &log);
            }
        });
        Self { port, requests }
    }

    /// URL of the root, without a slash at the end.
    pub fn url(&self) -> String {
        format!("http://localhost:{}", self.port)
    }

    /// What was asked so far.
    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().expect("no answer panicked").clone()
    }
}

fn serve(
    stream: TcpStream,
    answer: &impl Fn(&Request) -> (u16, Vec<u8>),
    log: &Mutex<Vec<Request>>,
) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut reader = BufReader::new(stream);
    let mut first = String::new();
    reader.read_line(&mut first)?;
    let mut length = 0;
    let mut line = String::new();
    while reader.read_line(&mut line)? > 2 {
        let (name, value) = line.split_once(':').unwrap_or_default();
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().unwrap_or(0);
        }
        line.clear();
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let request = Request {
        target: first.split(' ').take(2).collect::<Vec<_>>().join(" "),
        body: String::from_utf8_lossy(&body).into_owned(),
    };
    let (status, content) = answer(&request);
    log.lock().expect("no answer panicked").push(request);
    let mut stream = reader.into_inner();
    let length = content.len();
    write!(
        stream,
        "HTTP/1.1 {status} X\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    )?;
    stream.write_all(&content)
}
