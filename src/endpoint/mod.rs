//! What rows of the table are made of: how ends are dialled and listened on, and the layers around them.
//!
//! A row of [`crate::registry`] builds an [`Endpoint`], which is dialled or listens. Overlays put layers around it: byte
//! layers, then at most one step from bytes to messages, then message layers. The types allow no other order.

mod accept_one;
mod context;
mod layer;
mod listen;
mod open;
mod stack;

pub use context::{ConnectContext, UpgradeRequest};
pub use layer::{Framing, Layer, Layers, Overlay, PendingUpgrade, Receive, Redial, Transform};
pub use listen::{Accept, Bind, listen};
pub use open::{Begin, Opening, PendingMessageEnd};
pub use stack::{
    About, AnyEndpoint, ByteEndpoint, Dial, Dialled, Endpoint, Framed, LayerNote, Listening, MessageEndpoint,
    MessageStack, Origin,
};

use crate::{config::Config, error::Error, flow::Flow};
use std::{fmt, sync::Arc};

/// A row: everything that is known of an address or overlay.
pub struct Entry {
    /// The first is canonical, the rest are aliases. All are used with a colon behind them.
    pub names: &'static [&'static str],
    /// What follows the colon, for the reader; `None`: nothing, or for an overlay any address.
    pub arg: Option<&'static str>,
    /// One line, without a full stop.
    pub summary: &'static str,
    /// A paragraph.
    pub details: &'static str,
    /// A command's arguments; a test parses each of its addresses.
    pub example: &'static str,
    /// The long options that belong to this row, without dashes.
    pub flags: &'static [&'static str],
    /// What it is and how it is built.
    pub build: Build,
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Entry {
    /// The canonical name.
    pub const fn name(&self) -> &'static str {
        self.names[0]
    }
}

/// Builds an end that is dialled from the text behind the colon.
pub type BuildDial = fn(&str, &Arc<Config>) -> Result<Endpoint<Dialled>, Error>;
/// Builds a listener from the text behind the colon.
pub type BuildListen = fn(&str, &Arc<Config>) -> Result<Endpoint<Listening>, Error>;

/// What a row is and how it is built.
pub enum Build {
    /// An end that is opened when a session needs it.
    Dial(BuildDial),
    /// A listener, each of whose connections is a session.
    Listen(BuildListen, Listens),
    /// Wraps the address behind it.
    Overlay(OverlayRow),
    /// Known, but not in this build: help and errors still name it.
    Unsupported {
        /// Why, and what to use instead.
        why: &'static str,
        /// Whether an address follows its colon.
        overlay: bool,
    },
}

impl Build {
    /// Whether an address follows the colon.
    pub fn is_overlay(&self) -> bool {
        matches!(self, Self::Overlay(_) | Self::Unsupported { overlay: true, .. })
    }
}

/// Where a listener listens and what its clients speak, for the health check of a running server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listens {
    /// What the row's argument names.
    pub at: ListensAt,
    /// Whether its clients speak TLS.
    pub tls: bool,
    /// Whether its clients speak HTTP.
    pub http: bool,
}

/// What the argument of a listener's row names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListensAt {
    /// `[ADDR:]PORT`.
    Port,
    /// The path of a unix socket.
    Path,
    /// A descriptor of the service manager; where that listens is not known.
    Descriptor,
}

/// How an overlay is built.
#[derive(Debug)]
pub struct OverlayRow {
    /// Builds it for what stands behind it.
    pub build: fn(&Inner<'_>, &Arc<Config>) -> Result<Overlay, Error>,
    /// What may stand between its name and the colon, as in `name=ARG:`; `None`: nothing.
    pub argument: Option<&'static str>,
    /// What a bare `HOST:PORT` behind it means.
    pub bare: Bare,
    /// What it adds to a listener behind it, for the health check of a running server.
    pub adds: Option<Adds>,
}

impl OverlayRow {
    /// An overlay without an argument, in front of any address.
    pub const fn new(build: fn(&Inner<'_>, &Arc<Config>) -> Result<Overlay, Error>) -> Self {
        Self { build, argument: None, bare: Bare::Inherited, adds: None }
    }

    /// The same, with a bare `HOST:PORT` behind it as a TCP address.
    #[must_use]
    pub const fn over_tcp(self) -> Self {
        Self { bare: Bare::Tcp, ..self }
    }

    /// The same, for one that adds TLS or HTTP to a listener.
    #[must_use]
    pub const fn adding(self, adds: Adds) -> Self {
        Self { adds: Some(adds), ..self }
    }
}

/// What a bare `HOST:PORT` means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bare {
    /// What it means in front of the overlay; at the front of a specifier, a WebSocket URL without its scheme.
    Inherited,
    /// A TCP address.
    Tcp,
}

/// What an overlay adds to what the clients of a listener speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Adds {
    /// TLS.
    Tls,
    /// HTTP.
    Http,
}

/// What stands behind an overlay while it is built.
pub struct Inner<'a> {
    /// The overlay's own argument.
    pub argument: Option<&'a str>,
    /// What it wraps.
    pub about: &'a About,
    /// What passes through that.
    pub flow: Flow,
}
