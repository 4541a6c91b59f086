//! The one table of addresses and overlays. The parser, `--help`, the man page, the completions and the did-you-mean
//! errors all read it; an address is one file in [`crate::address`] or [`crate::overlay`] and one line in its `TABLE`.

use crate::{
    config::Config,
    error::Error,
    flow::{ByteEnd, Duplex, Flow, MessageEnd, Role, Task},
    plan::{Setup, Stack},
};
use std::sync::Arc;

/// A row: everything that is known of an address or overlay.
pub struct Entry {
    /// The first is canonical, the rest are aliases. All are used with a colon behind them.
    pub names: &'static [&'static str],
    /// What stands behind the colon, for the reader; `None`: nothing may. Behind an overlay stands an address; one with
    /// an argument here takes a bare `HOST:PORT` for a TCP address.
    pub arg: Option<&'static str>,
    /// One line, without a full stop.
    pub summary: &'static str,
    /// A paragraph.
    pub details: &'static str,
    /// A command's arguments; a test parses each of its addresses.
    pub example: &'static str,
    /// The long options that belong to this row, without dashes.
    pub flags: &'static [&'static str],
    /// How it is made.
    pub build: Build,
}

/// What a row is and how it is made.
pub enum Build {
    /// An end of its own.
    Address(fn(&str, &Arc<Config>) -> Result<Stack, Error>),
    /// Wraps the address behind it.
    Overlay(fn(&Stack, &Arc<Config>) -> Result<Overlay, Error>),
    /// Known, but not in this build: help and errors still name it.
    Absent {
        /// Why, and what to use instead.
        why: &'static str,
        /// Whether an address follows its colon.
        overlay: bool,
    },
}

impl Build {
    /// Whether an address follows the colon.
    pub fn is_overlay(&self) -> bool {
        matches!(self, Self::Overlay(_) | Self::Absent { overlay: true, .. })
    }
}

/// Where live ends come from.
pub enum Origin {
    /// One connection each time it is asked.
    Dial(Box<dyn Dial>),
    /// Whoever connects.
    Listen(Box<dyn Bind>),
}

/// Something that can be opened, again and again.
pub trait Dial: Send + Sync {
    /// Opens it. Each phase names itself in `setup.stage`, for the time limit's error.
    fn dial<'a>(&'a self, setup: &'a mut Setup<'_>) -> Task<'a, Result<Duplex, Error>>;

    /// Whether opening it waits for somebody else, so that `--connect-timeout` applies.
    fn is_remote(&self) -> bool {
        false
    }
}

/// Something that can be listened on.
pub trait Bind: Send + Sync {
    /// Starts listening.
    fn bind(&self) -> Task<'_, Result<Box<dyn Accept>, Error>>;
}

/// A listening socket.
pub trait Accept: Send + Sync {
    /// The next connection and a name for its other side. Errors of a single connection are handled inside; an error
    /// here is the listener's own end.
    fn accept(&mut self) -> Task<'_, Result<(ByteEnd, String), Error>>;

    /// What `--stdout-announce-listening-ports` prints behind `LISTEN `.
    fn announcement(&self) -> String;

    /// For people: `127.0.0.1:8080`.
    fn local(&self) -> String;
}

/// A typed transform: what it wants and what it gives follow from the variant, so they cannot disagree.
pub enum Overlay {
    /// Bytes to bytes, such as TLS.
    OnBytes(Box<dyn Transform<ByteEnd, ByteEnd>>),
    /// Bytes to messages, such as a WebSocket.
    Framing(Box<dyn Transform<ByteEnd, MessageEnd>>),
    /// Messages to messages, such as a log.
    OnMessages(Box<dyn Transform<MessageEnd, MessageEnd>>),
    /// Decides when what is behind it is opened, such as a reconnect.
    OnDial(Box<dyn Redial>),
}

impl Overlay {
    /// What must be behind it; `None`: either flow.
    pub fn wants(&self) -> Option<Flow> {
        match self {
            Self::OnBytes(_) | Self::Framing(_) => Some(Flow::Bytes),
            Self::OnMessages(_) => Some(Flow::Messages),
            Self::OnDial(redial) => redial.wants(),
        }
    }
}

/// One layer around a live end.
pub trait Transform<In, Out>: Send + Sync {
    /// Wraps it; may talk to the peer first.
    fn apply<'a>(&'a self, inner: In, setup: &'a mut Setup<'_>) -> Task<'a, Result<Out, Error>>;

    /// How what it gives ends, given how what it wraps does.
    fn role(&self, inner: Role) -> Role {
        inner
    }
}

/// A layer around the dialling.
pub trait Redial: Send + Sync {
    /// What must be behind it; `None`: either flow.
    fn wants(&self) -> Option<Flow>;
    /// How its ends end, given how those behind it do.
    fn role(&self, inner: Role) -> Role;
    /// Makes a dialler of the dialler behind it.
    fn wrap(self: Box<Self>, inner: Stack) -> Box<dyn Dial>;
}

/// All rows, addresses first.
pub fn table() -> impl Iterator<Item = &'static Entry> {
    crate::address::TABLE.iter().chain(crate::overlay::TABLE).copied()
}

/// The row with this name or alias.
pub fn find(name: &str) -> Option<&'static Entry> {
    table().find(|entry| entry.names.contains(&name))
}
