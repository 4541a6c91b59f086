//! Layers around live ends.

use super::{ConnectContext, Dial, Dialled, MessageEndpoint, UpgradeRequest};
use crate::{
    error::Error,
    flow::{BoxFuture, ByteEnd, EndKind, Flow, MessageEnd},
    net::Peer,
};
use std::sync::Arc;

/// A step around a live end, from `In` to `Out`.
pub trait Transform<In, Out>: Send + Sync {
    /// Wraps it; may exchange a handshake with the peer first.
    fn apply<'a>(&'a self, inner: In, context: &'a mut ConnectContext) -> BoxFuture<'a, Result<Out, Error>>;

    /// How the result ends a session, given how the wrapped end does.
    fn kind(&self, inner: EndKind) -> EndKind {
        inner
    }
}

/// Any number of steps that keep the flow, from the inside to the outside.
pub struct Layers<E>(Vec<Box<dyn Transform<E, E>>>);

impl<E> Default for Layers<E> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<E: Send> Layers<E> {
    /// Adds one at the outside.
    pub fn push(&mut self, layer: Box<dyn Transform<E, E>>) {
        self.0.push(layer);
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Puts all of them around an end.
    ///
    /// # Errors
    /// When the handshake of one of them fails.
    pub async fn apply(&self, mut end: E, context: &mut ConnectContext) -> Result<E, Error> {
        for layer in &self.0 {
            end = layer.apply(end, context).await?;
        }
        Ok(end)
    }
}

/// The step from bytes to messages.
pub enum Framing {
    /// At once, or after a handshake that we begin: `lines:`, `chunks:`, a WebSocket client.
    Direct(Box<dyn Transform<ByteEnd, MessageEnd>>),
    /// A WebSocket server, which answers its client when the other end of the session is known.
    Upgrade(Box<dyn Receive>),
}

impl Framing {
    /// How the result ends a session, given how the byte end does.
    pub fn kind(&self, inner: EndKind) -> EndKind {
        match self {
            Self::Direct(layer) => layer.kind(inner),
            Self::Upgrade(_) => EndKind::WebSocket,
        }
    }
}

/// The first phase of a server's opening handshake.
pub trait Receive: Send + Sync {
    /// Serves HTTP on a connection until a request for a WebSocket comes.
    fn receive<'a>(&'a self, inner: ByteEnd, peer: &'a Peer) -> BoxFuture<'a, Result<Box<dyn PendingUpgrade>, Error>>;
}

/// The second phase: a client waits for the answer to its opening handshake.
pub trait PendingUpgrade: Send {
    /// What it asked for.
    fn request(&self) -> &Arc<UpgradeRequest>;

    /// Answers 101. `far` is the end that the client is connected with, where there is one; if that is a WebSocket too,
    /// its subprotocol is passed on.
    fn accept(self: Box<Self>, far: Option<&MessageEnd>) -> BoxFuture<'static, Result<MessageEnd, Error>>;

    /// Answers with the HTTP status that tells of this error.
    fn refuse<'a>(self: Box<Self>, error: &'a Error) -> BoxFuture<'a, ()>;
}

/// One layer: what it wants and what it gives follow from the variant.
pub enum Layer {
    /// Bytes to bytes, such as TLS.
    OnBytes(Box<dyn Transform<ByteEnd, ByteEnd>>),
    /// Bytes to messages, such as a WebSocket.
    Framing(Framing),
    /// Messages to messages, such as a log.
    OnMessages(Box<dyn Transform<MessageEnd, MessageEnd>>),
}

impl Layer {
    /// What must be behind it.
    pub fn wants(&self) -> Flow {
        match self {
            Self::OnBytes(_) | Self::Framing(_) => Flow::Bytes,
            Self::OnMessages(_) => Flow::Messages,
        }
    }
}

/// What an overlay does with the end behind it.
pub enum Overlay {
    /// It stands around each live end.
    Around(Layer),
    /// It decides when the end is dialled, and wants messages: a reconnect, a shared connection.
    OnDial(Box<dyn Redial>),
}

/// A layer around the dialling.
pub trait Redial: Send + Sync {
    /// How its ends end a session, given how those behind it do.
    fn kind(&self, inner: EndKind) -> EndKind;

    /// Whether its end exists before there is a connection, which it then reports by itself.
    fn connects_later(&self) -> bool;

    /// Makes a dialler of what is behind it.
    fn wrap(self: Box<Self>, inner: MessageEndpoint<Dialled>) -> Box<dyn Dial<MessageEnd>>;
}
