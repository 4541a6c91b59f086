//! The room server (`--broadcast`): a room is a request target, and what a member says goes to all members of its room.
//!
//! How a message walks: a member's task reads it and appends its frame to the pending batch of its room. Whoever finds
//! nobody flushing takes the batch and writes it to every member with one write each, straight to the socket where it
//! takes it, else into the member's bounded backlog, which the member's own task writes later. So there is one order for
//! all members, a single message goes out at once, and under load many messages share a system call.

pub mod bench;
mod hub;
mod line;
mod member;
mod memory;
mod metrics;
mod room;

use crate::{
    address,
    config::Config,
    error::Error,
    flow::{ByteEnd, Duplex},
    http,
    plan::{Admission, Asked, Setup, Stack},
    session::{Handle, Stop, accept_all, start_listening},
};
use hub::{Hub, Place};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::{
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError, atomic::Ordering::Relaxed},
};

/// The content type of Prometheus's text format.
const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Serves rooms on a WebSocket listener, without its upgrade layer, until a signal comes.
pub async fn serve(stack: Stack, config: &Arc<Config>, stop: &Stop) -> Result<(), Error> {
    let Some(options) = &config.rooms else { unreachable!("the plan serves rooms only with --broadcast") };
    allow_all_descriptors();
    let hub = Arc::new(Hub::new(options.clone(), config.websocket.clone(), config.report));
    // First, so that everything is there when the listener is announced.
    let metrics = match &options.metrics {
        Some(at) => Some(address::tcp_listener(at)?.bind().await?),
        None => None,
    };
    let listener = start_listening(&stack, config).await?;
    if let Some(listener) = metrics {
        config.report.notice(format_args!("metrics: http://{}/metrics", listener.local()));
        let hub = hub.clone();
        tokio::spawn(http::serve_text(listener, "/metrics", METRICS_TYPE, move || hub.metrics()));
    }
    let rules = hub.rules.clone();
    let handler = Receptionist { stack, hub: hub.clone(), config: config.clone(), stop: stop.clone() };
    let ended = tokio::select! {
        ended = accept_all(listener, Arc::new(handler), config, stop) => ended,
        never = memory::give_back(&hub) => match never {},
    };
    rules.tell_drops();
    ended
}

/// Every member needs a descriptor, and shells and service managers give 1024 by default for the sake of programs that use
/// `select`. The hard limit is what the system really allows.
fn allow_all_descriptors() {
    let limit = getrlimit(Resource::Nofile);
    // Without it the limit stays as it is, and accepting tells when it is reached.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}

/// Lets connections in.
struct Receptionist {
    stack: Stack,
    hub: Arc<Hub>,
    config: Arc<Config>,
    stop: Stop,
}

impl Handle for Receptionist {
    /// A client from its first byte to its last.
    async fn handle(&self, end: ByteEnd, peer: String) -> Result<(), Error> {
        let _counted = Counted(&self.hub);
        let reception = Reception { hub: &self.hub, place: Mutex::default() };
        // On the heap, for a member's task would keep the room that the handshake takes, over 1 KiB, for as long as it lives.
        let opening = Box::pin(async {
            let mut setup = Setup::for_room(peer, &reception);
            let Duplex::Bytes(end) = self.stack.dress(Duplex::Bytes(end), &mut setup).await? else {
                unreachable!("without its WebSocket layer the listener gives bytes")
            };
            http::server::upgrade(end, &self.config, &mut setup).await
        });
        let switched = tokio::select! {
            opened = opening => opened?,
            signal = self.stop.requested() => return Err(Error::Signal(signal)),
        };
        let place = reception.place.into_inner().unwrap_or_else(PoisonError::into_inner);
        let Some(place) = place else { unreachable!("nobody is upgraded before it was admitted") };
        member::run(place, switched, &self.stop, self.config.ending.grace).await
    }
}

/// Counts a connection when it is over.
struct Counted<'a>(&'a Hub);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Relaxed);
    }
}

/// One connection at the door.
struct Reception<'a> {
    hub: &'a Arc<Hub>,
    place: Mutex<Option<Place>>,
}

impl Admission for Reception<'_> {
    fn admit(&self, asked: &Asked, peer: &str, client: Option<IpAddr>) -> Result<(), Error> {
        let place = self.hub.join(&asked.target, peer, client)?;
        *self.place.lock().unwrap_or_else(PoisonError::into_inner) = Some(place);
        Ok(())
    }
}
