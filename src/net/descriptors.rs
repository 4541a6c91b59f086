//! The limit on open descriptors.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::sync::OnceLock;

/// The limit that this process was started with, if it was changed.
static ORIGINAL: OnceLock<Rlimit> = OnceLock::new();

/// The highest limit that macOS sets, whatever the hard limit is (setrlimit(2), COMPATIBILITY).
const OPEN_MAX: u64 = 10_240;

/// Raises the soft limit to the hard limit. Every client needs a descriptor, and shells and service managers give 1024 by
/// default for the sake of programs that use select(2). The hard limit is what the system really allows.
pub fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    let set = |most| setrlimit(Resource::Nofile, Rlimit { current: most, ..limit });
    // Without it the limit stays as it is, and accepting tells when it is reached.
    if set(limit.maximum).is_ok() || set(Some(limit.maximum.map_or(OPEN_MAX, |most| most.min(OPEN_MAX)))).is_ok() {
        let _ = ORIGINAL.set(limit);
    }
}

/// The limit for child processes, which may use select(2); `None` if this process has theirs.
pub fn original_descriptor_limit() -> Option<Rlimit> {
    ORIGINAL.get().copied()
}
