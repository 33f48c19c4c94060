//! TLS for `rtmps://`, with certificate checks.

use std::io;

use anyhow::Result;
use mediamtx::tls::{MEDIAMTX_FINGERPRINT, Trust, readable};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::rtmp::url::RtmpUrl;

/// The fingerprint is that of the server that is read from; a platform's certificate has an issuer.
pub(super) fn connector(url: &RtmpUrl) -> Result<TlsConnector> {
    let trust = if url.on_server {
        Trust::from_environment_for(MEDIAMTX_FINGERPRINT)?
    } else {
        Trust::from_environment()?
    };
    Ok(TlsConnector::from(trust.client_config()?))
}

/// Wraps a connection to `host`.
pub(super) async fn wrap(
    connector: &TlsConnector,
    host: &str,
    socket: TcpStream,
) -> io::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from(host.to_owned())
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    connector.connect(name, socket).await.map_err(readable)
}
