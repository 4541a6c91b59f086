//! What TLS is told: certificates and trust.

use std::path::PathBuf;

/// Certificates and trust; the files are read when the first TLS end is built.
#[derive(Default)]
pub struct TlsOptions {
    /// The server's certificate.
    pub server: ServerCertificate,
    /// The certificate that a client shows to a server that asks for one.
    pub client: Option<Identity>,
    /// Which servers a client trusts.
    pub trust: Trust,
    /// The name expected in a server's certificate, instead of the host that is connected to.
    pub domain: Option<String>,
    /// A server demands certificates signed by the authorities in this file.
    pub client_ca: Option<PathBuf>,
}

/// A certificate chain and its private key, both PEM.
#[derive(Clone)]
pub struct Identity {
    /// The end's own certificate first.
    pub chain: PathBuf,
    /// Not encrypted.
    pub key: PathBuf,
}

/// Where a server's certificate comes from.
#[derive(Clone, Default)]
pub enum ServerCertificate {
    /// There is none, so TLS cannot be served.
    #[default]
    Missing,
    /// Files.
    Files(Identity),
    /// Made for this run.
    SelfSigned,
}

/// Which server certificates a client accepts.
#[derive(Clone, Default)]
pub enum Trust {
    /// Those that an authority of the system has signed.
    #[default]
    System,
    /// Those that an authority in this file has signed.
    File(PathBuf),
    /// Any.
    AnyCertificate,
}
