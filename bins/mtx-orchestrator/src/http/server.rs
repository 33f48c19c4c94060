//! The listening socket.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

use super::connections::Connections;
use super::{Token, connection};
use crate::api::Api;
use crate::supervisor::Supervisor;

/// The deepest thing that runs on it is serde_json, which stops at 128 levels.
const STACK: usize = 512 * 1024;
/// After an error of accept, most likely for want of file descriptors.
const PAUSE: Duration = Duration::from_millis(20);

/// Takes the port; nobody is served yet.
pub(crate) fn bind(listen: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(listen).with_context(|| format!("can't listen on {listen} (--listen)"))
}

/// From now on serves the API, until the process ends.
pub(crate) fn serve(
    listener: TcpListener,
    token: Option<&str>,
    supervisor: Supervisor,
) -> Result<()> {
    let address = listener.local_addr()?;
    let access = access(token.is_some(), address.ip().is_loopback());
    log::info!(address = address.to_string().as_str(); "listening; {access}");
    let api = Arc::new(Api::new(supervisor, token.map(Token::new)));
    thread::Builder::new()
        .name("accept".to_owned())
        .spawn(move || accept(&listener, &api))
        .context("no thread to accept connections")
        .map(drop)
}

fn access(guarded: bool, loopback: bool) -> &'static str {
    match (guarded, loopback) {
        (true, _) => "who has ORCHESTRATOR_TOKEN may use it",
        (false, true) => {
            "ORCHESTRATOR_TOKEN is not set: everybody on this machine may use it, and nobody else"
        }
        (false, false) => {
            "ORCHESTRATOR_TOKEN is not set: everybody who reaches this address may use it"
        }
    }
}

fn accept(listener: &TcpListener, api: &Arc<Api>) {
    let connections = Arc::new(Connections::default());
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
        let api = Arc::clone(api);
        let served = move || connection::serve(place, &api);
        // Without a thread the connection is closed, and the next one may have more luck.
        let _ = thread::Builder::new().stack_size(STACK).spawn(served);
    }
}
