//! The locks and atomics of rooms and members, which loom replaces in its models.

#[cfg(all(test, wsplice_loom))]
pub use loom::sync::{Mutex, MutexGuard, atomic};
#[cfg(not(all(test, wsplice_loom)))]
pub use std::sync::{Mutex, MutexGuard, atomic};
