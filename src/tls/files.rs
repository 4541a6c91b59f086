//! Files of certificates and keys.

use super::{Identity, pkcs12};
use crate::error::Error;
use anyhow::{Context, anyhow, bail};
use base64::{Engine, prelude::BASE64_STANDARD};
use pkcs8::EncryptedPrivateKeyInfoRef;
use std::{
    fs,
    io::{self, BufReader},
    path::Path,
};
use tokio_rustls::rustls::{
    self, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
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

/// Reads a certificate chain, leaf first, and its private key.
///
/// # Errors
/// [`Error::Setup`] if a file cannot be read, or has no certificate or private key.
pub fn identity(identity: &Identity) -> Result<Loaded, Error> {
    let read = || match identity {
        Identity::Pem { chain, key, passphrase } => {
            Ok((read_certificates(chain)?, private_key(key, passphrase.as_deref())?))
        }
        Identity::Pkcs12 { file, password } => {
            let bytes = fs::read(file).map_err(|error| unreadable(file, &error))?;
            pkcs12::read(&bytes, password).with_context(|| format!("cannot use {}", file.display()))
        }
    };
    read().map_err(Error::Setup)
}

/// A certificate chain and its private key.
type Loaded = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// Reads the first private key of a file: PKCS #8, which may be encrypted, PKCS #1 (RSA) or SEC 1 (EC).
fn private_key(path: &Path, passphrase: Option<&str>) -> anyhow::Result<PrivateKeyDer<'static>> {
    let found = rustls_pemfile::private_key(&mut open(path)?);
    if let Ok(Some(key)) = found {
        return Ok(key);
    }
    // Encrypted PKCS #8 has a label of its own, which rustls-pemfile skips; the older format of openssl has a header, which
    // is not base64.
    let text = fs::read_to_string(path).unwrap_or_default();
    match (encrypted_key(&text), passphrase) {
        (Some(_), None) => bail!("the private key in {} is encrypted; --passphrase TEXT decrypts it", path.display()),
        (Some(der), Some(passphrase)) => return decrypt(&der, passphrase).with_context(|| path.display().to_string()),
        (None, _) if text.contains("ENCRYPTED") => bail!(
            "the private key in {} is encrypted in an old format; decrypt it with `openssl pkey -in {0} -out plain.pem`",
            path.display()
        ),
        (None, _) => {}
    }
    found.map_err(|error| unreadable(path, &error))?;
    bail!("{} has no private key (no `BEGIN PRIVATE KEY` line)", path.display())
}

/// The first encrypted PKCS #8 key of a PEM file (RFC 7468 section 11).
fn encrypted_key(text: &str) -> Option<Vec<u8>> {
    let (_, rest) = text.split_once("-----BEGIN ENCRYPTED PRIVATE KEY-----")?;
    let (base64, _) = rest.split_once("-----END ENCRYPTED PRIVATE KEY-----")?;
    BASE64_STANDARD.decode(base64.split_ascii_whitespace().collect::<String>()).ok()
}

fn decrypt(der: &[u8], passphrase: &str) -> anyhow::Result<PrivateKeyDer<'static>> {
    let encrypted = EncryptedPrivateKeyInfoRef::try_from(der).map_err(|_| anyhow!("invalid encrypted private key"))?;
    match encrypted.decrypt(passphrase) {
        Ok(key) => Ok(PrivatePkcs8KeyDer::from(key.as_bytes().to_vec()).into()),
        Err(pkcs8::Error::EncryptedPrivateKey(pkcs8::pkcs5::Error::DecryptFailed)) => {
            bail!("--passphrase is wrong for its private key")
        }
        Err(error) => bail!("cannot decrypt its private key: {error}"),
    }
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
pub fn unusable_identity(identity: &Identity, error: rustls::Error) -> Error {
    let reason = match error {
        rustls::Error::InconsistentKeys(_) => "the key does not belong to the certificate".to_owned(),
        other => other.to_string(),
    };
    Error::Setup(match identity {
        Identity::Pem { chain, key, .. } => anyhow!("cannot use {} with {}: {reason}", chain.display(), key.display()),
        Identity::Pkcs12 { file, .. } => anyhow!("cannot use {}: {reason}", file.display()),
    })
}
