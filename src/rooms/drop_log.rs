//! Warnings about dropped messages, at most one a second.

use crate::report;
use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::sleep;

/// The shortest time between two warnings.
const PAUSE: Duration = Duration::from_secs(1);

/// Collects drops and warns of them.
#[derive(Default)]
pub struct DropLog {
    unlogged: Mutex<Unlogged>,
}

/// Drops since the last warning.
#[derive(Default)]
struct Unlogged {
    messages: u64,
    members: HashSet<Arc<str>>,
    /// A drop warning was logged less than a second ago; drops until then are logged at the end of that second.
    is_pausing: bool,
}

impl DropLog {
    /// Counts messages that a member missed.
    pub fn add(self: &Arc<Self>, member: &Arc<str>, messages: u64) {
        let mut unlogged = self.lock();
        unlogged.messages += messages;
        if !unlogged.members.contains(member) {
            unlogged.members.insert(member.clone());
        }
        if !std::mem::replace(&mut unlogged.is_pausing, true) {
            drop(unlogged);
            let log = self.clone();
            tokio::spawn(async move {
                while log.warn() {
                    sleep(PAUSE).await;
                }
            });
        }
    }

    /// Warns of the drops since the last warning. Returns whether there were any.
    pub fn warn(&self) -> bool {
        let mut unlogged = self.lock();
        let members = std::mem::take(&mut unlogged.members);
        let messages = std::mem::take(&mut unlogged.messages);
        unlogged.is_pausing = messages > 0;
        drop(unlogged);
        let first = members.iter().next();
        match (members.len(), first) {
            (1, Some(member)) => {
                report::connection(member)
                    .in_scope(|| report::warn(format_args!("too slow: {messages} messages dropped")));
            }
            (count, Some(_)) => {
                report::warn(format_args!("{count} members are too slow: {messages} messages dropped"));
            }
            (_, None) => {}
        }
        messages > 0
    }

    fn lock(&self) -> MutexGuard<'_, Unlogged> {
        self.unlogged.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
