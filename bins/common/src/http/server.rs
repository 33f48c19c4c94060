//! The listening socket.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use thiserror::Error;

use super::connections::Connections;
use super::{Service, connection};

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
        let served = move || connection::serve(place, &*service, only_local_names);
        // Without a thread the connection is closed, and the next one may have more luck.
        let _ = thread::Builder::new().stack_size(STACK).spawn(served);
    }
}
