//! The connection below Redis's protocol: TCP or TLS.

use crate::{
    cluster::{ClusterOptions, transport},
    error::Error,
};
use std::sync::Arc;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, rustls::pki_types::ServerName};

/// A connected stream.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// Begins TLS on a connection to the engine, if that is wanted.
///
/// # Errors
/// [`Error::Tls`], [`Error::Setup`] or [`Error::Usage`].
pub async fn open(options: &ClusterOptions, socket: TcpStream) -> Result<Box<dyn Stream>, Error> {
    let engine = &options.engine;
    if !engine.tls {
        return Ok(Box::new(socket));
    }
    let name = ServerName::try_from(engine.at.host.clone())
        .map_err(|_| Error::usage(format!("`{}` is not a valid TLS server name", engine.at.host)))?;
    let connector = TlsConnector::from(Arc::new(transport::tls_config(options)?));
    match connector.connect(name, socket).await {
        Ok(stream) => Ok(Box::new(stream)),
        Err(error) => Err(transport::handshake_error(&engine.to_string(), &error)),
    }
}
