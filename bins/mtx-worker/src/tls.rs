//! TLS for `rtmps://` and `rtsps://`, with certificate checks.

use std::io;

use anyhow::Result;
use mediamtx::tls::{MEDIAMTX_FINGERPRINT, Trust, readable};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// The fingerprint is that of the MediaMTX server the worker belongs to; a platform's certificate has an issuer.
pub(crate) fn connector(is_mediamtx: bool) -> Result<TlsConnector> {
    let trust = if is_mediamtx {
        Trust::from_environment_for(MEDIAMTX_FINGERPRINT)?
    } else {
        Trust::from_environment()?
    };
    Ok(TlsConnector::from(trust.client_config()?))
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
