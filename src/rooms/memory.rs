//! Gives memory back after members have left.

use super::hub::Hub;
use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};
use tokio::time::sleep;

/// How often it is looked whether members have left.
const EVERY: Duration = Duration::from_secs(5);
/// So many must have left since the last time, unless the last one has: giving back walks through all heaps.
const MANY: u64 = 1000;

/// Gives memory back from time to time, for as long as the server runs.
pub async fn give_back(hub: Arc<Hub>) {
    let mut left_before = 0;
    loop {
        sleep(EVERY).await;
        let metrics = &hub.rules.metrics;
        let left = metrics.left.load(Relaxed);
        let is_empty = metrics.joined.load(Relaxed) == left;
        if left - left_before >= MANY || (is_empty && left > left_before) {
            left_before = left;
            // It takes milliseconds where there is much to give back, and locks each heap in turn.
            let _ = tokio::task::spawn_blocking(trim).await;
        }
    }
}

/// glibc gives only the end of a heap back by itself, and there is always something in use near it. 8,000 members in as many
/// rooms took 72 MB, of which 71 stayed for good after all had left; with this 15 do.
#[cfg(target_env = "gnu")]
#[expect(unsafe_code, reason = "there is no safe way to malloc_trim, and without it the memory is never given back")]
fn trim() {
    // SAFETY: malloc_trim(3) takes a number, is thread-safe, and touches only memory that is free.
    unsafe { libc::malloc_trim(0) };
}

#[cfg(not(target_env = "gnu"))]
fn trim() {}
