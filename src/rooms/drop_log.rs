//! Warnings about messages that slow members miss.

use crate::report::{self, Drops};
use std::{collections::HashSet, sync::Arc};

/// What members have missed.
#[derive(Default)]
pub struct Missed {
    messages: u64,
    members: HashSet<Arc<str>>,
}

impl Missed {
    /// Adds messages that a member missed.
    pub fn add(&mut self, member: &Arc<str>, messages: u64) {
        self.messages += messages;
        if !self.members.contains(member) {
            self.members.insert(member.clone());
        }
    }
}

/// Warns of what members have missed.
pub fn log() -> Arc<Drops<Missed>> {
    Drops::new(|Missed { messages, members }| {
        let first = members.iter().next();
        match (members.len(), first) {
            (1, Some(member)) => {
                report::connection(member)
                    .in_scope(|| report::warn(format_args!("too slow: {messages} messages dropped")));
            }
            (count, _) => report::warn(format_args!("{count} members are too slow: {messages} messages dropped")),
        }
    })
}
