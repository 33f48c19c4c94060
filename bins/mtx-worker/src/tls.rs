//! TLS for `rtmps://` and `rtsps://`, with certificate checks.

use std::env;
use std::io;

use anyhow::Result;
use common::host::is_loopback;
use common::tls::{MEDIAMTX_FINGERPRINT, MEDIAMTX_FINGERPRINT_HOSTS, Trust, readable};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// For a host that is the MediaMTX server the worker belongs to, as far as the worker knows; who knows it better names the
/// hosts in [`MEDIAMTX_FINGERPRINT_HOSTS`]. The fingerprint is that server's alone; a platform's certificate has an issuer.
pub(crate) fn connector(host: &str, is_mediamtx: bool) -> Result<TlsConnector> {
    let is_mediamtx = match env::var(MEDIAMTX_FINGERPRINT_HOSTS) {
        Ok(hosts) => hosts.split_whitespace().any(|named| is_same(named, host)),
        Err(_) => is_mediamtx,
    };
    let trust = if is_mediamtx {
        Trust::from_environment_for(MEDIAMTX_FINGERPRINT)?
    } else {
        Trust::from_environment()?
    };
    Ok(TlsConnector::from(trust.client_config()?))
}

fn is_same(host: &str, other: &str) -> bool {
    host.eq_ignore_ascii_case(other) || (is_loopback(host) && is_loopback(other))
}

/// Wraps a connection to `host`.
pub(crate) async fn wrap(
    connector: &TlsConnector,
    host: &str,
    socket: TcpStream,
) -> io::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from(host.to_owned())
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    connector.connect(name, socket).await.map_err(readable)
}
