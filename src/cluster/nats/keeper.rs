//! Watches the connection to NATS, which the client restores itself, and the stream.

use super::{
    Shared, State,
    api::{self, ApiError, Limits, STREAM_NOT_FOUND, Stream},
    lock,
    subjects::Subjects,
};
use crate::cluster::{EngineError, backoff::Backoff, loss::Loss};
use async_nats::Client;
use std::{
    sync::{Arc, Weak},
    time::{Duration, Instant},
};
use tokio::time::{sleep, timeout};

/// Between probes.
const PROBE_INTERVAL: Duration = Duration::from_millis(500);

/// Longest wait for the answer to a probe.
const PROBE_TIMEOUT: Duration = Duration::from_millis(1500);

/// Ends of connections that are remembered. A room whose end is forgotten counts as one that may have missed something.
const FLOORS: u64 = 1000;

/// The stream, which is created if there is none.
///
/// # Errors
/// JetStream refuses, or does not answer.
pub async fn open(client: &Client, subjects: &Subjects, limits: &Limits) -> Result<Stream, ApiError> {
    match api::info(client, subjects).await {
        Err(ApiError::Refused(STREAM_NOT_FOUND, _)) => api::create(client, subjects, limits).await,
        result => result,
    }
}

/// Runs until the node drops its events. It is aborted with the last handle, so it keeps none while it waits.
pub async fn keep(shared: Weak<Shared>, mut last: u64) {
    loop {
        let Some(Loss { reason, since }) = watch(&shared, last).await else { return };
        let Some(now) = shared.upgrade() else { return };
        now.state.send_modify(|state| {
            let mut floors = lock(&now.floors);
            floors.insert(state.generation, state.floor);
            floors.remove(&state.generation.saturating_sub(FLOORS));
            state.is_up = false;
            state.generation += 1;
        });
        now.inbox.down(reason.clone(), since);
        let inbox = now.inbox.clone();
        drop(now);
        // What waits holds the memory that more would fill.
        inbox.low().await;
        match restore(&shared, reason).await {
            Some(stream) => last = stream.last,
            None => return,
        }
        inbox.up();
    }
}

/// Ready with the reason when the connection is lost. `None` if nobody uses it any more.
async fn watch(shared: &Weak<Shared>, last: u64) -> Option<Loss> {
    let (inbox, signals) = {
        let shared = shared.upgrade()?;
        (shared.inbox.clone(), shared.signals.clone())
    };
    tokio::select! {
        () = inbox.closed() => None,
        () = signals.disconnected.notified() => Some(Loss::now("the connection was closed")),
        () = signals.overflow.notified() => Some(Loss::now("this node is too slow: too much waits to be delivered")),
        reason = probe(shared, last) => reason,
    }
}

async fn probe(shared: &Weak<Shared>, mut last: u64) -> Option<Loss> {
    loop {
        sleep(PROBE_INTERVAL).await;
        let shared = shared.upgrade()?;
        let since = Instant::now();
        match timeout(PROBE_TIMEOUT, api::info(&shared.client, &shared.subjects)).await {
            Ok(Ok(stream)) if stream.epoch == shared.state().epoch => {
                shared.state.send_if_modified(|state| {
                    state.floor = state.floor.max(last);
                    // Nobody waits for it.
                    false
                });
                last = stream.last;
            }
            Ok(Ok(_) | Err(ApiError::Refused(STREAM_NOT_FOUND, _))) => return Some(Loss::now("its data was deleted")),
            Ok(Err(error)) => return Some(Loss::now(EngineError::from(error).reason)),
            Err(_) => {
                // It is on its way to be closed already if this fails.
                let _ = shared.client.force_reconnect().await;
                let reason = format!("no answer for {} s", PROBE_TIMEOUT.as_secs_f64());
                return Some(Loss { reason, since });
            }
        }
    }
}

/// Waits until the client has connected again, and the stream is there.
async fn restore(shared: &Weak<Shared>, mut told: String) -> Option<Stream> {
    let mut backoff = Backoff::default();
    loop {
        sleep(backoff.next()).await;
        let shared: Arc<Shared> = shared.upgrade()?;
        // What has happened until now ends with the answer.
        shared.signals.clear();
        let opened = timeout(PROBE_TIMEOUT, open(&shared.client, &shared.subjects, &shared.limits)).await;
        let problem = match opened {
            Ok(Ok(stream)) => {
                shared.state.send_modify(|state: &mut State| {
                    state.is_up = true;
                    state.epoch = stream.epoch;
                    state.floor = stream.last;
                });
                return Some(stream);
            }
            Ok(Err(error)) => Some(EngineError::from(error).reason),
            Err(_) => lock(&shared.signals.problem).clone(),
        };
        if let Some(problem) = problem.filter(|problem| *problem != told) {
            shared.inbox.down(problem.clone(), Instant::now());
            told = problem;
        }
    }
}
