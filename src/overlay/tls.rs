//! `tls:` and `tls-a:`: TLS over any byte stream.

use crate::{
    config::Config,
    endpoint::{Adds, Build, ConnectContext, Entry, Layer, Overlay, OverlayRow, Transform},
    error::Error,
    flow::{BoxFuture, ByteEnd},
    reload::Reloadable,
    report::{self, millis},
    tls,
};
use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::timeout,
};
use tokio_rustls::{
    TlsAcceptor, TlsConnector,
    rustls::{ClientConfig, ServerConfig, pki_types::ServerName},
};

/// Options of the certificate of a TLS server.
pub const SERVER_IDENTITY: &[&str] =
    &["cert", "key", "pkcs12-der", "pkcs12-passwd", "passphrase", "self-signed", "client-ca"];

pub(super) static CONNECT: Entry = Entry {
    names: &[
        "tls",
        "ssl",
        "tls-connect",
        "ssl-connect",
        "tls-c",
        "ssl-c",
        "c-tls",
        "c-ssl",
        "connect-tls",
        "connect-ssl",
    ],
    arg: Some("HOST:PORT"),
    summary: "TLS, client side",
    details: "Over any transport; HOST:PORT alone is a TCP connection. The server certificate must be valid for the \
              host behind the overlay (or --tls-domain) and signed by a CA that the system, or --cacert, trusts.",
    example: "- tls:example.com:443",
    flags: &[&[
        "cacert",
        "insecure",
        "tls-domain",
        "client-cert",
        "client-key",
        "client-pkcs12-der",
        "client-pkcs12-passwd",
        "passphrase",
        "cert",
        "key",
        "pkcs12-der",
        "pkcs12-passwd",
    ]],
    build: Build::Overlay(
        OverlayRow::new(|inner, config| {
            let layer = tls_connect(inner.about.host.as_deref(), config)?;
            Ok(Overlay::Around(Layer::OnBytes(layer)))
        })
        .over_tcp(),
    ),
};

pub(super) static ACCEPT: Entry = Entry {
    names: &["tls-accept", "ssl-accept", "tls-a", "ssl-a", "a-tls", "a-ssl", "accept-tls", "accept-ssl"],
    arg: None,
    summary: "TLS, server side",
    details: "Over any transport. Requires --cert and --key, or --self-signed.",
    example: "ws-u:tls-a:unix-l:/tmp/server.sock mirror: --self-signed",
    flags: &[SERVER_IDENTITY],
    build: Build::Overlay(
        OverlayRow::new(|_, config| Ok(Overlay::Around(Layer::OnBytes(tls_accept(config)?)))).adding(Adds::Tls),
    ),
};

/// A layer around a byte stream.
pub type ByteLayer = Box<dyn Transform<ByteEnd, ByteEnd>>;

/// TLS, client side, for a server at `host`.
///
/// # Errors
/// If the host is not a valid TLS server name, or a file that an option names cannot be used.
pub fn tls_connect(host: Option<&str>, config: &Config) -> Result<ByteLayer, Error> {
    tls_connect_to(config.tls.domain.as_deref().or(host).unwrap_or("localhost"), config)
}

/// TLS, client side, for a server whose certificate must be valid for `host`.
///
/// # Errors
/// As [`tls_connect`].
pub fn tls_connect_to(host: &str, config: &Config) -> Result<ByteLayer, Error> {
    let name = ServerName::try_from(host.to_owned()).map_err(|_| {
        Error::usage_hint(format!("`{host}` is not a valid TLS server name"), "--tls-domain NAME sets it")
    })?;
    let layer = Connect { config: tls::reloadable_client_config(&config.tls, &config.reloads)?, name };
    Ok(Box::new(layer))
}

/// TLS, server side.
///
/// # Errors
/// If there is no certificate, or a file that an option names cannot be used.
pub fn tls_accept(config: &Config) -> Result<ByteLayer, Error> {
    let (options, limit) = (&config.tls, config.connect_timeout);
    let layer = Accept { config: tls::reloadable_server_config(options, &config.reloads)?, limit };
    Ok(Box::new(layer))
}

struct Connect {
    config: Arc<Reloadable<ClientConfig>>,
    name: ServerName<'static>,
}

impl Transform<ByteEnd, ByteEnd> for Connect {
    fn apply<'a>(&'a self, inner: ByteEnd, context: &'a mut ConnectContext) -> BoxFuture<'a, Result<ByteEnd, Error>> {
        Box::pin(async move {
            context.stage = format!("waiting for {} in the TLS handshake", inner.name);
            let (kind, name) = (inner.kind, inner.name);
            let started = Instant::now();
            match TlsConnector::from(self.config.current()).connect(self.name.clone(), inner.io).await {
                Ok(stream) => {
                    if report::shows_handshakes() {
                        let (_, connection) = stream.get_ref();
                        let took = millis(started.elapsed());
                        report::handshake('*', &name, format_args!("TLS {} ({took})", tls::describe(connection)));
                        if let Some(certificate) = tls::describe_certificate(connection) {
                            report::handshake('*', &name, certificate);
                        }
                    }
                    Ok(ByteEnd::new(MapTlsErrors { stream, name: name.clone(), peer: tls::Peer::Server }, kind, name))
                }
                Err(error) => Err(tls::handshake_error(&name, tls::Peer::Server, &error)),
            }
        })
    }
}

struct Accept {
    config: Arc<Reloadable<ServerConfig>>,
    limit: Duration,
}

impl Transform<ByteEnd, ByteEnd> for Accept {
    fn apply<'a>(&'a self, inner: ByteEnd, _: &'a mut ConnectContext) -> BoxFuture<'a, Result<ByteEnd, Error>> {
        Box::pin(async move {
            let (kind, name) = (inner.kind, inner.name);
            match timeout(self.limit, TlsAcceptor::from(self.config.current()).accept(inner.io)).await {
                Ok(Ok(stream)) => {
                    Ok(ByteEnd::new(MapTlsErrors { stream, name: name.clone(), peer: tls::Peer::Client }, kind, name))
                }
                Ok(Err(error)) => Err(tls::handshake_error(&name, tls::Peer::Client, &error)),
                Err(_) => Err(Error::TimedOut {
                    doing: format!("waiting for {name} in the TLS handshake"),
                    limit: self.limit,
                    option: "--connect-timeout",
                }),
            }
        })
    }
}

/// A TLS stream that converts errors of TLS, which may also occur after the handshake, to [`Error::Tls`].
struct MapTlsErrors<S> {
    stream: S,
    name: Arc<str>,
    peer: tls::Peer,
}

impl<S> MapTlsErrors<S> {
    fn map_error<T>(&self, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        result.map_err(|error| tls::tls_error(&self.name, self.peer, &error).map_or(error, io::Error::from))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for MapTlsErrors<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        self.map_error(read)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for MapTlsErrors<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.map_error(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.map_error(flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.map_error(shut)
    }
}
