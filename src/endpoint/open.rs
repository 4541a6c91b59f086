//! Opening endpoints: dialling and handshakes, in two phases for WebSocket listeners.

use super::{
    ByteEndpoint, ConnectContext, Dialled, Framed, Framing, Layers, MessageEndpoint, MessageStack, PendingUpgrade,
    UpgradeRequest,
};
use crate::{
    error::Error,
    flow::{BoxFuture, ByteEnd, MessageEnd},
    net::Peer,
    report,
};
use std::{future::Future, sync::Arc, time::Duration};
use tokio::time::timeout;

/// A message end, either open or between the two phases of its opening handshake.
pub enum Opening<'a> {
    /// It is open.
    Ready(MessageEnd),
    /// The client waits for the response to its opening handshake.
    Pending(PendingMessageEnd<'a>),
}

/// A client that waits for the response to its opening handshake, and the layers to apply after it.
pub struct PendingMessageEnd<'a> {
    upgrade: Box<dyn PendingUpgrade>,
    messages: &'a Layers<MessageEnd>,
}

impl PendingMessageEnd<'_> {
    /// What the client requests.
    pub fn request(&self) -> &Arc<UpgradeRequest> {
        self.upgrade.request()
    }

    /// Waits until the client leaves (see [`PendingUpgrade::left`]).
    pub async fn left(&mut self) -> Error {
        self.upgrade.left().await
    }

    /// Responds with 101 (see [`PendingUpgrade::accept`]) and applies the layers.
    ///
    /// # Errors
    /// If the client has disconnected, or the handshake of a layer fails.
    pub fn accept(
        self,
        far: Option<&MessageEnd>,
        context: &mut ConnectContext,
    ) -> impl Future<Output = Result<MessageEnd, Error>> + Send {
        // Called before the future is created: a reference to a message end is not `Send`.
        let accepted = self.upgrade.accept(far);
        async move { self.messages.apply(accepted.await?, context).await }
    }

    /// Responds with the HTTP status for `error`, and closes the connection.
    pub async fn refuse(self, error: &Error) {
        self.upgrade.refuse(error).await;
    }
}

impl Opening<'_> {
    /// Accepts the client if it waits.
    pub(super) async fn finish(self, context: &mut ConnectContext) -> Result<MessageEnd, Error> {
        match self {
            Self::Ready(end) => Ok(end),
            Self::Pending(pending) => pending.accept(None, context).await,
        }
    }
}

impl Framed {
    /// Applies the layers to a byte stream, up to the end of the first phase of an opening handshake.
    ///
    /// # Errors
    /// If a handshake fails, or the client does not request a WebSocket.
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

/// Dials `$origin` and evaluates `$around` with its end. The time limit applies to dialling a remote origin, and to the handshakes
/// of the layers in any case. This is a macro since a closure that borrows the context is not `Send`.
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

/// The layers of a message listener.
pub trait BeginOpening<E: Send + 'static>: Send + Sync {
    /// Applies the layers to a connection, up to the end of the first phase of an opening handshake.
    fn begin<'s: 'c, 'c>(
        &'s self,
        end: E,
        context: &'c mut ConnectContext,
    ) -> BoxFuture<'c, Result<Opening<'s>, Error>>;
}

impl BeginOpening<ByteEnd> for Framed {
    fn begin<'s: 'c, 'c>(
        &'s self,
        end: ByteEnd,
        context: &'c mut ConnectContext,
    ) -> BoxFuture<'c, Result<Opening<'s>, Error>> {
        Box::pin(self.open(end, context))
    }
}

impl BeginOpening<MessageEnd> for Layers<MessageEnd> {
    fn begin<'s: 'c, 'c>(
        &'s self,
        end: MessageEnd,
        context: &'c mut ConnectContext,
    ) -> BoxFuture<'c, Result<Opening<'s>, Error>> {
        Box::pin(async { Ok(Opening::Ready(self.apply(end, context).await?)) })
    }
}

impl ByteEndpoint<Dialled> {
    /// Opens the endpoint.
    ///
    /// # Errors
    /// If it cannot be reached, a handshake fails, or the time limit is reached.
    pub async fn open(&self, context: &mut ConnectContext) -> Result<ByteEnd, Error> {
        context.stage = format!("opening {}", self.about.title);
        within_limit!(self.origin, context, |end| self.layers.apply(end, context).await)
    }
}

impl MessageEndpoint<Dialled> {
    /// Opens the endpoint, up to the end of the first phase of an opening handshake.
    ///
    /// # Errors
    /// As [`ByteEndpoint::open`].
    pub async fn begin(&self, context: &mut ConnectContext) -> Result<Opening<'_>, Error> {
        context.stage = format!("opening {}", self.about.title);
        let is_remote = match &self.stack {
            MessageStack::Framed(origin, _) => origin.is_remote(),
            MessageStack::Native(origin, _) => origin.is_remote(),
        };
        if is_remote {
            report::handshake_starts();
        }
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

    /// Opens the endpoint, and accepts the client if it waits.
    ///
    /// # Errors
    /// As [`ByteEndpoint::open`].
    pub async fn open(&self, context: &mut ConnectContext) -> Result<MessageEnd, Error> {
        self.begin(context).await?.finish(context).await
    }

    /// Opens the endpoint later than its session started, with what is known of the client of that session and its time limit.
    pub fn attempt(
        self: &Arc<Self>,
        request: Option<Arc<UpgradeRequest>>,
        limit: Duration,
    ) -> BoxFuture<'static, Result<MessageEnd, Error>> {
        let endpoint = self.clone();
        let mut context = ConnectContext::new(Peer::named(endpoint.about.title.as_str()), limit);
        context.request = request;
        Box::pin(async move { endpoint.open(&mut context).await })
    }
}
