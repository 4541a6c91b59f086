//! TLS: rustls configurations of clients and servers, PEM files, and error messages.

mod describe;
mod errors;
mod files;
mod insecure;
mod options;
mod pkcs12;
mod roots;
mod self_signed;

pub use describe::{describe, describe_certificate};
pub use errors::{Peer, handshake_error, tls_error};
pub use options::{Identity, ServerCertificate, TlsOptions, Trust};

use crate::{
    error::Error,
    reload::{Reloadable, Reloads},
    report,
};
use std::{path::Path, sync::Arc};
use tokio_rustls::rustls::{
    self, ClientConfig, ConfigBuilder, KeyLog, KeyLogFile, NoKeyLog, ServerConfig, WantsVerifier,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer},
    server::WebPkiClientVerifier,
};

fn provider() -> Arc<CryptoProvider> {
    Arc::new(tokio_rustls::rustls::crypto::ring::default_provider())
}

/// The configuration of clients.
///
/// # Errors
/// [`Error::Setup`] if a file of certificates or keys cannot be used.
pub fn client_config(options: &TlsOptions) -> Result<ClientConfig, Error> {
    let builder: ConfigBuilder<ClientConfig, WantsVerifier> = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::Setup(error.into()))?;
    let builder = match &options.trust {
        Trust::AnyCertificate => {
            builder.dangerous().with_custom_certificate_verifier(insecure::accept_any_certificate(provider()))
        }
        Trust::File(path) => builder.with_root_certificates(files::roots(path)?),
        Trust::System => builder.with_root_certificates(roots::system_or_built_in()),
    };
    let mut config = match &options.client {
        Some(identity) => {
            let (chain, key) = files::identity(identity)?;
            let config = builder.with_client_auth_cert(chain, key);
            config.map_err(|error| files::unusable_identity(identity, error))?
        }
        None => builder.with_no_client_auth(),
    };
    config.key_log = key_log();
    Ok(config)
}

/// The configuration of clients, which changes with its files.
///
/// # Errors
/// Those of [`client_config`].
pub fn reloadable_client_config(
    options: &TlsOptions,
    reloads: &Reloads,
) -> Result<Arc<Reloadable<ClientConfig>>, Error> {
    let mut files = options.client.iter().flat_map(Identity::files).collect::<Vec<_>>();
    if let Trust::File(path) = &options.trust {
        files.push(path.clone());
    }
    let options = options.clone();
    reloads.read(files, move || client_config(&options))
}

/// The configuration of servers, which changes with its files.
///
/// # Errors
/// [`Error::Setup`] if a file of certificates or keys cannot be used, [`Error::Usage`] if there is no certificate.
pub fn reloadable_server_config(
    options: &TlsOptions,
    reloads: &Reloads,
) -> Result<Arc<Reloadable<ServerConfig>>, Error> {
    let client_ca = options.client_ca.clone();
    match &options.server {
        ServerCertificate::Files(identity) => {
            let identity = identity.clone();
            let files = identity.files().into_iter().chain(client_ca.clone()).collect();
            reloads.read(files, move || {
                let (chain, key) = files::identity(&identity)?;
                let unusable = |error| files::unusable_identity(&identity, error);
                server_config(client_ca.as_deref(), chain, key, unusable)
            })
        }
        ServerCertificate::SelfSigned => {
            let made = self_signed::generate()?;
            report::notice(format_args!("self-signed certificate, SHA-256 fingerprint {}", made.fingerprint));
            reloads.read(client_ca.iter().cloned().collect(), move || {
                let (chain, key) = (vec![made.certificate.clone()], made.key.clone_key());
                server_config(client_ca.as_deref(), chain, key, |error| Error::Setup(error.into()))
            })
        }
        ServerCertificate::Missing => Err(Error::usage_hint(
            "a TLS listener needs a certificate",
            "--cert FILE --key FILE, --pkcs12-der FILE, or --self-signed for tests",
        )),
    }
}

/// Writes the secrets of connections to the file that SSLKEYLOGFILE names, with which Wireshark decrypts them; nothing without it.
fn key_log() -> Arc<dyn KeyLog> {
    match std::env::var_os("SSLKEYLOGFILE") {
        Some(file) => {
            report::event(format_args!("writing TLS secrets to {} (SSLKEYLOGFILE)", file.display()));
            Arc::new(KeyLogFile::new())
        }
        None => Arc::new(NoKeyLog),
    }
}

/// The configuration of servers. `unusable` is the error for a certificate and a key that do not fit.
fn server_config(
    client_ca: Option<&Path>,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    unusable: impl FnOnce(rustls::Error) -> Error,
) -> Result<ServerConfig, Error> {
    let builder = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::Setup(error.into()))?;
    let builder = match client_ca {
        Some(path) => {
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(files::roots(path)?), provider()).build();
            builder.with_client_cert_verifier(verifier.map_err(|error| Error::Setup(error.into()))?)
        }
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_single_cert(chain, key).map_err(unusable)?;
    config.key_log = key_log();
    Ok(config)
}
