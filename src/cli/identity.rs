//! Options of certificates and keys besides plain PEM files.

use crate::{error::Error, tls::Identity};
use clap::Args;
use std::path::PathBuf;

/// PKCS #12 archives, and encrypted keys.
#[derive(Args, Default)]
#[command(next_help_heading = "TLS")]
pub struct IdentityArgs {
    /// Server certificate chain and private key, as a PKCS #12 archive
    #[arg(long, value_name = "FILE", conflicts_with_all = ["cert", "self_signed"])]
    pub pkcs12_der: Option<PathBuf>,
    /// Password of --pkcs12-der
    #[arg(long, value_name = "PASSWORD", requires = "pkcs12_der")]
    pub pkcs12_passwd: Option<String>,
    /// Client certificate chain and private key, as a PKCS #12 archive
    #[arg(long, value_name = "FILE", conflicts_with = "client_cert")]
    pub client_pkcs12_der: Option<PathBuf>,
    /// Password of --client-pkcs12-der
    #[arg(long, value_name = "PASSWORD", requires = "client_pkcs12_der")]
    pub client_pkcs12_passwd: Option<String>,
    /// Passphrase of --key and --client-key, if they are encrypted
    #[arg(long, value_name = "TEXT")]
    pub passphrase: Option<String>,
}

/// The two PEM files of an identity.
type Pem = Option<(PathBuf, PathBuf)>;

impl IdentityArgs {
    /// The identities of the server and of the client. `server` and `client` are their PEM files.
    ///
    /// # Errors
    /// [`Error::Usage`] if there is a passphrase and no key.
    pub fn identities(self, server: Pem, client: Pem) -> Result<[Option<Identity>; 2], Error> {
        if self.passphrase.is_some() && server.is_none() && client.is_none() {
            return Err(Error::usage_hint(
                "--passphrase needs --key or --client-key",
                "--pkcs12-passwd is for --pkcs12-der",
            ));
        }
        let identity = |pem: Pem, file: Option<PathBuf>, password: Option<String>| match (pem, file) {
            (Some((chain, key)), _) => Some(Identity::Pem { chain, key, passphrase: self.passphrase.clone() }),
            (None, Some(file)) => Some(Identity::Pkcs12 { file, password: password.unwrap_or_default() }),
            (None, None) => None,
        };
        Ok([
            identity(server, self.pkcs12_der, self.pkcs12_passwd),
            identity(client, self.client_pkcs12_der, self.client_pkcs12_passwd),
        ])
    }
}
