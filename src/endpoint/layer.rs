//! Layers around live ends.

use super::{ConnectContext, Dial, Dialled, MessageEndpoint, UpgradeRequest};
use crate::{
    error::Error,
    flow::{BoxFuture, ByteEnd, EndKind, Flow, MessageEnd},
    net::Peer,
};
use std::sync::Arc;

/// A layer around a live end: makes an `Out` of an `In`.
pub trait Transform<In, Out>: Send + Sync {
    /// Wraps an end, after a handshake with the peer if the protocol has one.
    ///
    /// # Errors
    /// If the handshake fails.
    fn apply<'a>(&'a self, inner: In, context: &'a mut ConnectContext) -> BoxFuture<'a, Result<Out, Error>>;

    /// The kind of the wrapped end, given the kind of the inner end.
    fn kind(&self, inner: EndKind) -> EndKind {
        inner
    }
}

/// Layers that keep the flow, innermost first.
pub struct Layers<E>(Vec<Box<dyn Transform<E, E>>>);

impl<E> Default for Layers<E> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<E: Send> Layers<E> {
    /// Adds an outermost layer.
    pub fn push(&mut self, layer: Box<dyn Transform<E, E>>) {
        self.0.push(layer);
    }

    /// Whether there are no layers.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Applies all layers to an end.
    ///
    /// # Errors
    /// If the handshake of a layer fails.
    pub async fn apply(&self, mut end: E, context: &mut ConnectContext) -> Result<E, Error> {
        for layer in &self.0 {
            end = layer.apply(end, context).await?;
        }
        Ok(end)
    }
}

/// A layer that makes messages of bytes.
pub enum Framing {
    /// One that is applied in one phase: `lines:`, `chunks:`, a WebSocket client.
    Direct(Box<dyn Transform<ByteEnd, MessageEnd>>),
    /// A WebSocket server. Its handshake has two phases: it responds when the other end of the session is open.
    Upgrade(Box<dyn Receive>),
}

impl Framing {
    /// The kind of the message end, given the kind of the byte end.
    pub fn kind(&self, inner: EndKind) -> EndKind {
        match self {
            Self::Direct(layer) => layer.kind(inner),
            Self::Upgrade(_) => EndKind::WebSocket,
        }
    }
}

/// The first phase of a server's opening handshake.
pub trait Receive: Send + Sync {
    /// Serves HTTP on a connection until the client requests a WebSocket.
    ///
    /// # Errors
    /// If the connection ends without such a request, or the data is not HTTP.
    fn receive<'a>(&'a self, inner: ByteEnd, peer: &'a Peer) -> BoxFuture<'a, Result<Box<dyn PendingUpgrade>, Error>>;
}

/// The second phase of a server's opening handshake: the client waits for the response.
pub trait PendingUpgrade: Send {
    /// What the client requests.
    fn request(&self) -> &Arc<UpgradeRequest>;

    /// Waits until the client leaves, which is an error then. Nothing else may be called after that.
    fn left(&mut self) -> BoxFuture<'_, Error>;

    /// Responds with 101. `far` is the other end of the session, if there is one; if it is a WebSocket, its subprotocol is
    /// selected for the client.
    ///
    /// # Errors
    /// If the client has disconnected.
    fn accept(self: Box<Self>, far: Option<&MessageEnd>) -> BoxFuture<'static, Result<MessageEnd, Error>>;

    /// Responds with the HTTP status for `error`, and closes the connection.
    fn refuse<'a>(self: Box<Self>, error: &'a Error) -> BoxFuture<'a, ()>;
}

/// A layer, by its input and output.
pub enum Layer {
    /// Bytes to bytes, such as TLS.
    OnBytes(Box<dyn Transform<ByteEnd, ByteEnd>>),
    /// Bytes to messages, such as a WebSocket.
    Framing(Framing),
    /// Messages to messages, such as a log.
    OnMessages(Box<dyn Transform<MessageEnd, MessageEnd>>),
}

impl Layer {
    /// The flow that it needs.
    pub fn wants(&self) -> Flow {
        match self {
            Self::OnBytes(_) | Self::Framing(_) => Flow::Bytes,
            Self::OnMessages(_) => Flow::Messages,
        }
    }
}

/// An overlay, after it was built.
pub enum Overlay {
    /// A layer around each live end.
    Around(Layer),
    /// A layer that decides when the inner endpoint is dialled: `autoreconnect:`, `reuse:`. It needs messages.
    OnDial(Box<dyn Redial>),
}

/// A layer that decides when the inner endpoint is dialled.
pub trait Redial: Send + Sync {
    /// The kind of its ends, given the kind of the inner ends.
    fn kind(&self, inner: EndKind) -> EndKind;

    /// Whether an end exists before it is connected. Such a layer logs its connections itself.
    fn connects_lazily(&self) -> bool;

    /// Wraps the inner endpoint.
    fn wrap(self: Box<Self>, inner: MessageEndpoint<Dialled>) -> Box<dyn Dial<MessageEnd>>;
}
