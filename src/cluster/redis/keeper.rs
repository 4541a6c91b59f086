//! Keeps a connection to Redis: restores it when it is lost, and its subscriptions with it.

use super::{Shared, link::Link};
use crate::{
    cluster::{EngineError, Inbox, backoff::Backoff},
    error::{Error, io_message},
};
use bytes::Bytes;
use std::{
    collections::HashSet,
    sync::{Arc, Weak},
    time::Duration,
};
use tokio::time::{Instant, interval_at, sleep};

/// The states of the rooms of this node are kept alive this often: four times before they would expire.
const REFRESH: Duration = Duration::from_secs(6 * 3600);

/// Runs until the node drops its events. It is aborted with the last handle, so it keeps none while it waits.
pub async fn keep(shared: Weak<Shared>, link: Arc<Link>, inbox: Inbox) {
    tokio::select! {
        () = inbox.closed() => {}
        () = serve(&shared, link, &inbox) => {}
    }
    if let Some(shared) = shared.upgrade() {
        shared.set_link(None);
    }
}

async fn serve(shared: &Weak<Shared>, mut link: Arc<Link>, inbox: &Inbox) {
    loop {
        let loss = tokio::select! {
            loss = link.lost() => loss,
            () = refresh(shared, &link) => return,
        };
        drop(link);
        match shared.upgrade() {
            Some(shared) => shared.set_link(None),
            None => return,
        }
        inbox.down(loss.reason.clone(), loss.since);
        // What waits holds the memory that a new connection would fill.
        inbox.low().await;
        match restore(shared, inbox, loss.reason).await {
            Some(restored) => link = restored,
            None => return,
        }
        inbox.up();
    }
}

/// Keeps the states of rooms alive in which nothing is published for long.
async fn refresh(shared: &Weak<Shared>, link: &Link) {
    let mut often = interval_at(Instant::now() + REFRESH, REFRESH);
    loop {
        often.tick().await;
        let Some(shared) = shared.upgrade() else { return };
        let states = shared.rooms().iter().map(|room| shared.keys.state(room)).collect::<Vec<_>>();
        let lifetime = super::STATE_LIFETIME.as_secs();
        // A connection that is lost here is noticed elsewhere.
        let _ =
            link.for_each(&states, |commands, key| _ = commands.cmd("EXPIRE").arg(key).arg(lifetime).ignore()).await;
    }
}

/// Connects again. `None` if nobody has a handle any more.
async fn restore(shared: &Weak<Shared>, inbox: &Inbox, mut told: String) -> Option<Arc<Link>> {
    let mut backoff = Backoff::default();
    loop {
        sleep(backoff.next()).await;
        let shared = shared.upgrade()?;
        let problem = match Link::open(&shared.options, &shared.keys, inbox).await {
            Ok(link) => match subscribe_all(&shared, Arc::new(link)).await {
                Ok(link) => return Some(link),
                Err(error) => error.reason,
            },
            // Whoever tells this names the engine.
            Err(Error::Engine { reason, .. }) => reason,
            Err(Error::Connect { source, .. }) => io_message(&source),
            Err(error) => error.to_string(),
        };
        if problem != told {
            inbox.down(problem.clone(), std::time::Instant::now());
            told = problem;
        }
    }
}

/// Subscribes to all rooms, and makes the connection that of the handles.
async fn subscribe_all(shared: &Shared, link: Arc<Link>) -> Result<Arc<Link>, EngineError> {
    let mut subscribed = HashSet::<Bytes>::new();
    loop {
        let (missing, surplus) = {
            let rooms = shared.rooms();
            let missing = rooms.difference(&subscribed).cloned().collect::<Vec<_>>();
            let surplus = subscribed.difference(&rooms).cloned().collect::<Vec<_>>();
            if missing.is_empty() && surplus.is_empty() {
                // Still under the lock, so that whoever adds a room now finds this connection.
                shared.link.send_replace(Some(link.clone()));
                return Ok(link);
            }
            (missing, surplus)
        };
        let channels = |rooms: &[Bytes]| rooms.iter().map(|room| shared.keys.channel(room)).collect::<Vec<_>>();
        link.for_each(&channels(&missing), |commands, channel| _ = commands.cmd("SUBSCRIBE").arg(channel)).await?;
        link.for_each(&channels(&surplus), |commands, channel| _ = commands.cmd("UNSUBSCRIBE").arg(channel)).await?;
        subscribed.extend(missing);
        for room in surplus {
            subscribed.remove(&room);
        }
    }
}
