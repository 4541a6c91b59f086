//! `--self-signed`: a certificate for development, generated at start.

use crate::error::Error;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use ring::digest;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

/// A self-signed certificate with its key.
pub struct SelfSigned {
    /// Valid for `localhost` and the loopback addresses.
    pub certificate: CertificateDer<'static>,
    /// PKCS #8.
    pub key: PrivateKeyDer<'static>,
    /// SHA-256 of the certificate, as openssl and browsers print it.
    pub fingerprint: String,
}

/// Generates a certificate.
///
/// # Errors
/// [`Error::Setup`] if the key cannot be generated.
pub fn generate() -> Result<SelfSigned, Error> {
    let failed = |error: rcgen::Error| Error::Setup(anyhow::Error::new(error).context("cannot generate a certificate"));
    let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
    let mut params = CertificateParams::new(names).map_err(failed)?;
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, "wsplice self-signed");
    params.distinguished_name = subject;
    let key = KeyPair::generate().map_err(failed)?;
    let certificate = params.self_signed(&key).map_err(failed)?.der().clone();
    let fingerprint = digest::digest(&digest::SHA256, &certificate)
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02X}"))
        .collect::<Vec<_>>()
        .join(":");
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    Ok(SelfSigned { certificate, key, fingerprint })
}
