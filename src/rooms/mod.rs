//! The room server (`--broadcast`): a room is a request target, and a message of a member goes to all members of its room.
//!
//! The path of a message: the task of a member reads it and appends its frame to the pending batch of its room. If no task
//! flushes that room, this one does: it writes the batch to every member with one write call, straight to the socket. What
//! a socket does not take goes to the member's bounded outbox, which the member's own task writes later. So there is one
//! order for all members, a single message is sent at once, and under load many messages share a system call.

pub mod bench;
mod broker;
mod delivery;
#[cfg_attr(not(any(feature = "nats", feature = "redis")), allow(dead_code, reason = "there is no engine"))]
mod driver;
mod drop_log;
mod frame_queue;
#[cfg(fuzzing)]
pub mod fuzzing;
mod history;
mod hub;
mod member;
mod member_task;
mod members;
mod metrics;
#[cfg(all(test, wsplice_loom))]
mod models;
#[cfg_attr(not(any(feature = "nats", feature = "redis")), allow(dead_code, reason = "there is no engine"))]
mod node;
mod outbox;
mod resume;
mod room;
mod sync;
mod trim;

#[cfg(feature = "nats")]
use crate::cluster::Nats;
#[cfg(feature = "redis")]
use crate::cluster::Redis;
#[cfg(any(feature = "nats", feature = "redis"))]
use crate::cluster::{Engine, Events};
use crate::{
    cluster::{ClusterOptions, EngineKind},
    config::{Config, RoomOptions},
    endpoint::{ConnectContext, Layers, listen},
    error::Error,
    flow::ByteEnd,
    http,
    net::{Peer, counted_address},
    plan::RoomServer,
    readiness::Readiness,
    report,
    session::{Handle, MetricsServer, Shutdown, Workers, accept_all, end_of_lifetime},
};
use broker::Broker;
use hub::Hub;
use member_task::MemberTask;
use outbox::Dismissal;
use resume::{Resume, is_resume};
use std::{
    convert::Infallible,
    future::pending,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};
use tokio::time::timeout;
use tracing::Span;

/// Serves rooms on a WebSocket listener until a signal comes.
///
/// # Errors
/// When the listener or that of the metrics cannot be opened, and [`Error::Signal`].
pub async fn serve(
    server: RoomServer,
    config: &Arc<Config>,
    stop: &Shutdown,
    workers: &Arc<Workers>,
) -> Result<(), Error> {
    let RoomServer { about, origin, layers, options } = server;
    // First, so that everything is there when the listener is announced.
    let metrics = MetricsServer::bind(options.metrics.as_ref()).await?;
    let readiness = config.server.healthz.clone();
    let spread = options.cluster.as_ref().map_or(Duration::ZERO, |_| config.session.grace.mul_f64(SPREAD));
    let hub = match options.cluster.clone() {
        None => Arc::new(Hub::new(options, config.websocket.clone(), Broker::Memory).with_grace(config.session.grace)),
        Some(cluster) => stop.interrupts(join_cluster(cluster, options, config)).await?,
    };
    let listener = listen(&*origin, &about.title, config).await?;
    if let Some(server) = metrics {
        let hub = hub.clone();
        server.start(move || hub.metrics(), readiness.clone());
    }
    let handler = RoomHandler { layers, hub: hub.clone(), config: config.clone(), stop: stop.clone() };
    let ended = tokio::select! {
        ended = accept_all(listener, Arc::new(handler), config, stop, workers) => ended,
        never = trim::give_back(&hub, workers) => match never {},
        never = hub.forget_history() => match never {},
        never = stop_serving(&hub, readiness.as_deref(), stop, spread) => match never {},
    };
    if let Broker::Cluster(node) = &hub.broker {
        // What members have published before they were closed.
        let _ = timeout(config.session.grace.mul_f64(1.0 - SPREAD), node.flush()).await;
    }
    hub.delivery.drops.flush();
    ended
}

/// Members are closed within this part of `--grace`; the rest is for their answers.
const SPREAD: f64 = 0.8;

