//! PEM files.

use crate::error::Error;
use anyhow::{Context, anyhow, bail};
use std::{fs, io::BufReader, path::Path};
use tokio_rustls::rustls::{
    self, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer},
};

fn open(path: &Path) -> anyhow::Result<BufReader<fs::File>> {
    let file = fs::File::open(path).map_err(|error| anyhow!("{}", crate::error::plain(&error)));
    Ok(BufReader::new(file.with_context(|| format!("cannot read {}", path.display()))?))
}

fn read_certificates(path: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let read: Result<Vec<_>, _> = rustls_pemfile::certs(&mut open(path)?).collect();
    let found = read.with_context(|| format!("{} is no correct PEM file", path.display()))?;
    if found.is_empty() {
        bail!("{} has no certificate (no `BEGIN CERTIFICATE` line; is it PEM?)", path.display());
    }
    Ok(found)
}

/// A certificate chain, the end's own certificate first.
pub fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    read_certificates(path).map_err(Error::Setup)
}

/// The first private key of a file: PKCS #8, PKCS #1 (RSA) or SEC 1 (EC), not encrypted.
pub fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, Error> {
    let read = || -> anyhow::Result<_> {
        let found = rustls_pemfile::private_key(&mut open(path)?)
            .with_context(|| format!("{} is no correct PEM file", path.display()))?;
        found.ok_or_else(|| match fs::read_to_string(path) {
            Ok(text) if text.contains("ENCRYPTED") => anyhow!(
                "the private key in {} is encrypted; decrypt it with `openssl pkey -in {0} -out plain.pem`",
                path.display()
            ),
            _ => anyhow!("{} has no private key (no `BEGIN PRIVATE KEY` line)", path.display()),
        })
    };
    read().map_err(Error::Setup)
}

/// Certificates to trust.
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

/// A chain and a key that do not make an identity.
pub fn unusable_identity(chain: &Path, key: &Path, error: rustls::Error) -> Error {
    let reason = match error {
        rustls::Error::InconsistentKeys(_) => "the key does not belong to the certificate".to_owned(),
        other => other.to_string(),
    };
    Error::Setup(anyhow!("cannot use {} with {}: {reason}", chain.display(), key.display()))
}
