//! PKCS #12 archives (RFC 7292), as `openssl pkcs12 -export` makes them.

use anyhow::{anyhow, bail};
use p12_keystore::{Certificate, Pkcs12Archive, error::Error};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

/// Reads the first private key of an archive, and its certificate chain, leaf first.
///
/// # Errors
/// If it is not an archive, the password is wrong, or it has no private key or no certificate for it.
pub fn read(bytes: &[u8], password: &str) -> anyhow::Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)> {
    let Pkcs12Archive { keys, certs, .. } =
        Pkcs12Archive::from_pkcs12(bytes, password).map_err(|error| match error {
            Error::MacError(_) if password.is_empty() => {
                anyhow!("it has a password, which --pkcs12-passwd and --client-pkcs12-passwd give")
            }
            Error::MacError(_) => anyhow!("wrong password"),
            Error::DerError(_) => anyhow!("not a PKCS #12 file; for PEM files use --cert and --key"),
            // The library's limit, for the MAC and for each encryption.
            Error::InvalidParameters => anyhow!(
                "its key derivation is not supported: more than 1000000 iterations, or wrong parameters; \
                 openssl pkcs12 -export -iter 2048 makes one that is"
            ),
            other => anyhow!("{other}"),
        })?;
    let Some(key) = keys.into_iter().next() else { bail!("it has no private key") };
    let is_own = |id: &Option<Vec<u8>>| {
        id.as_deref().is_some_and(|id| key.local_key_id.as_ref().is_some_and(|own| own.as_ref() == id))
    };
    let Some(leaf) = certs.iter().find(|bag| is_own(&bag.local_key_id)).or(certs.first()) else {
        bail!("it has no certificate");
    };
    let mut chain: Vec<&Certificate> = vec![&leaf.cert];
    // Every certificate is added once at most.
    while let Some(last) = chain.last()
        && let Some(issuer) = certs.iter().map(|bag| &bag.cert).find(|cert| cert.subject() == last.issuer())
        && !chain.contains(&issuer)
    {
        chain.push(issuer);
    }
    let chain = chain.into_iter().map(|cert| CertificateDer::from(cert.as_der().to_vec())).collect();
    Ok((chain, PrivatePkcs8KeyDer::from(key.key.as_der().to_vec()).into()))
}
