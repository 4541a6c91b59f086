//! The room server (`--broadcast`): a room is a request target, and a message of a member goes to all members of its room.
//!
//! The path of a message: the task of a member reads it and appends its frame to the pending batch of its room. If no task
//! flushes that room, this one does: it writes the batch to every member with one write call, straight to the socket. What
//! a socket does not take goes to the member's bounded outbox, which the member's own task writes later. So there is one
//! order for all members, a single message is sent at once, and under load many messages share a system call.

pub mod bench;
mod broker;
mod drop_log;
mod frame_queue;
#[cfg(fuzzing)]
pub mod fuzzing;
mod hub;
mod member;
mod members;
mod metrics;
#[cfg(all(test, wsplice_loom))]
mod models;
mod outbox;
mod room;
mod sync;
mod trim;

use crate::{
    config::Config,
    endpoint::{ConnectContext, Layers, listen},
    error::Error,
    flow::ByteEnd,
    http,
    net::{Peer, counted_address},
    plan::RoomServer,
    report,
    session::{Handle, MetricsServer, Shutdown, Workers, accept_all},
};
use hub::Hub;
use std::sync::{Arc, atomic::Ordering::Relaxed};
use tracing::Span;

/// Serves rooms on a WebSocket listener until a signal comes.
///
/// # Errors
/// When the listener or that of the metrics cannot be opened, and [`Error::Signal`].
pub async fn serve(server: RoomServer, config: &Arc<Config>, stop: &Shutdown, workers: &Workers) -> Result<(), Error> {
    let RoomServer { about, origin, layers, options } = server;
    // First, so that everything is there when the listener is announced.
    let metrics = MetricsServer::bind(options.metrics.as_ref()).await?;
    let hub = Arc::new(Hub::new(options, config.websocket.clone()));
    let listener = listen(&*origin, &about.title, config).await?;
    if let Some(server) = metrics {
        let hub = hub.clone();
        server.start(move || hub.metrics());
    }
    let drops = hub.delivery.drops.clone();
    let handler = RoomHandler { layers, hub: hub.clone(), config: config.clone(), stop: stop.clone() };
    let ended = tokio::select! {
        ended = accept_all(listener, Arc::new(handler), config, stop, workers) => ended,
        never = trim::give_back(&hub, workers) => match never {},
    };
    drops.flush();
    ended
}

/// Makes members of the clients of a listener.
struct RoomHandler {
    /// What stands around a connection, below the WebSocket.
    layers: Layers<ByteEnd>,
    hub: Arc<Hub>,
    config: Arc<Config>,
    stop: Shutdown,
}

impl Handle<ByteEnd> for RoomHandler {
    fn span(&self, peer: &Peer) -> Span {
        report::member(&peer.name)
    }

    /// Serves a client from its first byte to its last.
    async fn handle(&self, end: Box<ByteEnd>, peer: &mut Peer) -> Result<(), Error> {
        let _counted = Counted(&self.hub);
        let stop = self.stop.with_lifetime(self.config.server.max_lifetime);
        // On the heap: the task of a member would keep the room that the handshake takes, over 1 KiB, while the member stays.
        let opening = Box::pin(async {
            let mut context = ConnectContext::new(peer.clone(), self.config.connect_timeout);
            let end = self.layers.apply(*end, &mut context).await?;
            let pending = http::receive(end, &context.peer, &self.config).await?;
            let request = pending.request().clone();
            peer.name.clone_from(&request.peer);
            let client = request.client.map(counted_address);
            match self.hub.join(request.target.as_str(), &request.peer, client) {
                Ok(membership) => {
                    report::set_room(request.target.as_str());
                    let protocol = http::choose_protocol(&request, None, &self.config.server);
                    Ok((membership, pending.accept(protocol).await?))
                }
                Err(error) => {
                    pending.refuse(&error).await;
                    Err(error)
                }
            }
        });
        let (membership, upgraded) = stop.interrupts(opening).await?;
        member::run(membership, upgraded, stop, self.config.session.grace).await
    }
}

/// Counts a connection when it is over.
struct Counted<'a>(&'a Hub);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Relaxed);
    }
}
