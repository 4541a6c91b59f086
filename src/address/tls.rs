//! `tls-l:`, and TLS for `wss:` and `wss-l:`. `tls:` is an overlay, which also takes a bare `HOST:PORT`.

use super::tcp;
use crate::{
    config::Config,
    endpoint::{Build, ByteEndpoint, Dialled, Entry, Listening, Listens, ListensAt},
    error::Error,
    net::HostPort,
    overlay,
};

pub(super) static LISTEN: Entry = Entry {
    names: &["tls-listen", "ssl-listen", "tls-l", "ssl-l", "l-tls", "l-ssl", "listen-tls", "listen-ssl"],
    arg: Some("[ADDR:]PORT"),
    summary: "Accept TLS connections",
    details: "Same as tls-a:tcp-l:[ADDR:]PORT. Requires --cert and --key, or --self-signed.",
    example: "tls-l:127.0.0.1:8443 mirror: --self-signed",
    flags: &[overlay::SERVER_IDENTITY],
    build: Build::Listen(
        |arg, config| Ok(listen(&tcp::parse_listen(arg)?, config)?.into()),
        Listens { at: ListensAt::Port, tls: true, http: false },
    ),
};

/// TLS over a TCP connection. `scheme` is that of the URL, if there is one.
///
/// # Errors
/// As [`overlay::tls_connect`].
pub(super) fn connect(at: &HostPort, scheme: Option<&str>, config: &Config) -> Result<ByteEndpoint<Dialled>, Error> {
    let tcp = tcp::connect(at, scheme, config)?;
    let layer = overlay::tls_connect(tcp.about.host.as_deref(), config)?;
    Ok(tcp.layer("tls", layer))
}

/// TLS over a TCP listener.
///
/// # Errors
/// As [`overlay::tls_accept`].
pub(super) fn listen(at: &HostPort, config: &Config) -> Result<ByteEndpoint<Listening>, Error> {
    Ok(tcp::listen(at).layer("tls-accept", overlay::tls_accept(config)?))
}
