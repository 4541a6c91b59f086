//! What an engine tells of a connection that is lost.

use std::time::Instant;

/// A connection was lost.
pub struct Loss {
    /// Why.
    pub reason: String,
    /// Since when the engine has not answered.
    pub since: Instant,
}

impl Loss {
    /// It answered until now.
    pub fn now(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), since: Instant::now() }
    }
}
