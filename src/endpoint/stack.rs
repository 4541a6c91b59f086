//! An address with its overlays, ready to be dialled or listened on.

use super::{Bind, ConnectContext, Framing, Layers, Redial, Transform};
use crate::{
    error::Error,
    flow::{BoxFuture, ByteEnd, EndKind, Flow, MessageEnd},
};
use std::fmt;

/// Something that can be opened, again and again.
pub trait Dial<E>: Send + Sync {
    /// Opens it. Each phase names itself in `context.stage`, for the time limit's error.
    fn dial<'a>(&'a self, context: &'a mut ConnectContext) -> BoxFuture<'a, Result<E, Error>>;

    /// How its ends end a session.
    fn kind(&self) -> EndKind;

    /// Whether opening it waits for a peer, so that `--connect-timeout` applies.
    fn is_remote(&self) -> bool {
        false
    }
}

/// Where live ends come from: they are dialled, or accepted by a listener.
pub trait Origin {
    /// What gives ends of type `E`.
    type Of<E>: Send + Sync;
}

/// Ends that are dialled.
pub enum Dialled {}

/// Ends that a listener accepts.
pub enum Listening {}

impl Origin for Dialled {
    type Of<E> = Box<dyn Dial<E>>;
}

impl Origin for Listening {
    type Of<E> = Box<dyn Bind<E>>;
}

/// What an end is called and how it behaves, known before it is opened.
#[derive(Clone, Debug)]
pub struct About {
    /// What errors and `--explain` call it.
    pub title: String,
    /// The host that it connects to, which a TLS server must prove.
    pub host: Option<String>,
    /// How it ends a session.
    pub kind: EndKind,
    /// There is one of it in a process, so that sessions must share it.
    pub exists_once: bool,
    /// It exists before there is a connection, which it then reports by itself.
    pub connects_later: bool,
    /// The overlays, from the inside to the outside, for `--explain`.
    pub layers: Vec<LayerNote>,
}

/// An overlay as `--explain` shows it.
#[derive(Clone, Debug)]
pub struct LayerNote {
    /// Its canonical name.
    pub name: &'static str,
    /// Why the plan inserted it; `None` when it was typed or belongs to the address.
    pub because: Option<String>,
}

/// An address with its overlays, by what passes through the outermost.
pub enum Endpoint<O: Origin> {
    /// Bytes.
    Bytes(ByteEndpoint<O>),
    /// Messages.
    Messages(MessageEndpoint<O>),
}

/// An endpoint of either origin.
pub enum AnyEndpoint {
    /// It is dialled.
    Dialled(Endpoint<Dialled>),
    /// It listens.
    Listening(Endpoint<Listening>),
}

/// A byte stream and layers that leave it one.
pub struct ByteEndpoint<O: Origin> {
    /// What is known of it.
    pub about: About,
    /// Where byte streams come from.
    pub origin: O::Of<ByteEnd>,
    /// What stands around each.
    pub layers: Layers<ByteEnd>,
}

/// A stream of messages.
pub struct MessageEndpoint<O: Origin> {
    /// What is known of it.
    pub about: About,
    /// How it is opened.
    pub stack: MessageStack<O>,
}

/// Messages that are made of bytes, or messages by nature.
pub enum MessageStack<O: Origin> {
    /// Made of bytes.
    Framed(O::Of<ByteEnd>, Framed),
    /// Messages from the origin on.
    Native(O::Of<MessageEnd>, Layers<MessageEnd>),
}

/// What stands around a byte stream whose bytes become messages.
pub struct Framed {
    /// Below the framing.
    pub bytes: Layers<ByteEnd>,
    /// From bytes to messages.
    pub framing: Framing,
    /// Above the framing.
    pub messages: Layers<MessageEnd>,
}

impl ByteEndpoint<Dialled> {
    /// A byte stream that is dialled. `title` is what errors call it.
    pub fn dial(title: impl fmt::Display, origin: impl Dial<ByteEnd> + 'static) -> Self {
        let about = About::new(title, origin.kind());
        Self { about, origin: Box::new(origin), layers: Layers::default() }
    }
}

impl ByteEndpoint<Listening> {
    /// A listener of byte streams. `title` is what errors call it.
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

    /// Makes messages of its bytes.
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
    /// A message stream that is dialled. `title` is what errors call it.
    pub fn dial(title: impl fmt::Display, origin: impl Dial<MessageEnd> + 'static) -> Self {
        let about = About::new(title, origin.kind());
        let origin: Box<dyn Dial<MessageEnd>> = Box::new(origin);
        Self { about, stack: MessageStack::Native(origin, Layers::default()) }
    }

    /// Puts a layer around the dialling.
    #[must_use]
    pub fn redial(self, note: impl Into<LayerNote>, redial: Box<dyn Redial>) -> Self {
        let mut about = self.about.clone();
        about.add(note.into(), redial.kind(about.kind));
        about.connects_later |= redial.connects_later();
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
    /// What is known of it.
    pub fn about(&self) -> &About {
        match self {
            Self::Bytes(endpoint) => &endpoint.about,
            Self::Messages(endpoint) => &endpoint.about,
        }
    }

    /// What passes through it.
    pub fn flow(&self) -> Flow {
        match self {
            Self::Bytes(_) => Flow::Bytes,
            Self::Messages(_) => Flow::Messages,
        }
    }

    /// Calls it by another name, such as the URL behind a TCP connection.
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
    /// What is known of it.
    pub fn about(&self) -> &About {
        match self {
            Self::Dialled(endpoint) => endpoint.about(),
            Self::Listening(endpoint) => endpoint.about(),
        }
    }

    /// What passes through it.
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
    fn new(title: impl fmt::Display, kind: EndKind) -> Self {
        Self {
            title: title.to_string(),
            host: None,
            kind,
            exists_once: matches!(kind, EndKind::Console { .. }),
            connects_later: false,
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
