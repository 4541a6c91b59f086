//! Certificate authorities, and the certificates that they issue.

use super::support::{Folder, Serving};
use base64::{Engine, prelude::BASE64_STANDARD};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use std::fs;

/// PEM, wrapped as RFC 7468 wants it.
pub fn pem(label: &str, der: &[u8]) -> String {
    let base64 = BASE64_STANDARD.encode(der);
    let lines: Vec<_> = base64.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

/// A certificate authority, and a folder for its certificates.
pub struct Authority {
    pub folder: Folder,
    issuer: Issuer<'static, KeyPair>,
    /// The file of its own certificate.
    pub file: String,
}

/// The files of a certificate and its key.
pub struct Identity {
    pub cert: String,
    pub key: String,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let folder = Folder::new(name);
        let mut params = CertificateParams::new([]).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, format!("authority of {name}"));
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        let file = folder.path("ca.pem");
        fs::write(&file, pem("CERTIFICATE", certificate.der())).expect("write");
        Self { folder, issuer: Issuer::new(params, key), file }
    }

    /// A certificate for localhost and 127.0.0.1, changed before it is signed.
    pub fn issue(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Identity {
        let names = ["localhost", "127.0.0.1"].map(str::to_owned);
        let mut params = CertificateParams::new(names).expect("parameters");
        change(&mut params);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        let identity =
            Identity { cert: self.folder.path(&format!("{name}.pem")), key: self.folder.path(&format!("{name}.key")) };
        fs::write(&identity.cert, pem("CERTIFICATE", certificate.der())).expect("write");
        fs::write(&identity.key, pem("PRIVATE KEY", key.serialized_der())).expect("write");
        identity
    }

    /// Starts a mirror with a certificate of this authority.
    #[track_caller]
    pub fn serves(&self, change: impl FnOnce(&mut CertificateParams)) -> Serving {
        let identity = self.issue("server", change);
        Serving::start(["wss-l:127.0.0.1:0", "mirror:", "--cert", &identity.cert, "--key", &identity.key])
    }
}
