//! A listener's sessions: any number at once, each with a far end of its own.

use super::{
    Session, Shutdown, Workers, address_limit::AddressLimit, finish, open_far, refused_thread, under_way::UnderWay,
    workers::Place,
};
use crate::{
    config::Config,
    endpoint::{
        Accept, BeginOpening, Bind, ByteEndpoint, ConnectContext, Dialled, Layers, Listening, MessageEndpoint,
        MessageStack, listen,
    },
    error::Error,
    flow::{BoxFuture, ByteEnd, Reregister},
    net::Peer,
    report,
};
use futures_util::FutureExt;
use std::{
    any::Any,
    panic::{AssertUnwindSafe, resume_unwind},
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::Semaphore,
    task::JoinSet,
    time::{Instant, sleep, timeout},
};
use tracing::{Instrument, Span};

/// How long to wait when the system has no descriptors or memory for another connection.
const OUT_OF_RESOURCES_PAUSE: Duration = Duration::from_millis(100);
/// The least time between two warnings about connections that are not served.
const WARNINGS: Duration = Duration::from_secs(1);

/// What is done with each connection that a listener accepts.
pub trait Handle<E>: Send + Sync + 'static {
    /// The span of what is logged about a connection with `peer`.
    fn span(&self, peer: &Peer) -> Span {
        report::connection(&peer.name)
    }

    /// Serves one connection to its end. It renames `peer` if a trusted proxy names the real client. `end` is on the heap, since the
    /// task of a connection would keep the room for all that it has held.
    fn handle(&self, end: Box<E>, peer: &mut Peer) -> impl Future<Output = Result<(), Error>> + Send;
}

/// Accepts until a signal comes, or until one session was served with `--oneshot`. Each connection is served by one of the
/// `workers`.
pub async fn accept_all<E: Reregister + 'static>(
    listener: Box<dyn Accept<E>>,
    handler: Arc<impl Handle<E>>,
    config: &Arc<Config>,
    stop: &Shutdown,
    workers: &Arc<Workers>,
) -> Result<(), Error> {
    // A task, which has its turn after those whose events came before: so a connection that ends makes room on this thread for the
    // next one. The future that a runtime blocks on would come first. Dropping the set ends it.
    let mut accepting = JoinSet::new();
    accepting.spawn(accept_each(listener, handler, config.clone(), stop.clone(), workers.clone()));
    match accepting.join_next().await {
        Some(Ok(ended)) => ended,
        Some(Err(failed)) => match failed.try_into_panic() {
            Ok(payload) => resume_unwind(payload),
            Err(cancelled) => Err(Error::io("cannot accept connections", cancelled.into())),
        },
        None => Ok(()),
    }
}

async fn accept_each<E: Reregister + 'static>(
    mut listener: Box<dyn Accept<E>>,
    handler: Arc<impl Handle<E>>,
    config: Arc<Config>,
    stop: Shutdown,
    workers: Arc<Workers>,
) -> Result<(), Error> {
    let permits = config.server.conncap.map(|cap| Arc::new(Semaphore::new(cap as usize)));
    let address_limit = AddressLimit::new(&config);
    let mut under_way = UnderWay::default();
    let mut last_warning: Option<Instant> = None;
    let mut warn = |text: std::fmt::Arguments<'_>| {
        if last_warning.is_none_or(|at| at.elapsed() >= WARNINGS) {
            last_warning = Some(Instant::now());
            report::warn(text);
        }
    };
    let signal = loop {
        let next = async {
            // A connection beyond the cap is not even accepted: it waits in the system's queue.
            let permit = match &permits {
                Some(permits) => permits.clone().acquire_owned().await.ok(),
                None => None,
            };
            listener.accept().await.map(|accepted| (permit, accepted))
        };
        let (permit, (end, mut peer)) = tokio::select! {
            biased;
            signal = stop.requested() => break signal,
            accepted = next => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    warn(format_args!("cannot accept a connection: {error}"));
                    sleep(OUT_OF_RESOURCES_PAUSE).await;
                    continue;
                }
            },
        };
        let counted = match &address_limit {
            None => None,
            Some(limit) => match limit.enter(&peer) {
                Some(counted) => Some(counted),
                None => {
                    let (name, most) = (&peer.name, limit.most());
                    warn(format_args!(
                        "{name}: closed: its address has {most} connections, the maximum (--max-per-address)"
                    ));
                    continue;
                }
            },
        };
        let span = handler.span(&peer);
        if config.server.oneshot {
            match handler.handle(Box::new(end), &mut peer).instrument(span.clone()).await {
                // A request for a file or a health check is no session.
                Err(Error::NoUpgrade { .. }) => continue,
                // Neither is what was no request at all.
                Err(error @ Error::BadRequest { .. }) => {
                    span.in_scope(|| report::session_error(&peer.name, &error));
                    continue;
                }
                ended => return ended,
            }
        }
        let (handler, entered) = (handler.clone(), under_way.enter());
        let limits = (permit.is_some() || counted.is_some()).then(|| Box::new((permit, counted)));
        let Place { runtime, accepts, connection } = workers.place();
        let end = Box::new(end);
        // On the heap: tokio aligns tasks to 128 bytes, which an idle connection would pay for.
        let mut session: BoxFuture<'static, ()> = Box::pin(async move {
            let end = match if accepts { Ok(end) } else { end.reregister().map(Box::new) } {
                Ok(end) => end,
                Err(source) => {
                    let error = Error::io("cannot serve the connection", source);
                    return report::session_error(&peer.name, &error);
                }
            };
            match AssertUnwindSafe(handler.handle(end, &mut peer)).catch_unwind().await {
                Ok(Err(Error::NoUpgrade { .. }) | Ok(())) => {}
                Ok(Err(error)) => report::session_error(&peer.name, &error),
                Err(panic) => report_panic(&*panic),
            }
            drop((limits, connection, entered));
        });
        if !span.is_disabled() {
            session = Box::pin(session.instrument(span));
        }
        under_way.spawned(&runtime.spawn(session));
    };
    drop(listener);
    // Sessions know the grace themselves; the second is for their farewells.
    let _ = timeout(config.session.grace + Duration::from_secs(1), under_way.over()).await;
    Err(Error::Signal(signal))
}

