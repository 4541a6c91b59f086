//! Traits of listeners.

use crate::{
    config::Config,
    error::Error,
    flow::{BoxFuture, EndKind},
    net::Peer,
    report, service_manager,
};
use std::{
    fmt::Display,
    io::{self, Write},
};

/// An address to listen on. Connections are ends of type `E`.
pub trait Bind<E>: Send + Sync {
    /// Starts listening.
    ///
    /// # Errors
    /// [`Error::Listen`] or [`Error::Resolve`].
    fn bind(&self) -> BoxFuture<'_, Result<Box<dyn Accept<E>>, Error>>;

    /// The kind of its connections.
    fn kind(&self) -> EndKind {
        EndKind::Peer
    }
}

/// A listening socket.
pub trait Accept<E>: Send + Sync {
    /// Waits for the next connection. Skips connections that have failed already.
    ///
    /// # Errors
    /// An error of the listener. It may be temporary, such as a lack of file descriptors.
    fn accept(&mut self) -> BoxFuture<'_, Result<(E, Peer), Error>>;

    /// The text after `LISTEN ` for `--stdout-announce-listening-ports`.
    fn announcement(&self) -> String;

    /// The local address for logs, such as `127.0.0.1:8080`.
    fn local(&self) -> String;
}

/// Starts listening and logs it.
///
/// # Errors
/// If listening fails, or with `--stdout-announce-listening-ports` if writing to standard output fails.
pub async fn listen<E>(origin: &dyn Bind<E>, title: &str, config: &Config) -> Result<Box<dyn Accept<E>>, Error> {
    let listener = origin.bind().await?;
    announce(config, listener.announcement())?;
    let scheme = title.split(':').next().unwrap_or_default();
    let listening = format_args!("listening: {scheme}:{}", listener.local());
    match config.rooms {
        // Log it without `-v`: the log of a service shows when it is ready.
        Some(_) => report::notice(listening),
        None => report::listening(listening),
    }
    service_manager::ready(listening);
    Ok(listener)
}

/// Prints where a socket listens, if `--stdout-announce-listening-ports` asks for it.
///
/// # Errors
/// If writing to standard output fails.
pub fn announce(config: &Config, announcement: impl Display) -> Result<(), Error> {
    if !config.server.announce {
        return Ok(());
    }
    let mut out = io::stdout().lock();
    writeln!(out, "LISTEN {announcement}")
        .and_then(|()| out.flush())
        .map_err(|source| Error::io("cannot write standard output", source))
}
