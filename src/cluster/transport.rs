//! The connection below an engine's protocol: TCP, or TLS with our own roots.

use super::ClusterOptions;
use crate::{
    error::Error,
    net,
    tls::{self, TlsOptions, Trust},
};
#[cfg(feature = "nats")]
use std::io;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{
    TlsConnector,
    rustls::{ClientConfig, pki_types::ServerName},
};

/// A connected stream.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// The TLS configuration for an engine.
///
/// # Errors
/// [`Error::Setup`] if `--cluster-ca` cannot be used.
pub fn tls_config(options: &ClusterOptions) -> Result<ClientConfig, Error> {
    let trust = options.ca.clone().map_or(Trust::System, Trust::File);
    tls::client_config(&TlsOptions { trust, ..TlsOptions::default() })
}

/// Connects to the engine. The files of certificates are read each time, so that renewed ones are used.
///
/// # Errors
/// [`Error::Resolve`], [`Error::Connect`], [`Error::Tls`], [`Error::Setup`] or [`Error::Usage`].
pub async fn connect(options: &ClusterOptions) -> Result<Box<dyn Stream>, Error> {
    let engine = &options.engine;
    let socket = net::connect(&engine.at, net::resolve(&engine.at).await?).await?;
    if !engine.tls {
        return Ok(Box::new(socket));
    }
    let name = ServerName::try_from(engine.at.host.clone())
        .map_err(|_| Error::usage(format!("`{}` is not a valid TLS server name", engine.at.host)))?;
    let connector = TlsConnector::from(Arc::new(tls_config(options)?));
    match connector.connect(name, socket).await {
        Ok(stream) => Ok(Box::new(stream)),
        Err(error) => Err(with_our_hint(tls::handshake_error(&engine.to_string(), tls::Peer::Server, &error))),
    }
}

/// The error of a TLS handshake with an engine, if it is one of TLS.
#[cfg(feature = "nats")]
pub fn tls_error(engine: &str, error: &io::Error) -> Option<Error> {
    tls::tls_error(engine, tls::Peer::Server, error).map(with_our_hint)
}

/// The engine's own options apply, not those of addresses.
fn with_our_hint(error: Error) -> Error {
    match error {
        Error::Tls { with, reason, hint } => {
            let is_about_trust = hint.is_some_and(|hint| hint.contains("--cacert"));
            let hint = is_about_trust.then(|| "--cluster-ca FILE trusts the CA that signed it".to_owned());
            Error::Tls { with, reason, hint }
        }
        other => other,
    }
}
