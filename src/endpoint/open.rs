//! Opening endpoints: dialling, handshakes, and the point where a client waits for its answer.

use super::{
    ByteEndpoint, ConnectContext, Dialled, Framed, Framing, Layers, MessageEndpoint, MessageStack, PendingUpgrade,
    UpgradeRequest,
};
use crate::{
    error::Error,
    flow::{BoxFuture, ByteEnd, MessageEnd},
};
use std::{future::Future, sync::Arc};
use tokio::time::timeout;

/// A message end that is open, or waits for its answer.
pub enum Opening<'a> {
    /// It is open.
    Ready(MessageEnd),
    /// Its client waits for the answer to its opening handshake.
    Pending(PendingMessageEnd<'a>),
}

/// A client that waits for an answer, and the layers that stand around its connection then.
pub struct PendingMessageEnd<'a> {
    upgrade: Box<dyn PendingUpgrade>,
    messages: &'a Layers<MessageEnd>,
}

impl PendingMessageEnd<'_> {
    /// What it asked for.
    pub fn request(&self) -> &Arc<UpgradeRequest> {
        self.upgrade.request()
    }

    /// Answers 101; see [`PendingUpgrade::accept`].
    ///
    /// # Errors
    /// When the connection fails meanwhile, or the handshake of a layer above does.
    pub fn accept(
        self,
        far: Option<&MessageEnd>,
        context: &mut ConnectContext,
    ) -> impl Future<Output = Result<MessageEnd, Error>> + Send {
        // Not in the future: a message end cannot be shared between threads.
        let accepted = self.upgrade.accept(far);
        async move { self.messages.apply(accepted.await?, context).await }
    }

    /// Answers with an HTTP error.
    pub async fn refuse(self, error: &Error) {
        self.upgrade.refuse(error).await;
    }
}

impl Opening<'_> {
    /// Answers a client that waits without asking anybody.
    pub(super) async fn finish(self, context: &mut ConnectContext) -> Result<MessageEnd, Error> {
        match self {
            Self::Ready(end) => Ok(end),
            Self::Pending(pending) => pending.accept(None, context).await,
        }
    }
}

impl Framed {
    /// Puts the layers around a byte stream, up to the point where a client must be answered.
    ///
    /// # Errors
    /// When a handshake fails, or the client asked for no WebSocket.
    pub async fn open(&self, end: ByteEnd, context: &mut ConnectContext) -> Result<Opening<'_>, Error> {
        let end = self.bytes.apply(end, context).await?;
        match &self.framing {
            Framing::Direct(framing) => {
                let end = framing.apply(end, context).await?;
                Ok(Opening::Ready(self.messages.apply(end, context).await?))
            }
            Framing::Upgrade(framing) => {
                let upgrade = framing.receive(end, &context.peer).await?;
                context.request = Some(upgrade.request().clone());
                Ok(Opening::Pending(PendingMessageEnd { upgrade, messages: &self.messages }))
            }
        }
    }
}

/// Opens `origin`, then `$around`s it. What waits for a peer has the time limit: reaching a remote origin, and the
/// handshakes of the layers around any. A macro, for a closure that borrows the context cannot be sent to another thread.
macro_rules! within_limit {
    ($origin:expr, $context:expr, |$end:ident| $around:expr) => {{
        let local = if $origin.is_remote() { None } else { Some($origin.dial($context).await?) };
        let limit = $context.limit;
        let opening = async {
            let $end = match local {
                Some(end) => end,
                None => $origin.dial($context).await?,
            };
            $around
        };
        match timeout(limit, opening).await {
            Ok(opened) => opened,
            Err(_) => Err(Error::TimedOut { doing: $context.stage.clone(), limit, option: "--connect-timeout" }),
        }
    }};
}

/// The layers around an accepted connection of a message listener.
pub trait Begin<E: Send + 'static>: Send + Sync {
    /// Puts them around it, up to the point where a client must be answered.
    fn begin<'s: 'c, 'c>(
        &'s self,
        end: E,
        context: &'c mut ConnectContext,
    ) -> BoxFuture<'c, Result<Opening<'s>, Error>>;
}

impl Begin<ByteEnd> for Framed {
    fn begin<'s: 'c, 'c>(
        &'s self,
        end: ByteEnd,
        context: &'c mut ConnectContext,
    ) -> BoxFuture<'c, Result<Opening<'s>, Error>> {
        Box::pin(self.open(end, context))
    }
}

impl Begin<MessageEnd> for Layers<MessageEnd> {
    fn begin<'s: 'c, 'c>(
        &'s self,
        end: MessageEnd,
        context: &'c mut ConnectContext,
    ) -> BoxFuture<'c, Result<Opening<'s>, Error>> {
        Box::pin(async { Ok(Opening::Ready(self.apply(end, context).await?)) })
    }
}

impl ByteEndpoint<Dialled> {
    /// Opens it.
    ///
    /// # Errors
    /// When it cannot be reached, a handshake fails, or the time limit is reached.
    pub async fn open(&self, context: &mut ConnectContext) -> Result<ByteEnd, Error> {
        context.stage = format!("opening {}", self.about.title);
        within_limit!(self.origin, context, |end| self.layers.apply(end, context).await)
    }
}

impl MessageEndpoint<Dialled> {
    /// Opens it, up to the point where a client must be answered.
    ///
    /// # Errors
    /// As [`ByteEndpoint::open`].
    pub async fn begin(&self, context: &mut ConnectContext) -> Result<Opening<'_>, Error> {
        context.stage = format!("opening {}", self.about.title);
        match &self.stack {
            MessageStack::Framed(origin, framed) => {
                within_limit!(origin, context, |end| framed.open(end, context).await)
            }
            MessageStack::Native(origin, layers) => {
                let opened = within_limit!(origin, context, |end| layers.apply(end, context).await);
                opened.map(Opening::Ready)
            }
        }
    }

    /// Opens it; a client that waits for an answer is accepted.
    ///
    /// # Errors
    /// As [`ByteEndpoint::open`].
    pub async fn open(&self, context: &mut ConnectContext) -> Result<MessageEnd, Error> {
        self.begin(context).await?.finish(context).await
    }
}
