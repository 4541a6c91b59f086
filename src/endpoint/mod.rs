//! Endpoints: how ends are dialled and listened on, the layers around them, and the entries of the table that build them.
//!
//! An entry of [`crate::registry`] builds an [`Endpoint`], which is dialled or listens. Overlays add layers to it: byte layers,
//! then at most one framing (from bytes to messages), then message layers. The types allow no other order.

mod accept_one;
mod context;
mod layer;
mod listen;
mod open;
mod stack;

pub use context::{ConnectContext, UpgradeRequest};
pub use layer::{Framing, Layer, Layers, Overlay, PendingUpgrade, Receive, Redial, Transform};
pub use listen::{Accept, Bind, announce, listen};
pub use open::{BeginOpening, Opening, PendingMessageEnd};
pub use stack::{
    About, AnyEndpoint, ByteEndpoint, Dial, Dialled, Endpoint, Framed, LayerNote, Listening, MessageEndpoint,
    MessageStack, Origin,
};

use crate::{config::Config, error::Error, flow::Flow};
use std::{fmt, sync::Arc};

/// A row of the table: an address or an overlay.
pub struct Entry {
    /// The canonical name, followed by aliases. On the command line each is followed by a colon.
    pub names: &'static [&'static str],
    /// The argument after the colon, for help; `None`: none, or for an overlay any address.
    pub arg: Option<&'static str>,
    /// One line for `--help`, without a full stop.
    pub summary: &'static str,
    /// A paragraph for the man page and `--help NAME`.
    pub details: &'static str,
    /// The arguments of a command line; a test runs it with `--explain`.
    pub example: &'static str,
    /// The long options that belong to it, without dashes, in groups that several rows share. An option that some row lists is
    /// an error without such a row.
    pub flags: &'static [&'static [&'static str]],
    /// The kind of the entry, and the function that builds it.
    pub build: Build,
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Entry {
    /// What another tool has, and why wsplice does not have it or what to use instead.
    pub const fn unsupported(
        overlay: bool,
        names: &'static [&'static str],
        summary: &'static str,
        why: &'static str,
    ) -> Self {
        let build = Build::Unsupported { why, overlay };
        Self { names, arg: None, summary, details: "", example: "", flags: &[], build }
    }

    /// The canonical name.
    pub const fn name(&self) -> &'static str {
        match self.names {
            [name, ..] => name,
            [] => "",
        }
    }

    /// The long options that belong to it, without dashes.
    pub fn options(&self) -> impl Iterator<Item = &'static str> + use<> {
        self.flags.iter().copied().flatten().copied()
    }

    /// Whether this long option belongs to it.
    pub fn has_option(&self, long: &str) -> bool {
        self.options().any(|option| option == long)
    }
}

/// Builds an endpoint that is dialled from the argument after the colon.
pub type BuildDial = fn(&str, &Arc<Config>) -> Result<Endpoint<Dialled>, Error>;
/// Builds a listener from the argument after the colon.
pub type BuildListen = fn(&str, &Arc<Config>) -> Result<Endpoint<Listening>, Error>;

/// The kind of an entry, and how it is built.
pub enum Build {
    /// An address that is dialled for each session.
    Dial(BuildDial),
    /// A listener; each connection becomes a session.
    Listen(BuildListen, Listens),
    /// An overlay, which wraps the address after it.
    Overlay(OverlayRow),
    /// Not supported; errors say what to use instead.
    Unsupported {
        /// The reason, or what to use instead.
        why: &'static str,
        /// Whether it is an overlay.
        overlay: bool,
    },
}

impl Build {
    /// Whether it is an overlay.
    pub fn is_overlay(&self) -> bool {
        matches!(self, Self::Overlay(_) | Self::Unsupported { overlay: true, .. })
    }
}

/// Where a listener listens and which protocols it expects, for `--healthcheck`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listens {
    /// The meaning of the argument.
    pub at: ListensAt,
    /// Whether it expects TLS.
    pub tls: bool,
    /// Whether it expects HTTP.
    pub http: bool,
}

/// The meaning of the argument of a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListensAt {
    /// `[ADDR:]PORT`.
    Port,
    /// The path of a unix socket.
    Path,
    /// The name of a unix socket in the abstract namespace of Linux, without the `@` before it.
    AbstractName,
    /// A file descriptor from the service manager; its address is not known.
    Descriptor,
}

/// How an overlay is parsed and built.
#[derive(Debug)]
pub struct OverlayRow {
    /// Builds it around an inner endpoint.
    pub build: fn(&Inner<'_>, &Arc<Config>) -> Result<Overlay, Error>,
    /// The argument before the colon, as in `name=ARG:`, for help; `None`: none.
    pub argument: Option<&'static str>,
    /// The meaning of a bare `HOST:PORT` after it; `None`: as without the overlay.
    pub bare: Option<Bare>,
    /// The protocol that it adds to a listener, for `--healthcheck`.
    pub adds: Option<Adds>,
    /// Whether its effect depends on where messages begin and end: then lines are messages also between two byte streams.
    pub per_message: bool,
}

impl OverlayRow {
    /// An overlay without an argument.
    pub const fn new(build: fn(&Inner<'_>, &Arc<Config>) -> Result<Overlay, Error>) -> Self {
        Self { build, argument: None, bare: None, adds: None, per_message: false }
    }

    /// The same overlay, with a bare `HOST:PORT` after it as a TCP address.
    #[must_use]
    pub const fn over_tcp(self) -> Self {
        Self { bare: Some(Bare::Tcp), ..self }
    }

    /// The same overlay, whose effect depends on where messages begin and end.
    #[must_use]
    pub const fn per_message(self) -> Self {
        Self { per_message: true, ..self }
    }

    /// The same overlay, which adds TLS or HTTP to a listener.
    #[must_use]
    pub const fn adding(self, adds: Adds) -> Self {
        Self { adds: Some(adds), ..self }
    }
}

/// The meaning of a bare `HOST:PORT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bare {
    /// A WebSocket URL without its scheme.
    WebSocket,
    /// A TCP address.
    Tcp,
}

/// A protocol that an overlay adds to a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Adds {
    /// TLS.
    Tls,
    /// HTTP.
    Http,
}

/// The endpoint inside an overlay, while the overlay is built.
pub struct Inner<'a> {
    /// The argument of the overlay.
    pub argument: Option<&'a str>,
    /// The description of the inner endpoint.
    pub about: &'a About,
    /// What flows through the inner endpoint.
    pub flow: Flow,
}
