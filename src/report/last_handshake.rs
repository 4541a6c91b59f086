//! The lines of the last opening handshake, which the interactive terminal shows on demand. Nothing is kept before it asks for that.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// The lines that are kept; of more, the oldest are dropped.
const MOST_LINES: usize = 200;

/// `None`: they are not wanted.
static LINES: Mutex<Option<VecDeque<String>>> = Mutex::new(None);

fn lines() -> MutexGuard<'static, Option<VecDeque<String>>> {
    LINES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Keeps the lines of handshakes from now on, also of those that are not shown.
pub fn keep_handshakes() {
    lines().get_or_insert_default();
    // Lines that are not shown are not even made otherwise.
    tracing_core::callsite::rebuild_interest_cache();
}

/// Whether they are kept.
pub(super) fn is_kept() -> bool {
    lines().is_some()
}

/// Another handshake begins.
pub(super) fn forget() {
    lines().iter_mut().for_each(VecDeque::clear);
}

/// Keeps a line.
pub(super) fn add(line: &str) {
    if let Some(lines) = &mut *lines() {
        if lines.len() == MOST_LINES {
            lines.pop_front();
        }
        lines.push_back(line.to_owned());
    }
}

/// The lines of the last handshake, each with its newline.
pub fn last_handshake() -> Vec<String> {
    lines().iter().flatten().cloned().collect()
}
