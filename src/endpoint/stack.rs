//! An address with its overlays, ready to be dialled or listened on.

use super::{Bind, ConnectContext, Framing, Layers, Redial, Transform};
use crate::{
    error::Error,
    flow::{BoxFuture, ByteEnd, EndKind, Flow, MessageEnd},
};
use std::fmt;

/// An address to dial, any number of times.
pub trait Dial<E>: Send + Sync {
    /// Opens a new end. Each phase sets `context.stage`, for the error when the time limit is reached.
    ///
    /// # Errors
    /// If it cannot be opened.
    fn dial<'a>(&'a self, context: &'a mut ConnectContext) -> BoxFuture<'a, Result<E, Error>>;

    /// The kind of its ends.
    fn kind(&self) -> EndKind;

    /// Whether dialling connects to a peer, so that `--connect-timeout` applies.
    fn is_remote(&self) -> bool {
        false
    }
}

/// The origin of live ends: they are dialled, or accepted by a listener.
pub trait Origin {
    /// The trait object that gives ends of type `E`.
    type Of<E>: Send + Sync;
}

/// The ends are dialled.
pub enum Dialled {}

/// A listener accepts the ends.
pub enum Listening {}

impl Origin for Dialled {
    type Of<E> = Box<dyn Dial<E>>;
}

impl Origin for Listening {
    type Of<E> = Box<dyn Bind<E>>;
}

/// The description of an endpoint, known before it is opened.
#[derive(Clone, Debug)]
pub struct About {
    /// Its name in errors and in `--explain`.
    pub title: String,
    /// The host that it connects to, for which a TLS server needs a certificate.
    pub host: Option<String>,
    /// The kind of its ends, for the rules by which a session ends.
    pub kind: EndKind,
    /// Whether a process has only one, as with standard input, so that all sessions must share it.
    pub exists_once: bool,
    /// Whether its ends exist before they are connected. Such an endpoint logs its connections itself.
    pub connects_lazily: bool,
    /// The overlays for `--explain`, innermost first.
    pub layers: Vec<LayerNote>,
}

/// An overlay in the output of `--explain`.
#[derive(Clone, Debug)]
pub struct LayerNote {
    /// Its canonical name.
    pub name: &'static str,
    /// Why the plan inserted it; `None` if it was typed or belongs to the address.
    pub because: Option<String>,
}

/// An address with its overlays, by the flow of its ends.
pub enum Endpoint<O: Origin> {
    /// Bytes.
    Bytes(ByteEndpoint<O>),
    /// Messages.
    Messages(MessageEndpoint<O>),
}

/// An endpoint that is dialled or listens.
pub enum AnyEndpoint {
    /// It is dialled.
    Dialled(Endpoint<Dialled>),
    /// It listens.
    Listening(Endpoint<Listening>),
}

/// An endpoint of byte streams: an origin and byte layers.
pub struct ByteEndpoint<O: Origin> {
    /// Its description.
    pub about: About,
    /// The origin of byte streams.
    pub origin: O::Of<ByteEnd>,
    /// The layers around each byte stream.
    pub layers: Layers<ByteEnd>,
}

/// An endpoint of message streams.
pub struct MessageEndpoint<O: Origin> {
    /// Its description.
    pub about: About,
    /// Its origin and layers.
    pub stack: MessageStack<O>,
}

/// The origin and the layers of a message endpoint.
pub enum MessageStack<O: Origin> {
    /// An origin of bytes with a framing.
    Framed(O::Of<ByteEnd>, Framed),
    /// An origin of messages.
    Native(O::Of<MessageEnd>, Layers<MessageEnd>),
}

/// The layers around a byte stream that make it a message stream.
pub struct Framed {
    /// The layers below the framing.
    pub bytes: Layers<ByteEnd>,
    /// The framing.
    pub framing: Framing,
    /// The layers above the framing.
    pub messages: Layers<MessageEnd>,
}

impl ByteEndpoint<Dialled> {
    /// An endpoint of byte streams that are dialled. `title` is its name in errors.
    pub fn dial(title: impl fmt::Display, origin: impl Dial<ByteEnd> + 'static) -> Self {
        let about = About::new(title, origin.kind());
        Self { about, origin: Box::new(origin), layers: Layers::default() }
    }
}

impl ByteEndpoint<Listening> {
    /// A listener for byte streams. `title` is its name in errors.
    pub fn listen(title: impl fmt::Display, origin: impl Bind<ByteEnd> + 'static) -> Self {
        let about = About::new(title, origin.kind());
        Self { about, origin: Box::new(origin), layers: Layers::default() }
    }
}

impl<O: Origin> ByteEndpoint<O> {
    /// Adds a layer.
    #[must_use]
    pub fn layer(mut self, note: impl Into<LayerNote>, layer: Box<dyn Transform<ByteEnd, ByteEnd>>) -> Self {
        self.about.add(note.into(), layer.kind(self.about.kind));
        self.layers.push(layer);
        self
    }

