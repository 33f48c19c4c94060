//! Self-made certificates for TLS on loopback.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rcgen::{CertifiedKey, generate_simple_self_signed};

/// A self-signed certificate for `localhost` and 127.0.0.1; trusting it is trusting itself as a CA.
pub struct Certificate {
    certificate: String,
    key: String,
}

impl Certificate {
    /// Makes a new one.
    ///
    /// # Panics
    /// When there is no randomness.
    pub fn generate() -> Self {
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(names).expect("the names are valid");
        Self {
            certificate: cert.pem(),
            key: signing_key.serialize_pem(),
        }
    }

    /// Its SHA-256 fingerprint, as `openssl x509 -noout -fingerprint -sha256` prints it after the equals sign.
    ///
    /// # Panics
    /// When openssl is not installed.
    pub fn fingerprint(&self) -> String {
        let folder = tempfile::tempdir().expect("a temp folder");
        let (certificate, _) = self.write(folder.path());
        let openssl = Command::new("openssl")
            .args(["x509", "-noout", "-fingerprint", "-sha256", "-in"])
            .arg(certificate)
            .output()
            .expect("openssl runs");
        let line = String::from_utf8_lossy(&openssl.stdout);
        let (_, fingerprint) = line.trim().split_once('=').expect("openssl prints it");
        fingerprint.to_owned()
    }

    /// Writes `server.crt` and `server.key` into `folder` and returns their paths.
    ///
    /// # Panics
    /// When the folder is not writable.
    pub fn write(&self, folder: &Path) -> (PathBuf, PathBuf) {
        let (certificate, key) = (folder.join("server.crt"), folder.join("server.key"));
        fs::write(&certificate, &self.certificate).expect("a writable folder");
        fs::write(&key, &self.key).expect("a writable folder");
        (certificate, key)
    }
}