/// Serves a listener's sessions of bytes.
pub(super) async fn bytes(
    left: ByteEndpoint<Listening>,
    right: ByteEndpoint<Dialled>,
    config: &Arc<Config>,
    stop: &Shutdown,
    workers: &Arc<Workers>,
) -> Result<(), Error> {
    let listener = listen(&*left.origin, &left.about.title, config).await?;
    let handler = ByteSessions { layers: left.layers, right, config: config.clone(), stop: stop.clone() };
    accept_all(listener, Arc::new(handler), config, stop, workers).await
}

/// Serves a listener's sessions of messages.
pub(super) async fn messages(
    left: MessageEndpoint<Listening>,
    right: MessageEndpoint<Dialled>,
    config: &Arc<Config>,
    stop: &Shutdown,
    workers: &Arc<Workers>,
) -> Result<(), Error> {
    let MessageEndpoint { about, stack } = left;
    let (config, stop) = (config.clone(), stop.clone());
    match stack {
        MessageStack::Framed(origin, layers) => {
            serve(&*origin, &about.title, MessageSessions { layers, right, config, stop }, workers).await
        }
        MessageStack::Native(origin, layers) => {
            serve(&*origin, &about.title, MessageSessions { layers, right, config, stop }, workers).await
        }
    }
}

/// Listens, and serves the connections with their layers.
async fn serve<E: Reregister + 'static, L: BeginOpening<E> + 'static>(
    origin: &dyn Bind<E>,
    title: &str,
    sessions: MessageSessions<L>,
    workers: &Arc<Workers>,
) -> Result<(), Error> {
    let (config, stop) = (sessions.config.clone(), sessions.stop.clone());
    let listener = listen(origin, title, &config).await?;
    accept_all(listener, Arc::new(sessions), &config, &stop, workers).await
}

struct ByteSessions {
    layers: Layers<ByteEnd>,
    right: ByteEndpoint<Dialled>,
    config: Arc<Config>,
    stop: Shutdown,
}

impl Handle<ByteEnd> for ByteSessions {
    async fn handle(&self, end: Box<ByteEnd>, peer: &mut Peer) -> Result<(), Error> {
        let Self { layers, right, config, stop } = self;
        let stop = &stop.with_lifetime(config.server.max_lifetime);
        // On the heap: a session lives long and needs no room for its handshakes.
        let opening = Box::pin(async {
            let mut context = ConnectContext::new(peer.clone(), config.connect_timeout);
            let left = layers.apply(*end, &mut context).await?;
            Ok(Session::Bytes(left, right.open(&mut context).await?))
        });
        let session = stop.interrupts(opening).await?;
        report::event(format_args!("connected with {}", right.about.title));
        finish(session, config, stop).await
    }
}

/// `L` are the layers around an accepted connection.
struct MessageSessions<L> {
    layers: L,
    right: MessageEndpoint<Dialled>,
    config: Arc<Config>,
    stop: Shutdown,
}

impl<E: Send + 'static, L: BeginOpening<E> + 'static> Handle<E> for MessageSessions<L> {
    async fn handle(&self, end: Box<E>, peer: &mut Peer) -> Result<(), Error> {
        let Self { layers, right, config, stop } = self;
        let stop = &stop.with_lifetime(config.server.max_lifetime);
        let opening = Box::pin(async {
            let mut context = ConnectContext::new(peer.clone(), config.connect_timeout);
            let left = layers.begin(*end, &mut context).await?;
            open_far(left, right, &mut context).await
        });
        let session = stop.interrupts(opening).await?;
        report::event(format_args!("connected with {}", right.about.title));
        finish(session, config, stop).await
    }
}

fn report_panic(payload: &(dyn Any + Send)) {
    match refused_thread(payload) {
        Some(reason) => report::warn(format_args!("a session ended: cannot start a thread: {reason}")),
        None => {
            let text = payload.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("it panicked");
            report::warn(format_args!("a session failed, which is a bug: {text}"));
        }
    }
}
