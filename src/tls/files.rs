//! PEM files.

use crate::error::Error;
use anyhow::{Context, anyhow, bail};
use std::{
    fs,
    io::{self, BufReader},
    path::Path,
};
use tokio_rustls::rustls::{
    self, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer},
};

/// The error for a file that cannot be read or parsed. The message of rustls-pemfile for invalid base64 is
/// `InvalidCharacter(45)`.
fn unreadable(path: &Path, error: &io::Error) -> anyhow::Error {
    match error.kind() {
        io::ErrorKind::InvalidData => anyhow!("{} is not a valid PEM file", path.display()),
        _ => anyhow!("cannot read {}: {}", path.display(), crate::error::io_message(error)),
    }
}

fn open(path: &Path) -> anyhow::Result<BufReader<fs::File>> {
    Ok(BufReader::new(fs::File::open(path).map_err(|error| unreadable(path, &error))?))
}

fn read_certificates(path: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let read: Result<Vec<_>, _> = rustls_pemfile::certs(&mut open(path)?).collect();
    let found = read.map_err(|error| unreadable(path, &error))?;
    if found.is_empty() {
        bail!("{} has no certificate (no `BEGIN CERTIFICATE` line; is it PEM?)", path.display());
    }
    Ok(found)
}

/// Reads a certificate chain, leaf first.
///
/// # Errors
/// [`Error::Setup`] if the file cannot be read or has no certificate.
pub fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    read_certificates(path).map_err(Error::Setup)
}

/// Reads the first private key of a file: PKCS #8, PKCS #1 (RSA) or SEC 1 (EC), unencrypted.
///
/// # Errors
/// [`Error::Setup`] if the file cannot be read, or has no private key or only an encrypted one.
pub fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, Error> {
    let read = || -> anyhow::Result<_> {
        let found = rustls_pemfile::private_key(&mut open(path)?);
        if let Ok(Some(key)) = found {
            return Ok(key);
        }
        // Encrypted PKCS #8 has a label of its own, which rustls-pemfile skips; the older format of openssl has a header, which
        // is not base64.
        if fs::read_to_string(path).is_ok_and(|text| text.contains("ENCRYPTED")) {
            bail!(
                "the private key in {} is encrypted; decrypt it with `openssl pkey -in {0} -out plain.pem`",
                path.display()
            );
        }
        found.map_err(|error| unreadable(path, &error))?;
        bail!("{} has no private key (no `BEGIN PRIVATE KEY` line)", path.display())
    };
    read().map_err(Error::Setup)
}

/// Reads CA certificates to trust.
///
/// # Errors
/// [`Error::Setup`] if the file cannot be read, or a certificate cannot be used.
pub fn roots(path: &Path) -> Result<RootCertStore, Error> {
    let read = || -> anyhow::Result<_> {
        let mut store = RootCertStore::empty();
        for certificate in read_certificates(path)? {
            store.add(certificate).with_context(|| format!("{} has an unusable certificate", path.display()))?;
        }
        Ok(store)
    };
    read().map_err(Error::Setup)
}

/// The error for a certificate chain and a private key that do not fit together.
pub fn unusable_identity(chain: &Path, key: &Path, error: rustls::Error) -> Error {
    let reason = match error {
        rustls::Error::InconsistentKeys(_) => "the key does not belong to the certificate".to_owned(),
        other => other.to_string(),
    };
    Error::Setup(anyhow!("cannot use {} with {}: {reason}", chain.display(), key.display()))
}
