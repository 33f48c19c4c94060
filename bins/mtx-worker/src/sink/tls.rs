//! TLS for `rtmps://`, with certificate checks.

use std::ffi::OsStr;
use std::io;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Names a file of certificates to trust instead of the built-in ones, as for OpenSSL and curl.
const ROOTS_FILE: &str = "SSL_CERT_FILE";

/// Trusts Mozilla's root certificates, which are built in, or those of `SSL_CERT_FILE`.
pub(super) fn connector() -> Result<TlsConnector> {
    let roots = match std::env::var_os(ROOTS_FILE) {
        None => RootCertStore::from_iter(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        Some(file) => read_roots(&file).with_context(|| {
            format!(
                "can't read certificates from {ROOTS_FILE}={}",
                file.to_string_lossy()
            )
        })?,
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .context("no TLS version in common with this build")?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

fn read_roots(file: &OsStr) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(file)? {
        roots.add(certificate?)?;
    }
    ensure!(!roots.is_empty(), "there is none in it");
    Ok(roots)
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