    /// Adds a framing.
    #[must_use]
    pub fn frame(mut self, note: impl Into<LayerNote>, framing: Framing) -> MessageEndpoint<O> {
        self.about.add(note.into(), framing.kind(self.about.kind));
        let framed = Framed { bytes: self.layers, framing, messages: Layers::default() };
        MessageEndpoint { about: self.about, stack: MessageStack::Framed(self.origin, framed) }
    }

    /// Sets the host that it connects to.
    #[must_use]
    pub fn at_host(mut self, host: &str) -> Self {
        self.about.host = Some(host.into());
        self
    }
}

impl MessageEndpoint<Dialled> {
    /// An endpoint of message streams that are dialled. `title` is its name in errors.
    pub fn dial(title: impl fmt::Display, origin: impl Dial<MessageEnd> + 'static) -> Self {
        let about = About::new(title, origin.kind());
        let origin: Box<dyn Dial<MessageEnd>> = Box::new(origin);
        Self { about, stack: MessageStack::Native(origin, Layers::default()) }
    }

    /// Adds a layer around the dialling.
    #[must_use]
    pub fn redial(self, note: impl Into<LayerNote>, redial: Box<dyn Redial>) -> Self {
        let mut about = self.about.clone();
        about.add(note.into(), redial.kind(about.kind));
        about.connects_lazily |= redial.connects_lazily();
        about.exists_once &= !matches!(about.kind, EndKind::Shared { .. });
        Self { about, stack: MessageStack::Native(redial.wrap(self), Layers::default()) }
    }
}

impl<O: Origin> MessageEndpoint<O> {
    /// Adds a layer.
    #[must_use]
    pub fn layer(mut self, note: impl Into<LayerNote>, layer: Box<dyn Transform<MessageEnd, MessageEnd>>) -> Self {
        self.about.add(note.into(), layer.kind(self.about.kind));
        match &mut self.stack {
            MessageStack::Framed(_, Framed { messages, .. }) | MessageStack::Native(_, messages) => {
                messages.push(layer)
            }
        }
        self
    }
}

impl<O: Origin> Endpoint<O> {
    /// Its description.
    pub fn about(&self) -> &About {
        match self {
            Self::Bytes(endpoint) => &endpoint.about,
            Self::Messages(endpoint) => &endpoint.about,
        }
    }

    /// What flows through its ends.
    pub fn flow(&self) -> Flow {
        match self {
            Self::Bytes(_) => Flow::Bytes,
            Self::Messages(_) => Flow::Messages,
        }
    }

    /// Sets its title, such as a URL in place of the address of the TCP connection.
    #[must_use]
    pub fn titled(mut self, title: impl fmt::Display) -> Self {
        match &mut self {
            Self::Bytes(endpoint) => &mut endpoint.about,
            Self::Messages(endpoint) => &mut endpoint.about,
        }
        .title = title.to_string();
        self
    }
}

impl AnyEndpoint {
    /// Its description.
    pub fn about(&self) -> &About {
        match self {
            Self::Dialled(endpoint) => endpoint.about(),
            Self::Listening(endpoint) => endpoint.about(),
        }
    }

    /// What flows through its ends.
    pub fn flow(&self) -> Flow {
        match self {
            Self::Dialled(endpoint) => endpoint.flow(),
            Self::Listening(endpoint) => endpoint.flow(),
        }
    }
}

impl<O: Origin> From<ByteEndpoint<O>> for Endpoint<O> {
    fn from(endpoint: ByteEndpoint<O>) -> Self {
        Self::Bytes(endpoint)
    }
}

impl<O: Origin> From<MessageEndpoint<O>> for Endpoint<O> {
    fn from(endpoint: MessageEndpoint<O>) -> Self {
        Self::Messages(endpoint)
    }
}

impl About {
    /// The description of an endpoint without layers.
    pub fn new(title: impl fmt::Display, kind: EndKind) -> Self {
        Self {
            title: title.to_string(),
            host: None,
            kind,
            exists_once: matches!(kind, EndKind::Console { .. }),
            connects_lazily: false,
            layers: Vec::new(),
        }
    }

    fn add(&mut self, note: LayerNote, kind: EndKind) {
        self.layers.push(note);
        self.kind = kind;
    }
}

impl LayerNote {
    /// A layer that the plan inserted, and why.
    pub fn inserted(name: &'static str, because: impl Into<String>) -> Self {
        Self { name, because: Some(because.into()) }
    }
}

impl From<&'static str> for LayerNote {
    /// A layer that was typed, or belongs to the address.
    fn from(name: &'static str) -> Self {
        Self { name, because: None }
    }
}
