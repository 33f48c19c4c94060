//! The listening socket.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use thiserror::Error;

use super::connections::Connections;
use super::{Service, connection};
use crate::panics;

/// The deepest thing that runs on it is serde_json, which stops at 128 levels.
const STACK: usize = 512 * 1024;
/// Connections at a time. Each costs a thread and a file descriptor; hooks need one for some milliseconds.
const MAX_CONNECTIONS: usize = 256;
/// After an error of accept, most likely for want of file descriptors.
const PAUSE: Duration = Duration::from_millis(20);

/// Why nobody can be served.
#[derive(Debug, Error)]
pub enum ServerError {
    /// The port is taken, or the address is no address of this machine.
    #[error("can't listen on {address}")]
    Listen {
        /// What was asked for.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The process may not have one more thread.
    #[error("no thread to accept connections")]
    Thread(#[source] io::Error),
}

/// Takes the port; nobody is served yet.
///
/// # Errors
/// When it can't be had.
pub fn bind(address: SocketAddr) -> Result<TcpListener, ServerError> {
    TcpListener::bind(address).map_err(|source| ServerError::Listen { address, source })
}

/// From now on serves whoever connects, until the process ends.
///
/// # Errors
/// When there is no thread for it.
pub fn serve<S: Service>(listener: TcpListener, service: Arc<S>) -> Result<(), ServerError> {
    thread::Builder::new()
        .name("accept".to_owned())
        .spawn(move || accept(&listener, &service))
        .map_err(ServerError::Thread)
        .map(drop)
}

fn accept<S: Service>(listener: &TcpListener, service: &Arc<S>) {
    let connections = Arc::new(Connections::new(MAX_CONNECTIONS));
    let is_local = listener
        .local_addr()
        .is_ok_and(|address| address.ip().is_loopback());
    let only_local_names = is_local && !service.is_guarded();
    loop {
        let stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) => {
                log::debug!("accept: {error}");
                connections.make_room();
                thread::sleep(PAUSE);
                continue;
            }
        };
        let Some(place) = connections.admit(stream) else {
            continue;
        };
        let service = Arc::clone(service);
        let served = move || {
            if panics::catch(|| connection::serve(place, &*service, only_local_names)).is_none() {
                service.panicked();
            }
        };
        // Without a thread the connection is closed, and the next one may have more luck.
        let _ = thread::Builder::new().stack_size(STACK).spawn(served);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Answer, Head, Problem};
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpStream;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[derive(Default)]
    struct Fragile {
        panics: AtomicUsize,
    }

    impl Service for Fragile {
        type Route = ();

        const NAME: &'static str = "fragile";

        fn admit(&self, head: &Head) -> Result<(), Problem> {
            match head.path()[..] {
                ["admit"] => panic!("on purpose"),
                _ => Ok(()),
            }
        }

        fn answer(&self, head: &Head, (): (), _body: &[u8]) -> Answer {
            match head.path()[..] {
                ["answer"] => panic!("on purpose"),
                ["upgrade"] => Answer::switch("x", |_| panic!("on purpose")),
                _ => Answer::new(200, "text/plain", "well"),
            }
        }

        fn panicked(&self) {
            self.panics.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_request_that_panics_is_answered_500_and_the_others_are_served() {
        let listener = bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let address = listener.local_addr().unwrap();
        let service = Arc::new(Fragile::default());
        serve(listener, Arc::clone(&service)).unwrap();
        // Whatever comes until the connection is closed; the server is to close it by itself, but for a request that
        // asks for that.
        let get = |path: &str, headers: &str| {
            let mut stream = TcpStream::connect(address).unwrap();
            stream
                .set_read_timeout(Some(Duration::from_secs(10)))
                .unwrap();
            let request = format!("GET /{path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n");
            stream.write_all(request.as_bytes()).unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            answer
        };
        for (count, path) in ["admit", "answer"].into_iter().enumerate() {
            let answer = get(path, "");
            assert!(answer.starts_with("HTTP/1.1 500 "), "{answer}");
            assert!(answer.contains("Connection: close"), "{answer}");
            assert!(answer.contains("application/problem+json"), "{answer}");
            assert!(!answer.contains("on purpose"), "{answer}");
            assert_eq!(service.panics.load(Ordering::Relaxed), count + 1);
        }
        assert!(get("upgrade", "").starts_with("HTTP/1.1 101 "));
        assert_eq!(service.panics.load(Ordering::Relaxed), 3);
        assert!(get("", "Connection: close\r\n").ends_with("well"));
    }
}
