//! The allocator and its settings.

#[cfg_attr(all(target_os = "linux", target_env = "gnu"), path = "glibc.rs")]
#[cfg_attr(all(target_os = "linux", target_env = "musl"), path = "musl.rs")]
#[cfg_attr(not(all(target_os = "linux", any(target_env = "gnu", target_env = "musl"))), path = "other.rs")]
mod system;

pub use system::{prepare, take_cached_blocks, trim};
