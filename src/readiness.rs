//! What the health check of a server answers.

use std::sync::{Arc, PoisonError, RwLock};

/// Whether a server can serve, and if not, why.
#[derive(Debug, Default)]
pub struct Readiness(RwLock<Option<Arc<str>>>);

impl Readiness {
    /// From now on it can serve, or not for this reason.
    pub fn set(&self, problem: Option<&str>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = problem.map(Into::into);
    }

    /// Why it cannot serve; `None` if it can.
    pub fn problem(&self) -> Option<Arc<str>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
