//! TLS for the connection to an engine, with our own roots and messages.

use super::{ClusterOptions, EngineKind, EngineUrl};
use crate::{
    error::Error,
    tls::{self, TlsOptions, Trust},
};
use std::io;
use tokio_rustls::rustls::ClientConfig;

/// The TLS configuration for an engine. The files of certificates are read each time, so that renewed ones are used.
///
/// # Errors
/// [`Error::Setup`] if `--cluster-ca` cannot be used.
pub fn tls_config(options: &ClusterOptions) -> Result<ClientConfig, Error> {
    let trust = options.ca.clone().map_or(Trust::System, Trust::File);
    tls::client_config(&TlsOptions { trust, ..TlsOptions::default() })
}

/// The error of a failed TLS handshake with an engine. The hint names its own option, not those of addresses.
pub fn handshake_error(engine: &str, error: &io::Error) -> Error {
    match tls::handshake_error(engine, tls::Peer::Server, error) {
        Error::Tls { with, reason, hint } => {
            let is_about_trust = hint.is_some_and(|hint| hint.contains("--cacert"));
            let hint = is_about_trust.then(|| "--cluster-ca FILE trusts the CA that signed it".to_owned());
            Error::Tls { with, reason, hint }
        }
        other => other,
    }
}

/// The hint for a server that is connected and does not speak the engine's protocol.
pub fn what_it_must_be(engine: &EngineUrl) -> String {
    let (name, plain, tls) = match engine.kind {
        EngineKind::Redis => ("Redis", "redis", "rediss"),
        EngineKind::Nats => ("NATS", "nats", "tls"),
    };
    if engine.tls {
        format!("is it {name} with TLS? {plain}:// connects without")
    } else {
        format!("is it {name} without TLS? {tls}:// connects with TLS")
    }
}
