//! Whom a TLS connection trusts: Mozilla's root certificates, which are built in since MediaMTX's image has none; the
//! certificates of a file; or one certificate by its fingerprint. For every client of the suite, whatever it speaks.

use std::env;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use ring::digest::{SHA256, SHA256_OUTPUT_LEN, digest};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{
    CryptoProvider, ring::default_provider, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, OtherError, RootCertStore,
    SignatureScheme,
};

/// Names a file of certificates (PEM) to trust instead of the built-in ones, as for OpenSSL and curl.
pub const ROOTS_FILE: &str = "SSL_CERT_FILE";

/// The fingerprint of MediaMTX's certificate.
pub const MEDIAMTX_FINGERPRINT: &str = "MEDIAMTX_FINGERPRINT";

/// The hosts, with spaces in between, whose certificate [`MEDIAMTX_FINGERPRINT`] is about, for a program that talks to
/// others as well.
pub const MEDIAMTX_FINGERPRINT_HOSTS: &str = "MEDIAMTX_FINGERPRINT_HOSTS";

/// The fingerprint of the orchestrator's certificate, or of the proxy's in front of it.
pub const ORCHESTRATOR_FINGERPRINT: &str = "ORCHESTRATOR_FINGERPRINT";

/// How to print the fingerprint of a certificate that is a file.
pub const PRINT_FINGERPRINT: &str = "openssl x509 -noout -fingerprint -sha256 -in server.crt";

