//! Gives memory back after connections have ended and after long messages.

use super::hub::Hub;
use crate::memory::{at_hand, trim};
use std::{
    collections::HashMap,
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError, atomic::Ordering::Relaxed},
    thread,
    time::Duration,
};
use tokio::{
    runtime::Handle,
    task::{JoinSet, yield_now},
    time::{Instant, sleep},
};

/// How often it is looked whether there may be something to give back.
const EVERY: Duration = Duration::from_secs(5);
/// While much goes on, so many connections must have ended since the last time: giving back walks through the heap.
const MANY: u64 = 1000;
/// Or so many bytes must have been said, of which long messages and slow members leave the buffers that they needed.
const MUCH: u64 = 64 << 20;
/// Less than these in [`EVERY`] is quiet, and then what was left before is given back however little it is.
const FEW: u64 = 100;
const LITTLE: u64 = 1 << 20;

/// What has happened so far that leaves memory to be given back.
#[derive(Clone, Copy, Default)]
struct Work {
    /// Connections that have ended.
    ended: u64,
    /// Bytes that members have said.
    said: u64,
}

impl Work {
    fn is_done_since(self, before: Self, ended: u64, said: u64) -> bool {
        self.ended - before.ended >= ended || self.said - before.said >= said
    }
}

/// Gives memory back from time to time, for as long as the server runs. It must run on the thread that accepts connections,
/// which is none of the runtime's.
pub async fn give_back(hub: &Hub) -> Infallible {
    let (mut last, mut given_back) = (Work::default(), Work::default());
    let mut is_owed = false;
    loop {
        sleep(EVERY).await;
        let metrics = &hub.delivery.metrics;
        let now = Work { ended: hub.ended.load(Relaxed), said: metrics.received_bytes.load(Relaxed) };
        let is_quiet = !now.is_done_since(last, FEW, LITTLE);
        last = now;
        is_owed |= !is_quiet || now.is_done_since(given_back, 1, LITTLE);
        if now.is_done_since(given_back, MANY, MUCH) || (is_quiet && is_owed) {
            given_back = now;
            // What goes on leaves more, and so does what was said when slow members take it.
            is_owed = !is_quiet;
            let mut freed = at_hand_of_workers().await;
            freed.extend(at_hand());
            // It takes milliseconds where there is much to give back, and locks the heap.
            let _ = tokio::task::spawn_blocking(|| {
                // A thread that ends keeps nothing at hand.
                let _ = thread::spawn(|| drop(freed)).join();
                trim();
            })
            .await;
        }
    }
}

/// How long it is waited for workers that are busy; the next time will do for them.
const BUSY: Duration = Duration::from_millis(20);

/// What is kept at hand for the threads of the runtime: every one of them is woken to give it.
async fn at_hand_of_workers() -> Vec<Vec<u8>> {
    let workers = Handle::current().metrics().num_workers();
    let end = Instant::now() + BUSY;
    let given = Arc::new(Mutex::new(HashMap::new()));
    let ask = |_| {
        let given = given.clone();
        async move {
            loop {
                {
                    let mut given = given.lock().unwrap_or_else(PoisonError::into_inner);
                    given.entry(thread::current().id()).or_insert_with(at_hand);
                    if given.len() >= workers || Instant::now() >= end {
                        return;
                    }
                }
                yield_now().await;
            }
        }
    };
    (0..workers).map(ask).collect::<JoinSet<_>>().join_all().await;
    let given = std::mem::take(&mut *given.lock().unwrap_or_else(PoisonError::into_inner));
    given.into_values().flatten().collect()
}
