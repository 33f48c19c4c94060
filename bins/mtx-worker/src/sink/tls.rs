//! TLS for `rtmps://`, with certificate checks.

use std::io;
use std::sync::Arc;

use anyhow::{Context, Result};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Names a file of further trusted certificates, as OpenSSL and curl do.
const EXTRA_ROOTS: &str = "SSL_CERT_FILE";

/// Trusts Mozilla's root certificates, which are built in, and those of `SSL_CERT_FILE`.
pub(super) fn connector() -> Result<TlsConnector> {
    let mut roots = RootCertStore::from_iter(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    if let Some(file) = std::env::var_os(EXTRA_ROOTS) {
        let reading = || {
            format!(
                "can't read certificates from {EXTRA_ROOTS}={}",
                file.to_string_lossy()
            )
        };
        for certificate in CertificateDer::pem_file_iter(&file).with_context(reading)? {
            roots
                .add(certificate.with_context(reading)?)
                .with_context(reading)?;
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .context("no TLS version in common with this build")?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// Wraps a connection to `host`.
pub(super) async fn wrap(
    connector: &TlsConnector,
    host: &str,
    socket: TcpStream,
) -> io::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from(host.to_owned())
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    connector.connect(name, socket).await
}
