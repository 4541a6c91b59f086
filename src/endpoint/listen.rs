//! Listening.

use crate::{
    config::Config,
    error::Error,
    flow::{BoxFuture, EndKind},
    net::Peer,
    report,
};
use std::io::Write;

/// Something that can be listened on; its connections are byte or message ends.
pub trait Bind<E>: Send + Sync {
    /// Starts listening.
    fn bind(&self) -> BoxFuture<'_, Result<Box<dyn Accept<E>>, Error>>;

    /// How its connections end a session.
    fn kind(&self) -> EndKind {
        EndKind::Peer
    }
}

/// A listening socket.
pub trait Accept<E>: Send + Sync {
    /// The next connection. Errors of a single connection are handled inside; an error here concerns the listener itself
    /// and may pass, such as a lack of descriptors.
    fn accept(&mut self) -> BoxFuture<'_, Result<(E, Peer), Error>>;

    /// What `--stdout-announce-listening-ports` prints behind `LISTEN `.
    fn announcement(&self) -> String;

    /// For people: `127.0.0.1:8080`.
    fn local(&self) -> String;
}

/// Starts listening and reports it.
///
/// # Errors
/// When the address cannot be listened on, or standard output cannot be written with
/// `--stdout-announce-listening-ports`.
pub async fn listen<E>(origin: &dyn Bind<E>, title: &str, config: &Config) -> Result<Box<dyn Accept<E>>, Error> {
    let listener = origin.bind().await?;
    if config.server.announce {
        let mut out = std::io::stdout().lock();
        writeln!(out, "LISTEN {}", listener.announcement())
            .and_then(|()| out.flush())
            .map_err(|source| Error::io("cannot write standard output", source))?;
    }
    let scheme = title.split(':').next().unwrap_or_default();
    let listening = format_args!("listening: {scheme}:{}", listener.local());
    match config.rooms {
        // A service's log shows when it is up.
        Some(_) => report::notice(listening),
        None => report::event(listening),
    }
    Ok(listener)
}
