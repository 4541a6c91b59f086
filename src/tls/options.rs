//! What TLS is told: certificates and trust.

use std::path::PathBuf;

/// Certificates and trust; the files are read when the first TLS end is planned.
#[derive(Default)]
pub struct TlsOptions {
    /// For listeners: chain and key.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// For clients: chain and key.
    pub client_identity: Option<(PathBuf, PathBuf)>,
    /// Trusted instead of the system's.
    pub cacert: Option<PathBuf>,
    /// Any certificate is accepted.
    pub insecure: bool,
    /// The name expected in the certificate.
    pub domain: Option<String>,
    /// Listeners demand certificates signed by these.
    pub client_ca: Option<PathBuf>,
    /// Listeners make themselves a certificate.
    pub self_signed: bool,
}
