//! Gives memory back after members have left and after long messages.

use super::hub::Hub;
use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};
use tokio::time::sleep;

/// How often it is looked whether there may be something to give back.
const EVERY: Duration = Duration::from_secs(5);
/// So many must have left since the last time, unless the last one has: giving back walks through all heaps.
const MANY: u64 = 1000;
/// Or so many bytes must have been said, of which long messages leave the buffers that they needed.
const MUCH: u64 = 64 << 20;

/// Gives memory back from time to time, for as long as the server runs.
pub async fn give_back(hub: Arc<Hub>) {
    let (mut left_before, mut said_before) = (0, 0);
    loop {
        sleep(EVERY).await;
        let metrics = &hub.rules.metrics;
        let left = metrics.left.load(Relaxed);
        let said = metrics.received_bytes.load(Relaxed);
        let is_empty = metrics.joined.load(Relaxed) == left;
        if left - left_before >= MANY || said - said_before >= MUCH || (is_empty && left > left_before) {
            (left_before, said_before) = (left, said);
            // It takes milliseconds where there is much to give back, and locks each heap in turn.
            let _ = tokio::task::spawn_blocking(trim).await;
        }
    }
}

/// Buffers from this size on are mapped on their own and unmapped when they are freed. glibc's own limit follows the
/// largest buffer that was freed, up to 32 MiB, and malloc_trim does not reach what is free at the end of a heap: two or
/// three of the longest messages stayed.
#[cfg(target_env = "gnu")]
const LARGE: libc::c_int = 4 << 20;

/// To be called before much is allocated.
#[cfg(target_env = "gnu")]
#[expect(unsafe_code, reason = "there is no safe way to mallopt, and without it long messages stay in memory")]
pub fn prepare() {
    // SAFETY: mallopt(3) takes two numbers; both parameters may be set at any time.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE);
        libc::mallopt(libc::M_TRIM_THRESHOLD, LARGE);
    }
}

#[cfg(not(target_env = "gnu"))]
pub fn prepare() {}

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
