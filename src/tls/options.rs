//! Options of TLS: certificates, and trusted CAs.

use std::path::PathBuf;

/// Certificates, and trusted CAs. The files are read when the first TLS end is built.
#[derive(Clone, Default)]
pub struct TlsOptions {
    /// The server certificate.
    pub server: ServerCertificate,
    /// The client certificate, for servers that request one.
    pub client: Option<Identity>,
    /// Which server certificates a client accepts.
    pub trust: Trust,
    /// The server name to request and to verify, instead of the host in the address.
    pub domain: Option<String>,
    /// A file of CA certificates (PEM): a server requires client certificates that one of these CAs has signed.
    pub client_ca: Option<PathBuf>,
}

/// A certificate chain and its private key.
#[derive(Clone)]
pub enum Identity {
    /// PEM files.
    Pem {
        /// The chain, leaf first.
        chain: PathBuf,
        /// The private key.
        key: PathBuf,
        /// Decrypts the private key if it is encrypted.
        passphrase: Option<String>,
    },
    /// A PKCS #12 archive.
    Pkcs12 {
        /// The archive.
        file: PathBuf,
        /// Its password, which may be empty.
        password: String,
    },
}

impl Identity {
    /// All of its files.
    pub fn files(&self) -> Vec<PathBuf> {
        match self {
            Self::Pem { chain, key, .. } => vec![chain.clone(), key.clone()],
            Self::Pkcs12 { file, .. } => vec![file.clone()],
        }
    }
}

/// The source of a server certificate.
#[derive(Clone, Default)]
pub enum ServerCertificate {
    /// There is none; TLS listeners are an error.
    #[default]
    Missing,
    /// It is read from files.
    Files(Identity),
    /// Generated at start.
    SelfSigned,
}

/// Which server certificates a client accepts.
#[derive(Clone, Default)]
pub enum Trust {
    /// Those that a CA trusted by the system has signed.
    #[default]
    System,
    /// Those that a CA in this file (PEM) has signed.
    File(PathBuf),
    /// Any certificate.
    AnyCertificate,
}
