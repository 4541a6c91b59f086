//! A listener as an endpoint that is dialled, such as the right end of sessions.

use super::{
    About, Accept, Bind, ByteEndpoint, ConnectContext, Dial, Dialled, Endpoint, Framed, Layers, Listening,
    MessageEndpoint, MessageStack, listen,
};
use crate::{
    config::Config,
    error::Error,
    flow::{BoxFuture, ByteEnd, EndKind, MessageEnd},
};
use std::sync::Arc;
use tokio::sync::Mutex;

/// Applies layers to an accepted connection. The opening handshake of a client is accepted.
trait ApplyLayers<E: Send + 'static>: Send + Sync {
    /// The end with all layers.
    type Out;

    /// Applies the layers to `end`.
    fn apply_layers<'a>(&'a self, end: E, context: &'a mut ConnectContext) -> BoxFuture<'a, Result<Self::Out, Error>>;
}

impl<E: Send + 'static> ApplyLayers<E> for Layers<E> {
    type Out = E;

    fn apply_layers<'a>(&'a self, end: E, context: &'a mut ConnectContext) -> BoxFuture<'a, Result<E, Error>> {
        Box::pin(self.apply(end, context))
    }
}

impl ApplyLayers<ByteEnd> for Framed {
    type Out = MessageEnd;

    fn apply_layers<'a>(
        &'a self,
        end: ByteEnd,
        context: &'a mut ConnectContext,
    ) -> BoxFuture<'a, Result<MessageEnd, Error>> {
        Box::pin(async { self.open(end, context).await?.finish(context).await })
    }
}

impl Endpoint<Listening> {
    /// Makes an endpoint that is dialled of a listener: dialling it accepts one connection. It starts to listen when it is first
    /// dialled.
    #[must_use]
    pub fn accept_one(self, config: &Arc<Config>) -> Endpoint<Dialled> {
        match self {
            Self::Bytes(ByteEndpoint { about, origin, layers }) => {
                let origin: Box<dyn Dial<ByteEnd>> = Box::new(AcceptOne::new(&about, origin, layers, config));
                ByteEndpoint { about, origin, layers: Layers::default() }.into()
            }
            Self::Messages(MessageEndpoint { about, stack }) => {
                let origin: Box<dyn Dial<MessageEnd>> = match stack {
                    MessageStack::Framed(origin, framed) => Box::new(AcceptOne::new(&about, origin, framed, config)),
                    MessageStack::Native(origin, layers) => Box::new(AcceptOne::new(&about, origin, layers, config)),
                };
                MessageEndpoint { about, stack: MessageStack::Native(origin, Layers::default()) }.into()
            }
        }
    }
}

struct AcceptOne<E, L> {
    origin: Box<dyn Bind<E>>,
    layers: L,
    title: String,
    kind: EndKind,
    config: Arc<Config>,
    listening: Mutex<Option<Box<dyn Accept<E>>>>,
}

impl<E, L> AcceptOne<E, L> {
    fn new(about: &About, origin: Box<dyn Bind<E>>, layers: L, config: &Arc<Config>) -> Self {
        let (title, kind) = (about.title.clone(), about.kind);
        Self { origin, layers, title, kind, config: config.clone(), listening: Mutex::new(None) }
    }
}

impl<E: Send + 'static, L: ApplyLayers<E>> Dial<L::Out> for AcceptOne<E, L> {
    fn dial<'a>(&'a self, context: &'a mut ConnectContext) -> BoxFuture<'a, Result<L::Out, Error>> {
        Box::pin(async move {
            loop {
                let (end, peer) = {
                    let mut listening = self.listening.lock().await;
                    let accept = match &mut *listening {
                        Some(accept) => accept,
                        none => none.insert(listen(&*self.origin, &self.title, &self.config).await?),
                    };
                    accept.accept().await?
                };
                let mut own = ConnectContext::new(peer, context.limit);
                own.request.clone_from(&context.request);
                match self.layers.apply_layers(end, &mut own).await {
                    // A request for a file or a health check is not a session: accept the next connection.
                    Err(Error::NoUpgrade { .. }) => {}
                    applied => return applied,
                }
            }
        })
    }

    fn kind(&self) -> EndKind {
        self.kind
    }
}