/// Connects to the engine of a cluster, and starts the node.
///
/// # Errors
/// The engine cannot be used.
#[cfg_attr(not(any(feature = "nats", feature = "redis")), allow(unused_variables, reason = "there is no engine"))]
async fn join_cluster(cluster: ClusterOptions, options: RoomOptions, config: &Arc<Config>) -> Result<Arc<Hub>, Error> {
    match cluster.engine.kind {
        #[cfg(feature = "nats")]
        EngineKind::Nats => Ok(start_node(Nats::connect(cluster.clone()).await?, cluster, options, config)),
        #[cfg(feature = "redis")]
        EngineKind::Redis => Ok(start_node(Redis::connect(cluster.clone()).await?, cluster, options, config)),
        #[allow(unreachable_patterns, reason = "which engines there are depends on the features of the build")]
        kind => {
            let feature = if matches!(kind, EngineKind::Nats) { "nats" } else { "redis" };
            Err(Error::usage_hint(
                format!("--cluster: this build has no client for {}", cluster.engine),
                format!("`cargo install --path . --features {feature}` makes one that has"),
            ))
        }
    }
}

#[cfg(any(feature = "nats", feature = "redis"))]
fn start_node<E: Engine>(
    (engine, events): (E, Events),
    cluster: ClusterOptions,
    options: RoomOptions,
    config: &Arc<Config>,
) -> Arc<Hub> {
    let (node, commands) = node::Node::new();
    // Both forms of the longest batch: the last message may go beyond the limit of a batch.
    let longest = config.websocket.limits.max_message_size.unwrap_or(usize::MAX);
    let max_batch = longest.saturating_add(delivery::MAX_PENDING).saturating_mul(2);
    let readiness = config.server.healthz.clone();
    let hub = Hub::new(options, config.websocket.clone(), Broker::Cluster(node)).with_grace(config.session.grace);
    let hub = Arc::new(hub);
    tokio::spawn(driver::run(engine, events, commands, cluster, max_batch, hub.clone(), readiness));
    hub
}

/// After a signal the health check fails, so that no further clients are sent here, and the members are closed within `spread`.
async fn stop_serving(hub: &Hub, readiness: Option<&Readiness>, stop: &Shutdown, spread: Duration) -> Infallible {
    stop.requested().await;
    readiness.into_iter().for_each(|readiness| readiness.set(Some("The server is shutting down.")));
    hub.close_members(spread).await;
    pending().await
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
        // On the heap: the task of a member would keep the room that the handshake takes, over 1 KiB, while the member stays.
        let opening = Box::pin(async {
            let expires = end_of_lifetime(self.config.server.max_lifetime);
            let mut context = ConnectContext::new(peer.clone(), self.config.connect_timeout);
            let end = self.layers.apply(*end, &mut context).await?;
            let mut pending = http::receive(end, &context.peer, &self.config).await?;
            let request = pending.request().clone();
            peer.name.clone_from(&request.peer);
            let client = request.client.map(counted_address);
            let resume = self.hub.delivery.histories.as_ref().and_then(|_| Resume::requested(&request.protocols));
            match self.hub.join_as(request.target.as_str(), request.peer.clone(), client, resume) {
                Ok(membership) => {
                    let subscribed = tokio::select! {
                        biased;
                        subscribed = membership.subscribed() => subscribed,
                        left = pending.left() => return Err(left),
                    };
                    if let Err(error) = subscribed {
                        pending.refuse(&error).await;
                        return Err(error);
                    }
                    report::set_room(request.target.as_str());
                    let protocol = match &membership.member.resume {
                        Some(resume) => resume.selected(&request.protocols),
                        None => {
                            let offers = request.protocols.iter().filter(|offer| !is_resume(offer));
                            let offers: Vec<_> = offers.cloned().collect();
                            http::choose_protocol(&offers, None, &self.config.server)
                        }
                    };
                    let upgraded = pending.accept(protocol).await?;
                    // It may have joined after the others were closed.
                    if self.stop.signal().is_some() {
                        membership.member.dismiss(Dismissal::Stopping);
                    }
                    Ok(MemberTask::new(membership, upgraded).with_end(expires))
                }
                Err(error) => {
                    pending.refuse(&error).await;
                    Err(error)
                }
            }
        });
        let member = self.stop.interrupts(opening).await?;
        member.await
    }
}

/// Counts a connection when it is over.
struct Counted<'a>(&'a Hub);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Relaxed);
    }
}