/// Why it is not known whom to trust.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// The file is not there, or is no PEM file.
    #[error("{ROOTS_FILE}={}: {error}", .file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        error: pem::Error,
    },
    /// The file holds keys or nothing.
    #[error("{ROOTS_FILE}={} holds no certificate in PEM form", .0.display())]
    Empty(PathBuf),
    /// A variable's value is no fingerprint.
    #[error("{0}: {1}")]
    Fingerprint(&'static str, FingerprintError),
    /// rustls takes no such certificates.
    #[error("certificates to trust: {0}")]
    Rustls(#[from] rustls::Error),
    /// A certificate cannot be checked against them.
    #[error("certificates to trust: {0}")]
    Verifier(#[from] rustls::client::VerifierBuilderError),
}

/// A text is no fingerprint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a SHA-256 fingerprint, 64 hexadecimal digits as `{PRINT_FINGERPRINT}` prints them")]
pub struct FingerprintError;

/// The SHA-256 of a certificate in DER form.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint([u8; SHA256_OUTPUT_LEN]);

impl Fingerprint {
    /// The fingerprint of a certificate.
    #[must_use]
    pub fn of_certificate(certificate: &CertificateDer<'_>) -> Self {
        let mut bytes = [0; SHA256_OUTPUT_LEN];
        bytes.copy_from_slice(digest(&SHA256, certificate).as_ref());
        Self(bytes)
    }
}

/// Takes `sha256 Fingerprint=AB:CD:…`, `AB:CD:…` and `abcd…`, the last as in MediaMTX's `sourceFingerprint`.
impl FromStr for Fingerprint {
    type Err = FingerprintError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.rsplit_once('=').map_or(text, |(_, digits)| digits);
        let digits: Vec<u8> = digits.trim().bytes().filter(|byte| *byte != b':').collect();
        if digits.len() != 2 * SHA256_OUTPUT_LEN {
            return Err(FingerprintError);
        }
        let mut bytes = [0; SHA256_OUTPUT_LEN];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let digit = |digit: u8| char::from(digit).to_digit(16).ok_or(FingerprintError);
            *byte = u8::try_from(digit(pair[0])? * 16 + digit(pair[1])?)
                .map_err(|_| FingerprintError)?;
        }
        Ok(Self(bytes))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pairs: Vec<String> = self.0.iter().map(|byte| format!("{byte:02X}")).collect();
        f.write_str(&pairs.join(":"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

/// Whom to trust.
#[derive(Debug, Clone)]
pub struct Trust {
    anchor: Anchor,
    /// Where the fingerprint of this server goes.
    variable: Option<&'static str>,
}

#[derive(Debug, Clone)]
enum Anchor {
    BuiltIn,
    Certificates(Vec<CertificateDer<'static>>),
    Fingerprint(Fingerprint),
}

impl Trust {
    /// The certificates of `SSL_CERT_FILE`, or the built-in ones.
    pub fn from_environment() -> Result<Self, TrustError> {
        let file = env::var_os(ROOTS_FILE).filter(|file| !file.is_empty());
        let anchor = match file {
            Some(file) => Anchor::Certificates(read(file.into())?),
            None => Anchor::BuiltIn,
        };
        Ok(Self {
            anchor,
            variable: None,
        })
    }

    /// The certificate whose fingerprint `variable` holds ([`MEDIAMTX_FINGERPRINT`], …); without one, the same as
    /// [`Self::from_environment`].
    pub fn from_environment_for(variable: &'static str) -> Result<Self, TrustError> {
        let text = env::var_os(variable).filter(|text| !text.is_empty());
        let trust = match text {
            Some(text) => Self::in_fingerprint(
                text.to_string_lossy()
                    .parse()
                    .map_err(|error| TrustError::Fingerprint(variable, error))?,
            ),
            None => Self::from_environment()?,
        };
        Ok(Self {
            variable: Some(variable),
            ..trust
        })
    }

    /// One certificate, whoever issued it, for whatever name and time.
    #[must_use]
    pub fn in_fingerprint(fingerprint: Fingerprint) -> Self {
        Self {
            anchor: Anchor::Fingerprint(fingerprint),
            variable: None,
        }
    }

    /// For rustls: ring, TLS 1.2 and 1.3, no client certificate.
    pub fn client_config(&self) -> Result<Arc<ClientConfig>, TrustError> {
        let provider = Arc::new(default_provider());
        let verifier = Verifier {
            check: self.check(&provider)?,
            variable: self.variable,
            provider: Arc::clone(&provider),
        };
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        Ok(Arc::new(config))
    }

    fn check(&self, provider: &Arc<CryptoProvider>) -> Result<Check, TrustError> {
        let mut roots = RootCertStore::empty();
        let listed = match &self.anchor {
            Anchor::Fingerprint(fingerprint) => return Ok(Check::Fingerprint(*fingerprint)),
            Anchor::BuiltIn => {
                roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
                Vec::new()
            }
            Anchor::Certificates(certificates) => {
                let (added, _) = roots.add_parsable_certificates(certificates.iter().cloned());
                if added == 0 {
                    for certificate in certificates {
                        roots.add(certificate.clone())?;
                    }
                }
                certificates.clone()
            }
        };
        let provider = Arc::clone(provider);
        let webpki = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider);
        Ok(Check::Chain {
            webpki: webpki.build()?,
            listed,
        })
    }
}

fn read(file: PathBuf) -> Result<Vec<CertificateDer<'static>>, TrustError> {
    let certificates: Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(&file).and_then(Iterator::collect);
    match certificates {
        Ok(certificates) if certificates.is_empty() => Err(TrustError::Empty(file)),
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(TrustError::File { file, error }),
    }
}

/// Refuses with a message that says how to trust the certificate.
#[derive(Debug)]
struct Verifier {
    check: Check,
    variable: Option<&'static str>,
    provider: Arc<CryptoProvider>,
}

#[derive(Debug)]
enum Check {
    Chain {
        webpki: Arc<WebPkiServerVerifier>,
        /// The certificates of the file as they stand.
        listed: Vec<CertificateDer<'static>>,
    },
    Fingerprint(Fingerprint),
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let presented = Fingerprint::of_certificate(certificate);
        let reason = match &self.check {
            Check::Fingerprint(expected) if *expected == presented => {
                return Ok(ServerCertVerified::assertion());
            }
            Check::Fingerprint(_) => Reason::OtherFingerprint,
            Check::Chain { webpki, listed } => {
                let verdict =
                    webpki.verify_server_cert(certificate, intermediates, name, ocsp_response, now);
                let listed = listed.iter().any(|known| known == certificate);
                match verdict {
                    Err(rustls::Error::InvalidCertificate(error)) if listed => {
                        match self_signed(error, certificate, name) {
                            Ok(verified) => return Ok(verified),
                            Err(error) => Reason::Certificate(error),
                        }
                    }
                    Err(rustls::Error::InvalidCertificate(error)) => Reason::Certificate(error),
                    other => return other,
                }
            }
        };
        let untrusted = Untrusted {
            reason,
            presented,
            variable: self.variable,
        };
        let error = CertificateError::Other(OtherError(Arc::new(untrusted)));
        Err(rustls::Error::InvalidCertificate(error))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = &self.provider.signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}

/// `openssl req -x509`, which MediaMTX's documentation recommends, makes certificates that are CAs. webpki takes no CA
/// for a server's certificate, OpenSSL does if it is in the file itself. Its dates have been checked by then.
fn self_signed(
    error: CertificateError,
    certificate: &CertificateDer<'_>,
    name: &ServerName<'_>,
) -> Result<ServerCertVerified, CertificateError> {
    if !matches!(
        error,
        CertificateError::UnknownIssuer | CertificateError::Other(_)
    ) {
        return Err(error);
    }
    let parsed = ParsedCertificate::try_from(certificate);
    match parsed.and_then(|parsed| verify_server_name(&parsed, name)) {
        Ok(()) => Ok(ServerCertVerified::assertion()),
        Err(rustls::Error::InvalidCertificate(error)) => Err(error),
        Err(_) => Err(error),
    }
}

/// Why a server's certificate was refused, and what to do about it.
#[derive(Debug)]
struct Untrusted {
    reason: Reason,
    presented: Fingerprint,
    variable: Option<&'static str>,
}

#[derive(Debug)]
enum Reason {
    OtherFingerprint,
    Certificate(CertificateError),
}

impl std::error::Error for Untrusted {}

impl fmt::Display for Untrusted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let presented = self.presented;
        match (&self.reason, self.variable) {
            (Reason::OtherFingerprint, variable) => {
                let variable = variable.unwrap_or("the expected fingerprint");
                return write!(f, "its fingerprint is {presented}, not that of {variable}");
            }
            (Reason::Certificate(CertificateError::UnknownIssuer), _) => {
                f.write_str("its issuer is not known here")?;
            }
            (Reason::Certificate(error), _) => write!(f, "{error}")?,
        }
        write!(
            f,
            "; set {ROOTS_FILE} to a file with its CA's certificate (PEM)"
        )?;
        if let Some(variable) = self.variable {
            write!(
                f,
                ", or {variable}={presented} if that is what `{PRINT_FINGERPRINT}` prints on the server"
            )?;
        }
        Ok(())
    }
}

/// The error of a handshake in words for the user: rustls itself shows what a verifier says as Rust source.
#[must_use]
pub fn readable(error: io::Error) -> io::Error {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    let text = match inner {
        Some(rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(reason)))) => {
            format!("the server's certificate is not trusted: {reason}")
        }
        Some(rustls::Error::InvalidMessage(_)) => {
            "the port speaks no TLS: write http:// instead of https:// (rtmp:// instead of rtmps://), or another port".to_owned()
        }
        _ => return error,
    };
    io::Error::new(io::ErrorKind::InvalidData, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by `openssl req -x509 -days 36500`.
    const CERTIFICATE: &str = "\
-----BEGIN CERTIFICATE-----
MIIBdDCCARugAwIBAgIUNSTrcwrSQFrQE3YXt/5/ZT9Me7AwCgYIKoZIzj0EAwIw
DzENMAsGA1UEAwwEdGVzdDAgFw0yNjExMjExNzU5MzlaGA8yMTI2MTAyODE3NTkz
OVowDzENMAsGA1UEAwwEdGVzdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABG57
9bAdwxOlrIRtJ+lEWVUOG7CCKYc+BkJ14bDErrofgmbxbT+ZEaMAaQVlNHeN4wUl
446R8yb6OD03TFo3kESjUzBRMB0GA1UdDgQWBBTRr+wnukOR+LVPCpo79EBeAQS6
NTAfBgNVHSMEGDAWgBTRr+wnukOR+LVPCpo79EBeAQS6NTAPBgNVHRMBAf8EBTAD
AQH/MAoGCCqGSM49BAMCA0cAMEQCIH9c7Gmr2OVXFtcV+PjovFU2WUFSnar0yVe1
YaqLG52BAiB4ZitUxbbmJPBPcFrVQtOhHMh5ftC1TDsMeu1jLlPsyA==
-----END CERTIFICATE-----";

    #[test]
    fn one_unreadable_certificate_does_not_spoil_a_bundle() {
        let trust = |certificates: &[CertificateDer<'static>]| {
            let trust = Trust {
                anchor: Anchor::Certificates(certificates.to_vec()),
                variable: None,
            };
            trust.client_config().map(drop)
        };
        let good = CertificateDer::from_pem_slice(CERTIFICATE.as_bytes()).unwrap();
        let bad = CertificateDer::from_slice(b"nonsense");
        assert!(trust(&[bad.clone(), good]).is_ok());
        assert!(matches!(trust(&[bad]), Err(TrustError::Rustls(_))));
    }

    #[test]
    fn a_fingerprint_is_read_as_openssl_and_mediamtx_write_it() {
        let fingerprint = Fingerprint::of_certificate(&CertificateDer::from_slice(b"x"));
        let colons = fingerprint.to_string();
        assert!(colons.starts_with("2D:71:16:42:B7:26"), "{colons}");
        for text in [
            colons.clone(),
            format!("sha256 Fingerprint={colons}\n"),
            colons.replace(':', ""),
            colons.replace(':', "").to_lowercase(),
        ] {
            assert_eq!(text.parse(), Ok(fingerprint), "{text}");
        }
        for text in ["", "2D:71", &colons[1..], &colons.replace('2', "g"), "é"] {
            let message = text.parse::<Fingerprint>().unwrap_err().to_string();
            assert!(message.contains("openssl"), "{message}");
        }
    }
}
