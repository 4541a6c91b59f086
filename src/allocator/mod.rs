//! The allocator's settings.

#[cfg_attr(all(target_os = "linux", target_env = "gnu"), path = "glibc.rs")]
#[cfg_attr(not(all(target_os = "linux", target_env = "gnu")), path = "other.rs")]
mod system;

pub use system::{prepare, take_cached_blocks, trim};
